"""The command `metrics`: prints the table of all metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.commands.output import print_line
from exporter.metrics.document import metrics_table

if TYPE_CHECKING:
    import argparse


def metrics_command(_: argparse.Namespace) -> bool:
    """Prints the table of all metrics, as in docs/metrics.md."""
    print_line(metrics_table())
    return True
