"""A soak in a process of its own, whose memory is that of the exporter and not of other tests."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from tests.process.soak import Record, is_good, soaked, told


@dataclass(frozen=True, slots=True)
class Soaked:
    """What came of a soak."""

    record: Record
    ends: int
    struck: frozenset[str]
    is_good: bool
    text: str


def soaked_apart(folder: str, faulted_calls: int, seed: int) -> Soaked:
    """Returns what came of it in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:
        return apart.submit(_summary, folder, faulted_calls, seed).result()


def _summary(folder: str, faulted_calls: int, seed: int) -> Soaked:
    soak = soaked(folder, faulted_calls, seed)
    return Soaked(soak.record, soak.book.ends, frozenset(soak.wire.struck), is_good(soak), told(soak))
