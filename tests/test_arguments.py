"""Wrong use of a command is one line with a suggestion; the command does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine


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
    """An unknown command or flag is reported in one line with a suggestion, and never replaced by it."""
    ended = cli.run(*arguments)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"ims-exporter{complaint}")
    assert len(ended.err.splitlines()) == 1


def test_flags_on_both_sides_of_the_command(cli: CommandLine) -> None:
    """A flag can precede or follow the command, with `=` or a space before its value; a value can begin with a dash."""
    ended = cli.run("--region-id=cn-shanghai", "--poll-interval-seconds", "30", "plan", "--open-jobs", "0")

    assert (ended.code, cli.run("plan", "--region-id", "cn-a", "--", "x").code) == (0, 2)
    assert "one poll every 30 seconds" in ended.out
    assert "-1 is not" not in cli.run("plan", "--region-id", "cn-a", "--poll-interval-seconds", "-1").err
