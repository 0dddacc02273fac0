"""The code blocks of a guide by heading, and a shell that runs them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.simulator.server import DEMO_KEY
from tests.support.real_servers import READY_SECONDS, poll
from tests.support.real_tools import need
from tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCS = ROOT / "docs"
PARTS = re.compile(r"^#+ (?P<heading>[^\n]+)$|^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FOLDERS = re.compile(r"(?<![\w.])/(?:etc|opt|var)/")
LISTENS = re.compile(r"event=listening url=http://(127\.0\.0\.1:\d+)")
SOURCES = ("exporter", "requirements", "examples", "LICENSE", "README.md", "hatch_build.py", "pyproject.toml")
LONGEST_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: a test runs `sh`; `console` needs root, an account or a cluster; others are texts."""

    heading: str
    language: str
    text: str


def blocks(guide: str, language: str = "") -> list[Block]:
    """Returns the blocks of a guide in order, all of them or those in one language."""
    found: list[Block] = []
    heading = ""
    for part in PARTS.finditer((DOCS / guide).read_text(encoding="utf-8")):
        heading = part["heading"] or heading
        if part["text"] is not None and language in {"", part["language"]}:
            found.append(Block(heading, part["language"], part["text"]))
    return found


def scripts(guide: str, heading: str) -> list[str]:
    """Returns the blocks of commands under one heading."""
    found = [block.text for block in blocks(guide, "sh") if block.heading == heading]
    assert found, f"{guide} has no commands under {heading}"
    return found


def headings(guide: str) -> set[str]:
    """Returns the headings that have commands."""
    return {block.heading for block in blocks(guide, "sh")}


@dataclass(slots=True)
class Shell:
    """A shell in a checkout of its own; /etc, /opt and /var are folders next to it, and exported variables stay."""

    folder: Path
    address: str = "localhost:9912"
    """The address that replaces localhost:9912."""
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("IMS_", "ALIBABA_"))}
        programs = self.folder / "programs"
        for part in (programs, self.checkout, self.folder / "etc", self.folder / "opt", self.folder / "var"):
            part.mkdir(parents=True, exist_ok=True)
        (programs / "python3").symlink_to(sys.executable)
        (programs / "promtool").symlink_to(need("promtool"))
        path = f"{programs}{os.pathsep}{inherited['PATH']}"
        self.environment = {**inherited, "PATH": path, "NO_PROXY": "127.0.0.1", **self.environment}

    @property
    def checkout(self) -> Path:
        """The working directory of the commands."""
        return self.folder / "checkout"

    def check_out(self) -> None:
        """Copies the files of this checkout that the commands need."""
        for name in SOURCES:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, self.checkout / name)

    def run(self, *commands: str) -> str:
        """Returns the output of the commands; fails with it if a command fails."""
        kept = self.folder / "environment"
        text = "\n".join((*map(self._here, commands), f"env -0 >'{kept}'"))
        done = subprocess.run(  # noqa: S603 - out of our own guides
            ["bash", "-euo", "pipefail", "-c", text],  # noqa: S607 - the one on PATH
            cwd=self.checkout,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}"
        pairs = (pair.partition("=") for pair in kept.read_text().split("\0") if pair)
        self.environment = {name: value for name, _, value in pairs}
        return done.stdout

    @contextmanager
    def running(self, commands: str) -> Iterator[Path]:
        """Runs commands, the last of which is an exporter, until the block ends; yields its log."""
        log = self.folder / "exporter.log"
        with log.open("w") as out:
            process = subprocess.Popen(  # noqa: S603 - out of our own guides
                ["bash", "-euo", "pipefail", "-c", self._here(commands)],  # noqa: S607 - the one on PATH
                cwd=self.checkout,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.address = poll(READY_SECONDS, lambda: _address(process, log), f"it listens; see {log}")
            yield log
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(READY_SECONDS)

    def _here(self, commands: str) -> str:
        """Returns the commands with the folders, address and key of this shell."""
        text = FOLDERS.sub(lambda found: f"{self.folder}{found[0]}", commands)
        for documented, real in (
            ("localhost:9912", self.address),
            ("your-key-id", DEMO_KEY.key_id),
            ("your-key-secret", DEMO_KEY.secret),
        ):
            text = text.replace(documented, real)
        return text


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    text = log.read_text()
    assert process.poll() is None, text
    found = LISTENS.search(text)
    return found[1] if found else ""
