"""The control paths of the simulator, unsigned, by which a test in another process changes jobs, faults and habits.

`GET    /_simulator/stats`       calls, lists, outcomes, faults struck, and the true counts of jobs
`POST   /_simulator/faults`      adds one fault or a list of them; fields as of `faults.Fault`
`DELETE /_simulator/faults`      removes all faults
`POST   /_simulator/jobs`        creates a job; fields as of `JobStore.create`; answers its job_id
`POST   /_simulator/jobs/{id}`   moves a job: {"state": "Failed", "error": ["Code", "Message"]}
`DELETE /_simulator/jobs/{id}`   deletes a job
`GET    /_simulator/habits`      habits of the lists by job kind; fields as of `habits.Habits`
`PUT    /_simulator/habits`      sets habits, those not named are off: {"gap_seconds": 30} or {"preset": "rough"}
`PATCH  /_simulator/habits`      changes habits, those not named stay: {"stopped": true}
`DELETE /_simulator/habits`      turns all habits off
`PUT    /_simulator/clock`       sets how far the clock of the service is ahead: {"offset": seconds}

`?key_id=` selects the account of that key, `?kind=` the job kind (smart; for habits all kinds). Bodies and answers are
JSON. A body that does not fit is refused with 400 and the reason, an unknown job with 404. Types and states may be any
text that is not empty, as the service may have undocumented ones.
"""

from __future__ import annotations

import json
import math
from dataclasses import fields as fields_of
from typing import TYPE_CHECKING, Any

from aiohttp import web

from exporter.simulator.faults import Fault
from exporter.simulator.habits import OFF, habits_fields, read_habits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from exporter.simulator.job_store import JobStore
    from exporter.simulator.search_index import SearchIndex
    from exporter.simulator.server import Simulator

JOB_FIELDS = ("state", "job_id", "created_at", "modified_at", "title", "error")
FAULT_FIELDS = tuple(field.name for field in fields_of(Fault) if field.name != "kind")

LAST_SECOND = 253402300799
"""End of the year 9999, Unix seconds: the last time that can be written."""
TEXTS = {"job_type", "state", "job_id", "kind", "action", "key_id", "code", "message", "body", "title"}
MAY_BE_EMPTY = {"title", "action", "key_id", "code", "message", "body"}
TIMES = {"created_at", "modified_at"}
NUMBERS = {"offset", "probability", "seconds", "retry_after", *TIMES}
WHOLE_NUMBERS = {"skip", "calls", "count", "status", "size"}
MAY_BE_NULL = {"job_id", "calls", "count", "retry_after", *TIMES}


def routes(simulator: Simulator) -> list[web.RouteDef]:
    """Returns the control paths of a simulator."""
    control = _Control(simulator)
    return [
        web.get("/_simulator/stats", _refusing(control.stats)),
        web.post("/_simulator/faults", _refusing(control.add_faults)),
        web.delete("/_simulator/faults", control.clear_faults),
        web.post("/_simulator/jobs", _refusing(control.create_job)),
        web.post("/_simulator/jobs/{job_id}", _refusing(control.move_job)),
        web.delete("/_simulator/jobs/{job_id}", _refusing(control.delete_job)),
        web.get("/_simulator/habits", _refusing(control.show_habits)),
        web.put("/_simulator/habits", _refusing(control.set_habits)),
        web.patch("/_simulator/habits", _refusing(control.set_habits)),
        web.delete("/_simulator/habits", _refusing(control.clear_habits)),
        web.put("/_simulator/clock", _refusing(control.set_clock)),
    ]


