"""Settings can be flags and environment variables, nested and in lists."""

from __future__ import annotations

import argparse

import pytest

from exporter.config.load import load_settings
from exporter.config.settings import Settings
from exporter.config.sources import SERVICE_LINK, add_setting_flags, flags_of, unknown_variables
from exporter.jobs.snapshot import PollKey
from exporter.jobs.target import Credentials

CANARY = "LTAI5tCanaryCanary"
ONE_TARGET = {"IMS_EXPORTER_REGION_ID": "cn-shanghai"}
KUBERNETES = {
    "IMS_EXPORTER_PORT": "tcp://10.0.0.1:9912",
    "IMS_EXPORTER_PORT_9912_TCP": "tcp://10.0.0.1:9912",
    "IMS_EXPORTER_PORT_9912_TCP_ADDR": "10.0.0.1",
    "IMS_EXPORTER_SERVICE_HOST": "10.0.0.1",
    "IMS_EXPORTER_SERVICE_PORT_METRICS": "9912",
}


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


def test_an_empty_variable_is_not_set() -> None:
    """A variable without a value leaves the setting as it is."""
    environ = {"IMS_EXPORTER_ENDPOINT": "", "IMS_EXPORTER_JOB_TYPES": "", "IMS_EXPORTER_CREDENTIALS": ""}

    assert load_settings({}, {**ONE_TARGET, **environ}) == load_settings({}, ONE_TARGET)


@pytest.mark.parametrize("text", ["ASR,TextToSpeech", "ASR, TextToSpeech", '["ASR", "TextToSpeech"]'])
def test_job_types_as_one_text(text: str) -> None:
    """Job types can be one text with commas, or JSON, where a source has no lists."""
    assert load_settings({"job_types": text}, ONE_TARGET).job_types == ("ASR", "TextToSpeech")


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
        "IMS_EXPORTER_LOOKBACK_DAYS__X": CANARY,
        "IMS_EXPORTER_CREDENTIALS__FILE": "x",
        "IMS_EXPORTER_CREDENTIALS__FILE__X": CANARY,
        "IMS_EXPORTER_SHARDS": "",
        "OTHER": "x",
    }

    assert unknown_variables(environ) == [
        "IMS_EXPORTER_CREDENTIALS__FILE__X: no setting has this name; did you mean IMS_EXPORTER_CREDENTIALS?",
        "IMS_EXPORTER_LOOKBACK_DAYS__X: no setting has this name; did you mean IMS_EXPORTER_LOOKBACK_DAYS?",
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


def test_the_help_shows_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """The help names each flag, and what it does."""
    parser = argparse.ArgumentParser()
    add_setting_flags(parser)

    parser.print_help()

    shown = capsys.readouterr().out
    assert "--config FILE" in shown
    assert "--log-level debug|info|warning|error" in shown
    assert "--failure-details on|off" in shown


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


def test_a_list_flag_can_be_repeated() -> None:
    """A flag of a list takes words with commas, JSON, and more than one flag."""
    parser = argparse.ArgumentParser()
    add_setting_flags(parser)

    for given in (["ASR,DynamicChart"], ["ASR", "DynamicChart"], ['["ASR", "DynamicChart"]']):
        flags = flags_of(parser.parse_args([word for value in given for word in ("--job-types", value)]))
        assert load_settings(flags, ONE_TARGET).job_types == ("ASR", "DynamicChart")
