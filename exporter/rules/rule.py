"""A recording or alerting rule, and its entry in a Prometheus rule file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from exporter.rules.promql import duration

Entry: TypeAlias = dict[str, str | dict[str, str]]
"""A rule as a rule file contains it."""

Severity: TypeAlias = Literal["critical", "warning", "info"]
"""The urgency of an alert: `critical` pages, `warning` needs attention during the day, `info` needs no action."""

EXPORTER_DASHBOARD = "ims-exporter"
OVERVIEW_DASHBOARD = "ims-overview"
TYPE_DASHBOARD = "ims-type"
JOB_LABELS = ("account", "region_id", "job_kind", "job_type")

COUNT = '{{ $value | printf "%.0f" }}'
"""A count in a description, without an exponent."""

TARGET = "{{ $labels.account }}/{{ $labels.region_id }}/{{ $labels.job_kind }}"
"""The poll target of an alert in its description."""

JOBS = f"{{{{ $labels.job_type }}}} job(s) of {TARGET}"
"""The jobs of an alert in its description."""


@dataclass(frozen=True, slots=True)
class Links:
    """Base URLs of the links in alerts, without a trailing slash."""

    runbooks: str
    dashboards: str
    exporter: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule."""

    record: str
    expr: str

    def entry(self, _: Links) -> Entry:
        """Returns the entry of the rule in a rule file."""
        return {"record": self.record, "expr": self.expr}


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule; `summary` is constant, `description` is a Prometheus template with values and units."""

    name: str
    severity: Severity
    expr: str
    summary: str
    description: str
    for_seconds: int = 0
    dashboard: str = TYPE_DASHBOARD
    """The uid of the linked dashboard; the dashboard of a job type opens for the labels of the alert."""
    keep_firing_seconds: int = 0
    """How long the alert keeps firing after its condition has ended, so that it does not flap."""
    further_labels: tuple[str, ...] = ()
    """The labels beyond `JOB_LABELS` by which the link to the failed jobs filters."""

    def entry(self, links: Links) -> Entry:
        """Returns the entry of the rule in a rule file, with the links that every alert carries."""
        variables = "" if self.dashboard == EXPORTER_DASHBOARD else _query("var-", JOB_LABELS)
        filters = _query("", (*JOB_LABELS, *self.further_labels))
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
                "dashboard_url": f"{links.dashboards}/{self.dashboard}{variables}",
                **({"failures_url": f"{links.exporter}/failures{filters}"} if self.is_about_failed_jobs else {}),
            },
        }

    @property
    def is_about_failed_jobs(self) -> bool:
        """Whether the alert is about failed jobs, which the /failures page of the exporter lists."""
        return self.name.startswith("ImsJobFail")


def _query(prefix: str, labels: tuple[str, ...]) -> str:
    """Returns a query string with the escaped values of the labels of an alert."""
    return "?" + "&".join(f"{prefix}{label}={{{{ $labels.{label} | urlquery }}}}" for label in labels)
