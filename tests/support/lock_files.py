"""What a lock file holds: each package with its version, and where it is not for every system, for which."""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.repository import ROOT

FOLDER = ROOT / "requirements"
PIN = re.compile(r"^(?P<requirement>[A-Za-z0-9][^\\#\n]*==[^\\#\n]*?)\s*\\?$", re.MULTILINE)
VIA = re.compile(r"^    # +(?:via +)?(?P<name>[A-Za-z0-9._-]+)(?: \(pyproject\.toml\S*\))?$", re.MULTILINE)
OURS = "ims-exporter"


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """One package of a lock."""

    name: str
    version: str
    marker: str = ""
    """Empty for every system."""

    @property
    def purl(self) -> str:
        """The package's URL, as bills of materials name it."""
        return f"pkg:pypi/{self.name}@{self.version.replace('!', '%21')}"


def pins(text: str) -> tuple[Pin, ...]:
    """Returns the packages of a lock file's text, in its order."""
    return tuple(_pin(Requirement(found["requirement"])) for found in PIN.finditer(text))


def locked(*names: str) -> tuple[Pin, ...]:
    """Returns the packages of these lock files (`run`, `build`, ...), of all if none is named, each once."""
    paths = [FOLDER / f"{name}.txt" for name in names] or sorted(FOLDER.glob("*.txt"))
    return tuple(sorted({pin for path in paths for pin in pins(path.read_text(encoding="utf-8"))}))


def needs(text: str) -> dict[str, set[str]]:
    """Returns for each package of a lock file's text, and for the exporter itself, which others it brings."""
    found: dict[str, set[str]] = {OURS: set(), **{pin.name: set() for pin in pins(text)}}
    starts = list(PIN.finditer(text))
    for start, end in zip(starts, [*(each.start() for each in starts[1:]), len(text)], strict=True):
        for via in VIA.finditer(text, start.end(), end):
            if via["name"] != "via":
                found[canonicalize_name(via["name"])].add(_pin(Requirement(start["requirement"])).name)
    return found


def _pin(requirement: Requirement) -> Pin:
    (specifier,) = requirement.specifier
    return Pin(canonicalize_name(requirement.name), specifier.version, str(requirement.marker or ""))
