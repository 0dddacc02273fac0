"""Every metric, declared once: its name, kind, help, labels and how it is read off what is published."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exporter.jobs.kinds import SMART
from exporter.jobs.snapshot import DURATION_BOUNDS, Durations, Snapshot, TargetView
from exporter.jobs.states import FAILED
from exporter.metrics.row import Metric, Reading, by_pair, by_type, one

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ACTIONS = SMART.actions
"""The actions of the service that are called."""

REASONS = ("auth", "forbidden", "throttled", "timeout", "network", "server", "parse", "ledger", "other")
"""Why a poll failed."""

OK, OTHER = "OK", "other"
"""The code of a call that succeeded, and of one whose error code is not shown."""

MAX_CODES = 40
"""So many codes of calls are shown for each target, `OK` among them."""

POLL_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
REQUEST_BOUNDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Process:
    """What is published of the process as a whole."""

    ledger_size_bytes: int
    reload_successful: bool
    """Whether the last reading of the configuration, the first one included, succeeded."""
    reloaded_at: float
    """When the configuration was last read with success, Unix seconds."""
    version: str
    python_version: str = field(default_factory=platform.python_version)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the process has counted of a target since it was introduced: immutable, replaced as a whole."""

    polls: int
    poll_seconds: Durations
    poll_failures: Mapping[str, int]
    """Failed polls by reason."""
    requests: Mapping[tuple[str, str], int]
    """Requests by (action, code)."""
    request_seconds: Mapping[str, Durations]
    """By action."""


def ended(snapshot: Snapshot) -> Iterator[Reading]:
    """Reads the ended jobs, the newest failure as the example of those that failed."""
    for (job_type, job_state), count in snapshot.ended.items():
        failed = job_state == FAILED and count > 0
        example = snapshot.last_failure.get(job_type) if failed else None
        yield Reading((job_type, job_state), count, example)


def last_failures(snapshot: Snapshot) -> Iterator[Reading]:
    """Reads when the newest failure of each job type ended."""
    return by_type({job_type: job.ended_at for job_type, job in snapshot.last_failure.items()})


TARGET = ("account", "region_id", "job_kind")
TYPE = (*TARGET, "job_type")
STATE = (*TYPE, "job_state")
POLLED = "as of the last successful poll"

JOB_METRICS: tuple[Metric[Snapshot], ...] = (
    Metric(
        "ims_jobs",
        "gauge",
        f"Smart jobs by type and state, {POLLED}: Created (waiting) and Executing (running) of any age, "
        "Finished (ended well) and Failed (ended in an error) if created within lookback_days. "
        "The ended states are absent until the first survey is complete.",
        STATE,
        lambda snapshot: by_pair(snapshot.jobs),
    ),
    Metric(
        "ims_jobs_failed_recent",
        "gauge",
        f"Smart jobs that failed within the window (1h, 24h), {POLLED}; falls by itself. Absent until the first "
        "survey is complete.",
        (*TYPE, "window"),
        lambda snapshot: by_pair(snapshot.failed_recent),
    ),
    Metric(
        "ims_jobs_created_total",
        "counter",
        f"Smart jobs seen for the first time, {POLLED}; survives restarts.",
        TYPE,
        lambda snapshot: by_type(snapshot.created),
    ),
    Metric(
        "ims_jobs_ended_total",
        "counter",
        f"Smart jobs that ended, Finished (well) or Failed (in an error), each counted once, {POLLED}; "
        "survives restarts. The exemplar is the newest failed job.",
        STATE,
        ended,
    ),
    Metric(
        "ims_job_failures_total",
        "counter",
        f"Smart jobs that failed, by the error code of the service, {POLLED}; survives restarts. "
        "Rare codes are counted as other, those that were not fetched as unknown.",
        (*TYPE, "error_code"),
        lambda snapshot: by_pair(snapshot.failures),
    ),
    Metric(
        "ims_jobs_deleted_total",
        "counter",
        f"Open smart jobs that vanished without an end, {POLLED}; survives restarts.",
        TYPE,
        lambda snapshot: by_type(snapshot.deleted),
    ),
    Metric(
        "ims_job_duration_seconds",
        "histogram",
        "Seconds from creation to last modification of the smart jobs that ended, "
        f"Finished (well) or Failed (in an error), {POLLED}; survives restarts.",
        STATE,
        lambda snapshot: by_pair(snapshot.durations),
        DURATION_BOUNDS,
    ),
    Metric(
        "ims_job_oldest_open_timestamp_seconds",
        "gauge",
        "Unix time in seconds at which the oldest smart job that is Created (waiting) or Executing (running) "
        f"was created, {POLLED}; absent if there is none.",
        STATE,
        lambda snapshot: by_pair(snapshot.oldest_open),
    ),
    Metric(
        "ims_job_last_failure_timestamp_seconds",
        "gauge",
        f"Unix time in seconds of the last modification of the newest failed smart job, {POLLED}; "
        "absent if none is known.",
        TYPE,
        last_failures,
    ),
)
"""What a committed poll says of the jobs; withdrawn when it is stale."""

