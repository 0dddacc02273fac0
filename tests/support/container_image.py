"""Real images without a registry: podman, and a Debian with Python in place of the official base image."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.real_tools import (
    APT,
    ToolMissingError,
    apt_install,
    cache_folder,
    call,
    exclusive,
    machine,
    may_install,
    path_or_problem,
    publish,
    required,
    sources,
)
from tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAMS = ("podman", "runc", "debootstrap")
SUITE = "trixie"
BASE = f"localhost/python-of-{SUITE}"
IMAGE = "localhost/ims-exporter:test"
BUILD_SECONDS = 1200
STATE = Path("/run/ims-exporter-tests")
"""State of podman until the next boot; it needs a short path."""

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
LIMITS = ("--ulimit=nofile=20000:20000", "--ulimit=nproc=32768:32768")
"""Below the limits of this process, which podman would request in vain."""


@contextmanager
def built_image() -> Iterator[str]:
    """Builds the image, yields its name, and keeps other processes out of the store until the block ends.

    Where there are no tools the test is skipped, or fails in CI. What a run that was killed left in the store goes.
    """
    base = required(find_base_once())
    with exclusive("containers"):
        podman("rm", "--all", "--force", "--time=0")
        podman("import", str(base), BASE)
        podman("build", "--isolation=chroot", "--network=host", "--format=docker", f"--build-arg=BASE={BASE}",
               f"--tag={IMAGE}", str(ROOT))  # fmt: skip
        podman("image", "prune", "--force", "--external")
        yield IMAGE


def podman(*arguments: str, timeout: float = BUILD_SECONDS) -> str:
    """Returns the output of podman; fails the test with its message if it fails."""
    done = subprocess.run(  # noqa: S603 - a tool of our own choice
        command(*arguments), capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"podman {arguments[0]}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


def command(*arguments: str) -> Sequence[str]:
    """Returns the command line of podman, with a store in the cache."""
    store = cache_folder() / "containers"
    options = ("--storage-driver=overlay", "--events-backend=file", "--runtime=runc", "--cgroup-manager=cgroupfs")
    return ["podman", f"--root={store}", f"--runroot={STATE}", *options, *arguments]


def find_base() -> Path:
    """Returns the archive of the base image, built once; raises ToolMissingError, OSError or SubprocessError."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise ToolMissingError("images are built by root only")
    _install_programs()
    folder = cache_folder() / f"base_{SUITE}"
    with exclusive(folder.name):
        return (folder if folder.is_dir() else make_base(folder)) / "base.tar"


def make_base(folder: Path) -> Path:
    """Builds a minimal Debian with Python from the package sources of the machine; appears complete or not at all."""
    own = sources(APT, machine().get("VERSION_CODENAME", ""))
    if machine().get("ID") != "debian" or not own:
        raise ToolMissingError("the base image is made of Debian's packages, and this is no Debian")
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache_folder()) as name:
        system, made = Path(name) / "system", Path(name) / "made"
        made.mkdir()
        packages = "--include=python3-venv,python3-pip,ca-certificates"
        call(["debootstrap", "--variant=minbase", packages, SUITE, str(system), own[0].uris.split()[0]], Path(name))
        _suit(system)
        skipped = [f"--exclude=./{part}/*" for part in ("proc", "sys", "dev", "var/cache/apt", "var/lib/apt/lists")]
        call(["tar", "-C", str(system), *skipped, "-cf", str(made / "base.tar"), "."], Path(name))
        return publish(made, folder)


def _suit(system: Path) -> None:
    """Allows pip to install into the base, from the index of the machine."""
    for marker in system.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    if CERTIFICATES.is_file():
        inside = system / CERTIFICATES.relative_to("/")
        shutil.copyfile(CERTIFICATES, inside)
        (system / "etc" / "pip.conf").write_text(f"[global]\ncert = {CERTIFICATES}\n", encoding="utf-8")


def _install_programs() -> None:
    """Installs missing programs in CI; elsewhere raises ToolMissingError with their names."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing and not may_install():
        raise ToolMissingError(f"install {' '.join(missing)}")
    if missing:
        apt_install(*missing)


@functools.cache
def find_base_once() -> Path | str:
    """Returns the archive of the base image, or what is missing; remembers both."""
    return path_or_problem(find_base, "container images")
