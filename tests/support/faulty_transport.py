"""A transport between client and simulator, without a network, on which everything can fail."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import formatdate
from typing import TYPE_CHECKING

import httpx

from exporter.simulator.faults import Fault
from exporter.simulator.job_store import wire_time

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Callable

    from exporter.simulator.answers import Answer
    from exporter.simulator.server import Simulator

FAULTS = (
    Fault("throttle", probability=0.04),
    Fault("throttle", probability=0.01, status=429, retry_after=7),
    Fault("fail", probability=0.04),
    Fault("fail", probability=0.02, status=503),
    Fault("cut", probability=0.03),
    Fault("garbage", probability=0.02),
    Fault("huge", probability=0.006),
    Fault("delay", probability=0.03),
    Fault("hang", probability=0.01),
    Fault("reset", probability=0.03),
    Fault("duplicate", probability=0.05),
    Fault("stuck", probability=0.01),
    Fault("expire", probability=0.2),
)
OWN_KINDS = {"stale": 0.05, "clock ahead": 0.01, "clock back": 0.01}
"""Faults of answers that the simulator does not have, with their probabilities."""
GARBAGE = (b"", b"{", b"[]", b"null", b"\xff\xfe", b"<html>502 Bad Gateway</html>", b'{"SmartJobList": 7}', b"[" * 9999)
BEFORE = {"Executing": "Created", "Finished": "Executing", "Failed": "Executing"}
STALE = timedelta(seconds=60)
"""A stale answer shows jobs that changed within this time in their state before."""
CLOCK_SECONDS = 7200
HUGE = (b"x" * 1_048_576,) * 40


@dataclass(slots=True)
class Stream(httpx.AsyncByteStream):
    """A body in pieces, which ends with an error if one is given."""

    pieces: tuple[bytes, ...]
    error: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yields the pieces."""
        for piece in self.pieces:
            yield piece
        if self.error:
            raise self.error


class FaultyTransport(httpx.AsyncBaseTransport):
    """Passes each call to the simulator; calls `happening` before each, so that jobs change between two calls."""

    def __init__(self, simulator: Simulator, dice: random.Random, happening: Callable[[], None]) -> None:
        self.calls = 0
        self.struck: Counter[str] = Counter()
        """Calls that a fault struck, by kind."""
        self._simulator = simulator
        self._dice = dice
        self._happening = happening
        self._own: dict[str, float] = {}

    def start_faults(self) -> None:
        """Adds all faults."""
        self._own = OWN_KINDS
        for fault in FAULTS:
            self._simulator.faults.add(fault)

    def stop_faults(self) -> None:
        """Removes all faults."""
        self._own = {}
        self._simulator.faults.clear()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answers, with or without a fault."""
        await asyncio.sleep(self._dice.random() / 10)
        self._happening()
        self.calls += 1
        answer, fault = self._simulator.answer(request.headers["x-acs-action"], request.url.query.decode())
        kind = fault.kind if fault else self._own_kind()
        self.struck.update([kind] if kind else [])
        return await self._bent(answer, kind)

    def _own_kind(self) -> str:
        fell = self._dice.random()
        for kind, probability in self._own.items():
            fell -= probability
            if fell < 0:
                return kind
        return ""

    async def _bent(self, answer: Answer, kind: str) -> httpx.Response:
        match kind:
            case "cut":
                error = httpx.RemoteProtocolError("peer closed connection without sending complete message body")
                return self._response(answer, stream=Stream((answer.body[: len(answer.body) // 2],), error))
            case "reset":
                raise httpx.ReadError("connection reset by peer")
            case "garbage":
                return self._response(answer, content=self._dice.choice(GARBAGE))
            case "huge":
                return self._response(answer, stream=Stream(HUGE))
            case "hang" | "delay":
                await asyncio.sleep(1 if kind == "delay" else 3600)
            case "stale":
                return self._response(answer, content=self._stale(answer.body))
        ahead = {"clock ahead": CLOCK_SECONDS, "clock back": -CLOCK_SECONDS}.get(kind, 0)
        return self._response(answer, content=answer.body, ahead=ahead)

    def _response(
        self, answer: Answer, content: bytes | None = None, stream: Stream | None = None, ahead: int = 0
    ) -> httpx.Response:
        date = formatdate(self._simulator.jobs.now() + ahead, usegmt=True)
        return httpx.Response(answer.status, content=content, stream=stream, headers={**answer.headers, "Date": date})

    def _stale(self, body: bytes) -> bytes:
        """Returns a page that shows jobs that have just changed in their state before."""
        content = json.loads(body)
        now = datetime.fromisoformat(wire_time(self._simulator.jobs.now()))
        for item in content.get("SmartJobList", ()):
            if now - datetime.fromisoformat(item["ModifiedTime"]) < STALE:
                item["JobState"] = BEFORE.get(item["JobState"], item["JobState"])
        return json.dumps(content).encode()
