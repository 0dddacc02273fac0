"""Every command does what it is for, says what is wrong in one line, and never prints a secret."""

from __future__ import annotations

import os
import re
import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from exporter import __version__
from exporter.jobs.shards import owner
from exporter.jobs.snapshot import PollKey
from exporter.metrics.document import metrics_table
from exporter.simulator.authentication import Key
from exporter.simulator.faults import Fault
from exporter.simulator.server import Simulator
from tests.support.command_line import CANARY, TOKEN, CommandLine
from tests.support.real_servers import poll
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = Key("STS.id", CANARY, token=TOKEN)


@pytest.fixture
def simulator(cli: CommandLine) -> Iterator[Simulator]:
    """Gives a service with two jobs, which the command line's environment leads to."""
    simulator = Simulator(keys=[KEY])
    with running_simulators(simulator):
        simulator.jobs.create("ASR")
        simulator.jobs.create("ASR", state="Failed", error=("E.Code", "words"))
        cli.target(simulator.url, KEY)
        yield simulator


def value(text: str, name: str, **labels: str) -> float:
    """Returns the sum of an exposition's samples of this name, and with these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and {**sample.labels, **labels} == sample.labels
    )


def test_version(cli: CommandLine) -> None:
    """The version is told."""
    assert cli.run("--version").out == f"ims-exporter {__version__}\n"


def test_help_names_every_command(cli: CommandLine) -> None:
    """Whoever asks for help sees all commands."""
    text = cli.run("--help").out

    assert [
        name for name in ("run", "once", "check", "plan", "demo", "metrics", "rules") if f"    {name} " in text
    ] == [*("run", "once", "check", "plan", "demo", "metrics", "rules")]


def test_metrics(cli: CommandLine) -> None:
    """The table of metrics is that of the documentation."""
    ended = cli.run("metrics")

    assert (ended.code, ended.out) == (0, f"{metrics_table()}\n")


def test_rules(cli: CommandLine) -> None:
    """The rules are written to a new folder, as files that YAML can read; their paths are printed."""
    ended = cli.run("rules", "deep/rules", "--selector", 'namespace="media"')

    files = [Path(line) for line in ended.out.splitlines()]
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    assert ended.code == 0
    assert {file.parent for file in files} == {Path("deep/rules")}
    assert all(rule["expr"] for group in groups for rule in group["rules"])
    assert "ImsJobFailed" in {rule.get("alert") for group in groups for rule in group["rules"]}


def test_plan(cli: CommandLine) -> None:
    """The numbers of a plain configuration are those worked out by hand, and no call is made."""
    ended = cli.run("plan", "--region-id", "cn-shanghai", "--endpoint", "http://127.0.0.1:1")

    idle, busy = 3 * 1440, (1 + 1 + 1 + 5000 / 1440 * 1.02) * 1440
    assert ended.code == 0
    assert re.search(rf"idle +3\.0 +{idle}\n", ended.out)
    assert re.search(rf"with the load above +6\.5 +{busy:.0f}\n", ended.out)
    assert re.search(r"survey of 30 days \(1501 calls each\) +1501\n", ended.out)
    assert re.search(rf"all targets +{busy + 1501:.0f}\n", ended.out)
    assert "makes 0.11 calls a second" in ended.out


def test_plan_of_too_much(cli: CommandLine) -> None:
    """A plan that the rate limit does not allow says so."""
    ended = cli.run("plan", "--region-id", "cn-shanghai", "--max-requests-per-second", "0.1")

    assert "TOO FEW" in ended.out


def test_plan_of_a_shard_without_targets(cli: CommandLine) -> None:
    """A shard to which no target belongs makes no calls."""
    busy = owner(PollKey("default", "cn-shanghai", "smart"), 2)

    ended = cli.run("plan", "--region-id", "cn-shanghai", "--shards", "2", "--shard", str(1 - busy))

    assert (ended.code, "0 target(s)" in ended.out, "makes 0.00 calls" in ended.out) == (0, True, True)


def test_once(cli: CommandLine, simulator: Simulator) -> None:
    """One poll is made and its metrics are printed, in a form that parses."""
    ended = cli.run("once")

    assert ended.code == 0
    assert value(ended.out, "ims_exporter_target_up", account="default", region_id="cn-shanghai") == 1
    assert value(ended.out, "ims_jobs", job_type="ASR", job_state="Created") == 1
    assert value(ended.out, "ims_jobs") == 1
    assert simulator.calls["ListSmartJobs"] == 3


def test_once_tells_its_ledger(cli: CommandLine, simulator: Simulator, tmp_path: Path) -> None:
    """The file that a poll is stored in is named, and the next one goes on from there; without a file nothing is."""
    ended = [cli.run("once", *flags) for flags in (["--ledger-path", "l.db"], ["--ledger-path", "l.db"], [])]

    assert [each.code for each in ended] == [0, 0, 0]
    assert [f"event=ledger path={tmp_path}/l.db hint=" in each.err for each in ended] == [True, True, False]
    assert simulator.calls["ListSmartJobs"] == 9
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["l.db"]


def test_once_when_the_target_fails(cli: CommandLine, simulator: Simulator) -> None:
    """A failed poll is printed as such, and the end is bad."""
    simulator.keys.clear()

    ended = cli.run("once")

    assert ended.code == 1
    assert value(ended.out, "ims_exporter_target_up") == 0
    assert "ims_exporter_target_up" in ended.out
    assert "InvalidAccessKeyId.NotFound" in ended.err


def test_once_without_a_place_for_the_ledger(cli: CommandLine, simulator: Simulator) -> None:
    """A ledger that cannot be opened is one line with a hint."""
    ended = cli.run("once", "--ledger-path", "missing/ledger.db")

    assert (ended.code, simulator.calls) == (1, {})
    assert re.fullmatch(r"ims-exporter: the ledger /.+/missing/ledger\.db failed: .+ledger_path\n", ended.err)


def test_demo_on_an_address_in_use(cli: CommandLine, simulator: Simulator) -> None:
    """An address that is taken is told as a problem of the configuration."""
    ended = cli.run("demo", "--history", "10", "--listen-address", simulator.endpoint)

    assert ended.code == 2
    assert "cannot listen on" in ended.err


def up(url: str) -> bool:
    """Says whether the exporter at this URL shows a target that is up."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:  # noqa: S310 - loopback
        return value(answer.read().decode(), "ims_exporter_target_up") == 1


