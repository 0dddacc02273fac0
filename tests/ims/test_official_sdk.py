"""The official SDK reads the simulator and sees exactly what is in its world, and so does our own client."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from alibabacloud_ice20201109 import models
from alibabacloud_ice20201109.client import Client
from alibabacloud_tea_openapi.exceptions import ClientException
from alibabacloud_tea_openapi.utils_models import Config

from exporter.errors import NotFoundError
from exporter.ims.client import ImsClient, RetryBudget
from exporter.ims.credentials.source import credential_source
from exporter.ims.http import endpoint_pool
from exporter.ims.rate_limit import AccountLimiter
from exporter.jobs.kinds import SMART
from exporter.jobs.target import Credentials
from exporter.simulator.authentication import Key
from exporter.simulator.job_store import wire_time
from exporter.simulator.server import DEMO_KEY, Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from exporter.ims.answers import Page

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


@asynccontextmanager
async def our_client(simulator: Simulator, key: Key = DEMO_KEY) -> AsyncIterator[ImsClient]:
    """Gives our own client for a simulator."""
    environ = {"ID": key.key_id, "SECRET": key.secret, "TOKEN": key.token}
    async with endpoint_pool(simulator.url, timeout_seconds=10) as pool:
        source = credential_source(Credentials("ID", "SECRET", "TOKEN"), environ)
        yield ImsClient(SMART, pool, source, AccountLimiter(1000), timeout_seconds=10)


def with_simulator(scenario: Callable[[Simulator], Coroutine[None, None, None]], *, exact_query: bool = True) -> None:
    """Runs a scenario against a world of 250 jobs of all types and states."""

    async def run() -> None:
        async with Simulator(keys=[DEMO_KEY, TEMPORARY], exact_query=exact_query) as simulator:
            for number in range(250):
                simulator.jobs.create(
                    SMART.job_types[number % 4],
                    state=SMART.job_states[number % 3],
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
        for job in simulator.jobs.page(limit=1000, **wanted)
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
        failed = simulator.jobs.create("ASR", state="Failed", error=("Code", "Message"))
        created = simulator.jobs.create("ASR")

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


def page_of_sdk(answer: Any) -> tuple[list[Any], str]:  # noqa: ANN401 - the SDK has no types
    """Returns what our client uses of a page of the SDK."""
    jobs = [
        (job.job_id, job.job_type, job.job_state, job.create_time, job.modified_time, job.user_data)
        for job in answer.body.smart_job_list
    ]
    return jobs, answer.body.next_token or ""


def page_of_ours(page: Page) -> tuple[list[Any], str]:
    """Returns the same of a page of our client."""
    jobs = [
        (
            *(job.job_id, job.job_type, job.job_state),
            *(wire_time(job.created_at or 0), wire_time(job.modified_at or 0), job.user_data),
        )
        for job in page.jobs
    ]
    return jobs, page.next_token


@pytest.mark.parametrize("key", [DEMO_KEY, TEMPORARY], ids=lambda key: key.key_id)
@pytest.mark.parametrize("filters", [{}, {"job_type": "ASR", "job_state": "Finished"}])
def test_our_client_reads_the_same_by_token(key: Key, filters: dict[str, Any]) -> None:
    """Page after page by NextToken, our client sees what the SDK sees, field by field."""

    async def scenario(simulator: Simulator) -> None:
        sdk, token, pages = client_of(simulator, key), "", 0
        async with our_client(simulator, key) as ours:
            while token or not pages:
                request = models.ListSmartJobsRequest(max_results=8, next_token=token or None, **filters)
                theirs = page_of_sdk(await asyncio.to_thread(sdk.list_smart_jobs, request))
                page = await ours.list_jobs(size=8, token=token, budget=RetryBudget(0), **filters)
                assert page_of_ours(page) == theirs
                token, pages = page.next_token, pages + 1

        assert pages == (3 if filters else 32)

    with_simulator(scenario)


def test_our_client_reads_the_same_by_page_number() -> None:
    """By PageNo and PageSize, past the end of the list, our client sees what the SDK sees."""

    async def scenario(simulator: Simulator) -> None:
        sdk, sizes = client_of(simulator), []
        async with our_client(simulator) as ours:
            for number in range(1, 6):
                request = models.ListSmartJobsRequest(page_no=number, page_size=70)
                theirs = page_of_sdk(await asyncio.to_thread(sdk.list_smart_jobs, request))
                page = await ours.list_jobs(number=number, size=70, budget=RetryBudget(0))
                assert page_of_ours(page) == theirs
                sizes.append(len(page.jobs))

        assert sizes == [70, 70, 70, 40, 0]

    with_simulator(scenario)


def test_our_client_reads_the_same_single_jobs() -> None:
    """GetSmartHandleJob tells our client what it tells the SDK; of an unknown job, that it is unknown."""

    async def scenario(simulator: Simulator) -> None:
        sdk, create = client_of(simulator), simulator.jobs.create
        job_ids = [
            create("ASR", state=state, title=f"a {state} job", error=("Code", "Message")) for state in SMART.job_states
        ]
        async with our_client(simulator) as ours:
            for job_id in job_ids:
                request = models.GetSmartHandleJobRequest(job_id=job_id)
                body = (await asyncio.to_thread(sdk.get_smart_handle_job, request)).body
                info = body.smart_job_info
                job = await ours.get_job(job_id, budget=RetryBudget(0))

                assert (job.job_state, job.error_code, job.error_message) == (
                    *(body.state, body.error_code or "", body.error_message or ""),
                )
                assert wire_time(job.modified_at or 0) == info.modified_time
            with pytest.raises(NotFoundError, match="JobNotFound"):
                await ours.get_job("nobody", budget=RetryBudget(0))

    with_simulator(scenario)
