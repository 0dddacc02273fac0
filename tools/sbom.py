"""The bill of materials (CycloneDX) of what an installation holds: `python -m tools.sbom FOLDER` writes it there."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exporter import __version__
from tests.support.lock_files import FOLDER, OURS, Pin, locked, needs
from tools.licences import licence

LOCK = "kubernetes"
"""The one with everything: what `run` has not is optional."""


def document(now: datetime) -> dict[str, Any]:
    """Returns the bill: the exporter, every package that its locks allow it to run with, and which brings which."""
    us = Pin(OURS, __version__)
    required, everything = locked("run"), locked(LOCK)
    purls = {pin.name: pin.purl for pin in (us, *everything)}
    edges = needs((FOLDER / f"{LOCK}.txt").read_text(encoding="utf-8"))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "authors": [{"name": "The IMS exporter maintainers"}],
            "component": {**_component(us, "Apache-2.0"), "type": "application"},
        },
        "components": [
            {**_component(pin, licence(pin.name)), "scope": "required" if pin in required else "optional"}
            for pin in everything
        ],
        "dependencies": [
            {"ref": purls[name], "dependsOn": sorted(purls[each] for each in brought)}
            for name, brought in sorted(edges.items())
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
    """Writes the bill into a folder, dated by SOURCE_DATE_EPOCH if that is set, and prints its path."""
    told = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(told), UTC) if told else datetime.now(UTC)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{OURS}.cdx.json"
    path.write_text(json.dumps(document(now), indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
