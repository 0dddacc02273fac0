"""The page that documents the settings, written from their class: `python -m exporter.config.document`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from exporter.config.environment import CONFIG_VARIABLE, environment_name
from exporter.config.flags import FLAG_SETTINGS, flag_name
from exporter.config.settings import AT_THE_START, Settings
from exporter.config.target_settings import CredentialSettings, TargetSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

EXAMPLE = """\
targets:
  - account: prod
    region_id: cn-shanghai
  - account: prod
    region_id: ap-southeast-1
    endpoint: ice-vpc.ap-southeast-1.aliyuncs.com
    job_types: [ASR, VideoTranslation]
  - account: media
    region_id: cn-beijing
    credentials:
      access_key_id_env: MEDIA_KEY_ID
      access_key_secret_env: MEDIA_KEY_SECRET
      security_token_env: MEDIA_KEY_TOKEN
  - account: archive
    region_id: cn-shanghai
    credentials:
      file: /etc/ims-exporter/credentials.ini
      profile: archive
      role_arn: acs:ram::1234567890123456:role/ims-reader
      role_session_name: ims-exporter
      external_id: example
      sts_endpoint: sts.cn-shanghai.aliyuncs.com
allow_plain_http: off
poll_interval_seconds: 60
lookback_days: 30
survey_interval_hours: 24
shards: 1
shard: 0
max_requests_per_second: 10
request_timeout_seconds: 10
stale_after_seconds: 300
ledger_path: /var/lib/ims-exporter/ledger.db
standby: none
lease_name: ims-exporter
lease_seconds: 15
failure_details: on
listen_address: 0.0.0.0:9912
web_config_file: /etc/ims-exporter/web.yml
web_enable_lifecycle: off
log_level: info
log_format: logfmt
"""
"""A whole file, which a test loads."""

DEFAULT_CHAIN = (
    (
        "Access key",
        "`ALIBABA_CLOUD_ACCESS_KEY_ID`, `ALIBABA_CLOUD_ACCESS_KEY_SECRET`, `ALIBABA_CLOUD_SECURITY_TOKEN`",
    ),
    (
        "OIDC (RRSA of ACK)",
        (
            "`ALIBABA_CLOUD_ROLE_ARN`, `ALIBABA_CLOUD_OIDC_PROVIDER_ARN`, `ALIBABA_CLOUD_OIDC_TOKEN_FILE`, "
            "`ALIBABA_CLOUD_ROLE_SESSION_NAME`"
        ),
    ),
    (
        "Profile of the `aliyun` command, `~/.aliyun/config.json`",
        "`ALIBABA_CLOUD_PROFILE`; `ALIBABA_CLOUD_CLI_PROFILE_DISABLED=true` skips it",
    ),
    (
        "Credentials file, `~/.alibabacloud/credentials.ini`",
        "`ALIBABA_CLOUD_CREDENTIALS_FILE`, `ALIBABA_CLOUD_PROFILE`",
    ),
    (
        "RAM role of the ECS instance",
        (
            "`ALIBABA_CLOUD_ECS_METADATA` (name of the role), `ALIBABA_CLOUD_IMDSV1_DISABLED`; "
            "`ALIBABA_CLOUD_ECS_METADATA_DISABLED=true` skips it"
        ),
    ),
    ("Credentials URI", "`ALIBABA_CLOUD_CREDENTIALS_URI`"),
)
"""The links of the default chain in their order, and the variables that each of them reads."""

PAGE = """\
# Configuration

Generated from `exporter/config/settings.py` by `python -m exporter.config.document`; do not edit.

For one target a region is all that is needed:

    IMS_EXPORTER_REGION_ID=cn-shanghai ims-exporter

## Where settings come from

Flags win over environment variables, these over the file, and the file over the defaults. The file is YAML
and is named by `--config` or `{config}`. `credentials` are merged key by key; a list of
targets is taken whole from the source that wins.

