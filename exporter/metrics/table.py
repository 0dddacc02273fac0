"""Every metric, declared once: its name, kind, help, labels, and how to read its series."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from exporter.jobs.snapshot import DURATION_BOUNDS, Durations, FailedJob, Snapshot, TargetView
from exporter.jobs.states import FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

REASONS = ("auth", "forbidden", "throttled", "timeout", "network", "server", "parse", "ledger", "other")
"""Why a poll failed."""

HANDSHAKE_REASONS = (
    "plain_http",
    "version",
    "cipher",
    "client_certificate",
    "server_certificate",
    "timeout",
    "closed",
    "evicted",
    "other",
)
"""Why a TLS handshake failed."""

OK, OTHER = "OK", "other"
"""The code of a successful request, and the code shown in place of one that is not shown itself."""

MAX_CODES = 40
"""Maximum number of codes shown per target, `OK` included and `other` not."""

POLL_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
REQUEST_BOUNDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

Kind: TypeAlias = Literal["gauge", "counter", "histogram"]
Source = TypeVar("Source")


class Reading(NamedTuple):  # a tuple: each poll makes hundreds
    """One series of a metric: its value, and the values of the labels that follow those of the source."""

    labels: tuple[str, ...]
    value: float | Durations
    exemplar: FailedJob | None = None


@dataclass(frozen=True, slots=True)
class Metric(Generic[Source]):
    """One row of the table. `read` is pure; `bounds` are a histogram's upper bounds without +Inf."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    read: Callable[[Source], Iterable[Reading]]
    bounds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetCounts:
    """Counts of one poll target since it was added. Immutable: each event makes a new one."""

    polls: int
    poll_seconds: Durations
    poll_failures: Mapping[str, int]
    """Failed polls by reason."""
    requests: Mapping[tuple[str, str], int]
    """Requests by (action, code)."""
    request_seconds: Mapping[str, Durations]
    """Duration of requests by action."""


@dataclass(frozen=True, slots=True)
class Process:
    """State of the process as a whole."""

    ledger_size_bytes: int
    reload_successful: bool
    """Whether the last load of the configuration, at start or by a reload, succeeded."""
    reloaded_at: float
    """Unix time of the last successful load of the configuration."""
    version: str
    is_active: bool = True
    """Whether the process polls; a standby does not."""
    lease_failures: int = 0
    """Failed attempts to acquire or renew the Lease since the process started."""
    shard: int = 0
    shards: int = 1
    python_version: str = field(default_factory=platform.python_version)
    tls_handshake_failures: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(HANDSHAKE_REASONS, 0))
    """Failed TLS handshakes with clients by reason."""


def one(value: float | Durations | None) -> Iterator[Reading]:
    """Yields one series without further labels, or none if the value is None."""
    if value is not None:
        yield Reading((), value)


def by_label(values: Mapping[str, float] | Mapping[str, Durations]) -> Iterator[Reading]:
    """Yields one series for each value of one further label, such as the job type."""
    return (Reading((label,), value) for label, value in values.items())


def by_pair(values: Mapping[tuple[str, str], float] | Mapping[tuple[str, str], Durations]) -> Iterator[Reading]:
    """Yields one series for each pair of further labels, such as job type and state."""
    return (Reading(pair, value) for pair, value in values.items())


def ended(snapshot: Snapshot) -> Iterator[Reading]:
    """Yields the ended jobs by type and state; the newest failed job of a type is the exemplar of its failures."""
    for (job_type, job_state), count in snapshot.ended.items():
        failed = job_state == FAILED and count > 0
        yield Reading((job_type, job_state), count, snapshot.last_failure.get(job_type) if failed else None)


WORKS = ("poll", "survey")
SKIP_REASONS = ("no_id", "not_an_object")
TARGET = ("account", "region_id", "job_kind")
TYPE = (*TARGET, "job_type")
STATE = (*TYPE, "job_state")
POLLED = "as of the last successful poll"

