"""What the rules record: rises and shares over windows, and gauges that outlive a redeploy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.rules.promql import any_of, before, highest, risen
from exporter.rules.rule import Recording
from exporter.rules.thresholds import HOUR

if TYPE_CHECKING:
    from exporter.rules.promql import Series
    from exporter.rules.thresholds import Thresholds

FAILED = 'job_state="Failed"'
FINISHED = 'job_state="Finished"'
WAITING = 'job_state="Created"'
RECENT, AN_HOUR, FAST, SLOW = "recent", "hour", "burn_fast", "burn_slow"


def job_recordings(limits: Thresholds, series: Series) -> list[Recording]:
    """Returns what is recorded of the jobs."""
    windows = {
        RECENT: limits.failure_ratio_window_seconds,
        AN_HOUR: HOUR,
        FAST: limits.burn_fast_seconds,
        SLOW: limits.burn_slow_seconds,
    }
    return [
        *(recording for name, seconds in windows.items() for recording in _window(name, seconds, limits, series)),
        _reasons(limits, series),
        Recording("ims_smart_jobs:waiting", highest(series("ims_smart_jobs", WAITING))),
        Recording("ims_smart_jobs:finished", highest(series("ims_smart_jobs_ended_total", FINISHED))),
    ]


def target_recordings(series: Series) -> list[Recording]:
    """Returns what is recorded of the targets."""
    return [
        Recording("ims_exporter_target:up", highest(series("ims_exporter_target_up"))),
        Recording("ims_exporter_survey:progress", highest(series("ims_exporter_survey_progress_ratio"))),
    ]


def _window(name: str, seconds: int, limits: Thresholds, series: Series) -> list[Recording]:
    """Records how many jobs ended in a window, and the share of them that failed."""
    ended = f"ims_smart_jobs_ended:risen_{name}"
    over_outages, within = risen(series("ims_smart_jobs_ended_total"), seconds, limits.catchup_seconds)
    share = f"sum without (job_state) ({series(ended, FAILED)})\n/\nsum without (job_state) ({series(ended)})"
    rise = Recording(ended, any_of(f"{over_outages} >= 0", within))
    if name == AN_HOUR:  # which only tells whether enough jobs end
        return [rise]
    return [rise, Recording(f"ims_smart_jobs_ended:failure_ratio_{name}", share)]


def _reasons(limits: Thresholds, series: Series) -> Recording:
    """Records how many jobs failed in the window by reason.

    The series of a reason appears with its first failure, and then its value is its rise, if the target's other
    failures were counted before.
    """
    counter, window = series("ims_smart_job_failures_total"), limits.failed_window_seconds
    over_outages, within = risen(counter, window, limits.catchup_seconds)
    seen = before(counter, window, limits.catchup_seconds)
    born = f"({highest(counter)} unless {seen})\nand ignoring (error_code) sum without (error_code) ({seen})"
    return Recording("ims_smart_job_failures:risen_recent", any_of(f"{over_outages} >= 0", born, within))
