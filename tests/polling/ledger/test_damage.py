"""A damaged ledger is moved aside and a new one begun, in which nothing of the past counts as new."""

from __future__ import annotations

import io
import sqlite3
from contextlib import redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.errors import LedgerBrokenError, LedgerDamagedError, LedgerError
from exporter.jobs.kinds import SMART
from exporter.polling.ledger import Ledger, schema
from exporter.polling.ledger.quarantine import quarantine
from exporter.simulator.server import Simulator
from tests.support.exporter_process import environment, exporter
from tests.support.ledger_driver import KEY, START, Book, execute, job, value
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = 4096


def overwritten(first: int, number: int, with_byte: bytes = b"\xff") -> Callable[[bytes], bytes]:
    """Returns what puts so many bytes over a file, from the first on."""
    return lambda whole: whole[:first] + with_byte * number + whole[first + number :]


DAMAGES = {
    "text in its place": lambda _: b"something else entirely" * 100,
    "zeros in its place": lambda whole: bytes(len(whole)),
    "no header": overwritten(0, 100),
    "pages overwritten": overwritten(2 * PAGE, 2 * PAGE),
    "cut off": lambda whole: whole[: 3 * PAGE],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Returns where a ledger is that has seen a failure, and has 500 jobs open."""
    path = tmp_path / "ledger.db"
    ledger = Ledger(str(path), recreate_if_damaged=True)
    book = Book(ledger)
    book.poll(job("a"), *(job(f"{number:0>99}") for number in range(500)))
    book.poll(job("a", "Failed", now=book.now))
    ledger.close()
    return path


def damage(path: Path, change: Callable[[bytes], bytes]) -> bytes:
    """Changes a file; returns what it is now."""
    path.write_bytes(change(path.read_bytes()))
    return path.read_bytes()


def damage_told() -> sqlite3.DatabaseError:
    """Returns an error as SQLite tells of damage."""
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def aside_of(path: Path) -> Path:
    """Returns where a damaged ledger is kept."""
    return path.with_name(f"{path.name}.damaged")


@pytest.mark.parametrize("change", DAMAGES.values(), ids=DAMAGES)
def test_damage_found_at_the_start(path: Path, change: Callable[[bytes], bytes]) -> None:
    """The file is kept as it is under another name, and what ended before is history to the new one."""
    damaged = damage(path, change)
    said = io.StringIO()

    with redirect_stderr(said):
        ledger = Ledger(str(path), recreate_if_damaged=True)
    first = Book(ledger, START + 180).poll(job("a", "Failed"), job("b"))
    then = Book(ledger, START + 240).poll(job("a", "Failed"), job("b", "Failed"))
    ledger.close()

    assert aside_of(path).read_bytes() == damaged
    assert set(first.ended.values()) == {0}
    assert sum(then.ended.values()) == then.ended["ASR", "Failed"] == 1


def test_damage_found_in_use(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The poll that meets it fails; the next one begins a new ledger."""
    ledger = Ledger(str(path), recreate_if_damaged=True)
    book = Book(ledger, START + 180)
    execute(path, "UPDATE target SET polls = polls; PRAGMA wal_checkpoint(TRUNCATE)")
    damage(path, overwritten(PAGE, 20 * PAGE))

    with pytest.raises(LedgerDamagedError, match="malformed"):
        book.poll(job("a"))
    snapshot = book.poll(job("a", "Failed"), job("b"))
    ledger.close()

    assert set(snapshot.ended.values()) == {0}
    assert set(snapshot.created) == set(SMART.job_types)
    assert value(path, "SELECT COUNT(*) FROM open_job") == 1
    assert aside_of(path).exists()
    assert "renamed_to" in "".join(capsys.readouterr())


def test_a_log_that_was_not_merged_goes_with_it(path: Path) -> None:
    """A write-ahead log that SQLite has left stays beside its ledger: it is none of the new one's."""
    renamed_to, log = aside_of(path), path.with_name(f"{path.name}-wal")
    log.write_bytes(b"of the old one")

    quarantine(str(path), str(renamed_to))

    assert renamed_to.with_name(f"{renamed_to.name}-wal").read_bytes() == b"of the old one"
    assert not log.exists()


def test_the_newest_damaged_one_is_kept(path: Path) -> None:
    """However often it happens, one damaged ledger takes room."""
    for number in range(3):
        path.write_bytes(b"garbage %d" % number)
        Ledger(str(path), recreate_if_damaged=True).close()

    assert aside_of(path).read_bytes() == b"garbage 2"
    assert {each.name for each in path.parent.iterdir()} == {path.name, aside_of(path).name}


def test_one_that_cannot_be_moved_is_left(path: Path) -> None:
    """Where renaming fails the error names the file, which stays as it is."""
    aside_of(path).mkdir()
    damaged = damage(path, DAMAGES["no header"])

    with pytest.raises(LedgerError, match="could not be renamed"):
        Ledger(str(path), recreate_if_damaged=True)

    assert path.read_bytes() == damaged


def test_a_passing_error_of_the_disk_is_no_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be read proves nothing: the ledger is refused, and stays."""
    said = "*** in database main ***\nTree 5 page 12: unable to get the page. error code=8458"
    monkeypatch.setattr(schema, "CHECK", f"SELECT '{said}'")

    with pytest.raises(LedgerError, match="could not be read") as refused:
        Ledger(str(path), recreate_if_damaged=True)

    assert not isinstance(refused.value, LedgerDamagedError)
    assert not aside_of(path).exists()


def test_a_sound_ledger_is_kept_after_a_passing_fault(path: Path) -> None:
    """An error in use that tells of damage moves nothing, if the file is found sound when it is opened again."""
    ledger = Ledger(str(path), recreate_if_damaged=True)
    book = Book(ledger, START + 180)
    with pytest.raises(LedgerDamagedError), ledger._atomic():  # noqa: SLF001 - a fault that passes
        raise damage_told()

    snapshot = book.poll(job("a", "Failed"))
    ledger.close()

    assert snapshot.ended["ASR", "Failed"] == 1
    assert not aside_of(path).exists()


def test_two_that_meet_the_same_damage(path: Path) -> None:
    """The second finds the new ledger of the first, and goes on in it."""
    first, second = Ledger(str(path), recreate_if_damaged=True), Ledger(str(path), recreate_if_damaged=True)
    execute(path, "UPDATE target SET polls = polls; PRAGMA wal_checkpoint(TRUNCATE)")
    damage(path, overwritten(PAGE, 20 * PAGE))
    for ledger in (first, second):
        with pytest.raises(LedgerDamagedError):
            ledger.load(KEY, ())

    Book(first, START + 180).poll(job("b"))
    assert set(second.load(KEY, ()).open_jobs) == {"b"}
    first.close()
    second.close()


def test_a_new_ledger_is_the_same_shards(path: Path) -> None:
    """A ledger begun anew in use belongs to the shard that the damaged one belonged to."""
    ledger = Ledger(str(path), recreate_if_damaged=True)
    ledger.claim(1, [], ())
    execute(path, "UPDATE target SET polls = polls; PRAGMA wal_checkpoint(TRUNCATE)")
    damage(path, overwritten(PAGE, 20 * PAGE))
    with pytest.raises(LedgerDamagedError):
        ledger.load(KEY, ())
    ledger.load(KEY, ())
    ledger.close()

    assert value(path, "SELECT shard FROM owner") == 1


@pytest.mark.parametrize("name", ["config.yaml", "notes"])
def test_what_was_never_a_ledger_is_left(tmp_path: Path, name: str) -> None:
    """A file that is neither called like a ledger nor looks like one is refused, and stays as it is."""
    path = tmp_path / name
    path.write_text("region_id: cn-shanghai\n" * 100)

    with pytest.raises(LedgerBrokenError, match="is no ledger"):
        Ledger(str(path), recreate_if_damaged=True)

    assert path.read_text().startswith("region_id")
    assert list(tmp_path.iterdir()) == [path]


def test_the_damaged_database_of_another_program_is_left(tmp_path: Path) -> None:
    """Whatever is wrong with it: it is not ours."""
    path = tmp_path / "other.db"
    execute(path, "CREATE TABLE precious (life TEXT); INSERT INTO precious VALUES (hex(zeroblob(99999)))")
    damaged = damage(path, overwritten(3 * PAGE, PAGE))

    with pytest.raises(LedgerBrokenError, match="another program"):
        Ledger(str(path), recreate_if_damaged=True)

    assert path.read_bytes() == damaged


def test_a_newer_one_that_cannot_be_read_is_left(path: Path) -> None:
    """The version stands in the head of the file: what a newer exporter wrote there need not be understood."""
    damaged = damage(path, lambda whole: whole[:60] + (99).to_bytes(4, "big") + b"\xff" * (len(whole) - 64))

    with pytest.raises(LedgerBrokenError, match="version 99"):
        Ledger(str(path), recreate_if_damaged=True)

    assert path.read_bytes() == damaged


def test_who_only_looks_begins_nothing(path: Path) -> None:
    """Without the right to begin anew a damaged ledger is an error, and stays."""
    damaged = damage(path, DAMAGES["no header"])

    with pytest.raises(LedgerDamagedError, match="not a database"):
        Ledger(str(path))

    assert path.read_bytes() == damaged


def test_a_link_is_followed(path: Path, tmp_path: Path) -> None:
    """Where the path is a link, the file is moved, and the new one made beside it."""
    folder = tmp_path / "links"
    folder.mkdir()
    link = folder / "ledger.db"
    link.symlink_to(path)
    damage(path, DAMAGES["no header"])

    Ledger(str(link), recreate_if_damaged=True).close()

    assert link.is_symlink()
    assert aside_of(path).exists()
    assert list(folder.iterdir()) == [link]


@pytest.mark.process
def test_an_exporter_on_a_damaged_ledger(tmp_path: Path) -> None:
    """It says so, starts, counts nothing of the past as new, and each failure from then on."""
    simulator = Simulator()
    (tmp_path / "ledger.db").write_bytes(b"\x00garbage" * 1000)
    with running_simulators(simulator) as here:
        for _ in range(5):
            here.do(lambda: simulator.jobs.create("ASR", state="Failed"))
        running_job = here.do(lambda: simulator.jobs.create("ASR", state="Executing"))
        with exporter(environment(tmp_path, endpoint=simulator.url), tmp_path / "exporter.log") as running:
            first = running.wait_until_up()
            here.do(lambda: simulator.jobs.move(running_job, "Failed", error=("E.Test", "it failed")))
            later = running.wait_for("the failure", lambda scrape: scrape.total("ims_job_failures_total") > 0)
            (said,) = running.events("ledger_damaged")

    assert first.total("ims_jobs_ended_total") == first.total("ims_job_failures_total") == 0
    assert later.total("ims_job_failures_total") == 1
    assert said["level"] == "error"
    assert "file is not a database" in said["error"]
    assert Path(said["renamed_to"]).read_bytes().startswith(b"\x00garbage")
    assert "counters start at zero again" in said["hint"]
