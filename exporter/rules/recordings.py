"""What the rules record: rises and shares over windows, and gauges that outlive a redeploy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.jobs.kinds import SMART
from exporter.rules.promql import Counter, any_of, duration, highest, lasting, lowest, risen
from exporter.rules.rule import Recording
from exporter.rules.thresholds import HOUR

if TYPE_CHECKING:
    from exporter.rules.promql import Series
    from exporter.rules.thresholds import Thresholds

JOB_TYPES = SMART.job_types
FAILED = 'job_state="Failed"'
FINISHED = 'job_state="Finished"'
WAITING = 'job_state="Created"'
ENDED, FAILURES = "ims_jobs_ended:total", "ims_job_failures:total"
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
        Recording(ENDED, highest(series("ims_jobs_ended_total"))),
        Recording(FAILURES, highest(series("ims_job_failures_total"))),
        *(recording for name, seconds in windows.items() for recording in _window(name, seconds, limits, series)),
        _reasons(limits, series),
        Recording("ims_jobs:waiting", lasting(series("ims_jobs", WAITING), limits.gap_seconds)),
        Recording("ims_jobs:finished", f"last_over_time({series(ENDED, FINISHED)}[{duration(limits.gap_seconds)}])"),
        _oldest(limits, series),
    ]


def target_recordings(limits: Thresholds, series: Series) -> list[Recording]:
    """Returns what is recorded of the targets."""
    progress = series("ims_exporter_survey_progress_ratio")
    return [
        Recording("ims_exporter_target:up", highest(series("ims_exporter_target_up"))),
        Recording("ims_exporter_survey:progress", lasting(progress, limits.gap_seconds)),
    ]


def _window(name: str, seconds: int, limits: Thresholds, series: Series) -> list[Recording]:
    """Records how many jobs ended in a window, and the share of them that failed."""
    ended = f"ims_jobs_ended:risen_{name}"
    share = f"sum without (job_state) ({series(ended, FAILED)})\n/\n(sum without (job_state) ({series(ended)}) > 0)"
    rise = Recording(ended, risen(ended_jobs(series), seconds, limits.catchup_seconds))
    if name == AN_HOUR:  # which only tells whether enough jobs end
        return [rise]
    return [rise, Recording(f"ims_jobs_ended:failure_ratio_{name}", share)]


def ended_jobs(series: Series, *matchers: str) -> Counter:
    """Returns the counter of ended jobs; the types that the service documents are at zero from the start."""
    others = f'job_type!~"{"|".join(JOB_TYPES)}"'
    return Counter(
        each=series("ims_jobs_ended_total", *matchers),
        highest=series(ENDED, *matchers),
        late=series(ENDED, *matchers, others),
        new="job_type, job_state",
    )


def _reasons(limits: Thresholds, series: Series) -> Recording:
    """Records how many jobs failed in the window by reason."""
    failures = Counter(
        each=series("ims_job_failures_total"),
        highest=series(FAILURES),
        late=series(FAILURES, 'error_code!="unknown"'),
        new="job_type, error_code",
    )
    rise = risen(failures, limits.failed_window_seconds, limits.catchup_seconds)
    return Recording("ims_job_failures:risen_recent", rise)


def _oldest(limits: Thresholds, series: Series) -> Recording:
    """Records the creation of the oldest open job, the last known one in a gap; a target without open jobs is none."""
    oldest, jobs = series("ims_job_oldest_open_timestamp_seconds"), series("ims_jobs")
    last = lowest(f"last_over_time({oldest}[{duration(limits.gap_seconds)}])")
    return Recording("ims_jobs:oldest_open", any_of(lowest(oldest), f"({last} unless {highest(jobs)})"))
