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
from tests.support.ledger_driver import Book, contents, execute, job

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