class _Control:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def stats(self, request: web.Request) -> web.Response:
        simulator, jobs = self._simulator, self._jobs(request)
        return web.json_response(
            {
                "calls": simulator.calls,
                "lists": [[*filters, calls] for filters, calls in simulator.lists.items()],
                "outcomes": _nested(simulator.outcomes),
                "faults_struck": simulator.faults.struck,
                "habits_seen": simulator.index_of(jobs).seen,
                "jobs": _nested(jobs.counts()),
                "created_ever": jobs.created_ever,
                "ended_ever": _nested(jobs.ended_ever),
                "deleted_ever": _nested(jobs.deleted_ever),
            }
        )

    async def add_faults(self, request: web.Request) -> web.Response:
        body = await request.json()
        each = body if isinstance(body, list) else [body]
        for fault in [Fault(**checked(fields, ("kind",), FAULT_FIELDS)) for fields in each]:
            self._simulator.faults.add(fault)
        return web.json_response({})

    async def clear_faults(self, _request: web.Request) -> web.Response:
        self._simulator.faults.clear()
        return web.json_response({})

    async def create_job(self, request: web.Request) -> web.Response:
        fields = checked(await request.json(), ("job_type",), JOB_FIELDS)
        job_id = self._jobs(request).create(**{**fields, "error": error_of(fields)})
        return web.json_response({"job_id": job_id}, status=201)

    async def move_job(self, request: web.Request) -> web.Response:
        fields = checked(await request.json(), ("state",), ("error",))
        self._jobs(request).move(request.match_info["job_id"], fields["state"], error=error_of(fields))
        return web.json_response({})

    async def delete_job(self, request: web.Request) -> web.Response:
        self._jobs(request).delete(request.match_info["job_id"])
        return web.json_response({})

    async def show_habits(self, request: web.Request) -> web.Response:
        return web.json_response(
            {index.store.kind.name: habits_fields(index.habits) for index in self._indexes(request)}
        )

    async def set_habits(self, request: web.Request) -> web.Response:
        body = await request.json()
        indexes = self._indexes(request)
        found = [read_habits(body, index.habits if request.method == "PATCH" else OFF) for index in indexes]
        for index, habits in zip(indexes, found, strict=True):
            index.habits = habits
        return await self.show_habits(request)

    async def clear_habits(self, request: web.Request) -> web.Response:
        for index in self._indexes(request):
            index.habits = OFF
        return web.json_response({})

    async def set_clock(self, request: web.Request) -> web.Response:
        self._simulator.clock_offset = float(checked(await request.json(), ("offset",))["offset"])
        return web.json_response({})

    def _indexes(self, request: web.Request) -> list[SearchIndex]:
        """Returns the indexes of the lists that the query selects."""
        account = self._simulator.account_of(request.query.get("key_id", ""))
        stores = [self._jobs(request)] if "kind" in request.query else account.stores.values()
        return [self._simulator.index_of(store) for store in stores]

    def _jobs(self, request: web.Request) -> JobStore:
        """Returns the jobs that the query selects; raises ValueError for an unknown kind."""
        stores = self._simulator.account_of(request.query.get("key_id", "")).stores
        kind = request.query.get("kind", "smart")
        if kind not in stores:
            raise ValueError(f"unknown job kind {kind!r}; there are {', '.join(stores)}")
        return stores[kind]


def _refusing(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except KeyError as error:
            return web.json_response({"error": f"there is no job {error}"}, status=404)
        except json.JSONDecodeError as error:
            return web.json_response({"error": f"the body is not JSON: {error}"}, status=400)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)

    return answer


def _nested(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (first, second), number in counts.items():
        nested.setdefault(first, {})[second] = number
    return nested


def checked(body: object, needed: tuple[str, ...], known: tuple[str, ...] = ()) -> dict[str, Any]:
    """Returns a body that is an object with these fields, each of its kind; raises ValueError that says what is not."""
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")  # noqa: TRY004 - what was sent, not a fault of the program
    for name in needed:
        if name not in body:
            raise ValueError(f"{name} is missing")
    for name, value in body.items():
        if name not in (*needed, *known):
            raise ValueError(f"{name}: no such field; there is {', '.join((*needed, *known))}")
        problem = _problem(name, value)
        if problem:
            raise ValueError(f"{name} {problem}")
    return body


def error_of(fields: Mapping[str, Any]) -> tuple[str, str] | None:
    """Returns code and message of a failure, None where there is none; raises ValueError."""
    given = fields.get("error")
    if given is None:
        return None
    if not (isinstance(given, list) and len(given) == 2 and all(isinstance(part, str) for part in given)):  # noqa: PLR2004 - a pair
        raise ValueError('error must be ["Code", "Message"]')
    return given[0], given[1]


def _problem(name: str, value: object) -> str:
    if value is None and name in MAY_BE_NULL:
        return ""
    if name in TEXTS:
        is_good = isinstance(value, str) and (value != "" or name in MAY_BE_EMPTY)
        return "" if is_good else f"must be a text{'' if name in MAY_BE_EMPTY else ' that is not empty'}"
    number = _number(value)
    if name in WHOLE_NUMBERS:
        return "" if number is not None and number == int(number) >= 0 else "must be a whole number, 0 or more"
    return "must be a number" if name in NUMBERS and number is None else ""


def _number(value: object) -> float | None:
    """Returns a finite number that is no further off than the last second, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) and abs(value) <= LAST_SECOND else None
