"""Wheel and source archive: their content, that the archive builds the same wheel, and that the wheel is complete."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter import __version__
from exporter.dashboards import dashboard_files
from exporter.rules import Thresholds, rule_files
from tests.support.real_servers import READY_SECONDS, poll
from tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.process

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME = f"ims_exporter-{__version__}"
LONGEST_SECONDS = 900
LISTENS = re.compile(r"event=listening url=(http://127\.0\.0\.1:\d+)")
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Returns the output of a command; fails with it if the command fails."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("IMS_", "PYTHON"))}
    done = subprocess.run(  # noqa: S603 - our own commands
        [str(part) for part in command],
        cwd=cwd,
        env=inherited,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def build(source: Path, target: Path) -> Path:
    """Builds both by the locked hatchling, as `make dist` does, and returns the folder."""
    run(sys.executable, "-m", "hatchling", "build", "-d", target, cwd=source)
    return target


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives the folder with wheel and source archive."""
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    """Gives the one wheel, for every system and Python."""
    (found,) = dist.glob("*.whl")
    assert found.name == f"{NAME}-py3-none-any.whl"
    return found


@pytest.fixture(scope="module")
def unpacked(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives the folder that the source archive holds."""
    folder = tmp_path_factory.mktemp("source")
    run("tar", "-xzf", dist / f"{NAME}.tar.gz", cwd=folder)
    return folder / NAME


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Yields the programs of an environment with the wheel and the locked packages, verified by hash."""
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    locked = ("--require-hashes", "--no-build-isolation", "--requirement", ROOT / "requirements" / "run.txt")
    run(*pip, "wheel", "--wheel-dir", folder / "wheels", *locked, cwd=folder)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(*pip, "--python", python, "install", "--no-index", "--no-deps", *(folder / "wheels").glob("*.whl"), wheel)
    return python.parent


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """The wheel has every file of the package, data files too, and no test, chart or tool."""
    files = {path for path in (ROOT / "exporter").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert held == {str(path.relative_to(ROOT)) for path in files}
    assert {Path(name).suffix for name in held} == {".py", ".typed", ".json", ".html", ".css"}


def test_the_wheel_tells_what_it_is(wheel: Path) -> None:
    """The wheel has the licence text, and the Python versions and requirements of the project."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{NAME}.dist-info/METADATA").decode()
        licence = archive.read(f"{NAME}.dist-info/licenses/LICENSE").decode()

    assert licence == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert f"\nVersion: {__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert re.findall(r"\]\((?!https://|#)[^)]*\)", metadata) == [], "relative links are dead outside the repository"
    links = re.findall(r"\]\(https://[^)#]*/ims-exporter/(?:blob|raw)/main/([^)#]+)", metadata)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
    plain = [line for line in metadata.splitlines() if line.startswith("Requires-Dist: ") and "extra ==" not in line]
    assert len(plain) == len(PROJECT["dependencies"])


def test_supported_versions_are_stated() -> None:
    """The project names the Python versions of CI, and this is one of them."""
    prefix = "Programming Language :: Python :: 3."
    named = [text.removeprefix(prefix) for text in PROJECT["classifiers"] if text.startswith(prefix)]

    assert tuple(f"3.{minor}" for minor in named) == SUPPORTED
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in SUPPORTED


def test_the_source_archive_is_the_checkout(unpacked: Path) -> None:
    """The archive holds what a build, the tests and an operator need; no environment, cache or ledger."""
    top = {path.name for path in unpacked.iterdir()}
    tests = {path.name for path in (ROOT / "tests").glob("*.py")}

    assert {"exporter", "tests", "requirements", "helm", "docs", "examples", "Makefile", "SECURITY.md"} <= top
    assert top & {".venv", ".git", ".pytest_cache", "dist"} == set()
    assert {path.name for path in (unpacked / "tests").glob("*.py")} == tests
    assert [path for path in unpacked.rglob("*") if path.suffix in {".pyc", ".db", ".db-wal"}] == []


def test_the_source_archive_gives_the_same_wheel(unpacked: Path, wheel: Path, tmp_path: Path) -> None:
    """A wheel built from the archive is the one built from the checkout, byte for byte."""
    build(unpacked, tmp_path)

    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_the_installed_wheel_writes_its_files(programs: Path, tmp_path: Path) -> None:
    """The installed wheel writes the rules and dashboards of the checkout."""
    command = programs / "ims-exporter"

    assert run(command, "--version", cwd=tmp_path) == f"ims-exporter {__version__}\n"
    run(command, "rules", tmp_path / "rules", cwd=tmp_path)
    run(command, "dashboards", tmp_path / "boards", cwd=tmp_path)

    assert {path.name: path.read_text() for path in (tmp_path / "rules").iterdir()} == rule_files(Thresholds())
    assert {path.name: path.read_text() for path in (tmp_path / "boards").iterdir()} == dashboard_files()


@pytest.fixture
def demo(programs: Path, tmp_path: Path) -> Iterator[str]:
    """Runs the installed demo until the test ends, and gives its address."""
    command = [str(programs / "ims-exporter"), "demo", "--listen-address=127.0.0.1:0", "--speed=20"]
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(  # noqa: S603 - our own
            command, cwd=tmp_path, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        found = poll(READY_SECONDS, lambda: LISTENS.search(log.read_text()), f"it listens; see {log}")
        assert found is not None
        yield found[1]
    finally:
        process.terminate()
        assert process.wait(READY_SECONDS) == 0


def test_the_installed_demo_is_scraped(demo: str) -> None:
    """The demo of the wheel, simulator and pages included, runs without the checkout."""

    def get(path: str) -> str:
        with urllib.request.urlopen(f"{demo}{path}", timeout=5) as answer:  # noqa: S310 - loopback
            return str(answer.read().decode())

    up = 'ims_exporter_target_up{account="demo",job_kind="smart",region_id="cn-shanghai"} 1.0'
    poll(READY_SECONDS, lambda: up in get("/metrics"), "a good poll")

    assert 'ims_jobs{account="demo"' in get("/metrics")
    assert "<html" in get("/")
