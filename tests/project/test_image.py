"""The image is built from the Dockerfile, and runs as users run it: unprivileged, on a read-only root."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from exporter.simulator.server import DEMO_KEY, Simulator
from tests.support.container_image import BASE, LIMITS, built_image, command, podman
from tests.support.real_servers import READY_SECONDS, poll
from tests.support.repository import ROOT
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.measurements import Measured

pytestmark = pytest.mark.tools

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
DOCUMENT = (ROOT / "docs" / "install-kubernetes.md").read_text(encoding="utf-8")
HARDENED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--no-healthcheck", *LIMITS)
LEDGER = "/var/lib/ims-exporter"
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """Yields the name of the image, built from the working tree."""
    with built_image() as name:
        yield name


@pytest.fixture(scope="module")
def config(image: str) -> Any:  # noqa: ANN401 - JSON
    """Returns the configuration of the image."""
    return json.loads(podman("image", "inspect", image))[0]


@contextmanager
def container(image: str, *arguments: str, options: tuple[str, ...] = ()) -> Iterator[str]:
    """Runs a container on the machine's network until the block ends."""
    name = podman("run", "--detach", "--network=host", *HARDENED, *options, image, *arguments).strip()
    try:
        yield name
    finally:
        podman("rm", "--force", "--time=0", name)


