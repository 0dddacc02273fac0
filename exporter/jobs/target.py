"""A poll target, with everything that is needed to call the service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.jobs.snapshot import PollKey


@dataclass(frozen=True, slots=True)
class Credentials:
    """Source of the credentials of a target, never the credentials themselves; empty means not set."""

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
    """One poll target, with its endpoint, job types and credentials."""

    key: PollKey
    endpoint: str
    """A URL of scheme, host and perhaps port, without a trailing slash."""
    job_types: tuple[str, ...] = ()
    """The job types to poll; empty means all."""
    credentials: Credentials | None = None
    """None means Alibaba's default chain."""
