"""A ledger as after a month of polls, filled without a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.fixtures import KEY, LOOKBACK_DAYS
from exporter.jobs.kinds import SMART
from exporter.polling.ledger.counting import Reasons
from exporter.polling.poller import window_start
from exporter.polling.reconcile import MIN_SLACK_SECONDS, reconcile
from exporter.polling.records import Known, Observed, Outcome, Row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.jobs.snapshot import Snapshot
    from exporter.polling.ledger import Ledger
    from exporter.polling.records import OpenJob

NOW = 1_800_000_000
INTERVAL_SECONDS = 60
HOUR = 3600
FAILED_EVERY = 33


def fill(ledger: Ledger, open_jobs: int) -> Snapshot:
    """Fills a new ledger: open jobs, half of them running, and a month of counts of every type and state."""
    created = (new(place, "Executing" if place < open_jobs // 2 else "Created", NOW) for place in range(open_jobs))
    nothing = ledger.load(KEY, ())
    store(
        ledger,
        nothing,
        reconcile(nothing, Observed(NOW, is_deep=True, slack_seconds=MIN_SLACK_SECONDS, rows=list(created))),
        NOW,
    )
    state = ledger.start_survey(KEY, NOW, window_start(NOW, LOOKBACK_DAYS))
    for job_state in SMART.ended_states:
        following, _ = ledger.store_survey_page(KEY, state, tuple(month(job_state)), "")
        state = following or state
    known = ledger.load(KEY, ())
    return store(ledger, known, next_outcome(known, 0, NOW + INTERVAL_SECONDS), NOW + INTERVAL_SECONDS)


def next_outcome(known: Known, changes: int, now: int) -> Outcome:
    """Returns the outcome of a poll that found changes: creations, starts and ends in equal parts."""
    share = changes // 3
    running = [job for job in known.open_jobs.values() if job.job_state == "Executing"]
    waiting = [job for job in known.open_jobs.values() if job.job_state == "Created"]
    ends = (seen(job, SMART.ended_states[place % FAILED_EVERY == 0], now) for place, job in enumerate(running[:share]))
    rows = [
        *(seen(job, "Created", now) for job in waiting[share:]),
        *(seen(job, "Executing", now) for job in (*waiting[:share], *running[share:])),
        *(new(place, "Created", now) for place in range(changes - 2 * share)),
        *ends,
    ]
    return reconcile(known, Observed(now, is_deep=False, slack_seconds=MIN_SLACK_SECONDS, rows=rows))


def store(ledger: Ledger, known: Known, outcome: Outcome, now: int) -> Snapshot:
    """Commits a poll."""
    start = window_start(now, LOOKBACK_DAYS)
    return ledger.commit(KEY, known, outcome, Reasons(), taken_at=float(now), window_start=start)


def month(job_state: str) -> Iterable[Row]:
    """Yields an ended job of each type for every hour of the lookback, newest first."""
    for hour in range(1, LOOKBACK_DAYS * 24):
        for job_type in SMART.job_types:
            created_at = NOW - hour * HOUR
            yield Row(f"{job_type}-{job_state}-{hour}", job_type, job_state, created_at, created_at + 60)


def new(place: int, job_state: str, now: int) -> Row:
    """Returns a job created at that moment."""
    return Row(f"{now}-{place:032}", SMART.job_types[place % len(SMART.job_types)], job_state, now, now)


def seen(job: OpenJob, job_state: str, now: int) -> Row:
    """Returns a known job, seen in a state."""
    return Row(job.job_id, job.job_type, job_state, job.created_at, now)
