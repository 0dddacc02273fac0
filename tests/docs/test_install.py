"""The commands of the installation guide work, in a separate folder and against the simulator."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from exporter import __version__
from exporter.commands.check import ram_policy
from exporter.config.load import load_settings
from exporter.dashboards import dashboard_files
from exporter.rules import RUNBOOK_BASE_URL
from exporter.simulator.server import Simulator
from tests.support.guides import DOCS, Shell, blocks, headings, scripts
from tests.support.real_servers import READY_SECONDS, poll
from tests.support.repository import ROOT
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUIDE = "install.md"
FOLLOWED = ("Build the wheels", "Install the wheels", "Configure", "Check", "Run", "Prometheus", "Grafana")
PROMETHEUS = "/etc/prometheus"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yields a simulator with one job."""
    simulator = Simulator()
    simulator.jobs.create("ASR")
    with running_simulators(simulator):
        yield simulator


def test_every_part_with_commands_is_run() -> None:
    """The test below runs every part of the guide that has commands."""
    assert headings(GUIDE) == set(FOLLOWED)


@pytest.mark.parametrize("guide", ["install.md", "upgrade.md", "troubleshooting.md"])
def test_every_block_has_a_known_language(guide: str) -> None:
    """A block is run by a test (`sh`), needs root, an account or a cluster (`console`), or is no command."""
    found = blocks(guide)
    consoles = [block.text for block in found if block.language == "console"]

    assert {block.language for block in found} <= {"sh", "console", "text", "yaml", "ini"}
    assert all(text.startswith("$ ") for text in consoles)


@pytest.mark.process
def test_the_guide_leads_to_a_running_exporter(tmp_path: Path, simulator: Simulator) -> None:
    """The commands of the guide install a running exporter whose target is up, its rules and its dashboards."""
    shell = Shell(tmp_path, environment={"IMS_EXPORTER_ENDPOINT": simulator.url})
    shell.environment["IMS_EXPORTER_LISTEN_ADDRESS"] = "127.0.0.1:0"
    shell.environment["ALIBABA_CLOUD_CLI_PROFILE_DISABLED"] = "true"  # the profile of this machine may have a key
    shell.check_out()
    wheels, install, configure, check, (run, look), rules, boards = (scripts(GUIDE, part) for part in FOLLOWED)

    shell.run(*wheels)
    assert f"ims-exporter {__version__}\n" in shell.run(*install)
    shell.run(*configure)
    assert (tmp_path / "etc/credstore/ims-exporter.ini").stat().st_mode & 0o077 == 0
    checked = shell.run(*check)
    assert "prod/cn-shanghai/smart: good\n" in checked
    assert "all targets" in checked
    with shell.running(run) as log:
        poll(READY_SECONDS, lambda: "event=poll" in log.read_text(), f"a poll; see {log}")
        seen = shell.run(look)
    shell.run(*rules)
    (tmp_path / "etc/prometheus/prometheus.yml").write_text(prometheus_config())
    loaded = shell.run(f"promtool check config {PROMETHEUS}/prometheus.yml")
    shell.run(*boards)

    assert seen.startswith("ok\n")
    assert 'ims_exporter_target_up{account="prod",job_kind="smart",region_id="cn-shanghai"} 1' in seen
    assert (tmp_path / "var/lib/ims-exporter/ledger.db").is_file()
    assert "rules found" in loaded
    assert {path.name for path in (tmp_path / "var/lib/grafana/dashboards/ims").iterdir()} == set(dashboard_files())


def prometheus_config() -> str:
    """Returns the Prometheus configuration in the guide."""
    (found,) = [block.text for block in blocks(GUIDE, "yaml") if block.heading == "Prometheus"]
    return found


def test_settings_in_the_guide_are_valid(tmp_path: Path) -> None:
    """The example with a role of another account is a complete configuration."""
    (example,) = [block.text for block in blocks(GUIDE, "yaml") if block.heading != "Prometheus"]
    (tmp_path / "config.yaml").write_text(example)

    settings = load_settings({"config": tmp_path / "config.yaml"}, {})

    assert [target.key.account for target in settings.polled_targets] == ["media"]


def test_the_policy_is_the_one_that_check_prints() -> None:
    """The guide grants the policy that `check` prints, and its role trusts ECS."""
    text = (DOCS / GUIDE).read_text(encoding="utf-8")
    (granted,) = re.findall(r'--PolicyDocument "\$\(cat (\S+)\)"', text)
    (trusted,) = re.findall(r"--AssumeRolePolicyDocument '([^']+)'", text)

    assert json.loads((ROOT / granted).read_text()) == json.loads(ram_policy())
    assert json.loads(trusted)["Statement"][0]["Principal"] == {"Service": ["ecs.aliyuncs.com"]}


def test_the_unit_uses_the_paths_of_the_guide() -> None:
    """The unit expects program, settings, key and ledger at the paths in the guide."""
    text = (DOCS / GUIDE).read_text(encoding="utf-8")
    copied = dict(re.findall(r"^(?:\$ install -m \d+|cp) (examples/systemd/\S+) (/etc/\S+)$", text, re.MULTILINE))
    unit = (ROOT / "examples" / "systemd" / "ims-exporter.service").read_text(encoding="utf-8")
    (program,) = re.findall(r"^ExecStart=(\S+)/bin/ims-exporter run$", unit, re.MULTILINE)
    credentials = re.findall(r"^LoadCredential=(\S+)$", unit, re.MULTILINE)
    settings = set(re.findall(r"^(?:Environment=IMS_EXPORTER_CONFIG|EnvironmentFile)=-?(\S+)$", unit, re.MULTILINE))

    assert sorted(copied) == sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/systemd/*"))
    assert settings == {path for path in copied.values() if not path.endswith("/")}
    assert f"python3 -m venv {program}\n" in text
    assert f"cat >/etc/credstore/{credentials[0]} <<" in text
    assert [name for name in credentials if f"/etc/credstore/{name}" not in text] == []
    assert "=%S/ims-exporter/ledger.db\n" in unit


def test_compose_passes_the_variables_in_the_guide() -> None:
    """The compose file passes every variable that the guide sets in `.env`."""
    compose = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    (block,) = blocks(GUIDE, "ini")
    named = re.findall(r"^(\w+)=", block.text, re.MULTILINE)

    assert len(named) == 5
    assert [name for name in named if not re.search(rf"(- |\{{){name}\b", compose)] == []


def test_the_readme_names_the_runbook_url() -> None:
    """The README names the default base URL of runbooks."""
    assert f"`{RUNBOOK_BASE_URL}`" in (ROOT / "README.md").read_text(encoding="utf-8")
