"""One recording or alerting rule, and how it is written in a Prometheus rule file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from exporter.rules.promql import duration

Entry: TypeAlias = dict[str, str | dict[str, str]]
"""A rule as the rule file has it."""

TARGET = "{{ $labels.account }}/{{ $labels.region_id }}"
"""How a description names the target that the alert is about."""


@dataclass(frozen=True, slots=True)
class Links:
    """Where the pages of the alerts are; both without a trailing slash."""

    runbooks: str
    dashboards: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded series."""

    record: str
    expr: str

    def entry(self, _: Links) -> Entry:
        """Returns the rule as the rule file has it."""
        return {"record": self.record, "expr": self.expr}


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert; `summary` is constant, `description` a Prometheus template that names values and units."""

    name: str
    severity: Literal["critical", "warning", "info"]
    expr: str
    summary: str
    description: str
    for_seconds: int = 0
    dashboard: str = "ims-smartjob-overview"
    """The uid of the dashboard to look at."""

    def entry(self, links: Links) -> Entry:
        """Returns the rule as the rule file has it, with the links that every alert carries."""
        return {
            "alert": self.name,
            "expr": self.expr,
            **({"for": duration(self.for_seconds)} if self.for_seconds else {}),
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{links.runbooks}/{self.name}.md",
                "dashboard_url": f"{links.dashboards}/{self.dashboard}",
            },
        }
