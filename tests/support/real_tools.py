"""The real Prometheus tools: found on PATH, else unpacked from the package sources of the machine.

The sources files of the machine say where packages come from and which keys sign them. Downloads are unpacked into a
cache, under a lock, so that parallel workers fetch each set once. `tests.support.prepare_tools` fetches everything.
"""

from __future__ import annotations

import fcntl
import functools
import os
import platform
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOOLS = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "amtool": ("amtool",),
}
"""Every tool, with the names of its program."""

NEWEST = ("sid", "trixie", "bookworm")
OLDEST = ("bookworm",)
"""Debian suites, in the order in which they are tried."""

PACKAGES = ("prometheus", "prometheus-alertmanager", "promtool")
"""In older suites the last one is part of the first one."""

APT = Path("/etc/apt")
CALL_SECONDS = 900
BUILT_IN_PATH = b"/usr/share/prometheus/alertmanager"
RELATIVE_PATH = b"usr/share/prometheus//alertmanager"
ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^]]*)]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$")


class ToolMissingError(Exception):
    """A tool is neither on PATH nor in the package sources of the machine."""


@dataclass(frozen=True, slots=True)
class Source:
    """A package source of the machine, and the key that signs it (empty for the trusted keys of the machine)."""

    uris: str
    signed_by: str

    def stanza(self, suite: str) -> str:
        """Returns the deb822 text of the same source for another suite."""
        text = f"Types: deb\nURIs: {self.uris}\nSuites: {suite}\nComponents: main\n"
        return f"{text}Signed-By: {self.signed_by}\n" if self.signed_by else text


def need(tool: str, suites: tuple[str, ...] = NEWEST) -> Path:
    """Returns the program of a tool; if it is missing, skips the test, or fails it under `CI=true`."""
    return required(find_once(tool, suites))


def required(found: Path | str) -> Path:
    """Returns a path that was found; given the reason why nothing was found, skips the test, or fails it in CI."""
    if isinstance(found, Path):
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(found)
    pytest.skip(found)


def find(tool: str, suites: tuple[str, ...] = NEWEST) -> Path:
    """Returns the program of a tool: PATH (unless an old suite is asked for), then cache, then packages."""
    on_path = [shutil.which(name) for name in TOOLS[tool]] if suites == NEWEST else []
    if there := next(filter(None, on_path), None):
        return Path(there)
    problems = []
    for suite in suites_of(machine(), suites):
        try:
            with exclusive(suite):
                return program(tool, cached(suite) or fetch(suite))
        except (ToolMissingError, OSError, subprocess.SubprocessError) as error:
            problems.append(f"{suite}: {said(error)}")
    raise ToolMissingError(f"{tool} is not on PATH and not in the package sources ({'; '.join(problems)})")


