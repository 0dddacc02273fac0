"""How an answer reaches the caller: as it should, or the way a fault says."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from exporter.simulator.answers import Answer
    from exporter.simulator.faults import Fault

_JSON = "application/json;charset=utf-8"
_CHUNK = b"x" * 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def deliver(request: web.Request, answer: Answer, fault: Fault | None) -> web.StreamResponse:
    """Sends the answer, bent by the fault if it is one of the wire."""
    bend = _BENDS.get(fault.kind) if fault else None
    if fault is None or bend is None:
        return _whole(answer)
    return await bend(request, answer, fault)


def _whole(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers={**answer.headers, "Content-Type": _JSON})


async def _cut(request: web.Request, answer: Answer, _fault: Fault) -> web.StreamResponse:
    response = await _begin(request, len(answer.body))
    await response.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def _garbage(_request: web.Request, _answer: Answer, fault: Fault) -> web.StreamResponse:
    return web.Response(status=fault.status or 200, text=fault.body, content_type="text/html")


async def _huge(request: web.Request, _answer: Answer, fault: Fault) -> web.StreamResponse:
    head, tail = b'{"RequestId": "', b'"}'
    left = max(fault.size - len(head) - len(tail), 0)
    response = await _begin(request, len(head) + left + len(tail))
    await response.write(head)
    while left:
        chunk = _CHUNK[:left]
        await response.write(chunk)
        left -= len(chunk)
    await response.write(tail)
    return response


async def _delay(_request: web.Request, answer: Answer, fault: Fault) -> web.StreamResponse:
    await asyncio.sleep(fault.seconds)
    return _whole(answer)


async def _hang(_request: web.Request, answer: Answer, _fault: Fault) -> web.StreamResponse:
    await asyncio.Event().wait()
    return _whole(answer)


async def _reset(request: web.Request, answer: Answer, _fault: Fault) -> web.StreamResponse:
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        request.transport.abort()
    return _whole(answer)


async def _begin(request: web.Request, length: int) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": _JSON})
    response.content_length = length
    await response.prepare(request)
    return response


_BENDS: dict[str, Callable[[web.Request, Answer, Fault], Awaitable[web.StreamResponse]]] = {
    "cut": _cut,
    "garbage": _garbage,
    "huge": _huge,
    "delay": _delay,
    "hang": _hang,
    "reset": _reset,
}
