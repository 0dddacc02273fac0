"""The command `check`: tries every target once, and says what works, what does not, and what to do about it."""

from __future__ import annotations

import json
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.errors import (
    ApiError,
    ClockSkewError,
    CredentialsError,
    ForbiddenError,
    NotFoundError,
    ThrottledError,
)
from exporter.ims.client import RetryBudget
from exporter.ims.clients import Clients
from exporter.ims.credentials.default_chain import NoCredentialsError
from exporter.jobs.kinds import SMART

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

    from exporter.config.settings import Settings
    from exporter.ims.client import ImsClient
    from exporter.jobs.target import Target

MAX_SKEW_SECONDS = 60
"""A larger difference of the clocks is worth a word; the service refuses 15 minutes."""
QUOTA = "quota"
KEY_ACCEPTED = "the access key and its signature are accepted"
BESIDE_MARKS = "\n" + " " * 24
LIST_ACTION, GET_ACTION = SMART.actions
NO_SUCH_JOB = "ims-exporter-check"


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one part of a target's check."""

    part: str
    is_good: bool | None
    """None where nothing can be said."""
    text: str
    is_needed: bool = True

    @property
    def mark(self) -> str:
        """The finding in a word."""
        return {True: "ok", False: "FAILED" if self.is_needed else "warning", None: "unknown"}[self.is_good]


def ram_policy(actions: Iterable[str] = (LIST_ACTION, GET_ACTION)) -> str:
    """Returns the least RAM policy that the exporter needs, as JSON."""
    statement = {"Effect": "Allow", "Action": [f"ice:{action}" for action in actions], "Resource": "*"}
    return json.dumps({"Version": "1", "Statement": [statement]}, indent=2)


async def check(settings: Settings, environ: Mapping[str, str], say: Callable[[str], None]) -> bool:
    """Checks every target, telling each verdict as it is reached; returns whether all are good."""
    all_good = True
    made = Clients(
        environ,
        timeout_seconds=settings.request_timeout_seconds,
        max_requests_per_second=settings.max_requests_per_second,
    )
    async with aclosing(made) as clients:
        for target in settings.polled_targets:
            findings = [finding async for finding in _findings(target, clients.client(target), settings)]
            bad = {finding.part for finding in findings if finding.mark == "FAILED"}
            say(f"{target.key}: {'THROTTLED' if bad == {QUOTA} else 'NOT GOOD' if bad else 'good'}")
            for finding in findings:
                say(f"  {finding.part:<12} {finding.mark:<8} {finding.text}")
            all_good = all_good and not bad
    return all_good


async def _findings(target: Target, client: ImsClient, settings: Settings) -> AsyncIterator[Finding]:
    started = time.monotonic()
    try:
        page = await client.list_jobs(size=1, budget=RetryBudget(settings.request_timeout_seconds))
    except ThrottledError as error:
        for finding in _throttled(target, error):
            yield finding
        return
    except ApiError as error:
        yield _failed(target, error)
        return
    milliseconds = (time.monotonic() - started) * 1000
    yield Finding("endpoint", is_good=True, text=f"{target.endpoint} answered in {milliseconds:.0f} ms")
    yield _clock(page.server_time)
    yield Finding("credentials", is_good=True, text=KEY_ACCEPTED)
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
        await client.get_job(NO_SUCH_JOB, budget=RetryBudget(0))
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


def _throttled(target: Target, error: ThrottledError) -> Iterator[Finding]:
    """Gives what a throttled call proves: only a caller that the service knows has a rate to be throttled at."""
    yield Finding("endpoint", is_good=True, text=f"{target.endpoint} answered")
    yield Finding("clock", is_good=True, text="near enough to the service's")
    yield Finding("credentials", is_good=True, text=KEY_ACCEPTED)
    text = (
        f"{error}; others who call {LIST_ACTION} with this account count too: check again in a minute, and if it stays"
        f" so, {error.hint}"
    )
    yield Finding(QUOTA, is_good=False, text=text)
    yield Finding("permission", is_good=None, text="no call has come through that would show it")


def _failed(target: Target, error: ApiError) -> Finding:
    if isinstance(error, ForbiddenError):
        text = f"{error}; grant this policy to the RAM user or role:\n{ram_policy()}"
        return Finding("permission", is_good=False, text=text)
    if isinstance(error, NoCredentialsError):
        lines = ("no credentials were found:", *error.reasons, error.hint)
        return Finding("credentials", is_good=False, text=BESIDE_MARKS.join(lines))
    if error.code == "NoCredentials":  # nothing was called
        return Finding("credentials", is_good=False, text=f"{error}; {error.hint}")
    part = (
        "clock"
        if isinstance(error, ClockSkewError)
        else "credentials"
        if isinstance(error, CredentialsError)
        else "endpoint"
    )
    return Finding(part, is_good=False, text=f"{target.endpoint}: {error}; {error.hint}")
