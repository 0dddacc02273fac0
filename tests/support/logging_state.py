"""Logging, put back as it was."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def restored_logging() -> Iterator[None]:
    """Undoes in the end what the block configures."""
    root, own = logging.root, logging.getLogger("exporter")
    handlers, levels = list(root.handlers), (root.level, own.level)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        own.setLevel(levels[1])
        structlog.reset_defaults()
