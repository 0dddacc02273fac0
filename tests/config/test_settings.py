"""Settings are put together from flags, environment, file and defaults."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import pytest

from exporter.config.load import load_settings, undocumented_job_types
from exporter.config.settings import CredentialSettings, Settings, TargetSettings
from exporter.config.sources import SERVICE_LINK, add_setting_flags, flags_of, unknown_variables
from exporter.jobs.snapshot import PollKey
from exporter.jobs.target import Credentials, Target

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "LTAI5tCanaryCanary"
ONE_TARGET = {"IMS_EXPORTER_REGION_ID": "cn-shanghai"}
KUBERNETES = {
    "IMS_EXPORTER_PORT": "tcp://10.0.0.1:9912",
    "IMS_EXPORTER_PORT_9912_TCP": "tcp://10.0.0.1:9912",
    "IMS_EXPORTER_PORT_9912_TCP_ADDR": "10.0.0.1",
    "IMS_EXPORTER_SERVICE_HOST": "10.0.0.1",
    "IMS_EXPORTER_SERVICE_PORT_METRICS": "9912",
}


def written(folder: Path, text: str) -> dict[str, object]:
    """Writes a settings file and returns the flag that names it."""
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return {"config": str(path)}


def test_a_region_is_enough() -> None:
    """One region gives one target at the region's own endpoint, with the documented defaults."""
    settings = load_settings({}, ONE_TARGET)

    assert settings.polled_targets == (
        Target(PollKey("default", "cn-shanghai", "smart"), "https://ice.cn-shanghai.aliyuncs.com"),
    )
    assert settings.listen_pair == ("0.0.0.0", 9912)  # noqa: S104 - the documented default
    assert (settings.poll_interval_seconds, settings.stale_after_seconds) == (60, 300)
    assert settings.failure_details


def test_precedence(tmp_path: Path) -> None:
    """A flag overrides a variable, a variable the file, and the file the default."""
    flags = written(tmp_path, "{lookback_days: 2, log_level: error, request_timeout_seconds: 2}")
    environ = {**ONE_TARGET, "IMS_EXPORTER_LOOKBACK_DAYS": "3", "IMS_EXPORTER_LOG_LEVEL": "warning"}

    settings = load_settings({**flags, "lookback_days": "4"}, environ)

    assert settings.lookback_days == 4
    assert settings.log_level == "warning"
    assert settings.request_timeout_seconds == 2
    assert settings.max_requests_per_second == 10


def test_the_config_flag_wins_over_its_variable(tmp_path: Path) -> None:
    """The file is the one that --config names, or else IMS_EXPORTER_CONFIG."""
    flags = written(tmp_path, "region_id: cn-beijing")
    environ = {"IMS_EXPORTER_CONFIG": "/nowhere"}

    by_flag = load_settings(flags, environ)
    by_variable = load_settings({}, {"IMS_EXPORTER_CONFIG": str(flags["config"])})

    assert by_flag == by_variable
    assert by_flag.region_id == "cn-beijing"


