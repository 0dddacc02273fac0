"""The page that documents the settings, generated from their classes: `python -m exporter.config.document`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from exporter.config.settings import CredentialSettings, Settings, TargetSettings, restart_settings
from exporter.config.sources import CONFIG_VARIABLE, FLAG_SETTINGS, environment_name, flag_name
from exporter.config.validators import SINGLE_TARGET
from exporter.jobs.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

EXAMPLE_TARGETS = """\
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
"""
"""The targets of the complete file, with every key of a target and of credentials."""

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
"""The links of the default chain in their order, with the variables that each link reads."""

PAGE = """\
# Configuration

Generated from `exporter/config/settings.py` by `python -m exporter.config.document`; do not edit.

A single target needs only a region:

    IMS_EXPORTER_REGION_ID=cn-shanghai ims-exporter

## Sources

Flags override environment variables, environment variables override the file, and the file overrides the defaults.
The file is YAML; `--config` or `{config}` sets its path. `credentials` are merged key by key. A list of targets comes
from one source: the one with the highest precedence.

An empty variable counts as not set. In the environment, `targets` and `credentials` are JSON, or one variable per
value, such as `IMS_EXPORTER_TARGETS__0__REGION_ID` or `IMS_EXPORTER_CREDENTIALS__ROLE_ARN`.

If the configuration has problems, the exporter reports all of them together, one per line, and does not start. An
unknown key in the file is a problem. An unknown environment variable with the prefix `IMS_EXPORTER_` is a warning in
the log: Kubernetes sets `IMS_EXPORTER_PORT` and similar variables for a Service named `ims-exporter`; set
`enableServiceLinks: false` in the pod to prevent that.

## Reload

SIGHUP reloads the configuration, and so does `POST /-/reload` if `web_enable_lifecycle` is on. The exporter reads the
file again; flags and environment variables cannot change while it runs.

- New targets are polled at once.
- The series of removed targets disappear.
- Changed targets continue with their counters.
- Targets without a change are not interrupted.

A configuration with problems changes nothing: the answer is 400 with all problems,
`ims_exporter_config_last_reload_successful` is 0, and the previous configuration stays active. The same applies to a
change of a setting that takes a restart: {restart_settings}.

## Settings

{settings}

Switches accept `on` and `off`, or `true` and `false`. Settings in seconds or hours accept a number, or a duration such
as `30s`, `5m` or `1h30m`.

A name in `job_types` that is not documented is a warning in the log, and the type is polled.

## A target

Each item of `targets` has these keys. No two items have the same `account` and `region_id`.

{targets}

## Credentials

The configuration never contains keys or secrets. It contains where to find them:

{credentials}

Set the names of variables, or a file, or neither. With `role_arn`, these credentials assume a role. If neither is
set, the default chain of Alibaba Cloud applies; its first link with credentials is used:

{chain}

The RAM user or role needs these permissions:

{permissions}

## Complete file

```yaml
{example}```
"""


def configuration_document() -> str:
    """Returns the text of docs/configuration.md."""
    return PAGE.format(
        config=CONFIG_VARIABLE,
        restart_settings=", ".join(f"`{name}`" for name in restart_settings()),
        settings=_table(("setting", "default", "bounds", "meaning"), _setting_rows()),
        targets=_table(("key", "default", "bounds", "meaning"), _key_rows(TargetSettings)),
        credentials=_table(("key", "default", "bounds", "meaning"), _key_rows(CredentialSettings)),
        chain=_table(("", "link", "variables"), [(f"{n}.", *link) for n, link in enumerate(DEFAULT_CHAIN, 1)]),
        permissions=_table(("job kind", "to poll", "for `failure_details`"), _permission_rows()),
        example=example_file(),
    )


def example_file() -> str:
    """Returns a settings file with every setting: its first example, or else its default."""
    lines = [EXAMPLE_TARGETS]
    for name, about in Settings.model_json_schema()["properties"].items():
        if name not in (*SINGLE_TARGET, "targets"):
            value = about["examples"][0] if "examples" in about else about["default"]
            text = ("on" if value else "off") if isinstance(value, bool) else value
            lines.append(f"{name}: {text}\n")
    return "".join(lines)


def _permission_rows() -> Iterable[tuple[str, str, str]]:
    for kind in KINDS.values():
        yield f"`{kind.name}`", f"`ice:{kind.action}`", f"`ice:{kind.details.action}`" if kind.details else "-"


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
    if isinstance(default, list):
        return ", ".join(f"`{item}`" for item in default)
    return default if " " in str(default) else f"`{default}`"


def _bounds(about: Mapping[str, Any]) -> str:
    """Returns the allowed values of a setting by its JSON schema; for an optional setting, those of its first type."""
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
