"""The counts of the last polls of a target, for the sparklines of the status page: bounded, in memory only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.jobs.snapshot import PastCounts

if TYPE_CHECKING:
    from exporter.jobs.snapshot import Snapshot

MAX_POLLS = 60
"""Maximum number of polls that are remembered for each target."""


def extended(history: tuple[PastCounts, ...], snapshot: Snapshot) -> tuple[PastCounts, ...]:
    """Returns the history with the snapshot at its end, without the oldest poll if it was full."""
    return (*history[1 - MAX_POLLS :], PastCounts(snapshot.taken_at, snapshot.jobs))