def test_the_process_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is only the mapping that is passed in."""
    monkeypatch.setenv("IMS_EXPORTER_REGION_ID", "cn-beijing")

    assert load_settings({}, ONE_TARGET).region_id == "cn-shanghai"


def test_targets_become_plain_values(tmp_path: Path) -> None:
    """A list of targets gives frozen dataclasses, endpoints as full URLs, job types without repetition."""
    flags = written(
        tmp_path,
        """
        targets:
          - {account: a, region_id: cn-shanghai, endpoint: "VPC.example:8443", job_types: [ASR, ASR]}
          - {account: b, region_id: cn-shanghai, endpoint: "http://127.0.0.1:1/"}
          - {account: c, region_id: eu-central-1, credentials: {file: keys.ini, profile: p}}
        """,
    )

    first, second, third = load_settings(flags, {}).polled_targets

    assert first == Target(PollKey("a", "cn-shanghai", "smart"), "https://vpc.example:8443", ("ASR",))
    assert second.endpoint == "http://127.0.0.1:1"
    assert third.credentials == Credentials(file="keys.ini", profile="p")


@pytest.mark.parametrize(
    "environ",
    [
        {"IMS_EXPORTER_TARGETS": '[{"region_id": "cn-shanghai", "credentials": {"file": "keys.ini"}}]'},
        {
            "IMS_EXPORTER_TARGETS__0__REGION_ID": "cn-shanghai",
            "IMS_EXPORTER_TARGETS__0__CREDENTIALS__FILE": "keys.ini",
        },
        {"IMS_EXPORTER_REGION_ID": "cn-shanghai", "IMS_EXPORTER_CREDENTIALS__FILE": "keys.ini"},
        {"IMS_EXPORTER_REGION_ID": "cn-shanghai", "IMS_EXPORTER_CREDENTIALS": '{"file": "keys.ini"}'},
    ],
)
def test_targets_from_the_environment(environ: dict[str, str]) -> None:
    """Targets and credentials can be JSON, or one variable per value."""
    (target,) = load_settings({}, environ).polled_targets

    assert target.key == PollKey("default", "cn-shanghai", "smart")
    assert target.credentials == Credentials(file="keys.ini", profile="default")


def test_credentials_are_merged_over_the_sources(tmp_path: Path) -> None:
    """A variable for one key of the credentials keeps the other keys of the file."""
    flags = written(tmp_path, "{region_id: cn-shanghai, credentials: {file: keys.ini, profile: a}}")

    (target,) = load_settings(flags, {"IMS_EXPORTER_CREDENTIALS__PROFILE": "b"}).polled_targets

    assert target.credentials == Credentials(file="keys.ini", profile="b")


def test_an_empty_variable_is_not_set() -> None:
    """A variable without a value leaves the setting as it is."""
    environ = {"IMS_EXPORTER_ENDPOINT": "", "IMS_EXPORTER_JOB_TYPES": "", "IMS_EXPORTER_CREDENTIALS": ""}

    assert load_settings({}, {**ONE_TARGET, **environ}) == load_settings({}, ONE_TARGET)


@pytest.mark.parametrize("text", ["ASR,TextToSpeech", "ASR, TextToSpeech", '["ASR", "TextToSpeech"]'])
def test_job_types_as_one_text(text: str) -> None:
    """Job types can be one text with commas, or JSON, where a source has no lists."""
    assert load_settings({"job_types": text}, ONE_TARGET).job_types == ("ASR", "TextToSpeech")


@pytest.mark.parametrize(("text", "fact"), [("on", True), ("off", False), ("true", True), ("0", False)])
def test_switches(text: str, fact: bool) -> None:  # noqa: FBT001 - a table of values
    """A switch accepts `on` and `off`, and the other words of YAML for them."""
    assert load_settings({"failure_details": text}, ONE_TARGET).failure_details is fact


def test_stale_after_five_intervals() -> None:
    """Data is stale after five poll intervals by default."""
    assert load_settings({"poll_interval_seconds": "0.1"}, ONE_TARGET).stale_after_seconds == 0.5
    assert load_settings({"stale_after_seconds": "90"}, ONE_TARGET).stale_after_seconds == 90


@pytest.mark.parametrize(
    ("address", "pair"),
    [("[::1]:0", ("::1", 0)), ("localhost:1", ("localhost", 1)), ("127.0.0.1:65535", ("127.0.0.1", 65535))],
)
def test_listen_addresses(address: str, pair: tuple[str, int]) -> None:
    """The address to listen on is split into host and port, IPv6 in brackets."""
    assert load_settings({"listen_address": address}, ONE_TARGET).listen_pair == pair


def test_kubernetes_service_variables_break_nothing() -> None:
    """The variables that Kubernetes sets for a Service change nothing; a warning names their cause."""
    settings = load_settings({}, {**ONE_TARGET, **KUBERNETES})

    warnings = unknown_variables({**ONE_TARGET, **KUBERNETES})

    assert settings == load_settings({}, ONE_TARGET)
    assert [line.partition(":")[0] for line in warnings] == sorted(KUBERNETES)
    assert all("enableServiceLinks" in line for line in warnings)


def test_no_setting_is_named_like_a_service_variable() -> None:
    """No name of a setting can be mistaken for one that Kubernetes sets."""
    assert not [name for name in Settings.model_fields if SERVICE_LINK.search(f"_{name.upper()}")]


def test_unknown_variables_are_named_with_a_guess() -> None:
    """An unknown variable with the exporter's prefix is reported with the likely setting, and without its value."""
    environ = {
        **ONE_TARGET,
        "IMS_EXPORTER_CONFIG": "x",
        "IMS_EXPORTER_TARGETS__0__ACCOUNT": "x",
        "IMS_EXPORTER_REGOIN_ID": CANARY,
        "IMS_EXPORTER_XYZZY": CANARY,
        "OTHER": "x",
    }

    assert unknown_variables(environ) == [
        "IMS_EXPORTER_REGOIN_ID: no setting has this name; did you mean IMS_EXPORTER_REGION_ID?",
        "IMS_EXPORTER_XYZZY: no setting has this name",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--region-id", "cn-a", "--poll-interval-seconds", "5", "run"],
        ["--region-id", "cn-a", "run", "--poll-interval-seconds=5"],
        ["run", "--region-id", "cn-a", "--poll-interval-seconds", "5"],
    ],
)
def test_flags_stand_before_or_after_the_command(arguments: list[str]) -> None:
    """A flag can precede or follow the command; a flag that is not given has no value."""
    parser = argparse.ArgumentParser()
    add_setting_flags(parser)
    add_setting_flags(parser.add_subparsers().add_parser("run"))

    flags = flags_of(parser.parse_args(arguments))

    assert flags == {"region_id": "cn-a", "poll_interval_seconds": "5"}


