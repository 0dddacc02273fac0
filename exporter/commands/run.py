"""The command `run`: polls and serves until stopped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from exporter import app
from exporter.commands.startup import configure, on_signals
from exporter.config.load import load_settings
from exporter.config.sources import flags_of
from exporter.threads import run_detached

if TYPE_CHECKING:
    import argparse


def run_command(arguments: argparse.Namespace) -> bool:
    """Polls and serves until SIGTERM or SIGINT; SIGHUP reloads the configuration."""
    settings = configure(arguments)

    async def serve() -> None:
        await app.run(
            settings,
            os.environ,
            on_signals("SIGTERM", "SIGINT"),
            load=lambda: load_settings(flags_of(arguments), os.environ),
            hangup=on_signals("SIGHUP"),
        )

    run_detached(serve())
    return True
