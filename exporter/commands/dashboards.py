"""The command `dashboards`: writes the bundled Grafana dashboards to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from exporter.commands.output import write_files
from exporter.dashboards import dashboard_files, write_dashboards
from exporter.rules import RUNBOOK_BASE_URL
from exporter.rules.options import base_url

if TYPE_CHECKING:
    import argparse

    from exporter.arguments import Parser


def add_dashboards_flags(parser: Parser) -> None:
    """Adds the flags of `dashboards`."""
    folder = Path("dashboards")
    parser.add_argument("folder", type=Path, nargs="?", default=folder, help=f"where to write to ({folder})")
    text = f"address of the runbooks, for the links of the panels ({RUNBOOK_BASE_URL})"
    parser.add_argument("--runbook-base-url", default=RUNBOOK_BASE_URL, metavar="URL", help=text)


def dashboards_command(arguments: argparse.Namespace) -> bool:
    """Writes the dashboards, and prints their paths; False if they cannot be written."""
    texts = dashboard_files(base_url("--runbook-base-url", arguments.runbook_base_url))
    return write_files(arguments.folder, lambda folder: write_dashboards(folder, texts))
