"""The settings: every field with its bounds, default, description, and whether a reload can change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from exporter.config.address import endpoint_url, listen_pair
from exporter.config.problems import TOGETHER
from exporter.config.validators import (
    ALL_KINDS,
    account_name,
    credential_problems,
    duration,
    known_job_kind,
    less_than_shards,
    listenable_address,
    longer_than_interval,
    lower_case,
    not_empty,
    target_problems,
    variable_name,
    word_list,
)
from exporter.jobs.kinds import KINDS, SMART
from exporter.jobs.shards import owner
from exporter.jobs.snapshot import PollKey
from exporter.jobs.target import Credentials, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Self

    from exporter.jobs.kinds import JobKind


@dataclass(frozen=True, slots=True)
class TakesRestart:
    """Marks a setting that is read at the start only: a reload refuses to change it."""


AccountName = Annotated[str, AfterValidator(account_name)]
RegionId = Annotated[str, Field(pattern="^[a-z]{2,}(-[a-z0-9]+)+$", max_length=64)]
EndpointUrl = Annotated[str, AfterValidator(endpoint_url)]
JobKinds = Annotated[
    tuple[Annotated[str, AfterValidator(known_job_kind)], ...],
    NoDecode,
    BeforeValidator(word_list),
    AfterValidator(not_empty),
]
JobTypes = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], NoDecode, BeforeValidator(word_list)
]
VariableName = Annotated[str, AfterValidator(variable_name)]

# A setting of a target is described once, for the list of targets and for the single one.
ACCOUNT = Field(
    description="Name of the account, for the label `account`. Choose any name of 1 to 64 printable characters "
    "without quotes, slashes and backslashes.",
    examples=["prod"],
    json_schema_extra={"minLength": 1, "maxLength": 64, "pattern": r"^[^\s\"'`/\\]([^\"'`/\\]*[^\s\"'`/\\])?$"},
)
REGION_ID = Field(description="Region to poll.", examples=["cn-shanghai"])
ENDPOINT = Field(
    description="Endpoint of the service: a host, or `https://host[:port]`. `http://` is allowed for this machine, and "
    "for others if `allow_plain_http` is on.",
    examples=["ice-vpc.cn-shanghai.aliyuncs.com"],
    json_schema_extra={"default": "ice.<region_id>.aliyuncs.com"},
)
JOB_KINDS_POLLED = Field(
    description=f"Job kinds to poll: a list, or one text with commas, of "
    f"{', '.join(f'`{name}`' for name in KINDS)}; `{ALL_KINDS}` means every kind. A target can have its own.",
    examples=["smart"],
)
KNOWN_TYPES = " ".join(
    f"Known types of `{kind.name}`: {', '.join(f'`{name}`' for name in kind.job_types)}."
    for kind in KINDS.values()
    if kind.job_types
)
JOB_TYPES_POLLED = Field(
    description="Job types to poll: a list, or one text with commas; empty means all types, including those that the "
    "service adds later. A job kind of which no type is named is polled whole. "
    f"{KNOWN_TYPES} A target can have its own.",
    examples=["ASR,TextToSpeech"],
    json_schema_extra={"default": "all types"},
)
CREDENTIALS = Field(
    description="Source of the credentials; without it, the default chain of Alibaba Cloud.",
    json_schema_extra={"default": "the default chain"},
)


class CredentialSettings(BaseModel):
    """The source of a target's credentials. The configuration never contains the credentials themselves."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    access_key_id_env: VariableName = Field(
        default="",
        description="Name of the environment variable that holds the access key id.",
        examples=["PROD_KEY_ID"],
    )
    access_key_secret_env: VariableName = Field(
        default="",
        description="Name of the environment variable that holds the access key secret.",
        examples=["PROD_KEY_SECRET"],
    )
    security_token_env: VariableName = Field(
        default="",
        description="Name of the environment variable that holds the security token of a temporary key.",
        examples=["PROD_KEY_TOKEN"],
    )
    file: str = Field(
        default="",
        description="Credentials file in the `credentials.ini` format of Alibaba Cloud; read again when it changes.",
        examples=["/etc/ims-exporter/credentials.ini"],
    )
    profile: str = Field(default="default", description="Section of `file` to use.", min_length=1, examples=["prod"])
    role_arn: str = Field(
        default="",
        description="RAM role to assume with the credentials above, or with those of the default chain.",
        pattern="^(acs:ram::[0-9]+:role/[A-Za-z0-9._-]+)?$",
        examples=["acs:ram::1234567890123456:role/ims-reader"],
    )
    role_session_name: str = Field(
        default="",
        description="Session name of the assumed role, shown in the audit trail.",
        pattern="^([A-Za-z0-9.@_-]{2,64})?$",
        examples=["ims-exporter"],
        json_schema_extra={"default": "ims-exporter"},
    )
    external_id: str = Field(
        default="", description="External id that the trust policy of the role requires.", max_length=1224
    )
    sts_endpoint: str = Field(
        default="",
        description="Host of the STS service that issues the keys of the role.",
        pattern="^([A-Za-z0-9.-]+(:[0-9]{1,5})?)?$",
        examples=["sts.cn-shanghai.aliyuncs.com"],
        json_schema_extra={"default": "sts.aliyuncs.com"},
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        problems = credential_problems(self.model_dump(), self.model_fields_set)
        if problems:
            raise ValueError("\n".join(problems))
        return self


class TargetSettings(BaseModel):
    """A target: one account in one region."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    account: Annotated[AccountName, ACCOUNT] = "default"
    region_id: Annotated[RegionId, REGION_ID]
    endpoint: Annotated[EndpointUrl | None, ENDPOINT] = None
    job_kinds: JobKinds | None = Field(
        default=None,
        description="Job kinds to poll of this target.",
        examples=["smart"],
        json_schema_extra={"default": "`job_kinds` of the exporter"},
    )
    job_types: JobTypes | None = Field(
        default=None,
        description="Job types to poll of this target; an empty list means all types.",
        examples=["ASR,TextToSpeech"],
        json_schema_extra={"default": "`job_types` of the exporter"},
    )
    credentials: Annotated[CredentialSettings | None, CREDENTIALS] = None


class Settings(BaseSettings):
    """All settings of the exporter; `exporter.config.load.load_settings` creates them."""

    model_config = SettingsConfigDict(
        env_prefix="IMS_EXPORTER_",
        env_nested_delimiter="__",
        case_sensitive=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    region_id: Annotated[RegionId | None, REGION_ID] = None
    account: Annotated[AccountName, ACCOUNT] = "default"
    endpoint: Annotated[EndpointUrl | None, ENDPOINT] = None
    credentials: Annotated[CredentialSettings | None, CREDENTIALS] = None
    targets: list[TargetSettings] = Field(
        default=[],
        description="List of targets. It replaces the four settings above. No two targets have the same account and "
        "region_id. Each process polls at most 2,000 of them: see `shards`.",
        max_length=20_000,
    )
    job_kinds: Annotated[JobKinds, JOB_KINDS_POLLED] = (SMART.name,)
    job_types: Annotated[JobTypes, JOB_TYPES_POLLED] = ()
    allow_plain_http: bool = Field(
        default=False,
        description="Whether endpoints on other machines can be called without TLS.",
    )
    poll_interval_seconds: float = Field(
        default=60, description="Time between two polls of a job kind of a target.", ge=0.1, le=86400
    )
    lookback_days: int = Field(
        default=30,
        description="Maximum age of ended jobs in `ims_jobs`, and of ends that are counted after downtime.",
        ge=1,
        le=365,
    )
    survey_interval_hours: float = Field(
        default=24,
        description="Time between two surveys, which count all ended jobs within the lookback again.",
        ge=0.001,
        le=8760,
    )
    max_requests_per_second: float = Field(
        default=10, description="Maximum number of API calls per second, for each account.", ge=0.1, le=1000
    )
    request_timeout_seconds: float = Field(default=10, description="Timeout of an API call.", ge=0.1, le=300)
    stale_after_seconds: Annotated[float, AfterValidator(longer_than_interval)] = Field(
        default_factory=lambda others: 5.0 * others.get("poll_interval_seconds", 60),
        description="Age of the last good poll at which the job metrics of a target are withdrawn; more than "
        "`poll_interval_seconds`.",
        ge=0.1,
        le=604800,
        examples=[300],
        json_schema_extra={"default": "five times poll_interval_seconds"},
    )
    shards: int = Field(
        default=1,
        description="Number of processes that share the targets; each target is polled by one of them.",
        ge=1,
        le=1000,
    )
    shard: Annotated[int | None, AfterValidator(less_than_shards), TakesRestart()] = Field(
        default=None,
        description="Number of this process among the shards, from 0. The default is the number at the end of "
        "`HOSTNAME`, which a StatefulSet sets.",
        ge=0,
        le=999,
        examples=[0],
    )
    ledger_path: Annotated[str, TakesRestart()] = Field(
        default="./ims-exporter.db",
        description="SQLite file that keeps counters over restarts; `:memory:` stores nothing.",
        min_length=1,
        examples=["/var/lib/ims-exporter/ledger.db"],
    )
    standby: Annotated[Literal["none", "ledger", "lease"], BeforeValidator(lower_case), TakesRestart()] = Field(
        default="none",
        description="Whether this process waits while another one works on the same ledger, and takes over when that "
        "one ends. `ledger` uses a lock on a file next to the ledger, `lease` a Lease of Kubernetes and that lock.",
    )
    lease_name: Annotated[str, TakesRestart()] = Field(
        default="ims-exporter",
        description="Name of the Lease, in the namespace of the pod; with `shards`, the number of the shard is "
        "appended.",
        pattern="^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        max_length=240,
    )
    lease_seconds: Annotated[int, TakesRestart()] = Field(
        default=15,
        description="Duration of the Lease without a renewal. Its holder stops work after two thirds of it.",
        ge=3,
        le=600,
    )
    duration_histograms: Annotated[bool, TakesRestart()] = Field(
        default=True,
        description="Whether `/metrics` has the histograms of job durations, which are half of its series.",
    )
    failure_details: bool = Field(
        default=True,
        description="Whether to get the reason of each failed job, which requires a permission.",
    )
    listen_address: Annotated[str, AfterValidator(listenable_address), TakesRestart()] = Field(
        default="0.0.0.0:9912",
        description="Address to listen on: `host:port` or `[IPv6 address]:port`; `:port` and `[::]:port` are every "
        "address of IPv4 and IPv6. With port 0 the system chooses one.",
        examples=["127.0.0.1:9912"],
    )
    web_config_file: Annotated[str, TakesRestart()] = Field(
        default="",
        description="File with TLS, client certificates, users and limits, in the format of the Prometheus "
        "exporter-toolkit; without it, plain HTTP without authentication.",
        examples=["/etc/ims-exporter/web.yml"],
    )
    web_enable_lifecycle: Annotated[bool, TakesRestart()] = Field(
        default=False,
        description="Whether `POST /-/reload` reloads the configuration; SIGHUP always does.",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lower_case), TakesRestart()] = (
        Field(default="info", description="Minimum log level.")
    )
    log_format: Annotated[Literal["logfmt", "json"], BeforeValidator(lower_case), TakesRestart()] = Field(
        default="logfmt", description="Format of a log line."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Returns the sources that `load_settings` passes as `sources`, the one with the highest precedence first."""
        del settings_cls
        sources: tuple[PydanticBaseSettingsSource, ...] = init_settings()["sources"]
        return sources

    @field_validator("*", mode="before")
    @classmethod
    def _read_number(cls, value: object, info: ValidationInfo) -> object:
        """Reads a duration such as `5m`, and refuses `yes` and `on` of YAML, which Python would read as 1."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and {int, float} & {annotation, *get_args(annotation)}:
            raise ValueError("must be a number")
        return duration(value, info.field_name or "")

    @model_validator(mode="wrap")
    @classmethod
    def _with_target_problems(cls, values: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401 - of any source
        """Adds the problems of the targets as a whole to those of the single values."""
        problems = [
            InitErrorDetails(type=PydanticCustomError(TOGETHER, "{text}", {"text": text}), loc=place, input=None)
            for place, text in target_problems(values)
        ]
        try:
            settings = validate(values)
        except ValidationError as error:
            problems += [
                InitErrorDetails(type=found["type"], loc=found["loc"], input=found["input"], ctx=found.get("ctx", {}))
                for found in error.errors(include_url=False)
            ]
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems, hide_input=True)
        return settings

    @property
    def all_targets(self) -> tuple[Target, ...]:
        """The job kinds to poll of the targets of all shards."""
        return tuple(target for given in self.targets or (self,) for target in self._poll_targets(given))

    @property
    def polled_targets(self) -> tuple[Target, ...]:
        """The job kinds to poll of the targets of this shard."""
        return tuple(target for target in self.all_targets if owner(target.key, self.shards) == (self.shard or 0))

    @property
    def listen_pair(self) -> tuple[str, int]:
        """Host and port to listen on."""
        return listen_pair(self.listen_address)

    def _poll_targets(self, given: TargetSettings | Settings) -> Iterator[Target]:
        """Returns one poll target for each job kind of a target."""
        if given.region_id is None:
            raise ValueError("settings without a target")
        kinds = self.job_kinds if given.job_kinds is None else given.job_kinds
        types = self.job_types if given.job_types is None else given.job_types
        polled = [KINDS[kind] for kind in (KINDS if ALL_KINDS in kinds else dict.fromkeys(kinds))]
        for kind in polled:
            yield Target(
                key=PollKey(given.account, given.region_id, kind.name),
                endpoint=given.endpoint or f"https://ice.{given.region_id}.aliyuncs.com",
                job_types=types_of_kind(kind, types, polled),
                credentials=Credentials(**given.credentials.model_dump()) if given.credentials else None,
            )


def types_of_kind(kind: JobKind, job_types: Iterable[str], polled: Sequence[JobKind]) -> tuple[str, ...]:
    """Returns the job types to poll of a kind, while the kinds of `polled` are polled; empty means all.

    These are the given types that the kind documents. Types that no kind documents can belong to any kind with types:
    they are polled too if the kind has a documented one of the given types, or if no other kind in `polled` has types.

    Example: `smart` documents ASR, and another kind documents Merge. Of ASR and New, `smart` polls both, and the other
    kind polls all its types: none of them is given. Of New alone, `smart` polls New if the other kind is not polled.
    """
    others = {name for other in KINDS.values() if other.name != kind.name for name in other.job_types}
    own = tuple(name for name in dict.fromkeys(job_types) if name not in others)
    is_chosen = any(name in kind.job_types for name in own) or [each for each in polled if each.job_types] == [kind]
    return own if is_chosen else ()


def restart_settings() -> tuple[str, ...]:
    """Returns the settings that a reload cannot change."""
    fields = Settings.model_fields.items()
    return tuple(name for name, field in fields if any(isinstance(mark, TakesRestart) for mark in field.metadata))
