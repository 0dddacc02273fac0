"""The history of a target's counts is bounded and in order."""

from __future__ import annotations

from dataclasses import replace

from exporter.jobs.count_history import MAX_POLLS, extended
from exporter.jobs.snapshot import PastCounts
from tests.support.scenarios import EMPTY

ASR = ("ASR", "Executing")


def test_grows_at_its_end() -> None:
    """The newest poll is the last; the others keep their order."""
    history: tuple[PastCounts, ...] = ()
    for moment in (1.0, 2.0, 3.0):
        history = extended(history, replace(EMPTY, taken_at=moment, jobs={ASR: int(moment)}))

    assert history == (PastCounts(1.0, {ASR: 1}), PastCounts(2.0, {ASR: 2}), PastCounts(3.0, {ASR: 3}))


def test_is_bounded() -> None:
    """After any number of polls the history has the last sixty."""
    history: tuple[PastCounts, ...] = ()
    for moment in range(1000):
        history = extended(history, replace(EMPTY, taken_at=float(moment)))

    assert [past.taken_at for past in history] == [float(moment) for moment in range(1000 - MAX_POLLS, 1000)]
