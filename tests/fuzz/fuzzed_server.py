"""The real server on loopback in a thread, and the errors that it logs."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from exporter.errors import SettingsError
from exporter.jobs.snapshot import PollKey, TargetView
from exporter.web.connections import Limits
from tests.support.page_server import PageServer
from tests.support.rendered_page import PAGE_SETTINGS
from tests.support.scenarios import BUSY, DOWN, FAILED, KEY, NOW, UP

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_SECONDS = 10.0
LIMITS = Limits(head_seconds=2, response_seconds=2, idle_seconds=2)
VIEWS = (
    TargetView(KEY, replace(BUSY, failed_jobs=(FAILED, replace(FAILED, job_id="<u>'\"&", error_message="<i>"))), UP),
    TargetView(PollKey("<u>", "b", "smart"), None, DOWN),
)


class Errors(logging.Handler):
    """Records everything that is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record."""
        self.kept.append(self.format(record))


async def reload() -> None:
    """Reloads nothing."""


async def refuse_to_reload() -> None:
    """Refuses a reload, as for a bad configuration."""
    raise SettingsError("the configuration has a problem:\n  shard: must be a number")


@contextmanager
def fuzzed_server(*, refuses_reloads: bool = False, web_config_file: str = "") -> Iterator[tuple[PageServer, Errors]]:
    """Yields a running server, and the list of its errors, which must stay empty."""
    errors = Errors()
    server = PageServer(
        VIEWS,
        PAGE_SETTINGS,
        NOW,
        limits=LIMITS,
        reload=refuse_to_reload if refuses_reloads else reload,
        web_config_file=web_config_file,
    )
    logging.root.addHandler(errors)
    try:
        with server.running():
            yield server, errors
    finally:
        logging.root.removeHandler(errors)
