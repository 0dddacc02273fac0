"""One recording or alerting rule, and how it is written in a Prometheus rule file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from exporter.rules.promql import duration

Entry: TypeAlias = dict[str, str | dict[str, str]]
"""A rule as the rule file has it."""

Severity: TypeAlias = Literal["critical", "warning", "info"]
"""What an alert asks for: a page, a look during the day, nothing."""

EXPORTER_DASHBOARD = "ims-exporter"
OVERVIEW_DASHBOARD = "ims-overview"
TYPE_DASHBOARD = "ims-type"
JOB_LABELS = ("account", "region_id", "job_kind", "job_type")

COUNT = '{{ $value | printf "%.0f" }}'
"""How a description writes a number of things, large ones too."""

TARGET = "{{ $labels.account }}/{{ $labels.region_id }}/{{ $labels.job_kind }}"
"""How a description names the target that the alert is about."""

JOBS = f"{{{{ $labels.job_type }}}} job(s) of {TARGET}"
"""How it names the jobs."""


@dataclass(frozen=True, slots=True)
class Links:
    """Where the pages of the alerts are; all without a trailing slash."""

    runbooks: str
    dashboards: str
    exporter: str


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
    severity: Severity
    expr: str
    summary: str
    description: str
    for_seconds: int = 0
    dashboard: str = TYPE_DASHBOARD
    """The uid of the dashboard to look at; that of a job type is opened for the alert's type."""
    keep_firing_seconds: int = 0
    """How long it goes on when its reason is gone, so that it does not come and go."""
    further_labels: tuple[str, ...] = ()
    """What the alert's failed jobs have in common beyond account, region and type."""

    def entry(self, links: Links) -> Entry:
        """Returns the rule as the rule file has it, with the links that every alert carries."""
        return {
            "alert": self.name,
            "expr": self.expr,
            **({"for": duration(self.for_seconds)} if self.for_seconds else {}),
            **({"keep_firing_for": duration(self.keep_firing_seconds)} if self.keep_firing_seconds else {}),
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{links.runbooks}/{self.name}.md",
                "dashboard_url": f"{links.dashboards}/{self.dashboard}{self._variables()}",
                **({"failures_url": f"{links.exporter}/failures{self._filters()}"} if self.names_failed_jobs else {}),
            },
        }

    @property
    def names_failed_jobs(self) -> bool:
        """Says whether the alert is about failed jobs, whose ids the exporter's page lists."""
        return self.name.startswith("ImsJobFail")

    def _variables(self) -> str:
        """Returns what the dashboard's variables are set to."""
        return "" if self.dashboard == EXPORTER_DASHBOARD else _query("var-", JOB_LABELS)

    def _filters(self) -> str:
        """Returns what the page of failed jobs is to show: those that the alert is about."""
        return _query("", (*JOB_LABELS, *self.further_labels))


def _query(prefix: str, labels: tuple[str, ...]) -> str:
    return "?" + "&".join(f"{prefix}{label}={{{{ $labels.{label} | urlquery }}}}" for label in labels)
