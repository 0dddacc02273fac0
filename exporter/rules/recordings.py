"""The recording rules: increases and failure ratios over windows, and gauges that survive a redeploy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.jobs import states
from exporter.jobs.kinds import KINDS
from exporter.jobs.snapshot import NOTICED_WINDOWS
from exporter.rules.promql import Counter, any_of, duration, highest, increase, last_known, lowest
from exporter.rules.rule import Recording
from exporter.rules.thresholds import HOUR

if TYPE_CHECKING:
    from exporter.rules.promql import Series
    from exporter.rules.thresholds import Thresholds

FAILED = f'job_state="{states.FAILED}"'
"""The matcher of failed jobs."""
UNKNOWN_TYPE = 'job_type!~"{}"'.format("|".join(name for kind in KINDS.values() for name in kind.known_types))
"""The matcher of job types that no job kind declares."""
NOTICED_WINDOW = f'window="{NOTICED_WINDOWS[0][0]}"'

ENDED, FAILURES = "ims_jobs_ended:total", "ims_job_failures:total"
NOTICED, RETURNED = "ims_jobs:failed_noticed", "ims_exporter_target:returned"
WAITING, FINISHED, OLDEST_OPEN = "ims_jobs:waiting", "ims_jobs:finished", "ims_jobs:oldest_open"
RECENT, AN_HOUR, FAST, SLOW = "recent", "hour", "burn_fast", "burn_slow"
"""The windows over which increases and ratios are recorded."""


def job_recordings(limits: Thresholds, series: Series) -> list[Recording]:
    """Returns the recording rules about jobs."""
    windows = {
        RECENT: limits.failure_ratio_window_seconds,
        AN_HOUR: HOUR,
        FAST: limits.burn_fast_seconds,
        SLOW: limits.burn_slow_seconds,
    }
    waiting = series("ims_jobs", f'job_state="{states.CREATED}"')
    finished = series(ENDED, f'job_state="{states.FINISHED}"')
    return [
        Recording(ENDED, highest(series("ims_jobs_ended_total"))),
        Recording(FAILURES, highest(series("ims_job_failures_total"))),
        _noticed(limits, series),
        _returned(limits, series),
        *(recording for name, seconds in windows.items() for recording in _window(name, seconds, limits, series)),
        _error_codes(limits, series),
        Recording(WAITING, last_known(waiting, limits.gap_seconds)),
        Recording(FINISHED, f"last_over_time({finished}[{duration(limits.gap_seconds)}])"),
        _oldest_open(limits, series),
    ]


def target_recordings(limits: Thresholds, series: Series) -> list[Recording]:
    """Returns the recording rules about poll targets."""
    progress = series("ims_exporter_survey_progress_ratio")
    return [
        Recording("ims_exporter_target:up", highest(series("ims_exporter_target_up"))),
        Recording("ims_exporter_survey:progress", last_known(progress, limits.gap_seconds)),
    ]


def ended_jobs(series: Series) -> Counter:
    """Returns the counter of ended jobs; only unknown job types start late, the known ones are exported at zero."""
    return Counter(
        raw=series("ims_jobs_ended_total"),
        recorded=series(ENDED),
        recorded_late=series(ENDED, UNKNOWN_TYPE),
        late_labels="job_type, job_state",
    )


def failed_unscraped(limits: Thresholds, series: Series) -> str:
    """Returns how many jobs failed while Prometheus did not scrape a target, for one window after its return.

    The exporter shows a new failure for some minutes only, so a failure during a longer absence of Prometheus is known
    by the counters alone: their values now, less their last values before the absence. An unknown job type that was
    not there before has failed as often as its series says.
    """
    window, absence = duration(limits.failed_window_seconds), duration(limits.absence_seconds)

    def now_and_before(*matchers: str) -> tuple[str, str]:
        ended = series(ENDED, FAILED, *matchers)
        now = f"last_over_time({ended}[{duration(limits.gap_seconds)}])"
        return now, f"last_over_time({ended}[{absence}] offset {window})"

    grown, new = "{} - {}".format(*now_and_before()), "{} unless {}".format(*now_and_before(UNKNOWN_TYPE))
    returned = f"last_over_time({series(RETURNED)}[{window}])"
    return f"sum without (job_state) ({grown} or ({new}))\nand ignoring (job_type) {returned}"


def _window(name: str, seconds: int, limits: Thresholds, series: Series) -> list[Recording]:
    """Returns the number of jobs that ended within a window, and their failure ratio where an alert uses it."""
    ended = f"ims_jobs_ended:increase_{name}"
    ratio = f"sum without (job_state) ({series(ended, FAILED)})\n/\n(sum without (job_state) ({series(ended)}) > 0)"
    recording = Recording(ended, increase(ended_jobs(series), seconds, limits.catchup_seconds))
    if name == AN_HOUR:
        return [recording]
    return [recording, Recording(f"ims_jobs_ended:failure_ratio_{name}", ratio)]


def _error_codes(limits: Thresholds, series: Series) -> Recording:
    """Returns the number of failures within the window by error code."""
    failures = Counter(
        raw=series("ims_job_failures_total"),
        recorded=series(FAILURES),
        recorded_late=series(FAILURES, 'error_code!="unknown"'),
        late_labels="job_type, error_code",
    )
    failed = increase(failures, limits.failed_window_seconds, limits.catchup_seconds)
    return Recording("ims_job_failures:increase_recent", failed)


def _noticed(limits: Thresholds, series: Series) -> Recording:
    """Returns the number of failures that every replica that shows the target has noticed lately.

    The minimum over replicas: a replica with a ledger of its own that returns after hours has news that is old. Each
    replica's value is held for a while, so that replicas whose polls are minutes apart agree. During a gap, such as a
    restart, the last value counts.
    """
    noticed = series("ims_jobs_failed_noticed", NOTICED_WINDOW)
    held = f"max_over_time({noticed}[{duration(limits.failed_overlap_seconds)}]) and {noticed}"
    last = f"last_over_time({noticed}[{duration(limits.gap_seconds)}])"
    return Recording(NOTICED, any_of(lowest(held, "window"), lowest(last, "window")))


def _returned(limits: Thresholds, series: Series) -> Recording:
    """Returns the targets that are scraped again after an absence that is longer than a gap; at their return only."""
    up = series("ims_exporter_target_up")
    gap, absence = duration(limits.gap_seconds), duration(limits.absence_seconds)
    return Recording(
        RETURNED,
        f"{highest(up)}\nunless {highest(f'last_over_time({up}[{gap}] offset 1m)')}\n"
        f"and {highest(f'last_over_time({up}[{absence}] offset {gap})')}",
    )


def _oldest_open(limits: Thresholds, series: Series) -> Recording:
    """Returns the creation time of the oldest open job; during a gap the last value, unless the target has jobs.

    A target that exports `ims_jobs` but no oldest open job has no open job: the last value is out of date then.
    """
    oldest, jobs = series("ims_job_oldest_open_timestamp_seconds"), series("ims_jobs")
    last = lowest(f"last_over_time({oldest}[{duration(limits.gap_seconds)}])")
    return Recording(OLDEST_OPEN, any_of(lowest(oldest), f"({last} unless {highest(jobs)})"))
