"""Each fault of the simulator strikes the calls it is meant for, in the way it says."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import aiohttp
import pytest
from yarl import URL

from exporter.simulator.authentication import sign_call
from exporter.simulator.faults import FAULT_KINDS, Fault, Faults
from exporter.simulator.server import DEMO_KEY, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

NOW = 1_700_000_000.0
Answer = tuple[int, bytes, dict[str, str]]


class Caller:
    """Calls a simulator by POST, which aiohttp does not repeat by itself when a connection breaks."""

    def __init__(self, simulator: Simulator, session: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self.session = session
        self.nonce = 0

    async def list(self, token: str = "", *, timeout_seconds: float = 10.0) -> Answer:
        """Returns status, body and headers of a page."""
        self.nonce += 1
        parameters = {"NextToken": token} if token else {}
        call = sign_call(DEMO_KEY, self.simulator.endpoint, parameters, nonce=str(self.nonce), at=NOW, method="POST")
        url = URL(f"{self.simulator.url}/?{call.query}", encoded=True)
        limit = aiohttp.ClientTimeout(total=timeout_seconds)
        async with self.session.post(url, headers=call.headers, timeout=limit) as answer:
            return answer.status, await answer.read(), dict(answer.headers)

    async def control(self, method: str, path: str, content: object = None) -> Answer:
        """Returns status, body and headers of a control path's answer."""
        url = f"{self.simulator.url}/_simulator/{path}"
        async with self.session.request(method, url, json=content) as answer:
            return answer.status, await answer.read(), dict(answer.headers)


def with_faults(scenario: Callable[[Caller], Coroutine[None, None, None]], *faults: Fault) -> None:
    """Runs a scenario against a simulator with faults in force."""

    async def run() -> None:
        async with Simulator(now=lambda: NOW) as simulator, aiohttp.ClientSession() as session:
            for _ in range(25):
                simulator.jobs.create("ASR")
            for fault in faults:
                simulator.faults.add(fault)
            await scenario(Caller(simulator, session))

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault("throttle"), 400, "Throttling.User"),
        (Fault("throttle", status=429), 429, "Throttling"),
        (Fault("throttle", status=503), 503, "Throttling.Api"),
        (Fault("fail"), 500, "InternalError"),
        (Fault("fail", status=503), 503, "ServiceUnavailable"),
        (Fault("fail", status=418, code="Teapot"), 418, "Teapot"),
    ],
)
def test_error_answers(fault: Fault, status: int, code: str) -> None:
    """Throttling and failures answer with their status and code, and are counted."""

    async def scenario(caller: Caller) -> None:
        answer = await caller.list()

        assert (answer[0], json.loads(answer[1])["Code"]) == (status, code)
        assert "Retry-After" not in answer[2]
        assert caller.simulator.faults.struck == {fault.kind: 1}
        assert caller.simulator.outcomes == {("ListSmartJobs", code): 1}

    with_faults(scenario, fault)


def test_retry_after() -> None:
    """Throttling can say when to come back."""

    async def scenario(caller: Caller) -> None:
        assert (await caller.list())[2]["Retry-After"] == "7"

    with_faults(scenario, Fault("throttle", retry_after=7.0))


def test_cut_ends_in_the_middle() -> None:
    """A cut answer ends before the length it promised; the next call is whole again."""

    async def scenario(caller: Caller) -> None:
        with pytest.raises(aiohttp.ClientPayloadError):
            await caller.list()

        assert (await caller.list())[0] == 200

    with_faults(scenario, Fault("cut", count=1))


def test_reset_breaks_the_connection() -> None:
    """A reset is a broken connection, not an answer."""

    async def scenario(caller: Caller) -> None:
        with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
            await caller.list()

    with_faults(scenario, Fault("reset"))


def test_hang_never_answers() -> None:
    """A hanging call ends by the caller's own timeout, and does not keep the simulator from closing."""

    async def scenario(caller: Caller) -> None:
        with pytest.raises(TimeoutError):
            await caller.list(timeout_seconds=0.1)

    with_faults(scenario, Fault("hang"))


def test_delay_answers_late() -> None:
    """A delayed answer is true, and takes its seconds."""

    async def scenario(caller: Caller) -> None:
        began = time.monotonic()

        status, body, _ = await caller.list()

        assert time.monotonic() - began >= 0.1
        assert (status, len(json.loads(body)["SmartJobList"])) == (200, 10)

    with_faults(scenario, Fault("delay", seconds=0.1))


@pytest.mark.parametrize("body", ["<html>", '{"SmartJobList": 7}', "[]", ""])
def test_garbage_is_given_as_it_is(body: str) -> None:
    """Garbage is any text, not JSON or JSON of the wrong shape, with HTTP 200."""

    async def scenario(caller: Caller) -> None:
        answer = await caller.list()

        assert answer[:2] == (200, body.encode())

    with_faults(scenario, Fault("garbage", body=body))


def test_huge_is_as_large_as_asked() -> None:
    """A huge answer has the size asked for and is even JSON."""

    async def scenario(caller: Caller) -> None:
        _, body, _ = await caller.list()

        assert len(body) == 1_000_000
        assert set(json.loads(body)) == {"RequestId"}

    with_faults(scenario, Fault("huge", size=1_000_000))