An empty variable counts as not set. `targets` and `credentials` are JSON in the environment, or a variable
for each thing inside, as `IMS_EXPORTER_TARGETS__0__REGION_ID` or `IMS_EXPORTER_CREDENTIALS__ROLE_ARN`.

What is wrong is told all at once, one problem a line, and the exporter does not start. A key in
the file that is no setting is such a problem. An environment variable
with our prefix that is no setting is only warned about: Kubernetes sets `IMS_EXPORTER_PORT` and the like for
a Service named `ims-exporter`, which `enableServiceLinks: false` in the pod prevents.

## A change while running

After SIGHUP, or `POST /-/reload` where `web_enable_lifecycle` is on, the file is read anew (flags and environment stay
what they were). New targets are polled at once, removed ones end with their series, and changed ones go on in their
ledger; what has not changed is not disturbed. A configuration with a problem is refused as a whole: the answer is 400
with every problem, `ims_exporter_config_last_reload_successful` is 0, and the one before stays in force. So is a change
of {at_the_start}, which take a restart.

## Settings

{settings}

Switches take `on` and `off`, or `true` and `false`.

## A target

In `targets` each item has these keys. No two may have the same `account` and `region_id`.

{targets}

## Credentials

Keys and secrets never stand in the configuration. What stands there is where to find them:

{credentials}

Either name variables, or a file, or neither; a role can be assumed on top of each. Where neither is named,
Alibaba Cloud's default chain is asked; its first link that has credentials wins:

{chain}

The RAM user or role needs the permission `ice:ListSmartJobs`, and `ice:GetSmartHandleJob` for
`failure_details`.

## A whole file

```yaml
{example}```
"""


def configuration_document() -> str:
    """Returns the text of docs/configuration.md."""
    return PAGE.format(
        config=CONFIG_VARIABLE,
        at_the_start=", ".join(f"`{name}`" for name in AT_THE_START),
        settings=_table(("setting", "default", "bounds", "meaning"), _setting_rows()),
        targets=_table(("key", "default", "bounds", "meaning"), _key_rows(TargetSettings)),
        credentials=_table(("key", "default", "bounds", "meaning"), _key_rows(CredentialSettings)),
        chain=_table(("", "link", "variables"), [(f"{n}.", *link) for n, link in enumerate(DEFAULT_CHAIN, 1)]),
        example=EXAMPLE,
    )


def _setting_rows() -> Iterable[tuple[str, ...]]:
    for name, *others in _key_rows(Settings):
        setting = name.strip("`")
        names = [name, f"`{environment_name(setting)}`"]
        names += [f"`{flag_name(setting)}`"] if setting in FLAG_SETTINGS else []
        yield "<br>".join(names), *others


def _key_rows(model: type[BaseModel]) -> Iterable[tuple[str, str, str, str]]:
    schema = model.model_json_schema()
    for name, about in schema["properties"].items():
        default = "required" if name in schema.get("required", ()) else _default(about)
        yield f"`{name}`", default, _bounds(about), about["description"]


def _default(about: Mapping[str, Any]) -> str:
    default = about.get("default")
    if default in (None, "", []):
        return "-"
    if isinstance(default, bool):
        return "`on`" if default else "`off`"
    return default if " " in str(default) else f"`{default}`"


def _bounds(about: Mapping[str, Any]) -> str:
    """Says what a value may be, from its JSON schema, of which an optional setting's first part counts."""
    about = {**about.get("anyOf", [{}])[0], **about}
    if "enum" in about:
        return ", ".join(f"`{choice}`" for choice in about["enum"])
    if "minimum" in about:
        return f"{about['minimum']:g} to {about['maximum']}"
    if "examples" in about:
        return f"as `{about['examples'][0]}`"
    return "`on`, `off`" if about.get("type") == "boolean" else "-"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows))


if __name__ == "__main__":
    sys.stdout.write(configuration_document())
