"""The bundled Grafana dashboards: JSON files that are part of the package."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def dashboard_files() -> dict[str, str]:
    """Returns the text of each dashboard by the name of its file."""
    found = [entry for entry in files(__name__).iterdir() if entry.name.endswith(".json")]
    return {entry.name: entry.read_text(encoding="utf-8") for entry in sorted(found, key=lambda entry: entry.name)}


def write_dashboards(folder: Path) -> list[Path]:
    """Writes the dashboards into a folder, which is made if missing, and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = dashboard_files()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
