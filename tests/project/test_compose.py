"""The compose file names existing files, and its servers accept their configuration."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.commands.cli import main, make_parser
from exporter.rules import DASHBOARD_BASE_URL, EXPORTER_BASE_URL
from tests.support.dashboard_queries import boards
from tests.support.real_tools import need
from tests.support.repository import ROOT

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
GRAFANA = ROOT / "examples" / "compose" / "grafana"
DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")

each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def mounts(name: str) -> dict[str, str]:
    """Returns the mounts of a service, by path in the container."""
    parts = [DEFAULT.sub(r"\1", text).split(":") for text in SERVICES[name].get("volumes", [])]
    return {part[1]: part[0] for part in parts}


def checked(tool: str, *arguments: str) -> None:
    """Runs a tool; fails with its output if it fails."""
    done = subprocess.run(  # noqa: S603 - a tool of our own choice
        [str(need(tool)), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def written(folder: Path, service: str) -> Path:
    """Runs the command of a service that writes files, with a folder in place of its volume."""
    command, target = SERVICES[service]["command"]
    assert list(mounts(service)) == [target]
    with pytest.raises(SystemExit) as ended:
        main([command, str(folder)])
    assert ended.value.code == 0
    return folder


@each_service
def test_what_is_mounted_exists(name: str) -> None:
    """Every mount is a file or folder of the repository, or a volume that the file declares."""
    for source in mounts(name).values():
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


@each_service
def test_images_can_be_replaced(name: str) -> None:
    """Every image has a default, with a version, and a variable that replaces it."""
    assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[a-z/-]+:[\w.]+\}", SERVICES[name]["image"])


@each_service
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    """Every port is bound to loopback."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_the_exporter_runs_the_demo_unless_told_otherwise() -> None:
    """The default command is one that the exporter has, and needs no account."""
    (command,) = SERVICES["exporter"]["command"]

    assert make_parser().parse_args([DEFAULT.sub(r"\1", command)]).command.__name__ == "demo_command"


def test_the_ledger_is_on_a_volume_that_its_user_owns() -> None:
    """The volume is at the folder of the image, whose owner a new volume takes over, so nothing needs root."""
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (folder,) = re.findall(r"^VOLUME (\S+)$", image, re.MULTILINE)
    (owner,) = re.findall(rf"^COPY .*--chown=(\S+) \S+ {folder}$", image, re.MULTILINE)
    (ledger,) = re.findall(r"IMS_EXPORTER_LEDGER_PATH=(\S+)", image)
    exporter = SERVICES["exporter"]

    assert mounts("exporter") == {folder: "ledger"}
    assert Path(ledger).parent == Path(folder)
    assert re.findall(r"^USER (\S+)$", image, re.MULTILINE) == [owner]
    assert "user" not in exporter
    assert not [each for each in exporter["environment"] if "LEDGER_PATH" in each]


@pytest.mark.tools
def test_prometheus_accepts_its_configuration_and_rules(tmp_path: Path) -> None:
    """The real promtool accepts the configuration that is mounted, with the rules that the stack writes."""
    mounted = mounts("prometheus")
    folder = tmp_path / "etc"
    assert mounted["/etc/prometheus/rules"] == mounts("rules")["/rules"]
    rules = written(folder / "rules", "rules")
    shutil.copy(ROOT / mounted["/etc/prometheus/prometheus.yml"], folder)

    checked("promtool", "check", "config", "--lint=all", "--lint-fatal", str(folder / "prometheus.yml"))
    assert list(rules.glob("*.rules.yaml"))


@pytest.mark.tools
def test_alertmanager_accepts_its_configuration() -> None:
    """The real amtool accepts the configuration that is mounted."""
    checked("amtool", "check-config", str(ROOT / mounts("alertmanager")["/etc/alertmanager"] / "alertmanager.yml"))


def test_grafana_finds_dashboards_and_servers(tmp_path: Path) -> None:
    """Grafana is provisioned with the dashboards that the stack writes, and with the servers that it runs."""
    mounted = mounts("grafana")
    (provider,) = yaml.safe_load((GRAFANA / "dashboards" / "dashboards.yaml").read_text())["providers"]
    sources = yaml.safe_load((GRAFANA / "datasources" / "datasources.yaml").read_text())["datasources"]
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])

    assert mounted["/etc/grafana/provisioning"] == f"./{GRAFANA.relative_to(ROOT)}"
    assert mounted[provider["options"]["path"]] == mounts("dashboards")["/dashboards"]
    assert {path.name for path in written(tmp_path, "dashboards").iterdir()} == set(boards())
    assert home.name in boards()
    assert {source["url"] for source in sources} == {"http://prometheus:9090", "http://alertmanager:9093"}


def test_links_lead_to_the_stack() -> None:
    """The default links of rules and dashboards lead to servers of the stack."""
    ports = [port.split(":")[1] for name in ("grafana", "exporter") for port in SERVICES[name]["ports"]]

    assert [f"http://localhost:{ports[0]}/d", f"http://localhost:{ports[1]}"] == [DASHBOARD_BASE_URL, EXPORTER_BASE_URL]


def test_scrape_intervals_agree() -> None:
    """Grafana makes its rate windows from the interval at which Prometheus scrapes the exporter's own port."""
    prometheus = yaml.safe_load((ROOT / mounts("prometheus")["/etc/prometheus/prometheus.yml"]).read_text())
    (source, _) = yaml.safe_load((GRAFANA / "datasources" / "datasources.yaml").read_text())["datasources"]
    (job,) = prometheus["scrape_configs"]
    port = SERVICES["exporter"]["ports"][0].rsplit(":", 1)[1]

    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    assert job["static_configs"] == [{"targets": [f"exporter:{port}"]}]
