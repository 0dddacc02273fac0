"""Settings become poll targets and plain values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from exporter.config.load import load_settings
from exporter.config.settings import CredentialSettings, Settings, TargetSettings, types_of_kind
from exporter.jobs.kinds import SMART, JobKind
from exporter.jobs.snapshot import PollKey
from exporter.jobs.target import Credentials, Target

if TYPE_CHECKING:
    from pathlib import Path

ONE_TARGET = {"IMS_EXPORTER_REGION_ID": "cn-shanghai"}


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


@pytest.mark.parametrize(("text", "fact"), [("on", True), ("off", False), ("true", True), ("0", False)])
def test_switches(text: str, fact: bool) -> None:  # noqa: FBT001 - a table of values
    """A switch accepts `on` and `off`, and the other words of YAML for them."""
    assert load_settings({"failure_details": text}, ONE_TARGET).failure_details is fact


@pytest.mark.parametrize(
    ("setting", "text", "value"),
    [
        ("poll_interval_seconds", "90", 90),
        ("poll_interval_seconds", "30s", 30),
        ("poll_interval_seconds", "1m30s", 90),
        ("poll_interval_seconds", "500ms", 0.5),
        ("poll_interval_seconds", "1h", 3600),
        ("request_timeout_seconds", "2.5s", 2.5),
        ("survey_interval_hours", "90m", 1.5),
        ("survey_interval_hours", "1w", 168),
        ("lease_seconds", "1m", 60),
        ("stale_after_seconds", "2d", 172800),
    ],
)
def test_durations(setting: str, text: str, value: float, tmp_path: Path) -> None:
    """A setting in seconds or hours accepts a duration with units, from every source."""
    file = written(tmp_path, f"region_id: cn-a\n{setting}: {text}")
    sources: list[tuple[dict[str, object], dict[str, str]]] = [
        ({setting: text}, ONE_TARGET),
        ({}, {**ONE_TARGET, f"IMS_EXPORTER_{setting.upper()}": text}),
        (file, {}),
    ]

    assert [getattr(load_settings(*source), setting) for source in sources] == [value] * 3


def test_stale_after_five_intervals() -> None:
    """Data is stale after five poll intervals by default."""
    assert load_settings({"poll_interval_seconds": "0.1"}, ONE_TARGET).stale_after_seconds == 0.5
    assert load_settings({"stale_after_seconds": "90"}, ONE_TARGET).stale_after_seconds == 90


@pytest.mark.parametrize(
    ("address", "pair"),
    [
        ("[::1]:0", ("::1", 0)),
        ("localhost:1", ("localhost", 1)),
        ("127.0.0.1:65535", ("127.0.0.1", 65535)),
        (":9912", ("", 9912)),
        ("[::]:9912", ("::", 9912)),
    ],
)
def test_listen_addresses(address: str, pair: tuple[str, int]) -> None:
    """The address to listen on is split into host and port, IPv6 in brackets."""
    assert load_settings({"listen_address": address}, ONE_TARGET).listen_pair == pair


def test_every_setting_is_described() -> None:
    """Every setting, key of a target and key of credentials has a description."""
    fields = [model.model_fields for model in (Settings, TargetSettings, CredentialSettings)]

    assert all(field.description for each in fields for field in each.values())


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


ENCODING = replace(SMART, name="encoding", job_types=("Merge", "Split"))
UNTYPED = replace(SMART, name="untyped", job_types=())


@pytest.mark.parametrize(
    ("given", "polled", "types"),
    [
        ((), (SMART, ENCODING), [(), ()]),
        (("ASR", "ASR"), (SMART, ENCODING), [("ASR",), ()]),
        (("ASR", "New"), (SMART, ENCODING), [("ASR", "New"), ()]),
        (("New", "Merge", "ASR"), (SMART, ENCODING), [("New", "ASR"), ("New", "Merge")]),
        (("New",), (SMART, ENCODING), [(), ()]),
        (("New",), (SMART, UNTYPED), [("New",), ()]),
        (("Merge",), (SMART,), [()]),
    ],
)
def test_the_types_of_each_kind(
    given: tuple[str, ...],
    polled: tuple[JobKind, ...],
    types: list[tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A kind polls the given types that are its own; one of which no type is given is polled whole."""
    monkeypatch.setattr("exporter.config.settings.KINDS", {kind.name: kind for kind in (SMART, ENCODING, UNTYPED)})

    assert [types_of_kind(kind, given, polled) for kind in polled] == types
