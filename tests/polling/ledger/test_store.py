"""The ledger's file: what is stored is stored as a whole or not at all, and what is wrong with the file is said."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from exporter.errors import LedgerError
from exporter.jobs.kinds import SMART
from exporter.jobs.snapshot import PollKey
from exporter.polling.ledger import Ledger, schema, store
from exporter.polling.ledger.store import sqlite_errors_translated
from exporter.polling.records import Known
from tests.support.ledger_driver import START, Book, contents, execute, full_disk, job, value

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER = PollKey("prod", "ap-southeast-1", "smart")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Returns where the ledger is to be."""
    return tmp_path / "ledger.db"


@pytest.fixture
def book(path: Path) -> Iterator[Book]:
    """Gives a ledger that has seen its first poll, with one job open."""
    ledger = Ledger(str(path))
    book = Book(ledger)
    book.poll(job("a"))
    yield book
    ledger.close()


def test_a_new_file(path: Path) -> None:
    """A new ledger is made, brought to the newest version, and knows nothing of any target."""
    ledger = Ledger(str(path))

    assert ledger.load(OTHER, ()) == Known(SMART)
    assert ledger.size_bytes > 0
    assert value(path, "PRAGMA user_version") == len(schema.MIGRATIONS)
    assert value(path, "PRAGMA journal_mode") == "wal"
    ledger.close()


def test_everything_survives_reopening(book: Book, path: Path) -> None:
    """What was stored is known to the next process, the counters with it."""
    before = book.poll(job("a", "Failed"), job("b", now=START + 60))
    known = book.ledger.load(book.key, ())
    book.ledger.close()

    again = Book(Ledger(str(path)), now=book.now)

    assert again.ledger.load(book.key, ()) == known
    after = again.poll(job("b", now=START + 60))
    assert (after.ended, after.created, after.last_failure) == (before.ended, before.created, before.last_failure)
    again.ledger.close()


