"""The numbers that the bundled rules compare with, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MINUTE = 60
HOUR = 3600
DAY = 24 * HOUR


def _stuck() -> dict[str, int]:
    return {"ASR": 2 * HOUR, "DynamicChart": 2 * HOUR, "VideoTranslation": 6 * HOUR, "TextToSpeech": HOUR}


def _stalled() -> dict[str, int]:
    return {"ASR": 30 * MINUTE, "DynamicChart": 30 * MINUTE, "VideoTranslation": 2 * HOUR, "TextToSpeech": 30 * MINUTE}


def _whole(default: int, meaning: str, least: int = 1) -> int:
    return field(default=default, metadata={"meaning": meaning, "least": least, "most": 100 * DAY})


def _seconds(default: int, meaning: str) -> int:
    return _whole(default, meaning)


def _lasting(default: int, meaning: str) -> int:
    return _whole(default, meaning, least=0)


def _share(default: float, meaning: str) -> float:
    return field(default=default, metadata={"meaning": meaning, "least": 0, "most": 1})


def _factor(default: float, meaning: str) -> float:
    return field(default=default, metadata={"meaning": meaning, "least": 1, "most": 1000})


def _by_type(default: Callable[[], dict[str, int]], meaning: str) -> Mapping[str, int]:
    return field(default_factory=default, metadata={"meaning": meaning, "least": 1, "most": 100 * DAY})


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When the bundled alerts fire; each field says in its metadata what it means."""

    catchup_seconds: int = _seconds(DAY, "how far back counters are looked for, to see what ended during an outage")
    gap_seconds: int = _seconds(300, "how long series may be gone, as in a restart, and alerts go on as they were")

    failed_jobs: int = _whole(1, "failed jobs within failed_window_seconds that alert")
    failed_window_seconds: int = _seconds(480, "how long a failure keeps its alert up; also the window of reasons")

    failure_ratio: float = _share(0.1, "failed share of the ended jobs above which a warning is due")
    failure_ratio_critical: float = _share(0.5, "the same for a page")
    failure_ratio_window_seconds: int = _seconds(300, "window of both shares, which clear when it is past")
    failure_ratio_jobs: int = _whole(20, "ended jobs within an hour below which no share says anything")
    failure_ratio_failed: int = _whole(5, "failed jobs within the window below which no share says anything")
    failure_ratio_for_seconds: int = _lasting(0, "how long the share must be too high")

    failure_objective: float = _share(0.02, "share of the jobs that may fail in the long run")
    burn_fast_factor: float = _factor(14.4, "how many times the objective may be exceeded over burn_fast_seconds")
    burn_fast_seconds: int = _seconds(HOUR, "window of the fast burn")
    burn_slow_factor: float = _factor(6.0, "how many times the objective may be exceeded over burn_slow_seconds")
    burn_slow_seconds: int = _seconds(6 * HOUR, "window of the slow burn")

    reason_ratio: float = _share(0.8, "share of one reason among the failures that makes it the dominating one")
    reason_jobs: int = _whole(5, "failures for one reason below which its share says nothing")

    stuck_seconds: Mapping[str, int] = _by_type(_stuck, "age of the oldest open job that is too old, by job type")
    stuck_other_seconds: int = _seconds(6 * HOUR, "the same for other job types")
    stuck_for_seconds: int = _lasting(120, "how long it must be too old")

    queue_jobs: int = _whole(20, "waiting jobs below which a queue may grow")
    queue_growth_factor: float = _factor(1.1, "how many times more than queue_window_seconds ago must wait")
    queue_window_seconds: int = _seconds(30 * MINUTE, "how long a queue must have waited and grown")
    queue_falling_seconds: int = _seconds(300, "a queue that fell over so long does drain")

    stalled_jobs: int = _whole(5, "waiting jobs below which nothing needs to finish")
    stalled_seconds: Mapping[str, int] = _by_type(_stalled, "how long no job may finish while jobs wait, by job type")
    stalled_other_seconds: int = _seconds(2 * HOUR, "the same for other job types")

    target_down_for_seconds: int = _lasting(180, "how long every poll of a target must have failed")
    target_flapping_ratio: float = _share(0.4, "share of target_flapping_window_seconds for which a target may be down")
    target_flapping_window_seconds: int = _seconds(20 * MINUTE, "window of that share; ten poll intervals at least")
    data_stale_seconds: int = _seconds(600, "age of the last good poll that is too old; two poll intervals at least")
    data_stale_for_seconds: int = _lasting(120, "how long it must be too old: a first poll may have much to catch up")
    credentials_window_seconds: int = _seconds(600, "window in which a poll was refused; two poll intervals at least")
    credentials_for_seconds: int = _lasting(120, "how long polls must have been refused")
    throttled_ratio: float = _share(0.2, "throttled share of the API requests that is too high")
    throttled_window_seconds: int = _seconds(300, "window of that share")
    throttled_for_seconds: int = _lasting(120, "how long the share must be too high")
    survey_stuck_seconds: int = _seconds(HOUR, "how long an incomplete survey may make no progress")

    exporter_down_for_seconds: int = _lasting(180, "how long a known exporter may not answer: longer than a restart")
    exporter_absent_for_seconds: int = _lasting(240, "how long a known exporter may be gone: longer than a redeploy")
    exporter_unknown_for_seconds: int = _lasting(15 * MINUTE, "how long there may be no exporter at all")
