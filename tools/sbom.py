"""Writes the bill of materials (CycloneDX) of an installation: `python -m tools.sbom FOLDER`."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exporter import __version__
from tools.licences import licence
from tools.lock_files import FOLDER, PROJECT, Pin, dependencies, locked

LOCK = "kubernetes"
"""Lock with all packages; those that the lock `run` lacks are optional."""


def document(now: datetime) -> dict[str, Any]:
    """Returns the bill of materials: the exporter, every package in its locks, and their dependencies."""
    project = Pin(PROJECT, __version__)
    required, everything = locked("run"), locked(LOCK)
    purls = {pin.name: pin.purl for pin in (project, *everything)}
    direct = dependencies((FOLDER / f"{LOCK}.txt").read_text(encoding="utf-8"))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "authors": [{"name": "The IMS exporter maintainers"}],
            "component": {**_component(project, "Apache-2.0"), "type": "application"},
        },
        "components": [
            {**_component(pin, licence(pin.name)), "scope": "required" if pin in required else "optional"}
            for pin in everything
        ],
        "dependencies": [
            {"ref": purls[name], "dependsOn": sorted(purls[dependency] for dependency in names)}
            for name, names in sorted(direct.items())
        ],
    }


def _component(pin: Pin, expression: str) -> dict[str, Any]:
    marker = [{"name": "python:marker", "value": pin.marker}] if pin.marker else []
    return {
        "type": "library",
        "bom-ref": pin.purl,
        "name": pin.name,
        "version": pin.version,
        "licenses": [{"expression": expression}],
        "purl": pin.purl,
        **({"properties": marker} if marker else {}),
    }


def main() -> None:
    """Writes the bill into a folder and prints its path; SOURCE_DATE_EPOCH replaces the current time."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{PROJECT}.cdx.json"
    path.write_text(json.dumps(document(now), indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
