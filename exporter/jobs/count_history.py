"""The counts of the last polls of a target: a short past for the sparklines, bounded, in memory only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.jobs.snapshot import PastCounts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.jobs.snapshot import Snapshot

POINTS = 60
"""So many polls are remembered for each target."""


def extended(history: tuple[PastCounts, ...], snapshot: Snapshot) -> tuple[PastCounts, ...]:
    """Returns the history with one more poll at its end, and without its oldest one where it is full."""
    return (*history[1 - POINTS :], PastCounts(snapshot.taken_at, snapshot.jobs))


def series(history: Iterable[PastCounts], job_type: str, job_state: str) -> list[tuple[float, int]]:
    """Returns the known counts of one type and state, each with its time, oldest first."""
    pair = (job_type, job_state)
    return [(past.taken_at, past.jobs[pair]) for past in history if pair in past.jobs]
