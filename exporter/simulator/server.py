"""The simulated IMS endpoint: real HTTP, real signatures, and every declared job list with its details call."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from email.utils import formatdate
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl

from aiohttp import web

from exporter.jobs.kinds import KINDS
from exporter.simulator import control
from exporter.simulator.answers import (
    Answer,
    RefusedError,
    details_answer,
    error_answer,
    invalid_parameter,
    list_answer,
)
from exporter.simulator.authentication import Authenticator, Call, Key
from exporter.simulator.faults import Fault, Faults, deliver
from exporter.simulator.habits import OFF, Habits
from exporter.simulator.job_store import Account, JobStore
from exporter.simulator.lists import read_request, refused_token
from exporter.simulator.search_index import SearchIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from exporter.jobs.kinds import JobKind
    from exporter.jobs.kinds.kind import DetailsCall

KIND_OF_ACTION = {action: kind for kind in KINDS.values() for action in kind.actions}
DEMO_KEY = Key("demo-key-id", "demo-key-secret")
"""The only key of a simulator that is given no keys."""


class Simulator:
    """An endpoint on a loopback address while its context is entered; with port 0 the system picks the port.

    `account` is the account of every key that `accounts` does not name. `keys`, `accounts`, `faults`, `clock_offset`
    and `total_count` may change at any time; other processes use the paths of `control`. For `exact_query` see
    `Authenticator`. `habits` are those of every list at the start; `set_habits` changes them.
    """

    def __init__(
        self,
        *,
        account: Account | None = None,
        keys: Iterable[Key] = (DEMO_KEY,),
        accounts: Mapping[str, Account] | None = None,
        total_count: bool = False,
        exact_query: bool = True,
        habits: Habits = OFF,
        now: Callable[[], float] = time.time,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
    ) -> None:
        self.clock_offset = 0.0
        """Seconds by which the clock of the service is ahead of `now`."""
        self.total_count = total_count
        """Whether lists carry TotalCount."""
        self.keys = {key.key_id: key for key in keys}
        self.account = Account(self.clock) if account is None else account
        self.accounts = dict(accounts or {})
        self.faults = Faults(seed)
        self.calls: Counter[str] = Counter()
        """Calls by action, with the refused ones."""
        self.lists: Counter[tuple[str | None, str | None]] = Counter()
        """List calls by job type and state, None where the call does not filter."""
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Answers by (action, error code or OK), before a fault changed them on their way."""
        self._now = now
        self._habits, self._seed = habits, seed
        self._indexes: dict[JobStore, SearchIndex] = {}
        for known in (self.account, *self.accounts.values()):
            for store in known.stores.values():
                self.index_of(store)
        self._host, self._port = host, port
        self._authenticator = Authenticator(self.keys, self.clock, exact_query=exact_query)
        self._stack = AsyncExitStack()

    def clock(self) -> float:
        """Returns the time of the clock of the service, Unix seconds."""
        return self._now() + self.clock_offset

    @property
    def endpoint(self) -> str:
        """Host and port, as the official SDK wants them."""
        return f"{self._host}:{self._port}"

    @property
    def url(self) -> str:
        """The endpoint with its scheme."""
        return f"http://{self.endpoint}"

    @property
    def jobs(self) -> JobStore:
        """The smart jobs of `account`."""
        return self.account.jobs

    def account_of(self, key_id: str) -> Account:
        """Returns the account that a key belongs to."""
        return self.accounts.get(key_id, self.account)

    def index_of(self, store: JobStore) -> SearchIndex:
        """Returns the index that serves the lists of a store."""
        if store not in self._indexes:
            self._indexes[store] = SearchIndex(store, self._habits, random.Random(self._seed))
        return self._indexes[store]

    def set_habits(self, habits: Habits) -> None:
        """Gives all lists these habits."""
        self._habits = habits
        for index in self._indexes.values():
            index.habits = habits

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
            key = self._authenticator.authenticate(call)
        except RefusedError as refused:
            answer = error_answer(refused, host)
        else:
            answer, fault = self.answer(call.action, call.query, key.key_id, host)
        self.outcomes[call.action, answer.code] += 1
        answer.headers["Date"] = formatdate(self.clock(), usegmt=True)
        return await deliver(request, answer, fault)

    def answer(self, action: str, query: str, key_id: str = "", host: str = "") -> tuple[Answer, Fault | None]:
        """Returns the answer to an authenticated call, and the fault that strikes it on its way."""
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        kind = KIND_OF_ACTION[action]
        fault = self.faults.strike(action, key_id, paging=bool(parameters.get(kind.paging.token)))
        index = self.index_of(self.account_of(key_id).stores[kind.name])
        if fault is not None and fault.kind in {"throttle", "fail"}:
            return error_answer(RefusedError(*fault.error(), retry_after=fault.retry_after), host), fault
        try:
            if kind.details is not None and action == kind.details.action:
                return _details(kind, kind.details, parameters, index), fault
            return self._list(kind, parameters, index, fault.kind if fault else ""), fault
        except RefusedError as refused:
            return error_answer(refused, host), fault

    def _list(self, kind: JobKind, parameters: Mapping[str, str], index: SearchIndex, fault: str) -> Answer:
        if fault == "expire":
            raise refused_token()
        request = read_request(kind, parameters, index.store)
        self.lists[request.job_type, request.job_state] += 1
        if fault == "stuck":
            request = request.at(0)
        page = index.page(
            job_type=request.job_type,
            job_state=request.job_state,
            offset=request.offset,
            limit=request.limit,
            ascending=request.ascending,
        )
        rows = [row for row in page.rows for _ in range(2)] if fault == "duplicate" else page.rows
        following = request.limit if fault == "stuck" else page.next_offset
        token = "" if following is None else request.at(following).token
        return list_answer(kind, rows, request.limit, token, page.total if self.total_count else None)


def _details(kind: JobKind, details: DetailsCall, parameters: Mapping[str, str], index: SearchIndex) -> Answer:
    job_id = parameters.get(details.job_id, "")
    if not job_id:
        raise invalid_parameter(details.job_id, job_id)
    job = index.get(job_id)
    if job is None:
        raise RefusedError(404, "JobNotFound", f"The specified job does not exist: {job_id[:64]}.")
    return details_answer(kind, details, job)


async def _read(request: web.Request) -> Call:
    path, _, query = request.raw_path.partition("?")
    headers = {
        name.lower(): ",".join(request.headers.getall(name)).encode("utf-8", "replace").decode()
        for name in request.headers
    }
    return Call(request.method, path, query, headers, await request.read())