def test_duplicate_rows() -> None:
    """Every row comes twice."""

    async def scenario(caller: Caller) -> None:
        rows = json.loads((await caller.list())[1])["SmartJobList"]

        assert len(rows) == 20
        assert rows[0] == rows[1]

    with_faults(scenario, Fault("duplicate"))


def test_stuck_pages_never_end() -> None:
    """The same page with the same token comes again and again."""

    async def scenario(caller: Caller) -> None:
        first = json.loads((await caller.list())[1])
        second = json.loads((await caller.list(first["NextToken"]))[1])

        assert first["SmartJobList"] == second["SmartJobList"]
        assert first["NextToken"] == second["NextToken"]

    with_faults(scenario, Fault("stuck"))


def test_tokens_expire() -> None:
    """A token is refused as expired while calls without one pass and do not use the fault up."""

    async def scenario(caller: Caller) -> None:
        status, body, _ = await caller.list()
        token = json.loads(body)["NextToken"]

        refused = await caller.list(token)
        passed = await caller.list(token)

        assert (status, refused[0], passed[0]) == (200, 400, 200)
        assert json.loads(refused[1])["Code"] == "InvalidParameter.NextToken"

    with_faults(scenario, Fault("expire", count=1))


@pytest.mark.parametrize(
    ("fault", "struck"),
    [
        (Fault("fail"), "xxxxxx"),
        (Fault("fail", count=2), "xx...."),
        (Fault("fail", skip=1, calls=3), ".xxx.."),
        (Fault("fail", skip=4, count=1), "....x."),
        (Fault("fail", probability=0.0), "......"),
        (Fault("fail", action="GetSmartHandleJob"), "......"),
        (Fault("fail", action="ListSmartJobs", key_id="k"), "xxxxxx"),
        (Fault("fail", key_id="other"), "......"),
    ],
)
def test_a_fault_strikes_as_told(fault: Fault, struck: str) -> None:
    """Action, key, skip, calls, count and probability choose the calls that are struck."""
    faults = Faults()
    faults.add(fault)

    assert "".join("x" if faults.strike("ListSmartJobs", "k") else "." for _ in range(6)) == struck


def test_chance_repeats_with_the_seed() -> None:
    """The same seed strikes the same calls, about as many as the probability says."""
    runs = []
    for seed in (1, 1, 2):
        faults = Faults(seed)
        faults.add(Fault("fail", probability=0.3))
        runs.append([faults.strike("ListSmartJobs") is not None for _ in range(1000)])

    assert runs[0] == runs[1] != runs[2]
    assert 200 < sum(runs[0]) < 400


def test_the_first_fault_that_strikes_is_the_only_one() -> None:
    """Faults are asked in the order they were added; when one is used up the next has its turn."""
    faults = Faults()
    faults.add(Fault("throttle", count=1))
    faults.add(Fault("fail", count=1))

    struck = [faults.strike("ListSmartJobs") for _ in range(3)]

    assert [fault and fault.kind for fault in struck] == ["throttle", "fail", None]


def test_unknown_kinds_are_refused() -> None:
    """A misspelt kind is an error that names those there are."""
    with pytest.raises(ValueError, match=", ".join(FAULT_KINDS)):
        Fault("trottle")


def test_faults_over_http() -> None:
    """Another process adds faults by POST, one or many, and ends them by DELETE; nonsense is refused."""

    async def scenario(caller: Caller) -> None:
        nonsense = await caller.control("POST", "faults", {"kind": "fail", "colour": "red"})
        await caller.control("POST", "faults", {"kind": "throttle", "count": 1})
        await caller.control("POST", "faults", [{"kind": "fail"}, {"kind": "hang"}])

        statuses = [(await caller.list())[0] for _ in range(3)]
        await caller.control("DELETE", "faults")

        assert nonsense[0] == 400
        assert statuses == [400, 500, 500]
        assert (await caller.list())[0] == 200

    with_faults(scenario)


def test_jobs_and_truth_over_http() -> None:
    """Another process creates, moves and deletes jobs, sets the clock off, and reads the truth."""

    async def scenario(caller: Caller) -> None:
        created = await caller.control("POST", "jobs", {"job_type": "TextToSpeech", "title": "t"})
        job_id = json.loads(created[1])["job_id"]
        await caller.control("POST", f"jobs/{job_id}", {"state": "Failed", "error": ["Code", "Message"]})
        job = caller.simulator.jobs.get(job_id)
        await caller.control("DELETE", f"jobs/{job_id}")
        unknown = await caller.control("DELETE", f"jobs/{job_id}")
        await caller.control("PUT", "clock", {"offset": 5})
        stats = json.loads((await caller.control("GET", "stats"))[1])

        assert job is not None
        assert (created[0], job.state, job.error) == (201, "Failed", ("Code", "Message"))
        assert unknown[0] == 404
        assert caller.simulator.clock() == NOW + 5
        assert stats["jobs"] == {"ASR": {"Created": 25}}
        assert stats["ended_ever"] == stats["deleted_ever"] == {"TextToSpeech": {"Failed": 1}}

    with_faults(scenario)
