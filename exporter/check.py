"""The command `check`: tries every target once, and says what works, what does not, and what to do about it."""

from __future__ import annotations

import json
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.api import GET_ACTION, LIST_ACTION, RetryBudget
from exporter.app import Clients
from exporter.errors import (
    ApiError,
    ClockSkewError,
    CredentialsError,
    ForbiddenError,
    NotFoundError,
)
from exporter.exposition import Instruments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from exporter.api import ImsClient
    from exporter.settings import Settings
    from exporter.target import Target

MAX_SKEW_SECONDS = 60
"""A larger difference of the clocks is worth a word; the service refuses 15 minutes."""
NO_SUCH_JOB = "ims-smartjob-exporter-check"


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one part of a target's check."""

    part: str
    is_good: bool
    text: str
    is_needed: bool = True


def ram_policy(actions: Iterable[str] = (LIST_ACTION, GET_ACTION)) -> str:
    """Returns the least RAM policy that the exporter needs, as JSON."""
    statement = {"Effect": "Allow", "Action": [f"ice:{action}" for action in actions], "Resource": "*"}
    return json.dumps({"Version": "1", "Statement": [statement]}, indent=2)


async def check(settings: Settings, environ: Mapping[str, str], say: Callable[[str], None]) -> bool:
    """Checks every target, telling each verdict as it is reached; returns whether all are good."""
    all_good = True
    async with AsyncExitStack() as stack:
        clients = Clients(settings, environ, Instruments())
        for target in settings.polled_targets:
            client = clients.client(target, stack)
            findings = [finding async for finding in _findings(target, client, settings)]
            is_good = all(finding.is_good for finding in findings if finding.is_needed)
            say(f"{target.key}: {'good' if is_good else 'NOT GOOD'}")
            for finding in findings:
                mark = "ok" if finding.is_good else "FAILED" if finding.is_needed else "missing"
                say(f"  {finding.part:<12} {mark:<8} {finding.text}")
            all_good = all_good and is_good
    return all_good


async def _findings(target: Target, client: ImsClient, settings: Settings) -> AsyncIterator[Finding]:
    started = time.monotonic()
    try:
        page = await client.list_smart_jobs(max_results=1, budget=RetryBudget(settings.request_timeout_seconds))
    except ApiError as error:
        yield _failed(target, error)
        return
    milliseconds = (time.monotonic() - started) * 1000
    yield Finding("endpoint", is_good=True, text=f"{target.endpoint} answered in {milliseconds:.0f} ms")
    yield _clock(page.server_time)
    yield Finding("credentials", is_good=True, text="the access key and its signature are accepted")
    yield Finding("permission", is_good=True, text=f"ice:{LIST_ACTION} is granted")
    if settings.failure_details:
        yield await _details(client)


def _clock(server_time: int | None) -> Finding:
    if server_time is None:
        return Finding("clock", is_good=True, text="the endpoint does not tell its time", is_needed=False)
    skew = time.time() - server_time
    return Finding(
        "clock",
        is_good=abs(skew) <= MAX_SKEW_SECONDS,
        text=f"this machine is {abs(skew):.0f} seconds {'ahead of' if skew > 0 else 'behind'} the service",
        is_needed=False,
    )


async def _details(client: ImsClient) -> Finding:
    """Asks for a job that cannot exist: whoever may ask is told so, whoever may not is refused."""
    part = "details"
    try:
        await client.get_smart_handle_job(NO_SUCH_JOB, budget=RetryBudget(0))
    except NotFoundError:
        pass
    except ForbiddenError:
        text = (
            f"ice:{GET_ACTION} is not granted: failures are counted without their reason. "
            f"To have the reasons, grant\n{ram_policy()}\n  to the RAM user or role; else set failure_details off"
        )
        return Finding(part, is_good=False, text=text, is_needed=False)
    except ApiError as error:
        return Finding(part, is_good=False, text=f"{error}; {error.hint}", is_needed=False)
    return Finding(part, is_good=True, text=f"ice:{GET_ACTION} is granted: failures come with their reason")


def _failed(target: Target, error: ApiError) -> Finding:
    if isinstance(error, ForbiddenError):
        text = f"{error}; grant this policy to the RAM user or role:\n{ram_policy()}"
        return Finding("permission", is_good=False, text=text)
    part = (
        "clock"
        if isinstance(error, ClockSkewError)
        else "credentials"
        if isinstance(error, CredentialsError)
        else "endpoint"
    )
    return Finding(part, is_good=False, text=f"{target.endpoint}: {error}; {error.hint}")
