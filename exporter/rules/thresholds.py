"""The thresholds of the bundled rules, all in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.jobs.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MINUTE = 60
HOUR = 3600
DAY = 24 * HOUR
MAX_WHOLE = 100 * DAY
"""Maximum value of a threshold that is a whole number: seconds or jobs."""


def _stuck() -> dict[str, int]:
    return {limit.job_type: limit.stuck_seconds for kind in KINDS.values() for limit in kind.alert_limits}


def _stalled() -> dict[str, int]:
    return {limit.job_type: limit.stalled_seconds for kind in KINDS.values() for limit in kind.alert_limits}


def _whole(default: int, description: str, minimum: int = 1) -> int:
    return field(default=default, metadata={"description": description, "minimum": minimum, "maximum": MAX_WHOLE})


def _for(default: int, description: str) -> int:
    """Returns the field of a duration that may be zero: the alert then fires at once."""
    return _whole(default, description, minimum=0)


def _ratio(default: float, description: str) -> float:
    return field(default=default, metadata={"description": description, "minimum": 0, "maximum": 1})


def _factor(default: float, description: str) -> float:
    return field(default=default, metadata={"description": description, "minimum": 1, "maximum": 1000})


def _by_type(default: Callable[[], dict[str, int]], description: str) -> Mapping[str, int]:
    return field(default_factory=default, metadata={"description": description, "minimum": 1, "maximum": MAX_WHOLE})


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of the bundled alerts; the metadata of a field has its description and bounds."""

    catchup_seconds: int = _whole(DAY, "how far back the rules look for a counter's value before an outage")
    gap_seconds: int = _whole(300, "maximum gap in the series, as in a restart, across which alerts keep their state")

    absence_seconds: int = _whole(3 * DAY, "maximum absence of Prometheus after which failed jobs are still found")

    failed_jobs: int = _whole(1, "minimum number of failed jobs that the exporter has noticed within 5 minutes")
    failed_overlap_seconds: int = _whole(210, "how long a noticed failure is held; at least two poll intervals")
    failed_window_seconds: int = _whole(480, "window of error codes, and of failures in an absence of Prometheus")

    failure_ratio: float = _ratio(0.1, "failure ratio above which the warning fires")
    failure_ratio_critical: float = _ratio(0.5, "failure ratio above which the critical alert fires")
    failure_ratio_window_seconds: int = _whole(300, "window of both failure ratios")
    failure_ratio_jobs: int = _whole(20, "minimum number of ended jobs per hour for ratio alerts")
    failure_ratio_failed: int = _whole(5, "minimum number of failed jobs within the window for ratio alerts")
    failure_ratio_for_seconds: int = _for(0, "how long a failure ratio must exceed its threshold")

    failure_objective: float = _ratio(0.02, "objective: maximum share of jobs that fail in the long run")
    burn_fast_factor: float = _factor(14.4, "multiple of the objective above which the fast burn fires")
    burn_fast_seconds: int = _whole(HOUR, "window of the fast burn")
    burn_slow_factor: float = _factor(6.0, "multiple of the objective above which the slow burn fires")
    burn_slow_seconds: int = _whole(6 * HOUR, "window of the slow burn")

    reason_ratio: float = _ratio(0.8, "minimum share of the failures that have the same error code")
    reason_jobs: int = _whole(5, "minimum number of failures with the same error code")

    stuck_seconds: Mapping[str, int] = _by_type(_stuck, "maximum age of an open job, by job type")
    stuck_other_seconds: int = _whole(6 * HOUR, "maximum age of an open job of any other job type")
    stuck_for_seconds: int = _for(120, "how long the oldest open job must exceed the maximum age")

    queue_jobs: int = _whole(20, "minimum number of waiting jobs in a queue that does not drain")
    queue_growth_factor: float = _factor(1.1, "minimum growth of the queue within queue_window_seconds")
    queue_window_seconds: int = _whole(30 * MINUTE, "window within which the queue must have grown")
    queue_falling_seconds: int = _whole(300, "window within which a shrinking queue counts as draining")

    stalled_jobs: int = _whole(5, "minimum number of waiting jobs while none finishes")
    stalled_seconds: Mapping[str, int] = _by_type(_stalled, "maximum time without a finished job, by job type")
    stalled_other_seconds: int = _whole(2 * HOUR, "maximum time without a finished job of any other job type")

    target_down_for_seconds: int = _for(180, "how long every poll of a target must have failed")
    target_flapping_ratio: float = _ratio(0.4, "maximum share of the window during which the polls of a target fail")
    target_flapping_window_seconds: int = _whole(20 * MINUTE, "window of that share; at least ten poll intervals")
    data_stale_seconds: int = _whole(600, "maximum age of the last successful poll; at least two poll intervals")
    data_stale_for_seconds: int = _for(120, "how long the data must be stale; allows for a long first poll")
    credentials_window_seconds: int = _whole(600, "window of a rejected poll; at least two poll intervals")
    credentials_for_seconds: int = _for(120, "how long polls must have been rejected")
    throttled_ratio: float = _ratio(0.2, "maximum share of throttled API requests")
    throttled_window_seconds: int = _whole(300, "window of that share")
    throttled_for_seconds: int = _for(120, "how long the share must exceed the maximum")
    late_jobs: int = _whole(1, "minimum number of late jobs within late_window_seconds")
    late_window_seconds: int = _whole(480, "window of late jobs; at least two poll intervals")
    incomplete_window_seconds: int = _whole(480, "window of what was not read; at least two poll intervals")
    survey_stuck_seconds: int = _whole(HOUR, "maximum time without progress of an incomplete survey")

    exporter_down_for_seconds: int = _for(180, "how long scrapes of an exporter must fail; longer than a restart")
    exporter_absent_for_seconds: int = _for(240, "how long an exporter must be missing; longer than a redeploy")
    exporter_unknown_for_seconds: int = _for(15 * MINUTE, "how long there must be no exporter at all")
    none_active_for_seconds: int = _for(180, "how long every exporter must be on standby; longer than a takeover")
    shard_mismatch_for_seconds: int = _for(240, "how long the shards must disagree; longer than a redeploy")
