"""Every file that a program writes: `python -m tools.generated` writes them, `... --check` tells which are stale."""

from __future__ import annotations

import sys
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING

import tools.dashboards.__main__ as dashboards
from exporter.commands.check import ram_policy
from exporter.config import document as settings_document
from exporter.metrics import document as metrics_document
from tools import alerts_document, chartfiles, licences

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]


def generated() -> dict[Path, str]:
    """Returns the text of every such file by its path."""
    boards = dashboards.built()
    return {
        ROOT / "docs" / "alerts.md": alerts_document.document(),
        ROOT / "docs" / "configuration.md": settings_document.configuration_document(),
        ROOT / "docs" / "licences.md": licences.document(),
        ROOT / "docs" / "metrics.md": metrics_document.document(),
        ROOT / "examples" / "ram-policy.json": f"{ram_policy()}\n",
        **{dashboards.PACKAGE / name: text for name, text in boards.items()},
        **chartfiles.chart_files(),
    }


def stale(files: Mapping[Path, str]) -> str:
    """Returns how the files differ from what they should be, nothing if they do not."""
    found: list[str] = []
    for path, text in files.items():
        name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        found += unified_diff(there.splitlines(True), text.splitlines(True), name, f"{name} as generated", n=1)
    return "".join(found)


def write(files: Mapping[Path, str]) -> None:
    """Writes the files that are stale."""
    for path, text in files.items():
        if stale({path: text}):
            path.write_text(text, encoding="utf-8")


def main() -> int:
    """Writes, or checks and returns 1 if a file is stale."""
    files = generated()
    if "--check" not in sys.argv[1:]:
        write(files)
        return 0
    difference = stale(files)
    sys.stdout.write(f"{difference}\nmake docs writes these files anew\n" if difference else "")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
