"""The systemd unit: systemd accepts it, it is sandboxed, and the exporter has everything that it names."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from exporter.commands.cli import make_parser
from exporter.commands.run import run_command
from exporter.config.load import load_settings
from exporter.config.sources import unknown_variables
from exporter.ims.credentials import default_chain
from tests.support.repository import ROOT
from tests.support.systemd_tool import need_analyze

FOLDER = ROOT / "examples" / "systemd"
UNIT = FOLDER / "ims-exporter.service"
DEFAULT = FOLDER / "ims-exporter.default"
CONFIG = FOLDER / "config.yaml"
MOST_EXPOSED = 15
"""Maximum exposure in tenths; a service without any hardening has 96."""


def directives(section: str) -> list[tuple[str, str]]:
    """Returns names and values of a section of the unit, in order."""
    parts = re.split(r"^\[(\w+)\]$", UNIT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (body,) = [text for name, text in zip(parts[1::2], parts[2::2], strict=True) if name == section]
    return re.findall(r"^(\w+)=(.*)$", body, re.MULTILINE)


def values(name: str) -> list[str]:
    """Returns the values of a directive of the service."""
    return [value for each, value in directives("Service") if each == name]


def environment(credentials: Path) -> dict[str, str]:
    """Returns the variables that the unit sets, as systemd would for a system service."""
    pairs = (value.partition("=") for value in values("Environment"))
    return {name: text.replace("%S", "/var/lib").replace("%d", str(credentials)) for name, _, text in pairs}


def analyzed(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs systemd-analyze on the unit, whose program exists here."""
    (command,) = values("ExecStart")
    text = UNIT.read_text(encoding="utf-8").replace(command.split()[0], "/bin/true")
    (folder / UNIT.name).write_text(text, encoding="utf-8")
    return subprocess.run(  # noqa: S603 - a tool of our own choice
        [str(need_analyze()), *arguments, f"./{UNIT.name}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.tools
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """The real systemd accepts every line of the unit without a warning."""
    done = analyzed(tmp_path, "verify")

    said = [line for line in (done.stdout + done.stderr).splitlines() if UNIT.stem in line]
    assert (done.returncode, said) == (0, []), done.stderr


@pytest.mark.tools
def test_the_unit_is_shut_in(tmp_path: Path) -> None:
    """The real systemd rates the exposure of the service as low."""
    done = analyzed(tmp_path, "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}")

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
    ],
)
def test_what_must_not_be_loosened(name: str, value: str) -> None:
    """These hardening lines have these values."""
    assert values(name) == [value]


def test_only_the_calls_of_a_service_are_let_through() -> None:
    """Only system calls of unprivileged services are allowed; others fail and do not kill the process."""
    assert values("SystemCallFilter") == ["@system-service", "~@privileged @resources"]
    assert values("SystemCallErrorNumber") == ["EPERM"]


def test_the_command_is_one_that_the_exporter_has() -> None:
    """The unit starts `run` from the folder where the guide installs."""
    (command,) = values("ExecStart")
    program, *arguments = command.split()

    assert make_parser().parse_args(arguments).command is run_command
    assert program == "/opt/ims-exporter/bin/ims-exporter"


def test_the_settings_are_those_of_the_exporter(tmp_path: Path) -> None:
    """With the variables of the unit and the example file, the exporter has a target and a ledger."""
    variables = environment(tmp_path)
    (state,) = values("StateDirectory")

    settings = load_settings({"config": CONFIG}, variables)

    assert variables["IMS_EXPORTER_CONFIG"] == "/etc/ims-exporter/config.yaml"
    assert Path(settings.ledger_path).parent == Path("/var/lib") / state
    assert settings.listen_address.startswith("127.0.0.1:")
    assert unknown_variables(variables) == []
    assert len(settings.polled_targets) == 1
    assert "credentials" not in yaml.safe_load(CONFIG.read_text(encoding="utf-8"))


def test_the_key_is_found_where_systemd_puts_it(tmp_path: Path) -> None:
    """The credential that the unit loads is the file in which the default chain looks."""
    credential, *others = values("LoadCredential")
    variables = environment(tmp_path)

    _, path = default_chain.default_files(variables)

    assert path == tmp_path / credential
    assert others == ["ims-exporter.crt", "ims-exporter.key"]
    assert f"/etc/credstore/{credential}" in UNIT.read_text(encoding="utf-8")


def test_signals_and_time_are_those_of_the_exporter() -> None:
    """A reload is SIGHUP, and a stop has as much time as in the chart."""
    chart = yaml.safe_load((ROOT / "helm" / "ims-exporter" / "values.yaml").read_text(encoding="utf-8"))

    assert values("ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert values("TimeoutStopSec") == [str(chart["terminationGracePeriodSeconds"])]
    assert values("Type") == ["notify"]
    assert values("Restart") == ["always"]  # systemd takes an end by SIGHUP for a clean one


def test_the_variables_that_may_be_set_are_known(tmp_path: Path) -> None:
    """Every line of the file of variables is one that the exporter, or the default chain, reads."""
    text = DEFAULT.read_text(encoding="utf-8")
    pairs = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.MULTILINE))
    chain = {str(value) for name, value in vars(default_chain).items() if name.isupper()}

    assert values("EnvironmentFile") == ["-/etc/default/ims-exporter"]
    assert "/etc/default/ims-exporter" in text
    assert len(pairs) >= 5
    assert unknown_variables(pairs) == []
    assert {name for name in pairs if name.startswith("ALIBABA")} <= chain
    load_settings({"config": CONFIG}, environment(tmp_path) | pairs)
