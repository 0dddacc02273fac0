"""Flags override variables, variables override the file, and the file overrides the defaults."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import hypothesis
import pytest
from hypothesis import strategies as st

from exporter.config.load import load_settings, undocumented_job_types
from exporter.config.settings import Settings
from exporter.config.sources import unknown_variables
from exporter.errors import SettingsError
from exporter.jobs.target import Credentials

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "LTAI5tCanaryCanary"
ONE_TARGET = {"IMS_EXPORTER_REGION_ID": "cn-shanghai"}


def written(folder: Path, text: str) -> dict[str, object]:
    """Writes a settings file and returns the flag that names it."""
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return {"config": str(path)}


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


def test_credentials_are_merged_over_the_sources(tmp_path: Path) -> None:
    """A variable for one key of the credentials keeps the other keys of the file."""
    flags = written(tmp_path, "{region_id: cn-shanghai, credentials: {file: keys.ini, profile: a}}")

    (target,) = load_settings(flags, {"IMS_EXPORTER_CREDENTIALS__PROFILE": "b"}).polled_targets

    assert target.credentials == Credentials(file="keys.ini", profile="b")


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


JSON_TEXTS = st.recursive(
    st.sampled_from(["1", "null", "true", "NaN", "[", '{"', '"cn-a"']),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        st.dictionaries(st.sampled_from(["region_id", "0", "credentials", "file"]), inner, max_size=3).map(
            lambda items: "{" + ",".join(f'"{key}":{value}' for key, value in items.items()) + "}"
        ),
    ),
    max_leaves=6,
)
VALUES = st.one_of(JSON_TEXTS, st.text(max_size=5), st.just("[" * 3000))
NAMES = st.builds(
    lambda setting, keys: "IMS_EXPORTER_" + "__".join([setting.upper(), *keys]),
    st.sampled_from([*Settings.model_fields]),
    st.lists(st.sampled_from(["0", "1", "x", "REGION_ID", "CREDENTIALS", "FILE", "JOB_TYPES", ""]), max_size=3),
)


@pytest.mark.property
@hypothesis.settings(max_examples=300)
@hypothesis.given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_any_environment_is_loaded_or_refused(environ: dict[str, str]) -> None:
    """Whatever the variables contain, the result is settings, or an error with the problems; never another error."""
    unknown_variables(environ)
    with suppress(SettingsError):
        assert load_settings({}, environ).all_targets


def test_targets_per_process(tmp_path: Path) -> None:
    """A process polls at most 2,000 targets; with shards the list may be longer, and the message says how many."""
    targets = "".join(f"- {{account: a{number}, region_id: cn-x}}\n" for number in range(2100))
    flags = written(tmp_path, f"targets:\n{targets}")

    with pytest.raises(SettingsError, match="polls 2100 targets, 2000 at most: set shards to 2 or more"):
        load_settings(flags, {})
    settings = load_settings({**flags, "shards": "2", "shard": "1"}, {})

    assert len(settings.all_targets) == 2100
    assert 950 < len(settings.polled_targets) < 1150
