"""Whose a ledger is, and what must not be stored in it any more."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from exporter.errors import LedgerBrokenError, LedgerError, LedgerInUseError
from exporter.jobs.kinds import SMART
from exporter.jobs.snapshot import PollKey
from exporter.polling.ledger import Ledger
from exporter.polling.records import Known
from tests.support.ledger_driver import DAY, Book, contents, execute, job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHER = PollKey("test", "cn-beijing", "smart")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Gives the place of a ledger."""
    return tmp_path / "ledger.db"


@pytest.fixture
def book(path: Path) -> Iterator[Book]:
    """Gives a ledger."""
    book = Book(Ledger(str(path)))
    yield book
    book.ledger.close()


def test_a_poll_of_other_types_is_not_stored(book: Book) -> None:
    """What was read of types that are polled no longer must not be stored after a change."""
    book.poll()
    known, outcome = book.outcome(job("a"))
    book.ledger.load(book.key, ("TextToSpeech",))

    with pytest.raises(LedgerInUseError):
        book.store(known, outcome)


def test_a_target_dropped_meanwhile_does_not_come_back(book: Book) -> None:
    """A poll that ends after its target has moved to another shard stores nothing."""
    book.poll()
    known, outcome = book.outcome(job("a"))

    assert book.ledger.claim(0, [], [OTHER, book.key]) == [book.key]

    with pytest.raises(LedgerInUseError):
        book.store(known, outcome)
    assert book.ledger.load(book.key, ()) == Known(SMART)


def test_the_ledger_of_another_shard(book: Book, path: Path) -> None:
    """Each shard has a ledger of its own: another's is refused, and left as it is."""
    book.poll(job("a"))
    assert book.ledger.claim(1, [book.key], [OTHER]) == []

    with pytest.raises(LedgerError, match="is that of shard 1, and this is shard 0"):
        Ledger(str(path)).claim(0, [], [book.key])

    assert book.ledger.load(book.key, ()).open_jobs.keys() == {"a"}


def test_a_target_that_was_not_polled_for_a_while(book: Book) -> None:
    """A target that was not among those polled counts as polled since its next poll: older failures are no news."""
    book.poll()
    book.ledger.claim(0, [], [])
    while_away = job("away", "Failed", now=book.now + 30)
    book.ledger.claim(0, [book.key], [])

    back = book.poll(while_away, after=DAY)
    later = book.poll(while_away, job("new", "Failed", now=book.now + 30))

    assert (back.ended["ASR", "Failed"], later.ended["ASR", "Failed"]) == (1, 2)
    assert (back.failed_noticed["ASR", "5m"], later.failed_noticed["ASR", "5m"]) == (0, 1)


def test_targets_that_are_polled_stay_as_they_are(book: Book) -> None:
    """A restart with the same targets changes nothing: what failed meanwhile is noticed."""
    book.poll()
    known = book.ledger.load(book.key, ())

    assert book.ledger.claim(0, [book.key], []) == []

    assert book.ledger.load(book.key, ()) == known
    assert book.poll(job("a", "Failed", now=book.now + 30), after=DAY).failed_noticed["ASR", "5m"] == 1


def test_closing_waits_for_one_call_only(path: Path) -> None:
    """Calls that still wait when the ledger is closed are refused, and keep nobody waiting."""
    ledger = Ledger(str(path))
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(4) as threads:
            calls = [threads.submit(ledger.load, OTHER, ()) for _ in range(4)]
            closed = threads.submit(ledger.close)
            other.execute("COMMIT")
            closed.result(10)

    assert all(call.exception() is None or isinstance(call.exception(), LedgerError) for call in calls)
    with pytest.raises(LedgerError, match="is closed"):
        ledger.load(OTHER, ())


def test_the_database_of_another_program(tmp_path: Path) -> None:
    """It is refused, and left as it is."""
    path = tmp_path / "other.db"
    execute(path, "CREATE TABLE precious (life INTEGER)")

    with pytest.raises(LedgerBrokenError, match="another program"):
        Ledger(str(path))

    assert contents(path) == {"precious": 0}
