"""The official SDK reads the simulator and sees exactly what is in its world."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from alibabacloud_ice20201109 import models
from alibabacloud_ice20201109.client import Client
from alibabacloud_tea_openapi.exceptions import ClientException
from alibabacloud_tea_openapi.utils_models import Config

from exporter.simulator.answers import wire_time
from exporter.simulator.gate import Key
from exporter.simulator.server import DEMO_KEY, Simulator
from exporter.snapshot import JOB_STATES, JOB_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

TEMPORARY = Key("STS.id", "secret", token="to+ken/==")


def client_of(simulator: Simulator, key: Key = DEMO_KEY) -> Any:  # noqa: ANN401 - the SDK has no types
    """Returns the SDK's client for a simulator."""
    return Client(
        Config(
            access_key_id=key.key_id,
            access_key_secret=key.secret,
            security_token=key.token or None,
            endpoint=simulator.endpoint,
            protocol="HTTP",
            region_id="cn-shanghai",
        )
    )


def with_simulator(scenario: Callable[[Simulator], Coroutine[None, None, None]], *, exact_query: bool = True) -> None:
    """Runs a scenario against a world of 250 jobs of all types and states."""

    async def run() -> None:
        async with Simulator(keys=[DEMO_KEY, TEMPORARY], exact_query=exact_query) as simulator:
            for number in range(250):
                simulator.world.create(
                    JOB_TYPES[number % 4],
                    state=JOB_STATES[number % 3],
                    title=f"job {number}",
                    modified_at=simulator.clock() + number,
                )
            await scenario(simulator)

    asyncio.run(run())


def rows(answer: Any) -> list[tuple[str, str, str, str, str, str]]:  # noqa: ANN401 - the SDK has no types
    """Returns what a page of the SDK says of each job."""
    return [
        (job.job_id, job.job_type, job.job_state, job.title, job.create_time, job.modified_time)
        for job in answer.body.smart_job_list
    ]


def truth(simulator: Simulator, **wanted: Any) -> list[tuple[str, str, str, str, str, str]]:  # noqa: ANN401 - passed on
    """Returns the same of the world's own list."""
    return [
        (
            job.job_id,
            job.job_type,
            job.state,
            job.title,
            wire_time(job.created_at),
            wire_time(job.modified_at),
        )
        for job in simulator.world.page(limit=1000, **wanted)
    ]


@pytest.mark.parametrize("key", [DEMO_KEY, TEMPORARY], ids=lambda key: key.key_id)
def test_reads_all_by_token(key: Key) -> None:
    """Page after page the SDK sees every job once, newest first, with a plain and with a temporary key."""

    async def scenario(simulator: Simulator) -> None:
        client, request = client_of(simulator, key), models.ListSmartJobsRequest(max_results=60)
        seen = []
        while request.next_token != "":
            answer = await asyncio.to_thread(client.list_smart_jobs, request)
            seen += rows(answer)
            request.next_token = answer.body.next_token

        assert seen == truth(simulator)
        assert simulator.outcomes == {("ListSmartJobs", "OK"): 5}

    with_simulator(scenario)


def test_reads_a_list_by_page_number() -> None:
    """By PageNo and PageSize, with filters and the oldest first, the SDK sees that list of the world."""

    async def scenario(simulator: Simulator) -> None:
        client, seen = client_of(simulator), []
        for number in (1, 2, 3):
            request = models.ListSmartJobsRequest(
                page_no=number,
                page_size=10,
                job_type="ASR",
                job_state="Finished",
                sort_by="CreationTime:Asc",
            )
            seen += rows(await asyncio.to_thread(client.list_smart_jobs, request))

        expected = truth(simulator, job_type="ASR", job_state="Finished", ascending=True)
        assert len(expected) == 21
        assert seen == expected

    with_simulator(scenario)


def test_the_asynchronous_client_reads_the_same() -> None:
    """The SDK's other HTTP stack, which sends other bytes than it signs, passes if queries are decoded."""

    async def scenario(simulator: Simulator) -> None:
        client = client_of(simulator)
        request = models.ListSmartJobsRequest(max_results=100, sort_by="CreationTime:Asc")
        seen = []
        while request.next_token != "":
            answer = await client.list_smart_jobs_async(request)
            seen += rows(answer)
            request.next_token = answer.body.next_token

        assert seen == truth(simulator, ascending=True)

    with_simulator(scenario, exact_query=False)


def test_reads_single_jobs() -> None:
    """GetSmartHandleJob tells state and type, and the error of a failed job; an unknown job raises."""

    async def scenario(simulator: Simulator) -> None:
        client = client_of(simulator)
        failed = simulator.world.create("ASR", state="Failed", error=("Code", "Message"))
        created = simulator.world.create("ASR")

        bodies = [
            (await client.get_smart_handle_job_async(models.GetSmartHandleJobRequest(job_id=job_id))).body
            for job_id in (failed, created)
        ]
        with pytest.raises(ClientException) as unknown:
            await client.get_smart_handle_job_async(models.GetSmartHandleJobRequest(job_id="nobody"))

        assert [(body.state, body.error_code, body.error_message) for body in bodies] == [
            ("Failed", "Code", "Message"),
            ("Created", None, None),
        ]
        assert bodies[0].smart_job_info.job_type == "ASR"
        assert unknown.value.code == "JobNotFound"

    with_simulator(scenario)


def test_a_wrong_secret_is_refused() -> None:
    """With another secret the SDK's signature does not match."""

    async def scenario(simulator: Simulator) -> None:
        client = client_of(simulator, Key(DEMO_KEY.key_id, "wrong"))

        with pytest.raises(ClientException) as refused:
            await client.list_smart_jobs_async(models.ListSmartJobsRequest())

        assert refused.value.code == "SignatureDoesNotMatch"

    with_simulator(scenario)
