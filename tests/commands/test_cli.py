"""The command line has a parser for all commands, and maps their results to exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from exporter import __version__
from exporter.metrics.document import metrics_table
from tests.support.command_line import CANARY, CommandLine


def test_version(cli: CommandLine) -> None:
    """`--version` prints the version."""
    assert cli.run("--version").out == f"ims-exporter {__version__}\n"


def test_help_names_every_command(cli: CommandLine) -> None:
    """The help lists all commands."""
    text = cli.run("--help").out

    assert [
        name for name in ("run", "once", "check", "plan", "demo", "metrics", "rules") if f"    {name} " in text
    ] == [*("run", "once", "check", "plan", "demo", "metrics", "rules")]


def test_metrics(cli: CommandLine) -> None:
    """The table of metrics is the one in the documentation."""
    ended = cli.run("metrics")

    assert (ended.code, ended.out) == (0, f"{metrics_table()}\n")


@pytest.mark.parametrize("command", ["run", "once", "check", "plan", "demo"])
def test_problems_of_the_configuration(cli: CommandLine, command: str) -> None:
    """Every command reports all problems of the configuration together, without the values."""
    cli.patch.setenv("IMS_EXPORTER_LOOKBACK_DAYS", CANARY)
    cli.patch.setenv("IMS_EXPORTER_CREDENTIALS", json.dumps({"access_key_id_env": CANARY}))

    ended = cli.run(command, "--poll-interval-seconds", "soon", "--region-id", "Nowhere")

    expected = {"--poll-interval-seconds", "--region-id", "IMS_EXPORTER_LOOKBACK_DAYS", "IMS_EXPORTER_CREDENTIALS"}
    named = {name for name in expected if name in ended.err}
    assert ended.code == 2
    assert named == (expected if command != "demo" else {"--poll-interval-seconds", "--region-id"})
    assert "Traceback" not in ended.err


@pytest.mark.process
def test_a_result_that_cannot_be_written() -> None:
    """An output that cannot be written is one line, and the exit code is 1."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "exporter", "metrics"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert (done.returncode, done.stderr) == (1, "ims-exporter: No space left on device: the output\n")
