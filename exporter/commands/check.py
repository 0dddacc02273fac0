"""The command `check`: makes one call per target, and reports a verdict with a hint for each part of the setup."""

from __future__ import annotations

import json
import os
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.commands.output import print_line
from exporter.commands.startup import configure
from exporter.errors import (
    AccountUnusableError,
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
from exporter.ims.credentials.transport import NO_CREDENTIALS
from exporter.jobs.kinds import KINDS
from exporter.threads import run_detached
from exporter.web.config.file import load_web_config

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

    from exporter.config.settings import Settings
    from exporter.ims.client import ImsClient
    from exporter.jobs.kinds import JobKind
    from exporter.jobs.target import Target

MAX_SKEW_SECONDS = 60
"""Maximum difference of the clocks without a warning; the service refuses 15 minutes."""

QUOTA = "quota"
KEY_ACCEPTED = "the access key and its signature are accepted"
NEW_LINE = "\n" + " " * 24
"""Continues the text of a finding below its first line."""

NO_SUCH_JOB = "ims-exporter-check"
"""A job id that the service never assigns."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one part of the check of a target."""

    part: str
    is_good: bool | None
    """None if the call does not show it."""
    text: str
    is_required: bool = True
    """Whether the exporter cannot poll the target without it."""

    @property
    def mark(self) -> str:
        """The finding as one word."""
        return {True: "ok", False: "FAILED" if self.is_required else "warning", None: "unknown"}[self.is_good]


def ram_policy(kinds: Iterable[JobKind] = tuple(KINDS.values())) -> str:
    """Returns the minimal RAM policy to poll these job kinds, with failure details, as JSON."""
    actions = [f"ice:{action}" for kind in kinds for action in kind.actions]
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    return json.dumps({"Version": "1", "Statement": [statement]}, indent=2)


def check_command(arguments: argparse.Namespace) -> bool:
    """Checks the configuration and every target; False if a target has a failed part."""
    settings = configure(arguments)
    if settings.web_config_file:
        load_web_config(settings.web_config_file)
    return run_detached(check(settings, os.environ))


async def check(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Checks every target and prints each verdict when it is known; returns whether all are good."""
    all_good = True
    clients = Clients(
        environ,
        timeout_seconds=settings.request_timeout_seconds,
        max_requests_per_second=settings.max_requests_per_second,
    )
    kinds = dict.fromkeys(target.key.job_kind for target in settings.polled_targets)
    policy = ram_policy(KINDS[kind] for kind in kinds)
    if not settings.polled_targets:
        print_line(f"shard {settings.shard} of {settings.shards} has no targets: nothing to check")
    async with aclosing(clients):
        for target in settings.polled_targets:
            findings = [finding async for finding in _findings(target, clients.client(target), settings, policy)]
            failed = {finding.part for finding in findings if finding.mark == "FAILED"}
            print_line(f"{target.key}: {'THROTTLED' if failed == {QUOTA} else 'NOT GOOD' if failed else 'good'}")
            for finding in findings:
                print_line(f"  {finding.part:<12} {finding.mark:<8} {finding.text}")
            all_good = all_good and not failed
    return all_good


async def _findings(target: Target, client: ImsClient, settings: Settings, policy: str) -> AsyncIterator[Finding]:
    started = time.monotonic()
    try:
        page = await client.list_jobs(size=1, budget=RetryBudget(settings.request_timeout_seconds))
    except ApiError as error:
        is_throttled = isinstance(error, ThrottledError) and error.code != NO_CREDENTIALS
        for finding in _throttled(target, error) if is_throttled else (_failed(target, error, policy),):
            yield finding
        return
    milliseconds = (time.monotonic() - started) * 1000
    yield Finding("endpoint", is_good=True, text=f"{target.endpoint} answered in {milliseconds:.0f} ms")
    yield _clock(page.server_time)
    yield Finding("credentials", is_good=True, text=KEY_ACCEPTED)
    yield Finding("permission", is_good=True, text=f"ice:{client.kind.action} is granted")
    if settings.failure_details and client.kind.details:
        yield await _details(client, f"ice:{client.kind.details.action}", policy)


def _clock(server_time: int | None) -> Finding:
    if server_time is None:
        return Finding("clock", is_good=True, text="the endpoint does not send its time", is_required=False)
    skew = time.time() - server_time
    return Finding(
        "clock",
        is_good=abs(skew) <= MAX_SKEW_SECONDS,
        text=f"this machine is {abs(skew):.0f} seconds {'ahead of' if skew > 0 else 'behind'} the service",
        is_required=False,
    )


async def _details(client: ImsClient, permission: str, policy: str) -> Finding:
    """Gets a job that does not exist: the service answers `not found` with the permission, `forbidden` without it."""
    part = "details"
    try:
        await client.get_job(NO_SUCH_JOB, budget=RetryBudget(0))
    except NotFoundError:
        pass
    except ForbiddenError:
        text = (
            f"{permission} is not granted: failures are counted without a reason. "
            f"To get the reasons, grant\n{policy}\n  to the RAM user or role; or set failure_details to off"
        )
        return Finding(part, is_good=False, text=text, is_required=False)
    except ApiError as error:
        return Finding(part, is_good=False, text=f"{error}; {error.hint}", is_required=False)
    return Finding(part, is_good=True, text=f"{permission} is granted: failures have a reason")


def _throttled(target: Target, error: ApiError) -> Iterator[Finding]:
    """Returns what a throttled call proves: the service throttles a caller only after it has accepted the key."""
    yield Finding("endpoint", is_good=True, text=f"{target.endpoint} answered")
    yield Finding("clock", is_good=True, text="close enough to the clock of the service")
    yield Finding("credentials", is_good=True, text=KEY_ACCEPTED)
    text = (
        f"{error}; other callers of {KINDS[target.key.job_kind].action} share the quota of the account: check again "
        f"in a minute; if it is still throttled, {error.hint}"
    )
    yield Finding(QUOTA, is_good=False, text=text)
    yield Finding("permission", is_good=None, text="unknown, as every call was throttled")


def _failed(target: Target, error: ApiError, policy: str) -> Finding:
    if isinstance(error, ForbiddenError):
        text = f"{error}; grant this policy to the RAM user or role:\n{policy}"
        return Finding("permission", is_good=False, text=text)
    if isinstance(error, NoCredentialsError):
        lines = ("no credentials were found:", *error.reasons, error.hint)
        return Finding("credentials", is_good=False, text=NEW_LINE.join(lines))
    if error.code == NO_CREDENTIALS:  # no call was made
        return Finding("credentials", is_good=False, text=f"{error}; {error.hint}")
    part = (
        "clock"
        if isinstance(error, ClockSkewError)
        else "credentials"
        if isinstance(error, CredentialsError)
        else "account"
        if isinstance(error, AccountUnusableError)
        else "endpoint"
    )
    return Finding(part, is_good=False, text=f"{target.endpoint}: {error}; {error.hint}")
