"""A command that is used in a wrong way says so in one line, with what was meant, and does nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import CANARY, CommandLine


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["xyzzy"], ": xyzzy: no such command; see"),
        (["chekc"], ": chekc: no such command; did you mean check?; see"),
        (["run", "--colour", "red"], " run: --colour: no such flag; see"),
        (["--regoin-id", "cn-shanghai"], ": --regoin-id: no such flag; did you mean --region-id?; see"),
        (["--region", "cn-shanghai", "plan"], ": --region: no such flag; did you mean --region-id?; see"),
        (["plan", "--region=cn-shanghai"], " plan: --region: no such flag; did you mean --region-id?; see"),
        (["check", "--Region_ID", "cn-a"], " check: --Region_ID: no such flag; did you mean --region-id?; see"),
        (["-region-id", "cn-a"], ": -region-id: no such flag; did you mean --region-id?; see"),
        (["rules", "--selektor", "x"], " rules: --selektor: no such flag; did you mean --selector?; see"),
        (["--speed", "2", "demo"], ": --speed: no such flag; it belongs to the command demo, so write it after that"),
        (["check", "--region-id"], " check: --region-id: expected one argument; see"),
        (["check", "--region-id", "--account", "a"], " check: --region-id: expected one argument; see"),
        (["--region-id", "cn-a", "check", "now"], ": unrecognized arguments: now; see"),
    ],
)
def test_misuse(cli: CommandLine, arguments: list[str], complaint: str) -> None:
    """A command or flag that is none is named, with what it may have been meant to be, in one line; none is guessed."""
    ended = cli.run(*arguments)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"ims-exporter{complaint}")
    assert len(ended.err.splitlines()) == 1


def test_flags_on_both_sides_of_the_command(cli: CommandLine) -> None:
    """A flag may stand before the command or after it, joined to its value or not; a value may begin with a dash."""
    ended = cli.run("--region-id=cn-shanghai", "--poll-interval-seconds", "30", "plan", "--open-jobs", "0")

    assert (ended.code, cli.run("plan", "--region-id", "cn-a", "--", "x").code) == (0, 2)
    assert "one poll every 30 seconds" in ended.out
    assert "-1 is not" not in cli.run("plan", "--region-id", "cn-a", "--poll-interval-seconds", "-1").err


@pytest.mark.parametrize("command", ["rules", "dashboards"])
@pytest.mark.parametrize("folder", ["file", "file/inside"])
def test_files_that_cannot_be_written(cli: CommandLine, command: str, folder: str) -> None:
    """A folder that cannot be made is one line and a bad end."""
    Path("file").touch()

    ended = cli.run(command, folder)

    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"ims-exporter: cannot write to {folder}: not a folder\n"


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--selector", "account=prod"),
        ("--selector", "}"),
        ("--dashboard-base-url", "http://grafana/\n"),
        ("--runbook-base-url", 'http://wiki/"'),
        ("--exporter-base-url", "localhost:9912"),
        ("--set", "failure_ratio=2"),
    ],
)
def test_rules_of_nonsense(cli: CommandLine, flag: str, value: str) -> None:
    """An option that would not give rules that load is refused, and nothing is written."""
    ended = cli.run("rules", flag, value)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"ims-exporter: {flag if flag != '--set' else 'failure_ratio'}: ")
    assert not Path("rules").exists()


@pytest.mark.parametrize(
    ("flag", "value", "wanted"),
    [
        ("--open-jobs", "-3", "whole number from 0 to 1000000000"),
        ("--open-jobs", "99999999999999999999", "whole number from 0 to 1000000000"),
        ("--jobs-per-day", "many", "whole number from 0 to 1000000000"),
        ("--failure-ratio", "1.5", "number from 0 to 1"),
        ("--failure-ratio", "nan", "number from 0 to 1"),
    ],
)
def test_plan_of_nonsense(cli: CommandLine, flag: str, value: str, wanted: str) -> None:
    """A load that cannot be is refused with its value and its bounds."""
    ended = cli.run("plan", "--region-id", "cn-shanghai", flag, value)

    assert ended.code == 2
    assert ended.err.startswith(f"ims-exporter plan: {flag}: '{value}' is not a {wanted}; see")


@pytest.mark.parametrize("command", ["run", "once", "check", "plan", "demo"])
def test_problems_of_the_configuration(cli: CommandLine, command: str) -> None:
    """Every command that reads the configuration refuses it with all its problems at once, and none of the values."""
    cli.patch.setenv("IMS_EXPORTER_LOOKBACK_DAYS", CANARY)
    cli.patch.setenv("IMS_EXPORTER_CREDENTIALS", json.dumps({"access_key_id_env": CANARY}))

    ended = cli.run(command, "--poll-interval-seconds", "soon", "--region-id", "Nowhere")

    expected = {"--poll-interval-seconds", "--region-id", "IMS_EXPORTER_LOOKBACK_DAYS", "IMS_EXPORTER_CREDENTIALS"}
    named = {name for name in expected if name in ended.err}
    assert ended.code == 2
    assert named == (expected if command != "demo" else {"--poll-interval-seconds", "--region-id"})
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("flag", ["--config", "--endpoint"])
def test_demo_of_something_else(cli: CommandLine, flag: str) -> None:
    """A file or an endpoint is refused rather than passed over: the demo has its own."""
    ended = cli.run("demo", flag, "x")

    assert (ended.code, ended.out) == (2, "")
    assert f"{flag}: the demo does not support it" in ended.err


@pytest.mark.process
def test_a_result_that_cannot_be_written() -> None:
    """Where the output is full, one line says so, and the exit code is 1."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "exporter", "metrics"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert (done.returncode, done.stderr) == (1, "ims-exporter: No space left on device: the output\n")
