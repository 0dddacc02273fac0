"""What reads the requests of one connection: aiohttp's handler, within our limits and with our words."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from logging import Logger

    from exporter.web.connections import Limits

LINGERING_SECONDS = 2.0
"""So long aiohttp reads on, after an answer, what the client still sends of a request."""

MAX_HEADERS = 64


class DiscreetHandler(web.RequestHandler):
    """Refuses what is no proper HTTP without logging or repeating it, as it may hold a password."""

    answer_headers: Mapping[str, str] = {}

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Returns the answer to a request that cannot be read, or in which our own code has failed."""
        if status >= 500 or request.writer.output_size:  # noqa: PLR2004 - ours, not the client's
            response = super().handle_error(request, status, exc, message)
        else:
            response = web.Response(text="this is not HTTP/1.1 as it is taken here\n", status=status)
            response.force_close()
        response.headers.update(self.answer_headers)
        return response


def handler_factory(
    server: web.Server, limits: Limits, answer_headers: Mapping[str, str]
) -> Callable[[], web.RequestHandler]:
    """Returns what makes the handler of a new connection."""

    def make() -> web.RequestHandler:
        handler = DiscreetHandler(
            server,
            loop=asyncio.get_running_loop(),
            access_log=cast("Logger", None),  # as the runner passes it for none
            keepalive_timeout=limits.idle_seconds,
            lingering_time=LINGERING_SECONDS,
            max_headers=MAX_HEADERS,
            auto_decompress=False,  # no body is looked at, and a damaged one would be logged as our fault
        )
        handler.answer_headers = answer_headers
        return handler

    return make
