"""The calls of one poll, in the order that its promises need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.polling.pagination import ListReading
from exporter.polling.reading import (
    POLLS_PER_OPEN_LISTS,
    is_deep,
    jobs_to_search,
    read_newest,
    read_open_lists,
    side_by_side,
)
from exporter.polling.reconcile import MAX_LAG_SECONDS, POLLS_UNTIL_DELETED_UNPROVEN, slack_of
from exporter.polling.records import Observed, OpenJob
from exporter.polling.search import Findings, Search

if TYPE_CHECKING:
    from exporter.polling.reading import Reader
    from exporter.polling.records import Known

RECHECKS = 5
"""Times that the lists are searched again for a job that was counted as deleted: after 1, 2, 4, 8 and 16 minutes."""

SEARCHES_IN_EVERY_POLL = 2 * POLLS_UNTIL_DELETED_UNPROVEN
SEARCH_SECONDS = 2 * MAX_LAG_SECONDS
"""Minimum number of polls, and seconds, in which a missing job is searched in every poll: that proves its deletion."""


async def observe(reader: Reader, known: Known, *, lookback_seconds: int, interval_seconds: float) -> Observed:
    """Makes the calls of one poll; raises ApiError for what the retries did not mend."""
    newest, undocumented = await _read_lists(reader, known, lookback_seconds, interval_seconds)
    seen = {row.job_id for row in reader.rows}
    vanished = [job for job in known.open_jobs.values() if job.job_id not in seen]
    started_at = reader.started_at
    due = [job for job in vanished if _is_due(job, known, started_at)]
    sought = jobs_to_search(due, undocumented, reader.kind, known.polls)
    jobs = [*sought, *_gone_to_recheck(known, started_at, seen)]
    findings = await Search(reader, jobs, newest).run() if jobs else Findings()
    return Observed(
        started_at=started_at,
        is_deep=is_deep(known, started_at, interval_seconds),
        slack_seconds=slack_of(known, started_at),
        rows=reader.rows,
        newest_gaps=newest.gaps(),
        absent=findings.absent,
        proven_absent=findings.proven_absent,
        denied=findings.denied,
        unchecked=frozenset(job.job_id for job in vanished).difference(job.job_id for job in sought),
        oldest=started_at - lookback_seconds,
        is_truncated=known.polled_at is not None and known.horizon < started_at - lookback_seconds,
        was_cut_short=findings.was_cut_short,
    )


async def _read_lists(
    reader: Reader, known: Known, lookback_seconds: int, interval_seconds: float
) -> tuple[ListReading, dict[str, ListReading]]:
    """Reads the list of all jobs first, or beside the open lists; returns it, and those of undocumented states.

    If no job is known to be open, and that list shows none, the open lists are read in every tenth poll only.
    """
    newest, undocumented = ListReading(), dict[str, ListReading]()

    async def newest_jobs() -> None:
        nonlocal newest
        newest = await read_newest(reader, known, oldest_age=lookback_seconds, interval_seconds=interval_seconds)

    async def open_jobs() -> None:
        nonlocal undocumented
        undocumented = await read_open_lists(reader, known)

    if known.open_jobs or known.polled_at is None or known.has_new_types or known.polls % POLLS_PER_OPEN_LISTS == 0:
        await side_by_side(newest_jobs(), open_jobs())
    else:
        await newest_jobs()
        if any(row.job_state not in reader.kind.ended_states for row in reader.rows):
            await open_jobs()
    return newest, undocumented


def _gone_to_recheck(known: Known, started_at: int, seen: set[str]) -> list[OpenJob]:
    """Returns the deleted jobs that are due to be searched again, as open jobs that are missing."""
    since = started_at if known.polled_at is None else known.polled_at
    due = [60 * 2**number for number in range(RECHECKS)]
    state = known.kind.open_states[0]
    return [
        OpenJob(job_id, gone.job_type, state, gone.created_at, missing_polls=1)
        for job_id, gone in known.gone.items()
        if job_id not in seen and any(since < gone.gone_at + seconds <= started_at for seconds in due)
    ]


def _is_due(job: OpenJob, known: Known, started_at: int) -> bool:
    """Returns whether a job that has vanished is searched in this poll.

    If the lists are too long to prove that the job is deleted, each search costs hundreds of calls, and the next one
    finds no more: after half an hour and 20 searches, the next ones follow after 1, 2, 4, 8 ... hours.
    """
    if job.missing_since is None or known.polled_at is None or job.missing_polls < SEARCHES_IN_EVERY_POLL:
        return True
    before, now = (max(0, moment - job.missing_since) // SEARCH_SECONDS for moment in (known.polled_at, started_at))
    return now == 0 or now.bit_length() > before.bit_length()
