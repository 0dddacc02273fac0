"""The command `once`: polls every target one time and prints the metrics."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from exporter.app import assembled
from exporter.commands.output import print_line
from exporter.commands.startup import configure
from exporter.metrics.exposition import TEXT
from exporter.polling.ledger.store import IN_MEMORY
from exporter.threads import run_detached

if TYPE_CHECKING:
    import argparse


def once_command(arguments: argparse.Namespace) -> bool:
    """Polls every target, stores the polls in the ledger, and prints the metrics; False if a poll failed."""
    settings = configure(arguments)
    path = str(Path(settings.ledger_path).absolute())

    async def poll() -> bool:
        async with assembled(settings, os.environ) as app:
            if settings.ledger_path != IN_MEMORY:  # the user may not expect that the command writes a file
                structlog.get_logger().info("ledger", path=path, hint=f"--ledger-path {IN_MEMORY} stores nothing")
            await asyncio.gather(*(worker.poller.run() for worker in app.workers))
            print_line(app.exposition.page(TEXT).decode().removesuffix("\n"))
            return all(worker.poller.view.health.up for worker in app.workers)

    return run_detached(poll())
