"""Targets are first polled one after the other; a reload applies settings or refuses them."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from exporter.app import MAX_START_PAUSE_SECONDS, assembled
from exporter.config.load import load_settings
from exporter.config.settings import Settings
from exporter.errors import SettingsError
from exporter.polling.schedule import make_scheduler

if TYPE_CHECKING:
    from datetime import tzinfo
    from typing import Self


class Standing(datetime):
    """A clock that stays at one moment, however slow the machine is."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """Returns a moment far in the future."""
        return cls(2100, 1, 1, tzinfo=tz)


def first_polls(targets: int, interval: float) -> list[float]:
    """Returns when the targets of an exporter are first polled, in seconds."""
    accounts = [{"account": f"account-{number}", "region_id": "cn-shanghai"} for number in range(targets)]
    variables = {"IMS_EXPORTER_TARGETS": json.dumps(accounts)}
    settings = load_settings({"ledger_path": ":memory:", "poll_interval_seconds": interval}, variables)

    async def scenario() -> list[float]:
        async with assembled(settings, {}) as app:
            await app.start(make_scheduler())
            return [worker.timer.next_run_time.timestamp() for worker in app.workers if worker.timer]

    return asyncio.run(scenario())


@pytest.mark.parametrize(("interval", "pause"), [(60.0, MAX_START_PAUSE_SECONDS), (0.5, 0.05), (0.1, 0.01)])
def test_first_polls_are_spread(interval: float, pause: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each target is first polled a moment after the previous one, and all of them within an interval."""
    monkeypatch.setattr("exporter.polling.schedule.datetime", Standing)

    moments = first_polls(10, interval)

    assert [later - earlier for earlier, later in pairwise(moments)] == pytest.approx([pause] * 9, abs=1e-5)


CHANGES: dict[str, object] = {
    "duration_histograms": False,
    "lease_name": "other",
    "lease_seconds": 60.0,
    "ledger_path": "other.db",
    "listen_address": "127.0.0.1:1",
    "log_format": "json",
    "log_level": "debug",
    "shard": 1,
    "standby": "ledger",
    "web_config_file": "web.yml",
    "web_enable_lifecycle": True,
}
"""Another value for each setting that takes a restart."""

FOLLOWED = {
    *("allow_plain_http", "failure_details", "lookback_days", "max_requests_per_second", "poll_interval_seconds"),
    *("request_timeout_seconds", "shards", "stale_after_seconds", "survey_interval_hours"),
    *("account", "credentials", "endpoint", "job_kinds", "job_types", "region_id", "targets"),
}
"""The settings that a reload can change."""


def test_every_setting_takes_a_restart_or_is_followed() -> None:
    """Every setting takes a restart or is applied by a reload."""
    assert {*Settings.model_fields} == FOLLOWED | {*CHANGES}
    assert not FOLLOWED & {*CHANGES}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_that_takes_a_restart(name: str) -> None:
    """A change of a setting that takes a restart is refused by its name, and nothing changes."""
    before = load_settings({"region_id": "cn-shanghai", "ledger_path": ":memory:", "shards": 2, "shard": 0}, {})

    async def scenario() -> None:
        async with assembled(before, {}) as app:
            with pytest.raises(SettingsError, match=f"^a change of {name} takes a restart$"):
                await app.apply(before.model_copy(update={name: CHANGES[name]}))
            assert app.settings == before

    asyncio.run(scenario())
