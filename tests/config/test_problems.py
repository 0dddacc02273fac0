"""Settings with problems are refused, with all of these at once and without repeating a value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from exporter.config.load import load_settings
from exporter.config.settings import CredentialSettings, Settings, TargetSettings
from exporter.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "LTAI5tCanaryCanary"
ONE_TARGET = {"IMS_EXPORTER_REGION_ID": "cn-shanghai"}


def written(folder: Path, text: str) -> dict[str, object]:
    """Writes a settings file and returns the flag that names it."""
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return {"config": str(path)}


def refused(flags: dict[str, object], environ: dict[str, str]) -> str:
    """Returns the message with which the settings are refused."""
    with pytest.raises(SettingsError) as caught:
        load_settings(flags, environ)
    return str(caught.value)


def test_all_problems_at_once(tmp_path: Path) -> None:
    """All problems of all sources are in one message, with the name under which the user wrote the value."""
    flags = written(
        tmp_path,
        """
        lookback_days: 0
        log_levle: info
        targets:
          - {region_id: cn-shanghai}
          - {region_id: cn-shanghai}
          - {region_id: Shanghai, endpoint: "http://elsewhere"}
        """,
    )
    environ = {"IMS_EXPORTER_REQUEST_TIMEOUT_SECONDS": "soon", "IMS_EXPORTER_CREDENTIALS": "{"}

    message = refused({**flags, "poll_interval_seconds": "0"}, environ)

    path = flags["config"]
    assert [line.partition(";")[0].strip() for line in message.splitlines()] == [
        "the configuration has 8 problems:",
        f"{path}: targets[1]: has the same account and region_id as targets[0]",
        f"{path}: targets[2].endpoint: must not send over http to another machine",
        "IMS_EXPORTER_CREDENTIALS: is not valid JSON at character 2",
        f"{path}: targets[2].region_id: does not have the right form",
        "--poll-interval-seconds: must be greater than or equal to 0.1",
        f"{path}: lookback_days: must be greater than or equal to 1",
        "IMS_EXPORTER_REQUEST_TIMEOUT_SECONDS: must be a number",
        f"{path}: log_levle: no such setting",
    ]


BAD_VALUES = {
    "account: 12": "account: must be a text; put it in quotes",
    "account: a/b": "account: must be printable, without quotes",
    "account: ''": "account: must have 1 to 64 characters",
    "endpoint: ftp://x": "endpoint: the scheme must be https or http",
    "endpoint: x/y": "endpoint: must be a host or a URL without path and query",
    "endpoint: 'x?'": "endpoint: must be a host or a URL without path and query",
    "endpoint: 'x y'": "endpoint: the host name is not valid",
    "endpoint: 'x:99999'": "endpoint: the port must be a number from 0 to 65535",
    "endpoint: 'https://[::1'": "endpoint: is not a host or a URL",
    "endpoint: http://ice.example": "endpoint: must not send over http to another machine",
    "job_types: [ASR, '']": "job_types[1]: must have at least 1 character",
    "job_kinds: smrt": "job_kinds[0]: must be one of smart, all; did you mean smart?",
    "job_kinds: [smart, xyzzy]": "job_kinds[1]: must be one of smart, all",
    "job_kinds: []": "job_kinds: must not be empty;",
    "credentials: keys.ini": "credentials: must be a mapping",
    "credentials: {access_key_id_env: A}": "access_key_id_env and access_key_secret_env need each",
    "credentials: {security_token_env: A}": "security_token_env needs access_key_id_env",
    "credentials: {profile: a}": "profile needs file",
    "credentials: {external_id: a}": "external_id needs role_arn",
    "credentials: {file: a, access_key_id_env: A, access_key_secret_env: B}": "exclude each other",
    "credentials: {role_arn: reader}": "role_arn: does not have the right form; for example acs:",
    "credentials: {access_key_secret: x}": "did you mean access_key_secret_env?",
    "targets: [{region_id: cn-b}]": "region_id: cannot be set together with targets",
    "poll_interval_seconds: .nan": "poll_interval_seconds: must be",
    "lookback_days: 1.5": "lookback_days: must be a whole number",
    "max_requests_per_second: 1001": "must be less than or equal to 1000",
    "stale_after_seconds: 60": "stale_after_seconds: must be more than poll_interval_seconds",
    "failure_details: maybe": "failure_details: must be on or off",
    "ledger_path: ''": "ledger_path: ",
    "listen_address: '9912'": "listen_address: must be host:port, :port, or",
    "listen_address: '[]:9912'": "listen_address: must be host:port, :port, or",
    "poll_interval_seconds: 5 minutes": "poll_interval_seconds: must be a number",
    "poll_interval_seconds: 5x": "poll_interval_seconds: must be a number",
    "poll_interval_seconds: 30h": "poll_interval_seconds: must be less than or equal to 86400",
    "lease_seconds: 1500ms": "lease_seconds: must be a whole number",
    "max_requests_per_second: 5s": "max_requests_per_second: must be a number",
    "listen_address: 'x:70000'": "listen_address: the port must be a number",
    "listen_address: '[x:y]:1'": "listen_address: the IPv6 address is not valid",
    "log_level: loud": "log_level: must be 'debug', 'info', 'warning' or 'error'",
    "log_format: xml": "log_format: must be 'logfmt' or 'json'",
    "config: x": "config: no such setting",
    "1: x": "1: no such setting; known here: account",
    "Lookback_Days: 1": "Lookback_Days: no such setting; did you mean lookback_days?",
    "shards: 2\nshard: 2": "shard: must be less than shards: there are 2, and this is 2, from 0",
}
"""For each rule what to add to a valid file, and the problem of the file then."""

BAD_FILES = {
    "region_id: CN_Shanghai": "region_id: does not have the right form; for example cn-shanghai",
    "targets: []": "no target is given; set --region-id",
    "targets: {region_id: cn-a}": "targets: must be a list",
    "targets: [cn-a]": "targets[0]: must be a mapping",
    "targets: [{}]": "targets[0].region_id: is missing; for example cn-shanghai",
    "targets: [{region_id: cn-a, acount: b}]": "targets[0].acount: no such setting; did you mean account?",
    "targets: [{region_id: cn-a}, {region_id: cn-a, account: default}]": "region_id as targets[0]",
    "- region_id: cn-a": "must be a mapping of settings",
    "region_id: [": "is not YAML at line 1, column 13",
    "\tregion_id: cn-a": "is not YAML at line 1, column 1",
    "region_id: cn-a\nregion_id: cn-b": "at line 2, column 1: this mapping has a duplicate key",
    "region_id: \u0000": "is not YAML",
}
"""Complete files with the problem of each."""


@pytest.mark.parametrize(("text", "problem"), [*BAD_FILES.items(), *BAD_VALUES.items()])
def test_each_rule_refuses(tmp_path: Path, text: str, problem: str) -> None:
    """A file that breaks one rule is refused with that one problem."""
    whole = f"region_id: cn-a\n{text}" if text in BAD_VALUES else text

    message = refused(written(tmp_path, whole), {})

    assert message.startswith("the configuration has a problem:\n")
    assert problem in message


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """A missing or unreadable file is a problem that names the file."""
    path = tmp_path / name

    assert f"{path}: cannot be read (" in refused({"config": str(path)}, ONE_TARGET)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    """A file in another encoding is a problem that names the file."""
    path = tmp_path / "settings.yaml"
    path.write_bytes(b"region_id: \xff")

    assert f"{path}: is not UTF-8 text" in refused({"config": str(path)}, {})


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"IMS_EXPORTER_TARGETS": "["}, "IMS_EXPORTER_TARGETS: is not valid JSON"),
        ({"IMS_EXPORTER_TARGETS": "[{}]"}, "IMS_EXPORTER_TARGETS: [0].region_id: is missing"),
        ({"IMS_EXPORTER_TARGETS__0__ACCOUNT": "a"}, "IMS_EXPORTER_TARGETS__0__REGION_ID: is missing"),
        ({"IMS_EXPORTER_TARGETS__1__REGION_ID": "cn-a"}, "IMS_EXPORTER_TARGETS: must be a list"),
        (
            {"IMS_EXPORTER_TARGETS": "3", "IMS_EXPORTER_TARGETS__0__ACCOUNT": "a"},
            "IMS_EXPORTER_TARGETS: must be a list",
        ),
        ({"IMS_EXPORTER_TARGETS__0__CREDENTIALS": "{"}, "IMS_EXPORTER_TARGETS__0__CREDENTIALS: is not valid JSON"),
        ({**ONE_TARGET, "IMS_EXPORTER_CREDENTIALS": "[1]"}, "IMS_EXPORTER_CREDENTIALS: must be a mapping"),
        ({**ONE_TARGET, "IMS_EXPORTER_SHARDS": "2", "IMS_EXPORTER_SHARD": "2"}, "IMS_EXPORTER_SHARD: must be less"),
        ({**ONE_TARGET, "IMS_EXPORTER_JOB_TYPES": "["}, "IMS_EXPORTER_JOB_TYPES: is not valid JSON"),
        (
            {**ONE_TARGET, "IMS_EXPORTER_CREDENTIALS__FIEL": "a"},
            "IMS_EXPORTER_CREDENTIALS__FIEL: no such setting",
        ),
    ],
)
def test_bad_variables(environ: dict[str, str], problem: str) -> None:
    """A problem of the environment has the name of the variable."""
    assert problem in refused({}, environ)


@pytest.mark.parametrize(
    "text",
    [
        f"{{region_id: cn-a, credentials: {{access_key_id_env: {CANARY}, access_key_secret_env: {CANARY}}}}}",
        f"{{region_id: cn-a, credentials: {{access_key_secret: {CANARY}}}}}",
        f"{{region_id: cn-a, credentials: {CANARY}}}",
        f"{{region_id: cn-a, endpoint: 'https://user:{CANARY}@ice.example'}}",
        f"{{region_id: cn-a, endpoint: 'https://user:{CANARY}@[ice.example'}}",
        f"{{region_id: cn-a, endpoint: 'https://[{CANARY}]'}}",
        f"region_id: {CANARY}",
        f"{{region_id: cn-a, lookback_days: {CANARY}, log_level: {CANARY}, listen_address: {CANARY}}}",
        f"{{region_id: cn-a, job_types: {CANARY}, failure_details: {CANARY}, account: '\"{CANARY}'}}",
        f"region_id: *{CANARY}",
        f"region_id: !{CANARY} x",
        f"region_id: '{CANARY}",
        CANARY,
    ],
)
def test_no_value_is_repeated(tmp_path: Path, text: str) -> None:
    """No message repeats a value: it can be a secret in the wrong place."""
    assert CANARY not in refused(written(tmp_path, text), {})


@pytest.mark.parametrize("name", ["TARGETS", "CREDENTIALS", "JOB_TYPES", "LOOKBACK_DAYS", "TARGETS__0__ACCOUNT"])
@pytest.mark.parametrize("value", [CANARY, f'{{"{CANARY}', f'["{CANARY}"]'])
def test_no_variable_is_repeated(name: str, value: str) -> None:
    """No message repeats the value of a variable."""
    assert CANARY not in refused({}, {f"IMS_EXPORTER_{name}": value})


def numeric_settings() -> list[str]:
    """Returns every setting that is a number."""
    properties = Settings.model_json_schema()["properties"].items()
    kinds = {name: [part.get("type") for part in (about, *about.get("anyOf", ()))] for name, about in properties}
    return [name for name, types in kinds.items() if {"integer", "number"} & {*types}]


@pytest.mark.parametrize("setting", numeric_settings())
def test_a_switch_is_no_number(setting: str, tmp_path: Path) -> None:
    """No numeric setting reads `yes` of YAML as 1."""
    with pytest.raises(SettingsError) as caught:
        load_settings(written(tmp_path, f"region_id: cn-shanghai\n{setting}: yes\n"), {})

    assert f"{setting}: must be a number" in str(caught.value)


def test_numbers_are_settings_of_the_exporter() -> None:
    """No number is in a nested class, which would need the rule for switches as well."""
    schemas = [model.model_json_schema() for model in (TargetSettings, CredentialSettings)]

    assert not [schema for schema in schemas if '"integer"' in json.dumps(schema) or '"number"' in json.dumps(schema)]
    assert {"lease_seconds", "shard", "lookback_days", "poll_interval_seconds"} <= {*numeric_settings()}
