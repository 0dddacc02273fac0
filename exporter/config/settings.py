"""The settings: every field with its bounds, default and description, and nothing else that reads them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from exporter.config.address import listen_pair
from exporter.config.target_settings import (
    ACCOUNT,
    CREDENTIALS,
    ENDPOINT,
    JOB_TYPES_POLLED,
    REGION_ID,
    AccountName,
    CredentialSettings,
    EndpointUrl,
    JobTypes,
    RegionId,
    TargetSettings,
)
from exporter.config.validators import listenable, longer_than_interval, lower_case
from exporter.jobs.shards import owner
from exporter.jobs.snapshot import PollKey
from exporter.jobs.target import Credentials, Target

AT_THE_START = (
    "lease_name",
    "lease_seconds",
    "ledger_path",
    "listen_address",
    "log_format",
    "log_level",
    "shard",
    "standby",
    "web_config_file",
    "web_enable_lifecycle",
)
"""The settings that a reload cannot change."""
NUMBERS = (
    "poll_interval_seconds",
    "lookback_days",
    "survey_interval_hours",
    "max_requests_per_second",
    "request_timeout_seconds",
    "stale_after_seconds",
    "shards",
    "shard",
)


class Settings(BaseSettings):
    """All settings of the exporter; made by `exporter.config.load.load_settings` alone."""

    model_config = SettingsConfigDict(
        env_prefix="IMS_EXPORTER_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    region_id: Annotated[RegionId | None, REGION_ID] = None
    account: Annotated[AccountName, ACCOUNT] = "default"
    endpoint: Annotated[EndpointUrl | None, ENDPOINT] = None
    job_types: Annotated[JobTypes, JOB_TYPES_POLLED] = ()
    credentials: Annotated[CredentialSettings | None, CREDENTIALS] = None
    targets: list[TargetSettings] = Field(
        default=[],
        description="The targets, where there is more than one; then the five settings above stay unset. "
        "Each has its own account and region_id.",
        max_length=2000,
    )
    allow_plain_http: bool = Field(
        default=False,
        description="Whether endpoints on other machines may be called without TLS.",
    )
    poll_interval_seconds: float = Field(
        default=60, description="Time from one poll of a target to the next.", ge=0.1, le=86400
    )
    lookback_days: int = Field(
        default=30,
        description="Age up to which ended jobs are counted in `ims_jobs`, and up to which an end is "
        "still found after downtime.",
        ge=1,
        le=365,
    )
    survey_interval_hours: float = Field(
        default=24,
        description="Time from one recount of all ended jobs within the lookback to the next.",
        ge=0.001,
        le=8760,
    )
    max_requests_per_second: float = Field(
        default=10, description="Calls of the service per second, for each account.", ge=0.1, le=1000
    )
    request_timeout_seconds: float = Field(
        default=10, description="Time after which a call without an answer has failed.", ge=0.1, le=300
    )
    stale_after_seconds: Annotated[float, AfterValidator(longer_than_interval)] = Field(
        default_factory=lambda others: 5.0 * others.get("poll_interval_seconds", 60),
        description="Age of the last good poll from which on the job metrics of a target are withdrawn; more "
        "than `poll_interval_seconds`.",
        ge=0.1,
        le=604800,
        json_schema_extra={"default": "five times poll_interval_seconds"},
    )
    shards: int = Field(
        default=1,
        description="Number of processes that share the targets; each target is polled by one of them.",
        ge=1,
        le=1000,
    )
    shard: int | None = Field(
        default=None,
        description="Which of them this is, from 0; left out, the number at the end of `HOSTNAME`, as a StatefulSet "
        "gives it.",
        ge=0,
        le=999,
    )
    ledger_path: str = Field(
        default="./ims-exporter.db",
        description="SQLite file in which counters survive restarts; `:memory:` to keep nothing.",
        min_length=1,
        examples=["/var/lib/ims-exporter/ledger.db"],
    )
    standby: Annotated[Literal["none", "ledger", "lease"], BeforeValidator(lower_case)] = Field(
        default="none",
        description="Whether this process waits while another one is at work on the same ledger, and takes over when "
        "that one ends: `ledger` goes by a lock on a file beside it, `lease` by a Lease of Kubernetes and that lock.",
    )
    lease_name: str = Field(
        default="ims-exporter",
        description="Name of the Lease, in the pod's own namespace; with `shards`, the number of the shard follows it.",
        pattern="^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        max_length=240,
    )
    lease_seconds: int = Field(
        default=15,
        description="Time after which a Lease that is not renewed may be taken; its holder ends after two thirds.",
        ge=3,
        le=600,
    )
    failure_details: bool = Field(
        default=True,
        description="Whether the reason of each failed job is fetched, which needs the permission "
        "`ice:GetSmartHandleJob`.",
    )
    listen_address: Annotated[str, AfterValidator(listenable)] = Field(
        default="0.0.0.0:9912",
        description="Address to serve on: `host:port` or `[IPv6 address]:port`; port 0 lets the system pick.",
        examples=["127.0.0.1:9912"],
    )
    web_config_file: str = Field(
        default="",
        description="File with TLS, client certificates, users and limits, in the format of Prometheus' "
        "exporter-toolkit; without it, plain HTTP for everyone.",
        examples=["/etc/ims-exporter/web.yml"],
    )
    web_enable_lifecycle: bool = Field(
        default=False,
        description="Whether `POST /-/reload` reads the configuration anew; SIGHUP always does.",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lower_case)] = Field(
        default="info", description="Least severity that is logged."
    )
    log_format: Annotated[Literal["logfmt", "json"], BeforeValidator(lower_case)] = Field(
        default="logfmt", description="Form of a log line."
    )

    @field_validator(*NUMBERS, mode="before")
    @classmethod
    def number(cls, value: object) -> object:
        """Refuses YAML's `yes` and `on`, which Python would take for 1."""
        if isinstance(value, bool):
            raise ValueError("must be a number")  # noqa: TRY004 - what pydantic explains
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Takes values from the caller alone: `load_settings` has put the sources together already."""
        del settings_cls
        return (init_settings,)

    @property
    def all_targets(self) -> tuple[Target, ...]:
        """The targets of all shards as plain values, from whichever of the two ways they were given."""
        return tuple(_target(each) for each in self.targets) or (_target(self),)

    @property
    def polled_targets(self) -> tuple[Target, ...]:
        """The targets that this shard polls."""
        return tuple(target for target in self.all_targets if owner(target.key, self.shards) == (self.shard or 0))

    @property
    def listen_pair(self) -> tuple[str, int]:
        """Host and port to serve on."""
        return listen_pair(self.listen_address)


def _target(given: TargetSettings | Settings) -> Target:
    if given.region_id is None:
        raise ValueError("settings without a target")
    return Target(
        key=PollKey(given.account, given.region_id, "smart"),
        endpoint=given.endpoint or f"https://ice.{given.region_id}.aliyuncs.com",
        job_types=tuple(dict.fromkeys(given.job_types)),
        credentials=Credentials(**given.credentials.model_dump()) if given.credentials else None,
    )