@contextmanager
def stopped_after(probe: Callable[[], object], what: str) -> Iterator[None]:
    """Sends this very process SIGTERM, as a supervisor would, once the probe has something; fails if it never has.

    Nothing is sent once the block has ended: nobody would handle it.
    """
    has_ended = Event()

    def wait() -> bool:
        try:
            return poll(10, lambda: has_ended.is_set() or bool(probe()), what)
        finally:
            if not has_ended.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(wait)
        try:
            yield
        finally:
            has_ended.set()
    waiting.result()


def test_run_is_the_default(cli: CommandLine, simulator: Simulator) -> None:
    """Without a command the exporter polls and serves until SIGTERM, which is a good end."""
    cli.patch.setenv("IMS_EXPORTER_LISTEN_ADDRESS", "127.0.0.1:0")

    with stopped_after(lambda: simulator.calls["ListSmartJobs"] >= 3, "a poll is made"):
        ended = cli.run()

    assert (ended.code, ended.out) == (0, "")
    assert re.search(r"event=listening url=http://127\.0\.0\.1:[1-9]", ended.err)
    told = [line.partition("event=")[2] for line in ended.err.splitlines()]
    assert told.count("stopping") == 1  # what was under way may end after it


def test_run_stops_in_the_middle_of_a_poll(cli: CommandLine, simulator: Simulator) -> None:
    """A poll that SIGTERM cuts short is no error, and holds nothing up."""
    cli.patch.setenv("IMS_EXPORTER_LISTEN_ADDRESS", "127.0.0.1:0")
    cli.patch.setenv("IMS_EXPORTER_REQUEST_TIMEOUT_SECONDS", "60")
    simulator.faults.add(Fault("hang"))

    with stopped_after(lambda: simulator.calls["ListSmartJobs"], "a poll is under way"):
        ended = cli.run("run")

    assert ended.code == 0
    assert "level=error" not in ended.err
    assert ended.err.splitlines()[-1].endswith("event=stopping")


def test_demo(cli: CommandLine) -> None:
    """The demo says where it is, shows a target that is up within seconds, and stops on SIGTERM."""
    said: list[str] = []
    cli.patch.setattr("exporter.commands.demo.print_line", said.append)

    with stopped_after(lambda: said and up(re.findall(r"(http://\S+)/metrics", said[0])[0]), "the target is up"):
        ended = cli.run("demo", "--history", "200", "--listen-address", "127.0.0.1:0")

    assert ended.code == 0
    assert "Traceback" not in ended.err
