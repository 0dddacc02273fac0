"""The simulated IMS endpoint: real HTTP, real signatures, ListSmartJobs and GetSmartHandleJob of a world."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import AsyncExitStack
from email.utils import formatdate
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl

from aiohttp import web

from exporter.simulator import answers, control
from exporter.simulator.delivery import deliver
from exporter.simulator.faults import Fault, Faults
from exporter.simulator.gate import Call, Gate, Key
from exporter.simulator.listing import at, bad_token, read_listing, token_for
from exporter.simulator.refusal import RefusedError, invalid_parameter
from exporter.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

DEMO_KEY = Key("demo-key-id", "demo-key-secret")
"""The key that a simulator knows when it is given none."""


class Simulator:
    """An endpoint on a loopback address while its context is entered; port 0 lets the system pick one.

    `world` belongs to every key that `worlds` gives none of its own. `keys`, `worlds`, `faults`,
    `clock_offset` and `total_count` may be changed at any time; other processes use the paths in `control`.
    `exact_query` is explained at `Gate`.
    """

    def __init__(
        self,
        *,
        world: World | None = None,
        keys: Iterable[Key] = (DEMO_KEY,),
        worlds: Mapping[str, World] | None = None,
        total_count: bool = False,
        exact_query: bool = True,
        now: Callable[[], float] = time.time,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
    ) -> None:
        self.clock_offset = 0.0
        """Seconds by which the service's clock is ahead of `now`."""
        self.total_count = total_count
        """Whether lists carry TotalCount."""
        self.keys = {key.key_id: key for key in keys}
        self.world = World(self.clock) if world is None else world
        self.worlds = dict(worlds or {})
        self.faults = Faults(seed)
        self.calls: Counter[str] = Counter()
        """Calls by action, refused ones too."""
        self.lists: Counter[tuple[str | None, str | None]] = Counter()
        """List calls by filter (JobType, JobState)."""
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Answers by (action, error code or OK), as they were before a fault of the wire."""
        self._now = now
        self._host, self._port = host, port
        self._gate = Gate(self.keys, self.clock, exact_query=exact_query)
        self._stack = AsyncExitStack()

    def clock(self) -> float:
        """Returns the time of the service's clock."""
        return self._now() + self.clock_offset

    @property
    def endpoint(self) -> str:
        """Host and port, as the official SDK wants them."""
        return f"{self._host}:{self._port}"

    @property
    def url(self) -> str:
        """The endpoint with its scheme."""
        return f"http://{self.endpoint}"

    def world_of(self, key_id: str) -> World:
        """Returns the world of the account that a key belongs to."""
        return self.worlds.get(key_id, self.world)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/", self._handle, allow_head=False)
        app.router.add_post("/", self._handle)
        app.add_routes(control.routes(self))
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        async with AsyncExitStack() as stack:
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, self._host, self._port).start()
            self._host, self._port = runner.addresses[0][:2]
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        call = await _read(request)
        self.calls[call.action] += 1
        host = call.headers.get("host", "")
        fault = None
        try:
            key = self._gate.admit(call)
        except RefusedError as refused:
            answer = answers.refusal(refused, host)
        else:
            answer, fault = self.answer(call.action, call.query, key.key_id, host)
        self.outcomes[call.action, answer.code] += 1
        answer.headers["Date"] = formatdate(self.clock(), usegmt=True)
        return await deliver(request, answer, fault)

    def answer(self, action: str, query: str, key_id: str = "", host: str = "") -> tuple[answers.Answer, Fault | None]:
        """Returns the answer to a call that was let in, and what befalls both: some faults bend it on the wire only."""
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        fault = self.faults.strike(action, key_id, paging=bool(parameters.get("NextToken")))
        try:
            return self._answer(action, parameters, self.world_of(key_id), fault), fault
        except RefusedError as refused:
            return answers.refusal(refused, host), fault

    def _answer(self, action: str, parameters: Mapping[str, str], world: World, fault: Fault | None) -> answers.Answer:
        if fault is not None and fault.kind in {"throttle", "fail"}:
            raise RefusedError(*fault.error(), retry_after=fault.retry_after)
        if action == "ListSmartJobs":
            return self._list(parameters, world, fault.kind if fault else "")
        return _get(parameters, world)

    def _list(self, parameters: Mapping[str, str], world: World, fault: str) -> answers.Answer:
        if fault == "expire":
            raise bad_token()
        listing = read_listing(parameters, world)
        self.lists[listing.job_type, listing.job_state] += 1
        if fault == "stuck":
            listing = at(listing, 0)
        jobs = world.page(
            job_type=listing.job_type,
            job_state=listing.job_state,
            offset=listing.offset,
            limit=listing.limit,
            ascending=listing.ascending,
        )
        if fault == "duplicate":
            jobs = [job for job in jobs for _ in range(2)]
        total = world.total(listing.job_type, listing.job_state)
        following = at(listing, listing.offset + listing.limit)
        token = token_for(following) if following.offset < total or fault == "stuck" else ""
        return answers.page(jobs, listing.limit, token, total if self.total_count else None)


def _get(parameters: Mapping[str, str], world: World) -> answers.Answer:
    job_id = parameters.get("JobId", "")
    if not job_id:
        raise invalid_parameter("JobId", job_id)
    job = world.get(job_id)
    if job is None:
        raise RefusedError(404, "JobNotFound", f"The specified job does not exist: {job_id[:64]}.")
    return answers.details(job)


async def _read(request: web.Request) -> Call:
    path, _, query = request.raw_path.partition("?")
    headers = {
        name.lower(): ",".join(request.headers.getall(name)).encode("utf-8", "replace").decode()
        for name in request.headers
    }
    return Call(request.method, path, query, headers, await request.read())
