"""The commands of the upgrade guide work, and its statements about counters are true."""

from __future__ import annotations

import re
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from exporter.errors import LedgerBrokenError
from exporter.polling.ledger import Ledger
from exporter.polling.ledger.schema import MIGRATIONS
from exporter.simulator.authentication import Key
from exporter.simulator.server import Simulator
from tests.support.command_line import CANARY, CommandLine
from tests.support.exporter_process import Exporter, Scrape, environment, exporter, parsed
from tests.support.guides import Shell, blocks, headings, scripts
from tests.support.ledger_driver import execute
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUIDE = "upgrade.md"
BACK_UP, RESTORE = "Back up a running exporter", "Restore a backup"
KEY = Key("STS.id", CANARY, token="")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Returns a shell with a folder for the ledger."""
    (tmp_path / "var/lib/ims-exporter").mkdir(parents=True)
    return Shell(tmp_path)


@pytest.fixture
def ledger(shell: Shell) -> Path:
    """Returns the path of the ledger."""
    return shell.folder / "var/lib/ims-exporter/ledger.db"


@pytest.fixture
def service(cli: CommandLine) -> Iterator[Simulator]:
    """Yields the simulator that the environment of the command line points to."""
    service = Simulator(keys=[KEY])
    with running_simulators(service):
        cli.target(service.url, KEY, ledger_path="ledger.db")
        yield service


def end_jobs(service: Simulator, number: int) -> None:
    """Creates and finishes a number of jobs."""
    for _ in range(number):
        service.jobs.move(service.jobs.create("ASR", state="Executing"), "Finished")


def ended(scrape: Scrape) -> float:
    """Returns the number of jobs counted as finished."""
    return scrape.total("ims_jobs_ended_total", job_state="Finished")


def first_shown(running: Exporter) -> float:
    """Returns the number of finished jobs in the first scrape that has the counter."""
    return ended(running.wait_for("counters", lambda scrape: "ims_jobs_ended_total" in scrape.values))


def counted(cli: CommandLine, *flags: str) -> float:
    """Polls once, and returns the number of jobs counted as finished."""
    done = cli.run("once", *flags)
    assert done.code == 0, done.err
    return ended(parsed(done.out))


def test_every_command_is_run() -> None:
    """The tests below run every part of the guide that has commands."""
    assert headings(GUIDE) == {BACK_UP, RESTORE}


@pytest.mark.process
def test_a_restored_backup_continues_to_count(shell: Shell, ledger: Path) -> None:
    """A backup of a running exporter, restored after a crash, counts all jobs that ended since with its first poll."""
    service = Simulator()
    back_up, look = scripts(GUIDE, BACK_UP)
    with running_simulators(service) as here:
        env = environment(shell.folder, endpoint=service.url, ledger_path=ledger)
        with exporter(env, shell.folder / "1.log") as running:
            running.wait_until_up()
            here.do(lambda: end_jobs(service, 5))
            running.wait_for("5 ends", lambda scrape: ended(scrape) == 5)
            shell.run(back_up)
            here.do(lambda: end_jobs(service, 4))
            running.wait_for("9 ends", lambda scrape: ended(scrape) == 9)
            running.end(signal.SIGKILL)
        here.do(lambda: end_jobs(service, 3))
        listed = shell.run(look)
        shell.run(*scripts(GUIDE, RESTORE))
        assert {path.name for path in ledger.parent.iterdir()} == {"ledger.db", "ledger.db.lock"}
        with exporter(env, shell.folder / "2.log") as running:
            shown = first_shown(running)
            here.do(lambda: end_jobs(service, 2))
            running.wait_for("2 ends more", lambda scrape: ended(scrape) == 14)
            running.wait_for_polls(3)
            last = running.scrape()

    assert re.fullmatch(rf"ok version {len(MIGRATIONS)}\ndefault cn-shanghai smart [1-9]\d*\n", listed)
    assert shown == 12
    assert last is not None
    assert ended(last) == 14


@pytest.mark.process
def test_a_ledger_held_for_standby_cannot_be_backed_up(shell: Shell, ledger: Path) -> None:
    """With standby, the backup command fails with the error that the guide quotes."""
    kept = Ledger(str(ledger), exclusive=True)

    with pytest.raises(AssertionError, match="database is locked"):
        shell.run(scripts(GUIDE, BACK_UP)[0])

    kept.close()


def test_commands_for_a_pod_are_the_same() -> None:
    """The backup command for a pod runs the same program as the tested one."""
    (in_a_pod,) = [block.text for block in blocks(GUIDE, "console") if block.heading == BACK_UP]
    programs = [re.findall(r"python3 -c '([^']+)'", text) for text in (scripts(GUIDE, BACK_UP)[0], in_a_pod)]

    assert programs[0] == programs[1] != []


def test_an_older_exporter_refuses_a_newer_ledger(ledger: Path) -> None:
    """It fails with the error that the guide quotes, and does not modify the ledger."""
    Ledger(str(ledger)).close()
    execute(ledger, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = ledger.read_bytes()
    (quoted,) = blocks(GUIDE, "text")

    with pytest.raises(LedgerBrokenError) as refused:
        Ledger(str(ledger))

    said, documented = (re.sub(r"\d+", "N", text.strip()) for text in (str(refused.value), quoted.text))
    assert said == documented
    assert ledger.read_bytes() == before
    assert not ledger.with_name("ledger.db.damaged").exists()


def test_one_file_moves_to_another_machine(cli: CommandLine, service: Simulator, tmp_path: Path) -> None:
    """After a clean stop one file holds everything, and its copy continues to count elsewhere."""
    counted(cli)
    end_jobs(service, 2)
    counted(cli)
    end_jobs(service, 1)
    assert not list(tmp_path.glob("ledger.db-*"))
    (tmp_path / "moved.db").write_bytes((tmp_path / "ledger.db").read_bytes())

    assert counted(cli, "--ledger-path", "moved.db") == 3


def test_a_target_that_returns_or_is_renamed(cli: CommandLine, service: Simulator, tmp_path: Path) -> None:
    """A new name starts at zero; an old name that returns continues, and counts all jobs that ended meanwhile."""
    counted(cli, "--account", "old")
    end_jobs(service, 2)
    assert counted(cli, "--account", "old") == 2
    end_jobs(service, 1)

    assert counted(cli, "--account", "new") == 0
    end_jobs(service, 1)

    assert counted(cli, "--account", "new") == 1
    assert counted(cli, "--account", "old") == 4
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as kept:
        assert kept.execute("SELECT count(*) FROM target").fetchone() == (2,)
