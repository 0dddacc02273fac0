"""The command `rules`: writes the bundled Prometheus rules to a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.commands.output import write_files
from exporter.rules import (
    DASHBOARD_BASE_URL,
    EXPORTER_BASE_URL,
    RUNBOOK_BASE_URL,
    Thresholds,
    changed,
    listing,
    rule_files,
    write_rules,
)
from exporter.rules.options import base_url, matchers

if TYPE_CHECKING:
    from exporter.arguments import Parser


def add_rules_flags(parser: Parser) -> None:
    """Adds the flags of `rules`."""
    parser.add_argument("folder", type=Path, nargs="?", default=Path("rules"), help="where to write to (rules)")
    parser.add_argument(
        "--selector", default="", metavar="MATCHERS", help='label matchers of the scrape target: namespace="media"'
    )
    for page, default, text in (
        ("runbook", RUNBOOK_BASE_URL, "address of the runbooks, for runbook_url"),
        ("dashboard", DASHBOARD_BASE_URL, "address of the dashboards in Grafana, for dashboard_url"),
        ("exporter", EXPORTER_BASE_URL, "address of the exporter's pages for people, for failures_url"),
    ):
        parser.add_argument(f"--{page}-base-url", default=default, metavar="URL", help=f"{text} ({default})")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=NUMBER", help="change a threshold; can be repeated"
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"thresholds:\n{listing(Thresholds())}".replace("%", "%%")


def rules_command(arguments: argparse.Namespace) -> bool:
    """Writes the rule files, and prints their paths; False if they cannot be written."""
    files = rule_files(
        changed(Thresholds(), arguments.set),
        runbook_base_url=base_url("--runbook-base-url", arguments.runbook_base_url),
        dashboard_base_url=base_url("--dashboard-base-url", arguments.dashboard_base_url),
        exporter_base_url=base_url("--exporter-base-url", arguments.exporter_base_url),
        selector=matchers("--selector", arguments.selector),
    )
    return write_files(arguments.folder, lambda folder: write_rules(folder, files))