def suites_of(release: dict[str, str], suites: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the suites to try: Debian's own on Debian, elsewhere only the machine's."""
    return suites if release.get("ID") == "debian" else (release.get("VERSION_CODENAME", "stable"),)


def machine() -> dict[str, str]:
    """Returns the os-release of the system (`ID`, `VERSION_CODENAME`, ...); empty if there is none."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def sources(folder: Path, codename: str) -> list[Source]:
    """Returns the package sources of the system, from deb822 and one-line files."""
    deb822 = [Path(name).read_text() for name in sorted(folder.glob("sources.list.d/*.sources"))]
    files = [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]
    one_line = [Path(name).read_text() for name in files if name.is_file()]
    return [
        *(found for text in deb822 for found in _deb822(text, codename)),
        *(found for text in one_line for found in _one_line(text, codename)),
    ]


def _deb822(text: str, codename: str) -> list[Source]:
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    stanzas = [HeaderParser().parsestr(part.lstrip("\n")) for part in re.split(r"\n\s*\n", kept)]
    return [
        Source(stanza["URIs"], stanza.get("Signed-By", ""))
        for stanza in stanzas
        if stanza.get("Enabled", "yes") == "yes"
        and "deb" in stanza.get("Types", "").split()
        and codename in stanza.get("Suites", "").split()
        and "main" in stanza.get("Components", "").split()
    ]


def _one_line(text: str, codename: str) -> list[Source]:
    matches = [found for line in text.splitlines() if (found := ONE_LINE.match(line.strip()))]
    return [
        Source(found["uri"], dict(re.findall(r"([\w-]+)=(\S+)", found["options"] or "")).get("signed-by", ""))
        for found in matches
        if found["suite"] == codename and "main" in found["components"].split()
    ]


def cache_folder() -> Path:
    """Returns the folder of unpacked sets, in the cache of the user."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "ims-exporter" / "tools"


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Keeps other processes out of the block with the same name."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def apt_install(*packages: str) -> None:
    """Installs packages of the system; raises OSError or SubprocessError."""
    options = ["-q", "-y", "--no-install-recommends", "-oDPkg::Lock::Timeout=60"]
    with exclusive("apt"):
        call(["apt-get", "-q", "update"], Path("/"))
        call(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *options, "install", *packages], Path("/"))


def may_install() -> bool:
    """Whether the tests may install packages of the system: in CI only."""
    return os.environ.get("CI") == "true" and bool(shutil.which("apt-get"))


def cached(suite: str) -> Path | None:
    """Returns the newest unpacked set of packages of a suite, if there is one."""
    found = sorted(cache_folder().glob(f"{suite}_*"), key=lambda folder: folder.stat().st_mtime)
    return found[-1] if found else None


def fetch(suite: str) -> Path:
    """Downloads and unpacks the packages of a suite; their folder appears whole or not at all."""
    codename = machine().get("VERSION_CODENAME", "")
    own = sources(APT, codename)
    if not own or not shutil.which("apt-get"):
        raise ToolMissingError(f"{APT} has no package source for this system ({codename or 'no Debian'})")
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache_folder()) as scratch:
        packages = download(own[0].stanza(suite), Path(scratch))
        root = Path(scratch) / "root"
        for package in packages:
            call(["dpkg", "-x", str(package), str(root)], Path(scratch))
        relocate(root)
        check(root)
        versions = "_".join(package.name.split("_")[1] for package in packages[:2])
        return publish(root, cache_folder() / f"{suite}_{versions}")


def download(stanza: str, scratch: Path) -> list[Path]:
    """Downloads the packages to a scratch folder with its own package lists; the apt of the machine does not change."""
    for name in ("lists/partial", "cache/archives/partial"):
        (scratch / name).mkdir(parents=True)
    (scratch / "own.sources").write_text(stanza)
    settings = {
        "Dir::Etc::sourcelist": scratch / "own.sources",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": scratch / "lists",
        "Dir::Cache": scratch / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Retries": 2,
        "Acquire::http::Timeout": 20,
        "Acquire::https::Timeout": 20,
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in settings.items())]
    call([*apt, "--error-on=any", "update"], scratch)
    try:
        call([*apt, "download", *PACKAGES], scratch)
    except subprocess.CalledProcessError:
        call([*apt, "download", *PACKAGES[:-1]], scratch)
    return [path for name in PACKAGES for path in scratch.glob(f"{name}_*.deb")]


def relocate(root: Path) -> None:
    """Makes Debian's Alertmanager read its templates below the working directory instead of below /usr.

    The path is built into the program; the relative one is as long, so nothing else in it moves.
    """
    path = program("alertmanager", root)
    path.write_bytes(path.read_bytes().replace(BUILT_IN_PATH, RELATIVE_PATH))


def check(root: Path) -> None:
    """Runs every unpacked program, so that one built for a newer system is refused."""
    for tool in TOOLS:
        version(program(tool, root))


def program(tool: str, root: Path) -> Path:
    """Returns a tool's program in an unpacked set of packages."""
    paths = [root / "usr" / "bin" / name for name in TOOLS[tool]]
    found = [path for path in paths if path.is_file()]
    if not found:
        raise ToolMissingError(f"its packages hold no {tool}")
    return found[0]


def version(path: Path) -> str:
    """Returns the first line of a program's version."""
    told = call([str(path), "--version"], Path.cwd())
    return (told.stdout + told.stderr).splitlines()[0]


def publish(root: Path, folder: Path) -> Path:
    """Moves an unpacked set to its final name, unless another process has put one there."""
    try:
        return root.rename(folder)
    except OSError:
        if folder.is_dir():
            return folder
        raise


def call(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end; raises what subprocess does when it fails or takes too long."""
    return subprocess.run(  # noqa: S603 - fixed programs, no shell
        command, cwd=folder, check=True, capture_output=True, text=True, timeout=CALL_SECONDS
    )


def said(error: Exception) -> str:
    """Returns an error with the last line of stderr of the program, if there is one."""
    printed = str(getattr(error, "stderr", "") or "").strip().splitlines()
    return f"{error} {printed[-1] if printed else ''}".strip()


def path_or_problem(find: Callable[[], Path], name: str) -> Path | str:
    """Returns what `find` returns, or the message to print if a tool is missing."""
    try:
        return find()
    except (ToolMissingError, OSError, subprocess.SubprocessError) as error:
        return f"REAL TOOL MISSING: {name}: {said(error)}"


@functools.cache
def find_once(tool: str, suites: tuple[str, ...] = NEWEST) -> Path | str:
    """Returns the program of a tool, or what is missing; remembers both, so that nothing is searched for twice."""
    return path_or_problem(lambda: find(tool, suites), tool)
