"""The settings of one target: account, region, endpoint, job types, and where its credentials come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from exporter.config.address import endpoint_url
from exporter.config.validators import account_name, credential_problems, job_type_list, known_job_type, variable_name
from exporter.jobs.kinds import SMART

JOB_TYPES = SMART.job_types

if TYPE_CHECKING:
    from typing import Self

AccountName = Annotated[str, AfterValidator(account_name)]
RegionId = Annotated[str, Field(pattern="^[a-z]{2,}(-[a-z0-9]+)+$", max_length=64)]
EndpointUrl = Annotated[str, AfterValidator(endpoint_url)]
JobTypes = Annotated[tuple[Annotated[str, AfterValidator(known_job_type)], ...], BeforeValidator(job_type_list)]
VariableName = Annotated[str, AfterValidator(variable_name)]

# A setting of a target is described once, for the list of targets as for the single one.
ACCOUNT = Field(
    description="Name of the account, as it shall appear in the label `account`; free to choose, 1 to 64 "
    "printable characters without quotes, slashes and backslashes.",
    examples=["prod"],
    json_schema_extra={"minLength": 1, "maxLength": 64, "pattern": r"^[^\s\"'`/\\]([^\"'`/\\]*[^\s\"'`/\\])?$"},
)
REGION_ID = Field(description="Region to poll.", examples=["cn-shanghai"])
ENDPOINT = Field(
    description="Where to call the service: a host, or `https://host[:port]`; `http://` only to this machine "
    "itself, unless `allow_plain_http` is on.",
    examples=["ice-vpc.cn-shanghai.aliyuncs.com"],
    json_schema_extra={"default": "ice.<region_id>.aliyuncs.com"},
)
JOB_TYPES_POLLED = Field(
    description=f"Job types to poll, of {', '.join(f'`{name}`' for name in JOB_TYPES)}: a list, or one "
    "text with commas; empty means all, including those that the service adds later.",
    examples=["ASR,TextToSpeech"],
    json_schema_extra={"default": "all types"},
)
CREDENTIALS = Field(
    description="Where the credentials come from; without it, Alibaba Cloud's default chain.",
    json_schema_extra={"default": "the default chain"},
)


class CredentialSettings(BaseModel):
    """Where the credentials of a target come from; they themselves never stand in the configuration."""

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
        description="Credentials file in Alibaba Cloud's `credentials.ini` format; read again when it changes.",
        examples=["/etc/ims-exporter/credentials.ini"],
    )
    profile: str = Field(default="default", description="Section of `file` to use.", min_length=1, examples=["prod"])
    role_arn: str = Field(
        default="",
        description="RAM role to assume with the credentials found above, or by the default chain.",
        pattern="^(acs:ram::[0-9]+:role/[A-Za-z0-9._-]+)?$",
        examples=["acs:ram::1234567890123456:role/ims-reader"],
    )
    role_session_name: str = Field(
        default="",
        description="Session name shown in the audit trail when the role is assumed.",
        pattern="^([A-Za-z0-9.@_-]{2,64})?$",
        examples=["ims-exporter"],
        json_schema_extra={"default": "ims-exporter"},
    )
    external_id: str = Field(
        default="", description="External id that the role's trust policy asks for.", max_length=1224
    )
    sts_endpoint: str = Field(
        default="",
        description="Host of the STS service that hands out the role's keys.",
        pattern="^([A-Za-z0-9.-]+(:[0-9]{1,5})?)?$",
        examples=["sts.cn-shanghai.aliyuncs.com"],
        json_schema_extra={"default": "sts.aliyuncs.com"},
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = credential_problems(self.model_dump(), self.model_fields_set)
        if problems:
            raise ValueError("\n".join(problems))
        return self


class TargetSettings(BaseModel):
    """One account in one region."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    account: Annotated[AccountName, ACCOUNT] = "default"
    region_id: Annotated[RegionId, REGION_ID]
    endpoint: Annotated[EndpointUrl | None, ENDPOINT] = None
    job_types: Annotated[JobTypes, JOB_TYPES_POLLED] = ()
    credentials: Annotated[CredentialSettings | None, CREDENTIALS] = None