JOB_METRICS: tuple[Metric[Snapshot], ...] = (
    Metric(
        "ims_jobs",
        "gauge",
        f"Jobs by type and state, {POLLED}: Created (waiting) and Executing (running) jobs of any age, Finished and "
        "Failed jobs created within lookback_days. The ended states are absent until the first survey is complete.",
        STATE,
        lambda snapshot: by_pair(snapshot.jobs),
    ),
    Metric(
        "ims_jobs_failed_recent",
        "gauge",
        f"Jobs that failed within the window (1h or 24h), {POLLED}. Decreases as failures grow older than the "
        "window. Absent until the first survey is complete.",
        (*TYPE, "window"),
        lambda snapshot: by_pair(snapshot.failed_recent),
    ),
    Metric(
        "ims_jobs_failed_noticed",
        "gauge",
        "Failures that the exporter has learned of and has shown for less than the window (5m), counted from their "
        f"first publication, also over a restart, {POLLED}. Falls by itself. Failures from before a job kind or type "
        "was polled are not in it.",
        (*TYPE, "window"),
        lambda snapshot: by_pair(snapshot.failed_noticed),
    ),
    Metric(
        "ims_jobs_created_total",
        "counter",
        f"Jobs seen for the first time, {POLLED}. Survives restarts.",
        TYPE,
        lambda snapshot: by_label(snapshot.created),
    ),
    Metric(
        "ims_jobs_ended_total",
        "counter",
        f"Jobs that ended, by the state they ended in, each counted once, {POLLED}. Survives restarts. "
        "The exemplar is the newest failed job.",
        STATE,
        ended,
    ),
    Metric(
        "ims_job_failures_total",
        "counter",
        f"Jobs that failed, by the error code of the service, {POLLED}. Survives restarts. "
        "A failure is counted when its code is known or given up; until then it is missing here. Rare codes are "
        "counted as other, codes that could not be fetched as unknown.",
        (*TYPE, "error_code"),
        lambda snapshot: by_pair(snapshot.failures),
    ),
    Metric(
        "ims_jobs_deleted_total",
        "counter",
        f"Open jobs that disappeared from the service without an end, {POLLED}. Survives restarts.",
        TYPE,
        lambda snapshot: by_label(snapshot.deleted),
    ),
    Metric(
        "ims_job_duration_seconds",
        "histogram",
        f"Time from creation to last modification of jobs that ended, in seconds, by the state they ended in, "
        f"{POLLED}. Survives restarts.",
        STATE,
        lambda snapshot: by_pair(snapshot.durations),
        DURATION_BOUNDS,
    ),
    Metric(
        "ims_job_oldest_open_timestamp_seconds",
        "gauge",
        f"Unix time of the creation of the oldest job that is Created (waiting) or Executing (running), {POLLED}. "
        "Absent if there is none.",
        STATE,
        lambda snapshot: by_pair(snapshot.oldest_open),
    ),
    Metric(
        "ims_job_last_failure_timestamp_seconds",
        "gauge",
        f"Unix time of the last modification of the newest failed job, {POLLED}. Absent if no failure is known.",
        TYPE,
        lambda snapshot: by_label({job_type: job.ended_at for job_type, job in snapshot.last_failure.items()}),
    ),
)
"""Read from the snapshot of a committed poll; withdrawn when the snapshot is stale."""

HEALTH_METRICS: tuple[Metric[TargetView], ...] = (
    Metric(
        "ims_exporter_target_up",
        "gauge",
        "Whether the last poll succeeded (1) or failed (0). Absent until the first poll ends.",
        TARGET,
        lambda view: one(view.health.up),
    ),
    Metric(
        "ims_exporter_last_success_timestamp_seconds",
        "gauge",
        "Unix time of the end of the last successful poll. Absent until a poll succeeds.",
        TARGET,
        lambda view: one(view.health.last_success_at),
    ),
    Metric(
        "ims_exporter_survey_complete",
        "gauge",
        "Whether a survey of the whole lookback has completed (1) or not yet (0).",
        TARGET,
        lambda view: one(view.health.survey_complete),
    ),
    Metric(
        "ims_exporter_survey_progress_ratio",
        "gauge",
        "Progress of the current or last survey, from 0 to 1.",
        TARGET,
        lambda view: one(view.health.survey_progress),
    ),
    Metric(
        "ims_exporter_catchup_truncated",
        "gauge",
        "Whether the counters lack jobs (1) because the exporter was down for longer than lookback_days "
        "and no survey has completed since.",
        TARGET,
        lambda view: one(view.health.catchup_truncated),
    ),
    Metric(
        "ims_exporter_ledger_jobs",
        "gauge",
        f"Jobs that the ledger stores one by one (open jobs and recently ended jobs), {POLLED}.",
        TARGET,
        lambda view: one(view.snapshot.ledger_jobs if view.snapshot else None),
    ),
    Metric(
        "ims_exporter_list_lag_seconds",
        "gauge",
        "How late the lists of the service have shown jobs lately, in seconds. Fades within hours; polls read further "
        "back while it is high.",
        TARGET,
        lambda view: one(view.snapshot.list_lag_seconds if view.snapshot else None),
    ),
    Metric(
        "ims_exporter_late_jobs_total",
        "counter",
        "Jobs that the lists showed later than two successive polls overlap; only a deep poll or an open list could "
        "find them. Survives restarts.",
        TARGET,
        lambda view: one(view.snapshot.late_jobs if view.snapshot else None),
    ),
    Metric(
        "ims_exporter_gaps_given_up_total",
        "counter",
        "Places between two pages of a list that could not be proven to hide no job. Survives restarts.",
        TARGET,
        lambda view: one(view.snapshot.gaps_given_up if view.snapshot else None),
    ),
    Metric(
        "ims_exporter_budget_exceeded_total",
        "counter",
        "Polls and surveys that were cut short by their budget since the exporter started, by work: poll or survey.",
        (*TARGET, "work"),
        lambda view: by_label({work: view.health.budgets_exceeded.get(work, 0) for work in WORKS}),
    ),
    Metric(
        "ims_exporter_rows_skipped_total",
        "counter",
        f"Rows of lists that could not be read since the exporter started, by reason: {', '.join(SKIP_REASONS)}.",
        (*TARGET, "reason"),
        lambda view: by_label({reason: view.health.rows_skipped.get(reason, 0) for reason in SKIP_REASONS}),
    ),
)
"""Health of a target's polls and surveys; still shown when the job metrics are withdrawn."""