TARGET_METRICS: tuple[Metric[TargetView], ...] = (
    Metric(
        "ims_exporter_target_up",
        "gauge",
        "Whether the last poll of the target succeeded (1) or failed (0); absent until the first one ended.",
        TARGET,
        lambda view: one(view.health.up),
    ),
    Metric(
        "ims_exporter_last_success_timestamp_seconds",
        "gauge",
        "Unix time in seconds at which the last successful poll of the target ended; absent before.",
        TARGET,
        lambda view: one(view.health.last_success_at),
    ),
    Metric(
        "ims_exporter_survey_complete",
        "gauge",
        "Whether a survey of the whole lookback has been completed (1) or not yet (0).",
        TARGET,
        lambda view: one(view.health.survey_complete),
    ),
    Metric(
        "ims_exporter_survey_progress_ratio",
        "gauge",
        "How much of the current or last survey is done, from 0 to 1.",
        TARGET,
        lambda view: one(view.health.survey_progress),
    ),
    Metric(
        "ims_exporter_catchup_truncated",
        "gauge",
        "Whether the exporter was away for longer than lookback_days, so that the counters lack jobs, "
        "and no survey has been completed since (1).",
        TARGET,
        lambda view: one(view.health.catchup_truncated),
    ),
    Metric(
        "ims_exporter_ledger_jobs",
        "gauge",
        f"Smart jobs that the ledger holds one by one, open or ended a moment ago, {POLLED}.",
        TARGET,
        lambda view: one(view.snapshot.ledger_jobs if view.snapshot else None),
    ),
)
"""How a target fares; stays when the job metrics are withdrawn."""

COUNTED_METRICS: tuple[Metric[Counts], ...] = (
    Metric(
        "ims_exporter_poll_duration_seconds",
        "histogram",
        "Seconds that polls of the target took, failed ones included.",
        TARGET,
        lambda counts: one(counts.poll_seconds),
        POLL_BOUNDS,
    ),
    Metric(
        "ims_exporter_polls_total",
        "counter",
        "Polls of the target that ended, failed ones included, since the exporter started.",
        TARGET,
        lambda counts: one(counts.polls),
    ),
    Metric(
        "ims_exporter_poll_failures_total",
        "counter",
        f"Polls of the target that failed since the exporter started, by reason: {', '.join(REASONS)}.",
        (*TARGET, "reason"),
        lambda counts: by_type(counts.poll_failures),
    ),
    Metric(
        "ims_exporter_api_requests_total",
        "counter",
        "Requests to the service since the exporter started, retries included, by action and by code: "
        f"{OK}, the error code, or {OTHER} beyond {MAX_CODES} codes a target.",
        (*TARGET, "action", "code"),
        lambda counts: by_pair(counts.requests),
    ),
    Metric(
        "ims_exporter_api_request_duration_seconds",
        "histogram",
        "Seconds that requests to the service took, failed ones included, without waiting for the rate limit.",
        (*TARGET, "action"),
        lambda counts: by_type(counts.request_seconds),
        REQUEST_BOUNDS,
    ),
)
"""What the process counts of a target as it goes; starts anew with it."""

WAITED_METRICS: tuple[Metric[float], ...] = (
    Metric(
        "ims_exporter_rate_limit_wait_seconds_total",
        "counter",
        "Seconds that requests of the account waited for its rate limit since the exporter started.",
        ("account",),
        one,
    ),
)
"""What it counts of an account: seconds."""

PROCESS_METRICS: tuple[Metric[Process], ...] = (
    Metric(
        "ims_exporter_ledger_size_bytes",
        "gauge",
        "Bytes that the ledger takes on disk.",
        (),
        lambda process: one(process.ledger_size_bytes),
    ),
    Metric(
        "ims_exporter_config_last_reload_successful",
        "gauge",
        "Whether the last reading of the configuration succeeded (1) or was refused (0).",
        (),
        lambda process: one(process.reload_successful),
    ),
    Metric(
        "ims_exporter_config_last_reload_success_timestamp_seconds",
        "gauge",
        "Unix time in seconds at which the configuration was last read with success.",
        (),
        lambda process: one(process.reloaded_at),
    ),
    Metric(
        "ims_exporter_build_info",
        "gauge",
        "Always 1; its labels name the versions of the exporter and of Python.",
        ("version", "python_version"),
        lambda process: [Reading((process.version, process.python_version), 1)],
    ),
)
"""What holds for the process, whatever its targets."""

GROUPS: tuple[tuple[Metric[Any], ...], ...] = (
    JOB_METRICS,
    TARGET_METRICS,
    COUNTED_METRICS,
    WAITED_METRICS,
    PROCESS_METRICS,
)
"""The metrics by what they are read off: snapshots, views, counts, seconds waited, the process."""

METRICS: tuple[Metric[Any], ...] = tuple(metric for group in GROUPS for metric in group)
"""The whole table, in the order in which it is shown."""
