"""The bundled Prometheus rules: recording and alerting rules, generated from one set of thresholds."""

from __future__ import annotations

from exporter.rules.options import changed, listing
from exporter.rules.rule import Alert, Recording
from exporter.rules.rulefile import (
    DASHBOARD_BASE_URL,
    EXPORTER_BASE_URL,
    RUNBOOK_BASE_URL,
    groups,
    rule_files,
    write_rules,
)
from exporter.rules.thresholds import Thresholds

__all__ = [
    "DASHBOARD_BASE_URL",
    "EXPORTER_BASE_URL",
    "RUNBOOK_BASE_URL",
    "Alert",
    "Recording",
    "Thresholds",
    "changed",
    "groups",
    "listing",
    "rule_files",
    "write_rules",
]
