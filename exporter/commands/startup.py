"""The start of a command: its settings, its log, and the signals that it obeys."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from exporter.config.load import load_settings, undocumented_job_types
from exporter.config.sources import flags_of, unknown_variables
from exporter.logs import configure_logging

if TYPE_CHECKING:
    import argparse

    from exporter.config.settings import Settings


def configure(arguments: argparse.Namespace) -> Settings:
    """Loads the settings, configures the log, and logs a warning for each name that may be misspelt."""
    settings = load_settings(flags_of(arguments), os.environ)
    configure_logging(settings.log_level, settings.log_format)
    log = structlog.get_logger()
    for text in unknown_variables(os.environ):
        log.warning("unknown_variable", message=text)
    for text in undocumented_job_types(settings):
        log.warning("undocumented_job_type", message=text)
    return settings


def on_signals(*names: str) -> asyncio.Event:
    """Returns an event that each of these signals sets; ignores signals that the system does not have."""
    event = asyncio.Event()
    for name in names:
        with suppress(AttributeError, NotImplementedError):  # Windows: Ctrl+C raises KeyboardInterrupt
            asyncio.get_running_loop().add_signal_handler(getattr(signal, name), event.set)
            unblock(name)
    return event


def unblock(name: str) -> None:
    """Lets a signal through that was blocked, and that came meanwhile; ignores one that the system does not have."""
    with suppress(AttributeError):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {getattr(signal, name)})
