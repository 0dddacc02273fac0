"""The simulator's own paths, unsigned, with which a test of another process makes things happen.

`GET    /_simulator/stats`       calls, lists, outcomes, faults struck, and the world's truth
`POST   /_simulator/faults`      adds one fault or a list of them; the fields are those of `faults.Fault`
`DELETE /_simulator/faults`      ends all faults
`POST   /_simulator/jobs`        creates a job; fields as in `World.create`; answers its job_id
`POST   /_simulator/jobs/{id}`   moves a job: {"state": "Failed", "error": ["Code", "Message"]}
`DELETE /_simulator/jobs/{id}`   deletes a job
`PUT    /_simulator/clock`       sets the service's clock off: {"offset": seconds}

`?key_id=` chooses the world of that key. Bodies and answers are JSON; a body that does not fit gets a 400 that says
why, a job that is not there a 404. Types and states may be any text that is not empty: what the service does not
document yet is worth a trial.
"""

from __future__ import annotations

import json
from dataclasses import fields as fields_of
from typing import TYPE_CHECKING

from aiohttp import web

from exporter.simulator.bodies import checked, error_of
from exporter.simulator.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from exporter.simulator.server import Simulator
    from exporter.simulator.world import World


JOB_FIELDS = ("state", "job_id", "created_at", "modified_at", "title", "error")
FAULT_FIELDS = tuple(field.name for field in fields_of(Fault) if field.name != "kind")


def routes(simulator: Simulator) -> list[web.RouteDef]:
    """Returns the control paths of a simulator."""
    control = _Control(simulator)
    return [
        web.get("/_simulator/stats", control.stats),
        web.post("/_simulator/faults", _careful(control.add_faults)),
        web.delete("/_simulator/faults", control.clear_faults),
        web.post("/_simulator/jobs", _careful(control.create_job)),
        web.post("/_simulator/jobs/{job_id}", _careful(control.move_job)),
        web.delete("/_simulator/jobs/{job_id}", _careful(control.delete_job)),
        web.put("/_simulator/clock", _careful(control.set_clock)),
    ]


class _Control:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def stats(self, request: web.Request) -> web.Response:
        simulator, world = self._simulator, self._world(request)
        return web.json_response(
            {
                "calls": simulator.calls,
                "lists": [[*filters, calls] for filters, calls in simulator.lists.items()],
                "outcomes": _nested(simulator.outcomes),
                "faults_struck": simulator.faults.struck,
                "jobs": _nested(world.counts()),
                "created_ever": world.created_ever,
                "ended_ever": _nested(world.ended_ever),
                "deleted_ever": _nested(world.deleted_ever),
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
        job_id = self._world(request).create(**{**fields, "error": error_of(fields)})
        return web.json_response({"job_id": job_id}, status=201)

    async def move_job(self, request: web.Request) -> web.Response:
        fields = checked(await request.json(), ("state",), ("error",))
        self._world(request).move(request.match_info["job_id"], fields["state"], error=error_of(fields))
        return web.json_response({})

    async def delete_job(self, request: web.Request) -> web.Response:
        self._world(request).delete(request.match_info["job_id"])
        return web.json_response({})

    async def set_clock(self, request: web.Request) -> web.Response:
        self._simulator.clock_offset = float(checked(await request.json(), ("offset",))["offset"])
        return web.json_response({})

    def _world(self, request: web.Request) -> World:
        return self._simulator.world_of(request.query.get("key_id", ""))


def _careful(
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