COUNTED_METRICS: tuple[Metric[TargetCounts], ...] = (
    Metric(
        "ims_exporter_poll_duration_seconds",
        "histogram",
        "Duration of polls in seconds, failed polls included.",
        TARGET,
        lambda counts: one(counts.poll_seconds),
        POLL_BOUNDS,
    ),
    Metric(
        "ims_exporter_polls_total",
        "counter",
        "Polls that ended since the exporter started, failed polls included.",
        TARGET,
        lambda counts: one(counts.polls),
    ),
    Metric(
        "ims_exporter_poll_failures_total",
        "counter",
        f"Polls that failed since the exporter started, by reason: {', '.join(REASONS)}.",
        (*TARGET, "reason"),
        lambda counts: by_label(counts.poll_failures),
    ),
    Metric(
        "ims_exporter_api_requests_total",
        "counter",
        "Requests to the service since the exporter started, retries included, by action and by code: "
        f"{OK}, the error code, or {OTHER} beyond {MAX_CODES} codes per target.",
        (*TARGET, "action", "code"),
        lambda counts: by_pair(counts.requests),
    ),
    Metric(
        "ims_exporter_api_request_duration_seconds",
        "histogram",
        "Duration of requests to the service in seconds, failed requests included, without waits for the rate limit.",
        (*TARGET, "action"),
        lambda counts: by_label(counts.request_seconds),
        REQUEST_BOUNDS,
    ),
)
"""Read from the counts of a poll target; reset by a restart."""

ACCOUNT_METRICS: tuple[Metric[float], ...] = (
    Metric(
        "ims_exporter_rate_limit_wait_seconds_total",
        "counter",
        "Seconds that requests of the account waited for its rate limit since the exporter started.",
        ("account",),
        one,
    ),
)
"""Read from the seconds that the requests of an account waited; reset by a restart."""

PROCESS_METRICS: tuple[Metric[Process], ...] = (
    Metric(
        "ims_exporter_ledger_size_bytes",
        "gauge",
        "Size of the ledger on disk in bytes.",
        (),
        lambda process: one(process.ledger_size_bytes),
    ),
    Metric(
        "ims_exporter_config_last_reload_successful",
        "gauge",
        "Whether the last load of the configuration succeeded (1) or was refused (0).",
        (),
        lambda process: one(process.reload_successful),
    ),
    Metric(
        "ims_exporter_config_last_reload_success_timestamp_seconds",
        "gauge",
        "Unix time of the last successful load of the configuration.",
        (),
        lambda process: one(process.reloaded_at),
    ),
    Metric(
        "ims_exporter_tls_handshake_failures_total",
        "counter",
        "TLS handshakes with clients that failed since the exporter started, by reason: "
        f"{', '.join(HANDSHAKE_REASONS)}.",
        ("reason",),
        lambda process: by_label(process.tls_handshake_failures),
    ),
    Metric(
        "ims_exporter_active",
        "gauge",
        "Whether the process polls (1) or is on standby (0).",
        (),
        lambda process: one(process.is_active),
    ),
    Metric(
        "ims_exporter_lease_failures_total",
        "counter",
        "Attempts to acquire or renew the Lease that failed with an error since the exporter started.",
        (),
        lambda process: one(process.lease_failures),
    ),
    Metric(
        "ims_exporter_shard",
        "gauge",
        "Number of the shard that the process polls or waits to poll, from 0 to ims_exporter_shards - 1.",
        (),
        lambda process: one(process.shard),
    ),
    Metric(
        "ims_exporter_shards",
        "gauge",
        "Number of shards among which the targets are divided; 1 without shards.",
        (),
        lambda process: one(process.shards),
    ),
    Metric(
        "ims_exporter_build_info",
        "gauge",
        "Always 1; the labels are the versions of the exporter and of Python.",
        ("version", "python_version"),
        lambda process: [Reading((process.version, process.python_version), 1)],
    ),
)
"""State of the process, whatever its targets."""

METRICS: tuple[Metric[Any], ...] = (
    *JOB_METRICS,
    *HEALTH_METRICS,
    *COUNTED_METRICS,
    *ACCOUNT_METRICS,
    *PROCESS_METRICS,
)
"""The whole table, in the order of the exposition."""