def test_in_memory() -> None:
    """A ledger may live in memory alone."""
    book = Book(Ledger(":memory:"))

    assert book.poll(job("a")).jobs["ASR", "Created"] == 1
    assert book.ledger.size_bytes > 0
    book.ledger.close()


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_file_that_is_removed(path: Path, exclusive: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """It is written again from the open connection at the next transaction, and nothing is lost."""
    ledger = Ledger(str(path), exclusive=exclusive)
    book = Book(ledger)
    book.poll(job("a"))
    before = book.poll(job("a"), job("b", "Failed", now=book.now))
    for each in path.parent.iterdir():
        each.unlink()

    with capture_logs() as logs:
        after = book.poll(job("a"), job("b", "Failed", now=START + 60))
    ledger.close()

    assert (after.ended, after.created, after.jobs) == (before.ended, before.created, before.jobs)
    assert [line["event"] for line in logs] == ["ledger_removed"]
    again = Book(Ledger(str(path)), now=book.now)
    assert again.ledger.load(again.key, ()).polls == 3
    assert again.poll(job("a", "Finished"), job("b", "Failed", now=START + 60)).ended["ASR", "Finished"] == 1
    again.ledger.close()


def test_a_file_that_another_has_replaced(book: Book, path: Path, tmp_path: Path) -> None:
    """The other file is used from the next transaction on, as a restored backup is."""
    backup = tmp_path / "backup.db"
    other = Book(Ledger(str(backup)))
    other.poll(job("x"))
    other.poll(job("x", "Finished"))
    other.ledger.close()
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    backup.replace(path)

    with capture_logs() as logs:
        known = book.ledger.load(book.key, ())

    assert [line["event"] for line in logs] == ["ledger_replaced"]
    assert (known.open_jobs, known.ended_ids) == ({}, {"x"})
    book.now += 60
    assert book.poll(job("y", "Failed", now=book.now)).ended["ASR", "Failed"] == 1
    book.ledger.close()
    assert value(path, "SELECT COUNT(*) FROM ended_job") == 2


def test_a_removed_file_that_cannot_be_written_again(book: Book, path: Path) -> None:
    """The poll fails with an error that says so; once there is a place for the file again, nothing is lost."""
    before = book.poll(job("b", "Failed", now=book.now))
    path.unlink()
    Path(f"{path}.restored").mkdir()

    with pytest.raises(LedgerError, match="cannot be written again"):
        book.poll()
    Path(f"{path}.restored").rmdir()

    assert book.poll(job("b", "Failed", now=book.now)).ended == before.ended


def test_targets_share_a_ledger(book: Book) -> None:
    """Each target has jobs and counters of its own, though ids may be the same."""
    other = Book(book.ledger, key=OTHER)
    other.poll(job("a", "Executing"))

    ours, theirs = book.poll(job("a", "Finished")), other.poll(job("a", "Failed"))

    assert (ours.ended["ASR", "Finished"], ours.ended["ASR", "Failed"]) == (1, 0)
    assert (theirs.ended["ASR", "Finished"], theirs.ended["ASR", "Failed"]) == (0, 1)


def test_storing_twice_is_refused(book: Book, path: Path) -> None:
    """Of two polls that began from the same state one is stored; the other is refused, and changes nothing."""
    known, outcome = book.outcome(job("a", "Finished"), job("b", "Failed", now=book.now))
    first = book.store(known, outcome)
    before = contents(path)

    with pytest.raises(LedgerError, match="only one may use a ledger"):
        book.store(known, outcome)

    assert contents(path) == before
    assert book.poll().ended == first.ended


def test_polling_twice_counts_once(book: Book) -> None:
    """The same sightings in two polls running count once."""
    rows = job("a", "Finished"), job("b", "Failed", now=book.now)

    first, second = book.poll(*rows), book.poll(*rows)

    assert (first.ended, first.created, first.durations) == (second.ended, second.created, second.durations)
    assert (second.ended["ASR", "Finished"], second.ended["ASR", "Failed"]) == (1, 1)


ORPHANS = """
    CREATE TABLE orphan (id INTEGER REFERENCES target (id) DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER orphans AFTER UPDATE ON target BEGIN INSERT INTO orphan VALUES (-1); END;
"""


def test_a_commit_that_fails_is_rolled_back(book: Book, path: Path) -> None:
    """Where COMMIT itself fails nothing is stored, and the next poll finds a ledger that works."""
    execute(path, ORPHANS)
    before = contents(path)

    with pytest.raises(LedgerError, match="FOREIGN KEY") as refused:
        book.poll(job("a", "Finished"))

    assert str(path) in str(refused.value)
    assert contents(path) == before
    execute(path, "DROP TRIGGER orphans")
    assert book.poll(job("a", "Finished")).ended["ASR", "Finished"] == 1


def test_a_full_disk(book: Book, path: Path) -> None:
    """On a full disk a poll fails as a whole, and is counted once there is room again."""
    many = [job(f"job {number}", "Failed", now=book.now) for number in range(500)]

    with full_disk(Path(f"{path}-wal").stat().st_size), pytest.raises(LedgerError) as refused:
        book.poll(*many)

    assert str(path) in str(refused.value)
    assert book.poll(*many).ended["ASR", "Failed"] == 500
    assert book.poll(*many).ended["ASR", "Failed"] == 500


def test_a_ledger_of_a_newer_exporter(book: Book, path: Path) -> None:
    """A ledger whose version is not known yet is left alone."""
    book.ledger.close()
    execute(path, "PRAGMA user_version = 99")

    with pytest.raises(LedgerError, match="version 99"):
        Ledger(str(path))

    assert contents(path)["open_job"] == 1


def test_a_migration_is_made_once_and_recorded(book: Book, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older ledger keeps its contents and gets what is new, which is recorded with it."""
    book.ledger.close()
    step = "CREATE TABLE extra (id INTEGER) STRICT; INSERT INTO extra VALUES (1);"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))

    for _ in range(2):
        Ledger(str(path)).close()

    assert value(path, "PRAGMA user_version") == len(schema.MIGRATIONS)
    assert (contents(path)["extra"], contents(path)["open_job"]) == (1, 1)


def test_a_migration_that_fails_leaves_no_trace(book: Book, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step and its record are made together or not at all; steps before it stay."""
    book.ledger.close()
    good, bad = "CREATE TABLE good (id INTEGER) STRICT;", "CREATE TABLE bad (id INTEGER) STRICT; NONSENSE;"
    before = len(schema.MIGRATIONS)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, good, bad))

    with pytest.raises(LedgerError, match="NONSENSE"):
        Ledger(str(path))

    assert value(path, "PRAGMA user_version") == before + 1
    assert "good" in contents(path)
    assert "bad" not in contents(path)


