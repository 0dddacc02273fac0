"""The command `rules` writes rules that load, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine


def test_rules(cli: CommandLine) -> None:
    """The rules are written to a new folder, as files that YAML can read; their paths are printed."""
    ended = cli.run("rules", "deep/rules", "--selector", 'namespace="media"')

    files = [Path(line) for line in ended.out.splitlines()]
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    assert ended.code == 0
    assert {file.parent for file in files} == {Path("deep/rules")}
    assert all(rule["expr"] for group in groups for rule in group["rules"])
    assert "ImsJobFailed" in {rule.get("alert") for group in groups for rule in group["rules"]}


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
    """An option that would make invalid rules is refused, and nothing is written."""
    ended = cli.run("rules", flag, value)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"ims-exporter: {flag if flag != '--set' else 'failure_ratio'}: ")
    assert not Path("rules").exists()
