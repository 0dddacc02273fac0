"""The ledger: what must survive a restart, in one SQLite file."""

from exporter.polling.ledger.store import Ledger
from exporter.polling.ledger.survey import SurveyState

__all__ = ["Ledger", "SurveyState"]