def test_a_ledger_tampered_with_in_use(book: Book, path: Path) -> None:
    """What is missing in a sound file is an error that names it."""
    execute(path, "DROP TABLE open_job")

    with pytest.raises(LedgerError, match=str(path)):
        book.poll(job("a"))


@pytest.mark.parametrize(
    ("place", "hint"),
    [
        (".", "is a folder: add the name of a file"),
        ("missing/ledger.db", "create the folder"),
        ("file/ledger.db", "create the folder"),
    ],
)
def test_no_place_for_a_ledger(tmp_path: Path, place: str, hint: str) -> None:
    """Where no file can be, the error names it and says what to do."""
    (tmp_path / "file").touch()

    with pytest.raises(LedgerError, match="unable to open") as refused:
        Ledger(str(tmp_path / place))

    assert str(tmp_path / place) in str(refused.value)
    assert hint in refused.value.hint


def test_a_ledger_in_use_by_another_process(book: Book, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's transaction is waited for, and then given up on."""
    monkeypatch.setattr(store, "LOCK_WAIT_SECONDS", 0.05)
    impatient = Ledger(str(path))
    with book.ledger._atomic(), pytest.raises(LedgerError, match="locked"):  # noqa: SLF001 - a transaction held open
        impatient.load(book.key, ())

    assert impatient.load(book.key, ()).polls == 1
    impatient.close()


def test_any_thread_may_call(book: Book) -> None:
    """Calls from many threads come one after the other."""
    with ThreadPoolExecutor(8) as threads:
        polls = list(threads.map(lambda _: book.ledger.load(book.key, ()).polls, range(100)))

    assert polls == [1] * 100


def test_a_closed_ledger(path: Path) -> None:
    """Whoever comes after the end gets an error of ours."""
    ledger = Ledger(str(path))
    ledger.close()

    with pytest.raises(LedgerError):
        ledger.load(OTHER, ())


def test_it_grows_with_hours_not_with_history(path: Path) -> None:
    """However many jobs have ended, the ledger keeps a few one by one, and counts by hour (P5)."""
    book, number = Book(Ledger(str(path))), 0
    book.poll()
    book.survey()
    for _ in range(60):
        rows = [
            job(f"{number + each}", "Finished", now=book.now + 900, kind=SMART.job_types[each % 4])
            for each in range(80)
        ]
        number += len(rows)
        snapshot = book.poll(*rows, after=900)
    rows_kept = contents(path)
    book.ledger.close()

    assert sum(snapshot.ended.values()) == sum(snapshot.jobs.values()) == number == 4800
    assert snapshot.ledger_jobs <= 2 * 80
    assert rows_kept["ended_job"] == snapshot.ledger_jobs
    assert rows_kept["bucket"] <= 4 * (60 / 4 + 1)
    assert sum(rows_kept.values()) < 350


@pytest.mark.parametrize("name", ["SQLITE_PROTOCOL", "SQLITE_IOERR_LOCK", "SQLITE_IOERR_SHMMAP", "SQLITE_IOERR_WRITE"])
def test_a_file_system_without_locks(name: str) -> None:
    """If the file system refuses locks, the hint says to put the ledger on another one."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = name

    with pytest.raises(LedgerError) as failed, sqlite_errors_translated("ledger.db"):
        raise error

    assert ("put the ledger on a local disk" in failed.value.hint) == (name != "SQLITE_IOERR_WRITE")


@pytest.mark.parametrize("umask", [0, 0o077, 0o777])
def test_the_ledger_is_private(path: Path, umask: int) -> None:
    """Only the user of the exporter can read and write a new ledger and SQLite's other files, whatever the umask."""
    before = os.umask(umask)
    try:
        ledger = Ledger(str(path))
    finally:
        os.umask(before)

    files = [file for file in path.parent.iterdir() if file.name.startswith(path.name)]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert len(files) == 3
    ledger.close()
