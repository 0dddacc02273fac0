"""A process killed at any statement of the ledger, and a log cut off anywhere, leave all of a poll or nothing of it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.jobs.snapshot import PollKey
from exporter.polling.ledger import Ledger, schema
from exporter.polling.records import Reason
from tests.support.ledger_driver import KEY, START, Book, execute, job, value

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.measurements import Measured

pytestmark = pytest.mark.property

VM_STEPS = 15
"""SQLite is stopped for a copy each so many steps within a statement, too."""
WAL_HEADER, FRAME = 32, 24 + 4096
"""Bytes; a frame is its header and a page."""
OTHER_SHARDS = (PollKey(KEY.account, "cn-beijing", "smart"),)


def dump(path: Path) -> str:
    """Returns everything in a ledger, as SQL."""
    with closing(sqlite3.connect(path)) as db:
        return "\n".join(db.iterdump())


def copied(path: Path, to: Path) -> Path:
    """Returns a copy of the files as they are on the disk now: what a killed process leaves."""
    for end in ("", "-wal"):
        if (source := Path(f"{path}{end}")).exists():
            shutil.copyfile(source, f"{to}{end}")
    return to


@dataclass(slots=True)
class Killer:
    """Keeps what a kill would leave, at every statement of a ledger and within it."""

    path: Path
    folder: Path
    left: list[Path] = field(default_factory=list)

    def watch(self, db: sqlite3.Connection) -> None:
        """Begins to watch a connection: between its statements, and within them."""
        db.set_trace_callback(lambda _: self._kill())
        db.set_progress_handler(self._kill, VM_STEPS)

    def _kill(self) -> bool:
        self.left.append(copied(self.path, self.folder / f"{len(self.left)}.db"))
        return False  # go on


def unwatch(db: sqlite3.Connection) -> None:
    """Ends watching a connection."""
    db.set_progress_handler(None, 0)
    db.set_trace_callback(None)


def first_poll(book: Book) -> None:
    """Meets 12 open jobs and as many ended ones."""
    running = (job(f"open {number}", "Executing", age=7000 + number, now=book.now) for number in range(12))
    past = (job(f"past {number}", "Failed", age=9000 + number, now=book.now) for number in range(12))
    book.poll(*running, *past)


def busy_poll(book: Book) -> None:
    """Sees births, moves, ends with reasons, and jobs that are gone."""
    ended = [job(f"open {number}", "Failed", age=7060 + number, took=7000, now=book.now) for number in range(4)]
    running = (job(f"open {number}", "Executing", age=7060 + number, now=book.now) for number in range(4, 9))
    born = (job(f"new {number}", ("Created", "Finished")[number % 2], age=30, now=book.now) for number in range(6))
    book.poll(*ended, *running, *born, reasons={row.job_id: Reason("Timeout", "late") for row in ended})


def folding_poll(book: Book) -> None:
    """Comes an hour later: what ended before is folded into counts."""
    book.poll(job("later", now=book.now), after=3600)


def start_of_survey(book: Book) -> None:
    """Begins a survey."""
    book.start_survey()


def page_of_survey(book: Book) -> None:
    """Stores a page of it, after which there are more."""
    state, _ = book.ledger.survey_state(book.key, book.window_start)
    assert state is not None
    rows = tuple(job(f"past {number}", "Finished", age=9000 + number, now=book.now) for number in range(12))
    book.ledger.store_survey_page(book.key, state, rows, "more")


def ends_of_survey(book: Book) -> None:
    """Stores the last page of the first list."""
    state, _ = book.ledger.survey_state(book.key, book.window_start)
    assert state is not None
    book.ledger.store_survey_page(book.key, state, (job("oldest", "Finished", age=9990, now=book.now),), "")


def sharing(book: Book) -> None:
    """Leaves a target to another shard."""
    book.ledger.claim(0, [KEY], OTHER_SHARDS)


def load(book: Book) -> None:
    """Reads what is known, with which a poll begins; the first one makes the target known."""
    book.ledger.load(book.key, ())


STORY: tuple[Callable[[Book], None], ...] = (
    sharing,
    first_poll,
    start_of_survey,
    busy_poll,
    page_of_survey,
    ends_of_survey,
    folding_poll,
)


def until(step: Callable[[Book], None], path: Path) -> Book:
    """Returns a ledger that has lived through the story up to this step."""
    book = Book(Ledger(str(path)))
    for each in STORY[: STORY.index(step)]:
        each(book)
    return book


def state_after(left: Path, step: Callable[[Book], None] | None, now: int) -> str:
    """Returns what is in a ledger that was left, once it is opened again and a step made in it."""
    ledger = Ledger(str(left))
    if step:
        step(Book(ledger, now))
    ledger.close()
    return dump(left)


@pytest.mark.parametrize("step", STORY, ids=lambda step: step.__name__)
def test_killed_at_every_statement(step: Callable[[Book], None], tmp_path: Path, measured: Measured) -> None:
    """What is left is the ledger from before or from after, and from before the step leads to the same again."""
    path = tmp_path / "ledger.db"
    book = until(step, path)
    now, killer = book.now, Killer(path, tmp_path)
    before = dump(path)
    db = book.ledger._db  # noqa: SLF001 - its own connection is watched
    killer.watch(db)
    step(book)
    unwatch(db)
    after = dump(path)
    book.ledger.close()

    states = [state_after(left, None, now) for left in killer.left]

    measured(f"kills in {step.__name__}: {len(states)}")
    loaded = state_after(copied(killer.left[0], tmp_path / "loaded.db"), load, now)
    assert len(states) > 5
    assert set(states) <= {before, loaded, after}
    assert {
        state_after(left, step, now) for left, state in zip(killer.left, states, strict=True) if state != after
    } == {after}


@pytest.mark.parametrize("version", range(len(schema.MIGRATIONS)))
def test_killed_in_a_migration(version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new ledger, and one of each earlier version, is made whole by whoever opens it next."""
    path = tmp_path / "ledger.db"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:version])
        Ledger(str(path)).close()
    killer = Killer(path, tmp_path)

    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        killer.watch(db)
        schema.migrate(db)
        unwatch(db)

    assert len(killer.left) > 5
    assert {state_after(left, None, START) for left in killer.left} == {dump(path)}
    assert {value(left, "PRAGMA user_version") for left in killer.left} == {len(schema.MIGRATIONS)}
    assert not list(tmp_path.glob("*.damaged"))


@pytest.mark.parametrize("torn", [0, 100, FRAME // 2], ids=["at a frame", "in its header", "in its page"])
def test_a_log_cut_off_anywhere(torn: int, tmp_path: Path, measured: Measured) -> None:
    """A power loss that leaves only the first part of the write-ahead log leaves whole polls, the first ones."""
    path, left = tmp_path / "ledger.db", tmp_path / "left.db"
    book = until(busy_poll, path)
    execute(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    states = [dump(path)]
    for step in (busy_poll, page_of_survey, ends_of_survey, folding_poll):
        step(book)
        states.append(dump(path))
    log = Path(f"{path}-wal").read_bytes()
    found = []
    for cut in range(WAL_HEADER + torn, len(log) + 1, FRAME):
        shutil.copyfile(path, left)
        Path(f"{left}-wal").write_bytes(log[:cut])
        found.append(states.index(state_after(left, None, START)))
    book.ledger.close()

    measured(f"power losses: {len(found)}, of which {[found.count(each) for each in range(len(states))]} by state")
    assert found == sorted(found)
    assert set(found) >= {0, 1, 2, 3}
    assert (found[-1] == len(states) - 1) == (torn == 0)
