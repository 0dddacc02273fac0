"""Writes every generated file of the repository: `python -m tools.generated`; `--check` only reports stale files."""

from __future__ import annotations

import sys
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING

import tools.dashboards.__main__ as dashboards
from exporter.commands.check import ram_policy
from exporter.config import document as settings_document
from exporter.metrics import document as metrics_document
from tools import alerts_document, licences
from tools.chart.files import chart_files

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]


def generated() -> dict[Path, str]:
    """Returns the text of every generated file by its path."""
    boards = dashboards.built()
    return {
        ROOT / "docs" / "alerts.md": alerts_document.document(),
        ROOT / "docs" / "configuration.md": settings_document.configuration_document(),
        ROOT / "docs" / "licences.md": licences.document(),
        ROOT / "docs" / "metrics.md": metrics_document.document(),
        ROOT / "examples" / "ram-policy.json": f"{ram_policy()}\n",
        **{dashboards.PACKAGE / name: text for name, text in boards.items()},
        **chart_files(),
    }


def stale(files: Mapping[Path, str]) -> str:
    """Returns the difference between the files on disk and their generated texts; empty if there is none."""
    found: list[str] = []
    for path, text in files.items():
        name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
        on_disk = path.read_text(encoding="utf-8") if path.exists() else ""
        found += unified_diff(on_disk.splitlines(True), text.splitlines(True), name, f"{name} as generated", n=1)
    return "".join(found)


def write(files: Mapping[Path, str]) -> None:
    """Writes the files that are stale."""
    for path, text in files.items():
        if stale({path: text}):
            path.write_text(text, encoding="utf-8")


def main() -> int:
    """Writes the stale files; with `--check`, prints the differences and returns 1 if there are any."""
    files = generated()
    if "--check" not in sys.argv[1:]:
        write(files)
        return 0
    difference = stale(files)
    sys.stdout.write(f"{difference}\nthese files are stale: run `make docs`\n" if difference else "")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
