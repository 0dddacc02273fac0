"""The guide to upgrade and rollback: its commands are run, and what it says of the counters is so."""

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
from exporter.simulator.gate import Key
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
    """Gives a shell with a folder for the ledger."""
    (tmp_path / "var/lib/ims-exporter").mkdir(parents=True)
    return Shell(tmp_path)


@pytest.fixture
def ledger(shell: Shell) -> Path:
    """Gives the place of the ledger."""
    return shell.folder / "var/lib/ims-exporter/ledger.db"


@pytest.fixture
def service(cli: CommandLine) -> Iterator[Simulator]:
    """Gives a service that the command line's environment leads to."""
    service = Simulator(keys=[KEY])
    with running_simulators(service):
        cli.target(service.url, KEY, ledger_path="ledger.db")
        yield service


def end_jobs(service: Simulator, number: int) -> None:
    """Lets so many jobs be born and end."""
    for _ in range(number):
        service.world.move(service.world.create("ASR", state="Executing"), "Finished")


def ended(scrape: Scrape) -> float:
    """Returns how many jobs have been counted as finished."""
    return scrape.total("ims_jobs_ended_total", job_state="Finished")


def first_shown(running: Exporter) -> float:
    """Returns the count of the first scrape that has one."""
    return ended(running.wait_for("counters", lambda scrape: "ims_jobs_ended_total" in scrape.values))


def counted(cli: CommandLine, *flags: str) -> float:
    """Makes one poll, and returns how many jobs have been counted as finished."""
    done = cli.run("once", *flags)
    assert done.code == 0, done.err
    return ended(parsed(done.out))


def test_every_command_is_run() -> None:
    """No part of the guide has commands that the tests below do not run."""
    assert headings(GUIDE) == {BACK_UP, RESTORE}


@pytest.mark.process
def test_a_backup_goes_on_where_it_was(shell: Shell, ledger: Path) -> None:
    """A copy made in the middle of the work, put back after a crash, shows all that ended since with its first poll."""
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
        told = shell.run(look)
        shell.run(*scripts(GUIDE, RESTORE))
        assert {path.name for path in ledger.parent.iterdir()} == {"ledger.db", "ledger.db.lock"}
        with exporter(env, shell.folder / "2.log") as running:
            shown = first_shown(running)
            here.do(lambda: end_jobs(service, 2))
            running.wait_for("2 ends more", lambda scrape: ended(scrape) == 14)
            running.wait_for_polls(3)
            last = running.scrape()

    assert re.fullmatch(rf"ok version {len(MIGRATIONS)}\ndefault cn-shanghai smart [1-9]\d*\n", told)
    assert shown == 12
    assert last is not None
    assert ended(last) == 14


@pytest.mark.process
def test_no_backup_of_a_ledger_held_for_standby(shell: Shell, ledger: Path) -> None:
    """With standby the command says that the ledger is locked, as the guide does."""
    kept = Ledger(str(ledger), kept=True)

    with pytest.raises(AssertionError, match="database is locked"):
        shell.run(scripts(GUIDE, BACK_UP)[0])

    kept.close()


def test_commands_for_a_pod_are_the_same() -> None:
    """The program that makes the copy in a pod is the one that is run here."""
    (in_a_pod,) = [block.text for block in blocks(GUIDE, "console") if block.heading == BACK_UP]
    programs = [re.findall(r"python3 -c '([^']+)'", text) for text in (scripts(GUIDE, BACK_UP)[0], in_a_pod)]

    assert programs[0] == programs[1] != []


def test_an_older_exporter_refuses_a_newer_ledger(ledger: Path) -> None:
    """It says what the guide quotes, and leaves the ledger as it is."""
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
    """After a clean end everything stands in the one file, and a copy of it goes on counting elsewhere."""
    counted(cli)
    end_jobs(service, 2)
    counted(cli)
    end_jobs(service, 1)
    assert not list(tmp_path.glob("ledger.db-*"))
    (tmp_path / "moved.db").write_bytes((tmp_path / "ledger.db").read_bytes())

    assert counted(cli, "--ledger-path", "moved.db") == 3


def test_a_target_that_comes_back_or_has_another_name(cli: CommandLine, service: Simulator, tmp_path: Path) -> None:
    """A new name begins at zero; the old one goes on in the same ledger when it comes back, with all ends between."""
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
