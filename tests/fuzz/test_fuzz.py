"""Findings of fuzzing do not come back, each target is fuzzed a little, and the fuzzer finds faults."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import strategies as st

from tests.fuzz.openapi_target import DOCUMENT
from tests.fuzz.runner import batch, fuzz, keep, replay
from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets import TARGETS
from tests.support.secured_server import secured_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.property

SEED = 1
INPUTS = {"wire": 200, "polls": 30, "settings": 150, "web-config": 150, "http": 150, "https": 100, "openapi": 100}


@contextmanager
def touchy() -> Iterator[Callable[[bytes], None]]:
    """Yields a check that fails for a zero byte."""

    def check(given: bytes) -> None:
        assert b"\x00" not in given

    yield check


TOUCHY = Target("touchy", st.binary(max_size=20), touchy)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Restores logging, which a target configures."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", TARGETS)
def test_a_little_of_each_target(name: str) -> None:
    """The corpus and a few new inputs, always the same, find nothing."""
    target = TARGETS[name]
    with target.ready() as check:
        for bag in (replay(target, check), batch(target, check, SEED, INPUTS[name])):
            if bag.finding:
                pytest.fail(f"{bag.finding.given!r}: {bag.finding.error!r}")

    assert bag.inputs >= INPUTS[name] / 2


def test_the_corpus_is_of_targets() -> None:
    """Every folder of the corpus belongs to a target."""
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)


def test_a_finding_is_made_small_and_made_again(tmp_path: Path) -> None:
    """A run ends with its first finding; its seed makes the finding again, and the corpus stores it."""
    with TOUCHY.ready() as check:
        found = fuzz(TOUCHY, check, SEED, seconds=60).finding
        assert found is not None
        assert found.seed is not None
        again = batch(TOUCHY, check, found.seed).finding

    assert found.given == b"\x00"
    assert again is not None
    assert again.given == found.given
    assert keep(TOUCHY, found.given, "zero", tmp_path).read_bytes() == b"\x00"


def test_what_is_kept_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input of the corpus that fails is a finding, named by its file."""
    monkeypatch.setattr("tests.fuzz.target.CORPUS", tmp_path)
    keep(TOUCHY, b"good", "a", tmp_path)
    keep(TOUCHY, b"\x00", "b", tmp_path)

    with TOUCHY.ready() as check:
        bag = replay(TOUCHY, check)

    assert bag.inputs == 2
    assert bag.finding is not None
    assert bag.finding.given == "b"


def test_the_document_names_what_is_served() -> None:
    """The documented paths and methods are exactly those of the server."""
    routes = [(route.method, route.resource) for route in secured_app().router.routes() if route.method != "HEAD"]
    documented = yaml.safe_load(DOCUMENT.read_text())["paths"]

    assert {(method.lower(), resource.canonical) for method, resource in routes if resource} == {
        (method, path) for path, methods in documented.items() for method in methods
    }
