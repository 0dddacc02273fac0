"""The command `plan` estimates the calls without a call."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from exporter.jobs.shards import owner
from exporter.jobs.snapshot import PollKey

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine


def test_plan(cli: CommandLine) -> None:
    """The numbers of a simple configuration are those calculated by hand, and no call is made."""
    ended = cli.run("plan", "--region-id", "cn-shanghai", "--endpoint", "http://127.0.0.1:1")

    idle, busy = 12 * 144, (1 + 1 + 1 + 5000 / 1440 * 1.02) * 1440
    assert ended.code == 0
    assert re.search(rf"idle +1\.2 +{idle}\n", ended.out)
    assert re.search(rf"with the load above +6\.5 +{busy:.0f}\n", ended.out)
    assert re.search(r"survey of 30 days \(1501 calls each\) +1501\n", ended.out)
    assert re.search(rf"all targets +{busy + 1501:.0f}\n", ended.out)
    assert "makes 0.11 calls a second" in ended.out


def test_plan_of_too_much(cli: CommandLine) -> None:
    """A plan that exceeds the rate limit is reported."""
    ended = cli.run("plan", "--region-id", "cn-shanghai", "--max-requests-per-second", "0.1")

    assert "TOO FEW" in ended.out


def test_plan_of_a_shard_without_targets(cli: CommandLine) -> None:
    """A shard without targets makes no calls."""
    busy = owner(PollKey("default", "cn-shanghai", "smart"), 2)

    ended = cli.run("plan", "--region-id", "cn-shanghai", "--shards", "2", "--shard", str(1 - busy))

    assert (ended.code, "0 target(s)" in ended.out, "makes 0.00 calls" in ended.out) == (0, True, True)


def test_surveys_of_an_account_share_its_rate(cli: CommandLine, tmp_path: Path) -> None:
    """The regions of one account survey one after the other, those of other accounts at the same time."""
    survey = 1501 / 10 * 2
    seconds = {}
    for name, accounts in (("one", ["a", "a", "a"]), ("three", ["a", "b", "c"])):
        lines = [f"- {{account: {account}, region_id: cn-{index}}}" for index, account in enumerate(accounts)]
        (tmp_path / name).write_text("\n".join(["targets:", *lines, ""]))
        ended = cli.run("plan", "--config", str(tmp_path / name))
        seconds[name] = float(re.findall(r"surveys take (\d+) seconds", ended.out)[0])

    assert seconds == {"one": round(3 * survey), "three": round(survey)}


def test_plan_of_all_shards(cli: CommandLine, tmp_path: Path) -> None:
    """With shards the plan also covers all of them."""
    lines = [f"- {{account: a, region_id: cn-{index}}}" for index in range(60)]
    (tmp_path / "config").write_text("\n".join(["targets:", *lines, ""]))
    whole = cli.run("plan", "--config", str(tmp_path / "config"))

    ended = cli.run("plan", "--config", str(tmp_path / "config"), "--shards", "3", "--shard", "0")

    (calls,) = re.findall(r"all targets +(\d+)", whole.out)
    (low, high) = map(int, re.findall(r"all 3 shards: 60 target\(s\), (\d+) to (\d+) per shard", ended.out)[0])
    assert f" {calls} calls a day" in ended.out
    assert 10 <= low <= 20 <= high <= 30


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
    """An impossible load is refused with its value and its bounds."""
    ended = cli.run("plan", "--region-id", "cn-shanghai", flag, value)

    assert ended.code == 2
    assert ended.err.startswith(f"ims-exporter plan: {flag}: '{value}' is not a {wanted}; see")
