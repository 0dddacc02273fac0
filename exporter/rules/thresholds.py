"""The numbers that the bundled rules compare with, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HOUR = 3600
DAY = 24 * HOUR


def _stuck_seconds() -> dict[str, int]:
    return {"ASR": 2 * HOUR, "DynamicChart": 2 * HOUR, "VideoTranslation": 6 * HOUR, "TextToSpeech": HOUR}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When the bundled alerts fire; a `*_for_seconds` is how long a condition must last first."""

    catchup_seconds: int = DAY
    """How far back the counters before an outage are looked for, to see what ended meanwhile."""

    failed_jobs: int = 1
    """Failures within `failed_window_seconds` that alert."""
    failed_window_seconds: int = 600
    """How long one failure keeps its alert up."""

    failure_ratio: float = 0.1
    """Failed share of the ended jobs, above which, in both windows, is too high."""
    failure_ratio_jobs: int = 20
    """Ended jobs in the long window below which a ratio says nothing."""
    failure_ratio_long_seconds: int = HOUR
    failure_ratio_short_seconds: int = 600
    """The window that lets the alert clear soon after failures stop."""
    failure_ratio_for_seconds: int = 120

    stuck_seconds: Mapping[str, int] = field(default_factory=_stuck_seconds)
    """Age of the oldest open job that is too old, by job type."""
    stuck_other_seconds: int = 6 * HOUR
    """The same for job types not named there."""
    stuck_for_seconds: int = 300

    target_down_for_seconds: int = 300
    data_stale_seconds: int = 900
    """Age of the last good poll that is too old."""
    data_stale_for_seconds: int = 300
    """Long enough for the first poll after an outage, which may have much to catch up with."""
    exporter_down_for_seconds: int = 300
    exporter_absent_for_seconds: int = 600
