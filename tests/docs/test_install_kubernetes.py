"""The Kubernetes guide names existing values, keys and build arguments, and its check of the lock works."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from exporter.standby.ledger_lock import LedgerLock
from tests.support.guides import blocks
from tests.support.helm_chart import NAMESPACE, REGION, RELEASE, only, rendered
from tests.support.repository import ROOT

if TYPE_CHECKING:
    from pathlib import Path

GUIDE = "install-kubernetes.md"
LEDGER = "/var/lib/ims-exporter/ledger.db"
COMMANDS = [
    shlex.split(line, comments=True)
    for block in blocks(GUIDE, "sh")
    for line in block.text.replace("\\\n", " ").splitlines()
]
HELM = [command for command in COMMANDS if command[:1] == ["helm"]]


def options(command: list[str], name: str) -> list[str]:
    """Returns the values of a repeatable option."""
    return [value for option, value in itertools.pairwise(command) if option == name]


def one(*words: str) -> list[str]:
    """Returns the only command with all of these words."""
    (found,) = [command for command in COMMANDS if set(words) <= set(command)]
    return found


@pytest.mark.tools
@pytest.mark.parametrize("command", HELM, ids=" ".join)
def test_helm_commands_name_the_release(command: list[str]) -> None:
    """Every helm command names the release, the chart in this checkout, and values that the chart accepts."""
    chart = ["./helm/ims-exporter"] if command[1] != "test" else []
    values = [part for value in options(command, "--set") for part in ("--set", value)]

    assert command[2 : 3 + len(chart)] == [RELEASE, *chart]
    assert options(command, "--namespace") == [NAMESPACE]
    assert all((ROOT / path).is_dir() for path in chart)
    assert rendered(*REGION, *values)


@pytest.mark.tools
def test_the_secret_has_the_keys_that_the_pod_reads(tmp_path: Path) -> None:
    """The pod reads both keys from the secret that the guide creates."""
    secret = one("create", "secret", "ims-key")
    given = {re.sub(r"^--from-literal=(\S+?)=.*$", r"\1", word) for word in secret if word.startswith("--from-literal")}
    (example,) = [block.text for block in blocks(GUIDE, "yaml") if secret[4] in block.text]
    (tmp_path / "values.yaml").write_text(example)

    stateful_set = only(rendered("--values", str(tmp_path / "values.yaml")), "StatefulSet")
    (container,) = stateful_set["spec"]["template"]["spec"]["containers"]
    sources = [each["valueFrom"]["secretKeyRef"] for each in container["env"] if "secretKeyRef" in yaml.dump(each)]

    assert {source["name"] for source in sources} == {secret[4]}
    assert {source["key"] for source in sources if not source.get("optional")} == given


def test_build_arguments_are_those_of_the_dockerfile() -> None:
    """The build command sets only arguments that the Dockerfile declares."""
    declared = re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    given = [value.partition("=")[0] for value in options(one("docker", "build"), "--build-arg")]

    assert set(given) == {"VERSION", "REVISION"} <= set(declared)


@pytest.mark.process
def test_the_check_of_the_lock_detects_a_held_lock(tmp_path: Path) -> None:
    """The program in the guide fails while the ledger is locked, and succeeds afterwards."""
    program = one("exec", "python3")[-1].replace(LEDGER, str(tmp_path / "ledger.db"))
    lock = LedgerLock(str(tmp_path / "ledger.db"))

    lock.acquire("another pod")
    held = run_python(program)
    lock.release()
    free = run_python(program)

    assert "BlockingIOError" in held.stderr
    assert (held.returncode, free.returncode) == (1, 0)


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    """Runs a Python program of the guide."""
    return subprocess.run(  # noqa: S603 - from our own guide
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
