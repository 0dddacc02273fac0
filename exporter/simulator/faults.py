"""Faults: which calls they strike, how often, and how they change the answer on its way to the caller."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from exporter.jobs.kinds import KINDS

if TYPE_CHECKING:
    from exporter.simulator.answers import Answer

FAULT_KINDS = {
    "throttle": "an error answer, HTTP 400 Throttling.User unless `status` and `code` say otherwise",
    "fail": "an error answer, HTTP 500 InternalError; with `status` 503 ServiceUnavailable",
    "cut": "the true answer, but the connection ends in the middle of the body",
    "garbage": "`body` in place of the answer, with HTTP 200 or `status`",
    "huge": "an answer of `size` bytes",
    "delay": "the true answer, `seconds` late",
    "hang": "no answer ever",
    "reset": "the connection is reset before an answer",
    "duplicate": "every row of a page comes twice",
    "stuck": "the first page comes again and again, each time with a NextToken",
    "expire": "a NextToken is refused as expired",
}
"""The kinds of faults, and the answer that the caller gets."""

_LIST_ACTIONS = {kind.action for kind in KINDS.values()}
_FAULTS_OF_LISTS = {"duplicate", "stuck", "expire"}
_JSON = "application/json;charset=utf-8"
_CHUNK = b"x" * 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_ERRORS = {
    ("throttle", 0): (400, "Throttling.User", "Request was denied due to user flow control."),
    ("throttle", 429): (429, "Throttling", "Request was denied due to request throttling."),
    ("throttle", 503): (503, "Throttling.Api", "Request was denied due to api flow control."),
    ("fail", 0): (500, "InternalError", "The request processing has failed due to some unknown error."),
    ("fail", 503): (
        503,
        "ServiceUnavailable",
        "The request has failed due to a temporary failure of the server.",
    ),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; an empty `action` or `key_id` means every one.

    Of the calls it matches, the first `skip` pass; of the `calls` that follow (all, if None) each is struck
    with `probability`, until `count` (if not None) have been struck.
    """

    kind: str
    action: str = ""
    key_id: str = ""
    probability: float = 1.0
    skip: int = 0
    calls: int | None = None
    count: int | None = None
    status: int = 0
    code: str = ""
    message: str = ""
    retry_after: float | None = None
    seconds: float = 1.0
    size: int = 64 * 1024 * 1024
    body: str = "<html><body>502 Bad Gateway</body></html>"

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"unknown kind of fault {self.kind!r}; there are {', '.join(FAULT_KINDS)}")

    def matches(self, action: str, key_id: str, *, paging: bool) -> bool:
        """Whether the fault may strike such a call; a `paging` call carries a page token."""
        if self.kind in _FAULTS_OF_LISTS and action not in _LIST_ACTIONS:
            return False
        if self.kind == "expire" and not paging:
            return False
        return self.action in {"", action} and self.key_id in {"", key_id}

    def error(self) -> tuple[int, str, str]:
        """Returns HTTP status, code and message of an error answer."""
        status, code, message = _ERRORS.get((self.kind, self.status), _ERRORS[self.kind, 0])
        return self.status or status, self.code or code, self.message or message


class Faults:
    """The active faults; with the same seed and calls, the same faults strike."""

    def __init__(self, seed: int = 0) -> None:
        self.struck: Counter[str] = Counter()
        """Calls struck, by kind."""
        self._random = random.Random(seed)
        self._armed: list[_Armed] = []

    def add(self, fault: Fault) -> None:
        """Adds a fault behind the others; the first one that strikes a call is the only one."""
        self._armed.append(_Armed(fault))

    def clear(self) -> None:
        """Removes all faults."""
        self._armed.clear()

    def strike(self, action: str, key_id: str = "", *, paging: bool = False) -> Fault | None:
        """Returns the fault that strikes this call, or None."""
        for armed in self._armed:
            if armed.fault.matches(action, key_id, paging=paging) and armed.strikes(self._random):
                self.struck[armed.fault.kind] += 1
                return armed.fault
        return None


@dataclass(slots=True)
class _Armed:
    """A fault, and the calls that it has seen and struck."""

    fault: Fault
    seen: int = 0
    struck: int = 0

    def strikes(self, dice: random.Random) -> bool:
        fault = self.fault
        self.seen += 1
        if self.seen <= fault.skip or (fault.calls is not None and self.seen > fault.skip + fault.calls):
            return False
        if fault.count is not None and self.struck >= fault.count:
            return False
        if dice.random() >= fault.probability:
            return False
        self.struck += 1
        return True


async def deliver(request: web.Request, answer: Answer, fault: Fault | None) -> web.StreamResponse:
    """Sends the answer, changed or withheld as the fault says."""
    response: web.StreamResponse = web.Response(
        status=answer.status, body=answer.body, headers={**answer.headers, "Content-Type": _JSON}
    )
    if fault is None:
        return response
    match fault.kind:
        case "cut":
            response = await _begin(request, len(answer.body))
            await response.write(answer.body[: len(answer.body) // 2])
            if request.transport is not None:
                request.transport.close()
        case "garbage":
            response = web.Response(status=fault.status or 200, text=fault.body, content_type="text/html")
        case "huge":
            response = await _send_huge(request, fault.size)
        case "delay":
            await asyncio.sleep(fault.seconds)
        case "hang":
            await asyncio.Event().wait()
        case "reset" if request.transport is not None:
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            request.transport.abort()
    return response


async def _send_huge(request: web.Request, size: int) -> web.StreamResponse:
    head, tail = b'{"RequestId": "', b'"}'
    left = max(size - len(head) - len(tail), 0)
    response = await _begin(request, len(head) + left + len(tail))
    await response.write(head)
    while left:
        chunk = _CHUNK[:left]
        await response.write(chunk)
        left -= len(chunk)
    await response.write(tail)
    return response


async def _begin(request: web.Request, length: int) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": _JSON})
    response.content_length = length
    await response.prepare(request)
    return response