def test_every_setting_is_described() -> None:
    """Every setting, key of a target and key of credentials has a description."""
    fields = [model.model_fields for model in (Settings, TargetSettings, CredentialSettings)]

    assert all(field.description for each in fields for field in each.values())


def test_the_help_shows_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """The help names each flag, and what it does."""
    parser = argparse.ArgumentParser()
    add_setting_flags(parser)

    parser.print_help()

    shown = capsys.readouterr().out
    assert "--config FILE" in shown
    assert "--log-level debug|info|warning|error" in shown
    assert "--failure-details on|off" in shown


def test_a_named_secret_is_not_in_the_settings() -> None:
    """Settings contain the names of variables, and never read their values."""
    environ = {
        **ONE_TARGET,
        "IMS_EXPORTER_CREDENTIALS__ACCESS_KEY_ID_ENV": "KEY_ID",
        "IMS_EXPORTER_CREDENTIALS__ACCESS_KEY_SECRET_ENV": "KEY_SECRET",
        "KEY_ID": CANARY,
        "KEY_SECRET": CANARY,
    }

    settings = load_settings({}, environ)

    assert CANARY not in repr((settings, settings.polled_targets))


@pytest.mark.parametrize("given", ["smart", "all", "smart,smart", '["all", "smart"]'])
def test_each_job_kind_is_polled_once(given: str) -> None:
    """`job_kinds` gives one poll target per kind, however often it is named; `all` names every kind."""
    (target,) = load_settings({"job_kinds": given}, ONE_TARGET).all_targets

    assert target.key == PollKey("default", "cn-shanghai", "smart")


def test_targets_have_job_kinds_and_types_of_their_own(tmp_path: Path) -> None:
    """The settings of the exporter apply to each target that does not override them."""
    flags = written(
        tmp_path,
        """
        job_kinds: all
        job_types: [ASR]
        targets:
          - {account: a, region_id: cn-shanghai}
          - {account: b, region_id: cn-shanghai, job_kinds: smart, job_types: [DynamicChart]}
          - {account: c, region_id: cn-shanghai, job_types: []}
        """,
    )

    targets = load_settings(flags, {}).all_targets

    assert [target.job_types for target in targets] == [("ASR",), ("DynamicChart",), ()]


def test_undocumented_job_types_are_polled_with_a_warning(tmp_path: Path) -> None:
    """A job type that is not documented is a warning that names setting, type and known types, and is polled."""
    flags = written(
        tmp_path,
        """
        job_types: [VideoTranslate]
        targets: [{region_id: cn-shanghai}, {account: b, region_id: cn-shanghai, job_types: [ASR, Xyzzy]}]
        """,
    )

    settings = load_settings(flags, {})

    known = "known types: ASR, DynamicChart, VideoTranslation, TextToSpeech"
    assert [target.job_types for target in settings.all_targets] == [("VideoTranslate",), ("ASR", "Xyzzy")]
    assert [*undocumented_job_types(settings)] == [
        f"job_types: VideoTranslate is not documented; {known}; did you mean VideoTranslation?",
        f"targets[1].job_types: Xyzzy is not documented; {known}",
    ]


def test_json_and_nested_variables_are_merged() -> None:
    """A nested variable changes one value in the JSON of the variable around it, also in a list."""
    environ = {
        "IMS_EXPORTER_TARGETS__0__CREDENTIALS__PROFILE": "b",
        "IMS_EXPORTER_TARGETS__1": '{"region_id": "cn-beijing", "job_types": ["ASR"]}',
        "IMS_EXPORTER_TARGETS__0__CREDENTIALS": '{"file": "keys.ini", "profile": "a"}',
        "IMS_EXPORTER_TARGETS": '[{"region_id": "cn-shanghai"}]',
        "ims_exporter_targets__1__account": "c",
    }

    first, second = load_settings({}, environ).all_targets

    assert (first.key.region_id, first.credentials) == ("cn-shanghai", Credentials(file="keys.ini", profile="b"))
    assert (second.key, second.job_types) == (PollKey("c", "cn-beijing", "smart"), ("ASR",))


def test_a_flag_can_be_empty() -> None:
    """An empty flag is a value, unlike an empty variable; `null` is a text like any other."""
    environ = {**ONE_TARGET, "IMS_EXPORTER_WEB_CONFIG_FILE": "web.yml"}

    assert load_settings({"web_config_file": ""}, environ).web_config_file == ""
    assert load_settings({"account": "null"}, ONE_TARGET).account == "null"
