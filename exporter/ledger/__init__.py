"""The ledger: what must survive a restart, in one SQLite file."""

from exporter.ledger.store import Ledger
from exporter.ledger.survey import SurveyState

__all__ = ["Ledger", "SurveyState"]
