"""The past of a target is short, in order, and says only what was known."""

from __future__ import annotations

from dataclasses import replace

from exporter.jobs.count_history import POINTS, extended, series
from exporter.jobs.snapshot import PastCounts
from tests.support.scenarios import EMPTY

ASR = ("ASR", "Executing")


def test_grows_at_its_end() -> None:
    """The newest poll stands last, the others keep their order."""
    history: tuple[PastCounts, ...] = ()
    for moment in (1.0, 2.0, 3.0):
        history = extended(history, replace(EMPTY, taken_at=moment, jobs={ASR: int(moment)}))

    assert series(history, *ASR) == [(1.0, 1), (2.0, 2), (3.0, 3)]


def test_is_bounded() -> None:
    """After any number of polls the last sixty are kept."""
    history: tuple[PastCounts, ...] = ()
    for moment in range(1000):
        history = extended(history, replace(EMPTY, taken_at=float(moment)))

    assert [past.taken_at for past in history] == [float(moment) for moment in range(1000 - POINTS, 1000)]


def test_what_was_not_known_is_left_out() -> None:
    """Ended jobs that no survey has counted yet are no zeros."""
    unknown, known = PastCounts(1.0, {}), PastCounts(2.0, {("ASR", "Finished"): 5})

    assert series((unknown, known), "ASR", "Finished") == [(2.0, 5)]
