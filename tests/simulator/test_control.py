"""The control paths take what a service may have, undocumented values too, and say what is wrong with the rest."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from exporter.simulator.habits import OFF, Habits
from exporter.simulator.server import Simulator

JOB = {"job_type": "ASR"}


def answer_to(method: str, path: str, content: str | dict[str, Any] | list[Any]) -> tuple[int, dict[str, Any]]:
    """Returns status and content of the answer of a simulator with one job, which a refusal must leave as it is."""

    async def ask() -> tuple[int, dict[str, Any]]:
        async with Simulator() as simulator, aiohttp.ClientSession() as session:
            simulator.jobs.create("ASR", job_id="job")
            body = {"data": content} if isinstance(content, str) else {"json": content}
            async with session.request(method, f"{simulator.url}/_simulator/{path}", **body) as answer:
                told = answer.status, await answer.json()
            is_same = simulator.jobs.counts() == {("ASR", "Created"): 1} and not simulator.clock_offset
            assert is_same == (told[0] >= 400 or "faults" in path)
            return told

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("path", "content", "told"),
    [
        ("jobs", {}, "job_type is missing"),
        ("jobs", [JOB], "the body must be a JSON object"),
        ("jobs", "{", "the body is not JSON: "),
        ("jobs", {"job_type": 5}, "job_type must be a text that is not empty"),
        ("jobs", {"job_type": ""}, "job_type must be a text that is not empty"),
        ("jobs", {"job_type": None}, "job_type must be a text that is not empty"),
        ("jobs", {**JOB, "state": 1}, "state must be a text that is not empty"),
        ("jobs", {**JOB, "state": ""}, "state must be a text that is not empty"),
        ("jobs", {**JOB, "job_id": 7}, "job_id must be a text"),
        ("jobs", {**JOB, "job_id": "job"}, "job job is there already"),
        ("jobs", {**JOB, "created_at": "now"}, "created_at must be a number"),
        ("jobs", '{"job_type": "ASR", "created_at": NaN}', "created_at must be a number"),
        ("jobs", {**JOB, "created_at": 1e15}, "created_at must be a number"),
        ("jobs", {**JOB, "error": "E"}, 'error must be ["Code", "Message"]'),
        ("jobs", {**JOB, "error": ["E", 5]}, 'error must be ["Code", "Message"]'),
        ("jobs", {**JOB, "colour": "red"}, "colour: no such field; there is job_type, state, "),
        ("jobs/job", {"state": 5}, "state must be a text that is not empty"),
        ("jobs/job", {"status": "Failed"}, "state is missing"),
        ("faults", {"kind": "throttel"}, "unknown kind of fault"),
        ("faults", {"kind": 5}, "kind must be a text that is not empty"),
        ("faults", [{"kind": "fail"}, 5], "the body must be a JSON object"),
        ("faults", {"kind": "fail", "probability": "often"}, "probability must be a number"),
        ("faults", {"kind": "fail", "count": 1.5}, "count must be a whole number, 0 or more"),
        ("faults", {"kind": "fail", "skip": None}, "skip must be a whole number, 0 or more"),
    ],
)
def test_what_no_service_has(path: str, content: str | dict[str, Any] | list[Any], told: str) -> None:
    """A body that does not fit is a 400 that says what is wrong with it, and changes nothing."""
    status, answer = answer_to("POST", path, content)

    assert status == 400
    assert told in answer["error"]


@pytest.mark.parametrize("content", [{"offset": "x"}, {"offset": None}, {"offset": True}, '{"offset": Infinity}', {}])
def test_no_offset(content: str | dict[str, Any]) -> None:
    """A clock cannot be off by what is no number."""
    status, answer = answer_to("PUT", "clock", content)

    assert (status, "offset" in answer["error"]) == (400, True)


@pytest.mark.parametrize("path", ["jobs/other"])
def test_no_such_job(path: str) -> None:
    """A job that is not there is a 404."""
    assert answer_to("POST", path, {"state": "Failed"}) == (404, {"error": "there is no job 'other'"})


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("jobs", {"job_type": "Novel", "state": "Paused", "title": "", "created_at": None, "error": None}, 201),
        ("jobs", {"job_type": "AS R\n\u00e9", "state": "finished", "created_at": 5, "modified_at": 6.5}, 201),
        ("jobs/job", {"state": "Paused"}, 200),
        ("faults", [{"kind": "fail", "count": None, "calls": 3, "retry_after": None, "action": ""}], 200),
    ],
)
def test_what_a_service_may_have(path: str, content: dict[str, Any] | list[Any], status: int) -> None:
    """Types and states that are documented nowhere are let through: the service may have them tomorrow."""
    assert answer_to("POST", path, content)[0] == status


def test_habits_are_set_changed_and_turned_off() -> None:
    """PUT replaces the habits of the lists, PATCH changes some, a bad one changes nothing, DELETE turns all off."""

    async def scenario() -> None:
        async with Simulator(habits=Habits(gap_seconds=5)) as simulator, aiohttp.ClientSession() as session:

            async def send(method: str, content: object = None, query: str = "") -> tuple[int, dict[str, Any]]:
                url = f"{simulator.url}/_simulator/habits{query}"
                async with session.request(method, url, json=content) as answer:
                    return answer.status, await answer.json()

            index = simulator.index_of(simulator.jobs)
            assert (await send("GET"))[1]["smart"]["gap_seconds"] == 5

            assert (await send("PUT", {"empty_probability": 0.5}))[1]["smart"]["empty_probability"] == 0.5
            assert index.habits == Habits(empty_probability=0.5)
            await send("PATCH", {"stopped": True}, "?kind=smart")
            assert index.habits == Habits(empty_probability=0.5, stopped=True)

            assert await send("PUT", {"varied": 1}) == (400, {"error": "varied must be true or false"})
            assert (await send("PATCH", {"stopped": False}, "?kind=odd"))[0] == 400
            assert index.habits == Habits(empty_probability=0.5, stopped=True)

            await send("DELETE")
            assert index.habits == OFF

    asyncio.run(scenario())
