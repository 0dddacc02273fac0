"""Writes the dashboards to the package: `python -m tools.dashboards`."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.dashboards.exporter_health import UID as EXPORTER
from tools.dashboards.exporter_health import exporter_health
from tools.dashboards.job_type import UID as TYPE
from tools.dashboards.job_type import job_type
from tools.dashboards.overview import UID as OVERVIEW
from tools.dashboards.overview import overview

PACKAGE = Path(__file__).parents[2] / "exporter" / "dashboards"


def built() -> dict[str, str]:
    """Returns the JSON of every dashboard by its file name."""
    boards = {OVERVIEW: overview, TYPE: job_type, EXPORTER: exporter_health}
    return {f"{uid}.json": build() for uid, build in boards.items()}


def main() -> None:
    """Writes every dashboard, and prints its path."""
    for name, text in built().items():
        (PACKAGE / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{PACKAGE / name}\n")


if __name__ == "__main__":
    main()
