"""A target: one account in one region, with all that is needed to call it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.jobs.snapshot import PollKey


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the credentials of a target come from, never the credentials themselves; empty means not set."""

    access_key_id_env: str = ""
    access_key_secret_env: str = ""
    security_token_env: str = ""
    file: str = ""
    profile: str = ""
    role_arn: str = ""
    role_session_name: str = ""
    external_id: str = ""
    sts_endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What is polled, where, and as whom."""

    key: PollKey
    endpoint: str
    """A URL of scheme, host and perhaps port, without a trailing slash."""
    job_types: tuple[str, ...] = ()
    """The job types to poll; empty means all."""
    credentials: Credentials | None = None
    """None means Alibaba's default chain."""
