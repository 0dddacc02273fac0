"""The command `once` stores one poll of every target and prints the metrics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.support.command_line import CommandLine, sum_of_samples

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.simulator.server import Simulator


def test_once(cli: CommandLine, simulator: Simulator) -> None:
    """One poll is made and its metrics are printed, in a form that parses."""
    ended = cli.run("once")

    assert ended.code == 0
    assert sum_of_samples(ended.out, "ims_exporter_target_up", account="default", region_id="cn-shanghai") == 1
    assert sum_of_samples(ended.out, "ims_jobs", job_type="ASR", job_state="Created") == 1
    assert sum_of_samples(ended.out, "ims_jobs") == 1
    assert simulator.calls["ListSmartJobs"] == 3


def test_once_tells_its_ledger(cli: CommandLine, simulator: Simulator, tmp_path: Path) -> None:
    """The file that stores a poll is logged, and the next command continues with it; `:memory:` stores nothing."""
    ended = [cli.run("once", *flags) for flags in (["--ledger-path", "l.db"], ["--ledger-path", "l.db"], [])]

    assert [each.code for each in ended] == [0, 0, 0]
    assert [f"event=ledger path={tmp_path}/l.db hint=" in each.err for each in ended] == [True, True, False]
    assert simulator.calls["ListSmartJobs"] == 9
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["l.db"]


def test_once_when_the_target_fails(cli: CommandLine, simulator: Simulator) -> None:
    """A failed poll is in the printed metrics, and the exit code is 1."""
    simulator.keys.clear()

    ended = cli.run("once")

    assert ended.code == 1
    assert sum_of_samples(ended.out, "ims_exporter_target_up") == 0
    assert "ims_exporter_target_up" in ended.out
    assert "InvalidAccessKeyId.NotFound" in ended.err


def test_once_without_a_place_for_the_ledger(cli: CommandLine, simulator: Simulator) -> None:
    """A ledger that cannot be opened is one line with a hint."""
    ended = cli.run("once", "--ledger-path", "missing/ledger.db")

    assert (ended.code, simulator.calls) == (1, {})
    assert re.fullmatch(r"ims-exporter: the ledger /.+/missing/ledger\.db failed: .+ledger_path\n", ended.err)
