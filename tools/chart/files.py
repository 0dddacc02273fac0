"""The generated files of the chart: README, schema, rules, dashboards, and the version in Chart.yaml."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import tools.dashboards.__main__ as dashboards
from exporter import __version__
from exporter.rules import RUNBOOK_BASE_URL
from tools.chart import readme, rules, schema
from tools.chart.values import CHART

if TYPE_CHECKING:
    from pathlib import Path


def chart_files() -> dict[Path, str]:
    """Returns the text of every generated file of the chart by its path."""
    files = CHART / "files"
    return {
        CHART / "Chart.yaml": _chart_text(),
        CHART / "README.md": readme.document(),
        CHART / "values.schema.json": schema.schema_text(),
        files / "thresholds.yaml": rules.thresholds_text(),
        **{files / "rules" / name: text for name, text in rules.rule_texts().items()},
        **{files / "dashboards" / name: _chart_board(text) for name, text in dashboards.built().items()},
    }


def _chart_board(text: str) -> str:
    """Returns a dashboard with a placeholder for the base URL of the runbooks, which the chart replaces."""
    return text.replace(RUNBOOK_BASE_URL, "<<runbooks>>")


def _chart_text() -> str:
    """Returns Chart.yaml with the current version of the exporter."""
    text = (CHART / "Chart.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^version: .*$", f"version: {__version__}", text)
    return re.sub(r"(?m)^appVersion: .*$", f'appVersion: "{__version__}"', text)
