"""Reads the lock files in `requirements/`: every package with its version and the systems it is for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).parents[1] / "requirements"
PIN = re.compile(r"^(?P<requirement>[A-Za-z0-9][^\\#\n]*==[^\\#\n]*?)\s*\\?$", re.MULTILINE)
VIA = re.compile(r"^    # +(?:via +)?(?P<name>[A-Za-z0-9._-]+)(?: \(pyproject\.toml\S*\))?$", re.MULTILINE)
PROJECT = "ims-exporter"


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """One package of a lock."""

    name: str
    version: str
    marker: str = ""
    """Condition on the system, such as `sys_platform == "win32"`; empty for every system."""

    @property
    def purl(self) -> str:
        """Package URL, which identifies a package in bills of materials."""
        return f"pkg:pypi/{self.name}@{self.version.replace('!', '%21')}"


def pins(text: str) -> tuple[Pin, ...]:
    """Returns the packages of a lock file in their order."""
    return tuple(_pin(Requirement(found["requirement"])) for found in PIN.finditer(text))


def locked(*names: str) -> tuple[Pin, ...]:
    """Returns the packages of the named lock files (`run`, `build`, ...), or of all files, without duplicates."""
    paths = [FOLDER / f"{name}.txt" for name in names] or sorted(FOLDER.glob("*.txt"))
    return tuple(sorted({pin for path in paths for pin in pins(path.read_text(encoding="utf-8"))}))


def dependencies(text: str) -> dict[str, set[str]]:
    """Returns the direct dependencies of the exporter and of every package in a lock file."""
    found: dict[str, set[str]] = {PROJECT: set(), **{pin.name: set() for pin in pins(text)}}
    starts = list(PIN.finditer(text))
    ends = [*(start.start() for start in starts[1:]), len(text)]
    for start, end in zip(starts, ends, strict=True):
        for via in VIA.finditer(text, start.end(), end):
            if via["name"] != "via":
                found[canonicalize_name(via["name"])].add(_pin(Requirement(start["requirement"])).name)
    return found


def _pin(requirement: Requirement) -> Pin:
    (specifier,) = requirement.specifier
    return Pin(canonicalize_name(requirement.name), specifier.version, str(requirement.marker or ""))
