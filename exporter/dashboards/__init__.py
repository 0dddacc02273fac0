"""The bundled Grafana dashboards, JSON files of the package."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from exporter.rules import RUNBOOK_BASE_URL
from exporter.rules.text_files import write_texts

if TYPE_CHECKING:
    from pathlib import Path


def dashboard_files(runbook_base_url: str = RUNBOOK_BASE_URL) -> dict[str, str]:
    """Returns the text of each dashboard by its file name, with links to the runbooks at this base URL."""
    found = [entry for entry in files(__name__).iterdir() if entry.name.endswith(".json")]
    texts = {entry.name: entry.read_text(encoding="utf-8") for entry in sorted(found, key=lambda entry: entry.name)}
    return {name: text.replace(RUNBOOK_BASE_URL, runbook_base_url.rstrip("/")) for name, text in texts.items()}


def write_dashboards(folder: Path, texts: dict[str, str]) -> list[Path]:
    """Writes dashboards to a folder, creates the folder if it is missing, and returns the paths of the files."""
    return write_texts(folder, texts)