def logs(name: str) -> str:
    """Returns the output of a container, on both streams."""
    done = subprocess.run(  # noqa: S603 - a tool of our own choice
        command("logs", name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=True
    )
    return done.stdout


def address(name: str) -> str:
    """Waits until the exporter in a container listens, and returns its URL."""

    def look() -> str:
        text = logs(name)
        assert podman("inspect", "--format={{.State.Running}}", name).strip() == "true", text
        found = re.search(r"event=listening url=(http://127\.0\.0\.1:\d+)", text)
        return found[1] if found else ""

    return poll(READY_SECONDS, look, "an address")


def metrics(url: str) -> str:
    """Returns the exposition; empty if nothing answers."""
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:  # noqa: S310 - loopback
            return str(answer.read().decode())
    except OSError:
        return ""


def wait_for(url: str, *texts: str) -> None:
    """Waits until the exposition has these texts."""
    poll(READY_SECONDS, lambda: all(text in metrics(url) for text in texts), f"{texts} at {url}")


def size(image: str, path: str) -> float:
    """Returns the mebibytes that a folder of the image takes."""
    measured = podman("run", "--rm", "--network=none", "--entrypoint=du", *HARDENED, image, "-sxk", path)
    return int(measured.split()[0]) / 1024


def test_lint() -> None:
    """Hadolint finds nothing, and no rule is disabled."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(  # noqa: S603 - a tool of our own choice
        [str(hadolint), str(ROOT / "Dockerfile")], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "hadolint ignore" not in DOCKERFILE


def test_the_smoke_test_of_a_release(image: str) -> None:
    """The script of the release workflow accepts the image, and fails for one that does not poll."""
    environ = {**os.environ, "DOCKER": shlex.join(command())}
    script = [str(ROOT / ".ci" / "smoke-image"), image, *LIMITS, "--no-healthcheck"]
    good = subprocess.run(script, capture_output=True, text=True, timeout=300, check=False, env=environ)  # noqa: S603 - ours

    bad = subprocess.run(  # noqa: S603 - ours
        [*script, "--entrypoint=/bin/false"],
        capture_output=True, text=True, timeout=300, check=False, env=environ,
    )  # fmt: skip

    assert good.returncode == 0, good.stdout + good.stderr
    assert good.stdout.endswith(" polls\n")
    assert bad.returncode != 0


def test_base_image_can_be_chosen() -> None:
    """All stages begin with the build argument, whose default names no registry."""
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${BASE}"}
    assert re.search(r"^ARG BASE=python:3\.\d+-slim$", DOCKERFILE, re.MULTILINE)


def test_what_is_installed_is_locked() -> None:
    """Packages are installed by the hashes of the locks; the rest is installed without a network."""
    steps = re.findall(r"pip (?:--python \S+ )?(?:install|wheel) ([^&\n]+)", DOCKERFILE.replace("\\\n", ""))

    assert len(steps) == 4, steps
    assert all("--require-hashes" in step or "--no-index --no-deps" in step or "--no-deps --no-index" in step
               for step in steps)  # fmt: skip


def test_context_is_what_is_copied() -> None:
    """Only named files of the working tree get into the build."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    named = [line.removeprefix("!") for line in lines if line.startswith("!")]

    assert "*" in lines
    assert all((ROOT / name).exists() for name in named)
    assert not {".git", "tests", "helm"} & set(named)


def test_image_says_what_it_is(config: Any) -> None:  # noqa: ANN401 - JSON
    """User, entrypoint, volume, port, health check and labels are as documented."""
    assert config["Config"]["User"] == "65532:65532"
    assert config["Config"]["Entrypoint"] == ["ims-exporter"]
    assert config["Config"]["Volumes"] == {LEDGER: {}}
    assert config["Config"]["ExposedPorts"] == {"9912/tcp": {}}
    assert config["Healthcheck"]["Test"] == ["CMD", "ims-exporter", "health", "--pid", "1"]
    assert {"title", "description", "licenses", "source", "version", "revision"} <= {
        label.removeprefix("org.opencontainers.image.") for label in config["Labels"]
    }


def test_image_is_small(image: str, measured: Measured) -> None:
    """The exporter adds as much to its base as documented; the sizes are printed."""
    parts = {"base": size(image, "/usr"), "exporter and dependencies": size(image, "/opt/ims-exporter")}
    measured(f"{image}: {', '.join(f'{name} {mib:.0f} MiB' for name, mib in parts.items())}")

    (said,) = re.findall(r"(\d+) MB for the exporter and its dependencies", DOCUMENT)
    assert parts["exporter and dependencies"] == pytest.approx(int(said), rel=0.2)


def test_nothing_that_installs_is_left(image: str) -> None:
    """The image has neither pip nor build requirements."""
    listed = podman(
        "run", "--rm", "--network=none", "--entrypoint=sh", *HARDENED, image, "-c",
        "cd /opt/ims-exporter; ls bin lib/python3*/site-packages",
    )  # fmt: skip
    inside = {re.split(r"[-.\d]", name)[0] for name in listed.split()}

    assert {"exporter", "aiohttp"} <= inside
    assert not {"pip", "setuptools", "hatchling", "editables"} & inside


def test_demo_answers(image: str, config: Any) -> None:  # noqa: ANN401 - JSON
    """The demo shows jobs, is healthy by the health check of the image, and exits with 0 on SIGTERM."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with container(image, "demo", f"--listen-address=127.0.0.1:{port}") as name:
        url = address(name)
        wait_for(url, 'ims_exporter_target_up{account="demo"', 'ims_jobs{account="demo"')

        podman("exec", name, *config["Healthcheck"]["Test"][1:])
        with pytest.raises(AssertionError, match="connection attempts failed"):
            podman("exec", name, "ims-exporter", "health", "--url", "http://127.0.0.1:1")

        podman("stop", "--time=20", name)
        assert podman("inspect", "--format={{.State.ExitCode}}", name).strip() == "0"


def test_ledger_stays_on_its_volume(image: str) -> None:
    """A new container on the same volume continues with the ledger of the old one."""
    volume = "ims-exporter-test"
    simulator = Simulator()
    key = (f"--env=ALIBABA_CLOUD_ACCESS_KEY_ID={DEMO_KEY.key_id}",
           f"--env=ALIBABA_CLOUD_ACCESS_KEY_SECRET={DEMO_KEY.secret}")  # fmt: skip
    with running_simulators(simulator):
        command_line = ("run", "--region-id=cn-shanghai", f"--endpoint={simulator.url}", "--poll-interval-seconds=0.5",
                        "--listen-address=127.0.0.1:0")  # fmt: skip
        podman("volume", "rm", "--force", volume)
        options = (*key, f"--volume={volume}:{LEDGER}")
        inodes = []
        for _ in range(2):
            with container(image, *command_line, options=options) as name:
                url = address(name)
                wait_for(url, "\nims_exporter_target_up")
                inodes.append(podman("exec", name, "stat", "--format=%i %u", f"{LEDGER}/ledger.db").split())
                podman("stop", "--time=20", name)
        podman("volume", "rm", "--force", volume)

    assert inodes[0] == inodes[1]
    assert inodes[0][1] == "65532"


def test_base_is_the_stand_in() -> None:
    """The base of these tests is built on this machine, without a registry."""
    assert BASE.startswith("localhost/")
