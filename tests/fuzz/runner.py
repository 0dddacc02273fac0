"""Runs batches of inputs, each from one seed, until one fails or the time is up."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import hypothesis
from hypothesis import HealthCheck, Phase

from tests.fuzz.target import CORPUS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fuzz.target import Target

BATCH = 200
"""Number of inputs from one seed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A minimized input for which a check failed."""

    seed: int | None
    """The seed that makes it again; None for an input of the corpus."""
    given: Any
    error: BaseException


@dataclass(frozen=True, slots=True)
class FuzzResult:
    """The result of a run."""

    inputs: int
    finding: Finding | None = None


def replay(target: Target, check: Callable[[Any], None]) -> FuzzResult:
    """Checks the corpus of a target up to the first input that fails."""
    kept = target.corpus()
    for number, path in enumerate(kept, start=1):
        given = path.read_bytes()
        try:
            check(given)
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - whatever it is, it is a finding
            return FuzzResult(number, Finding(None, path.name, error))
    return FuzzResult(len(kept))


def batch(target: Target, check: Callable[[Any], None], seed: int, size: int = BATCH) -> FuzzResult:
    """Checks the inputs of a seed; the same seed gives the same inputs."""
    seen: list[Any] = [None]
    inputs = 0

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=size,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @hypothesis.given(target.inputs)
    def attempt(given: Any) -> None:  # noqa: ANN401 - whatever the target takes
        nonlocal inputs
        inputs += 1
        seen[0] = given
        check(given)

    try:
        attempt()
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - whatever it is, it is a finding
        return FuzzResult(inputs, Finding(seed, seen[0], error))
    return FuzzResult(inputs)


def fuzz(target: Target, check: Callable[[Any], None], seed: int, seconds: float) -> FuzzResult:
    """Checks at least one batch, with one seed after the other, until one fails or the time is up."""
    end = time.monotonic() + seconds
    inputs = 0
    while True:
        bag = batch(target, check, seed)
        inputs += bag.inputs
        if bag.finding or time.monotonic() >= end:
            return FuzzResult(inputs, bag.finding)
        seed += 1


def keep(target: Target, given: bytes, name: str, corpus: Path = CORPUS) -> Path:
    """Adds an input to the corpus, so that every test run checks it."""
    path = corpus / target.name / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(given)
    return path
