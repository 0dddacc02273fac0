"""A ledger of an older version keeps what it holds, and the polls and surveys continue in it exactly."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.jobs.kinds import SMART
from exporter.polling.ledger import Ledger, schema, store
from exporter.polling.records import OpenGap, OpenJob, PageGap, Row
from tests.support.ledger_driver import HOUR, KEY, START, Book, execute, job, value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.jobs.snapshot import Snapshot

VERSION_2 = Path(__file__).parent / "data" / "version_2.sqlite3"
"""Written by the release before the job kinds, which polled smart jobs only; its last poll was at `LAST_POLL`.

It knows four open jobs. Of the ended jobs, three are remembered one by one, the others are counts: two that it counted
itself, and six that a survey found. A second survey has stored its first page. There is a page gap to read again.
"""
LAST_POLL = START + 7440
HISTORY = tuple(job(f"{hours} h", "Finished", age=hours * HOUR) for hours in (2, 3, 5, 6, 9))
OPEN = (
    job("open 1", "Executing", age=1 * HOUR),
    job("open 2", "Created", age=2 * HOUR),
    job("open 4", "Created", age=4 * HOUR, kind="TextToSpeech"),
    job("born", "Created", now=LAST_POLL - 100),
)
ENDED = (
    job("lately", "Finished", now=LAST_POLL - 90),
    job("lately failed", "Failed", now=LAST_POLL - 30),
    Row("open 3", "TextToSpeech", "Finished", START - 3 * HOUR, LAST_POLL - 70),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Returns a copy of the ledger of version 2."""
    return Path(shutil.copyfile(VERSION_2, tmp_path / "ledger.db"))


@pytest.fixture
def book(path: Path) -> Iterator[Book]:
    """Gives the ledger of version 2, opened by this version."""
    book = Book(Ledger(str(path)), now=LAST_POLL)
    yield book
    book.ledger.close()


def nonzero(snapshot: Snapshot) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
    """Returns the ended and the created jobs that a snapshot counts."""
    ended = {key: number for key, number in snapshot.ended.items() if number}
    return ended, {key: number for key, number in snapshot.created.items() if number}


def test_what_version_2_knew(book: Book, path: Path) -> None:
    """Open jobs, remembered ends, the horizon and the page gap are known, and the target is one of smart jobs."""
    known = book.ledger.load(KEY, ())

    assert value(path, "PRAGMA user_version") == len(schema.MIGRATIONS)
    assert known.kind is SMART
    assert set(known.open_jobs) == {"open 1", "open 2", "open 4", "born"}
    assert known.open_jobs["open 1"] == OpenJob("open 1", "ASR", "Executing", START - HOUR)
    assert known.ended_ids == {"lately", "lately failed", "open 3"}
    assert (known.polls, known.baseline) == (5, START + 60)
    assert known.horizon == known.remembered_since == LAST_POLL - 150
    assert known.gaps == (OpenGap(PageGap(LAST_POLL - 150, LAST_POLL - 140)),)
    assert not known.has_new_types


def test_counters_continue(book: Book) -> None:
    """The first poll counts what happened since the last one, each job once, though lists still show the older ends."""
    ended = job("open 1", "Failed", age=HOUR, took=LAST_POLL + 30 - START + HOUR)
    new = job("new", "Finished", now=LAST_POLL + 20)
    rows = (*OPEN[1:], *ENDED, ended, new)

    snapshots = [book.poll(*rows) for _ in range(3)]

    for snapshot in snapshots:
        assert nonzero(snapshot) == (
            {("ASR", "Finished"): 3, ("ASR", "Failed"): 3, ("TextToSpeech", "Finished"): 1},
            {"ASR": 6},
        )
        assert snapshot.late_jobs == snapshot.gaps_given_up == sum(snapshot.deleted.values()) == 0
        assert snapshot.failures["ASR", "E.Old"] == snapshot.failures["ASR", "E.New"] == 1
        assert snapshot.jobs["ASR", "Finished"] == 8
        assert snapshot.jobs["ASR", "Failed"] == 4
    assert {failed.job_id for failed in snapshots[-1].failed_jobs} == {"folded failure", "lately failed", "open 1"}


def test_a_long_pause_before_the_upgrade(book: Book) -> None:
    """What was created and ended during days without an exporter is counted once, by the first poll."""
    rows = (*OPEN, *ENDED, *(job(f"away {hours}", "Finished", now=LAST_POLL + hours * HOUR) for hours in range(1, 20)))

    snapshots = [book.poll(*rows, after=after) for after in (20 * HOUR, 60, 60)]

    for snapshot in snapshots:
        assert nonzero(snapshot) == (
            {("ASR", "Finished"): 2 + 19, ("ASR", "Failed"): 2, ("TextToSpeech", "Finished"): 1},
            {"ASR": 5 + 19},
        )


def test_the_survey_resumes(book: Book) -> None:
    """The survey continues on the page after the last one stored, and its counts are exactly those of the ledger."""
    before = book.poll(*OPEN, *ENDED)
    state, last = book.ledger.survey_state(KEY, book.window_start)
    assert state is not None
    assert (state.job_state, state.next_token, state.reading, last.is_complete) == ("Finished", "page 2", 1, True)
    failed, _ = book.ledger.store_survey_page(KEY, state, HISTORY[2:], "")
    assert failed is not None
    rows = (job("folded failure", "Failed", now=START + 100), job("past", "Failed", age=HOUR))
    assert book.ledger.store_survey_page(KEY, failed, rows, "")[0] is None

    after = book.poll(*OPEN, *ENDED)

    assert (after.jobs, after.ended, after.created) == (before.jobs, before.ended, before.created)
    assert (after.jobs["ASR", "Finished"], after.jobs["TextToSpeech", "Finished"]) == (7, 1)
    assert after.jobs["ASR", "Failed"] == 3
    assert after.failed_recent == before.failed_recent


def test_the_next_exporter_finds_it_migrated(book: Book, path: Path) -> None:
    """The migration is made once: opened again, the ledger is as the first opening left it."""
    known = book.ledger.load(KEY, ())
    book.ledger.close()

    again = Ledger(str(path))

    assert again.load(KEY, ()) == known
    again.close()


def test_a_ledger_of_the_first_version(path: Path) -> None:
    """A ledger that does not say which types were polled keeps its jobs and counters, and is surveyed again."""
    execute(path, "ALTER TABLE target DROP COLUMN job_types; DROP TABLE owner; PRAGMA user_version = 1")

    book = Book(Ledger(str(path)), now=LAST_POLL)
    snapshot = book.poll(*OPEN, *ENDED)
    book.ledger.close()

    assert (snapshot.jobs["ASR", "Created"], snapshot.created["ASR"]) == (2, 5)
    assert ("ASR", "Finished") not in snapshot.jobs


def test_the_oldest_sqlite() -> None:
    """The migrations do without the operators `->` and `->>`: SQLite has them since 3.38, STRICT tables since 3.37."""
    assert not [migration for migration in schema.MIGRATIONS if "->" in migration]
    assert store.OLDEST_SQLITE < (3, 38)
