"""The plan of a reload says which targets continue, stop and start, and refuses what takes a restart."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest

from exporter.config.load import load_settings
from exporter.errors import SettingsError
from exporter.jobs.snapshot import PollKey
from exporter.reload import Reload, plan_reload

if TYPE_CHECKING:
    from exporter.config.settings import Settings


def settings_of(*accounts: str, **flags: object) -> Settings:
    """Returns settings with a target for each account; a name with `=` also has job types."""
    parts = [account.partition("=") for account in accounts]
    targets = [{"account": name, "region_id": "cn-a", "job_types": types} for name, _, types in parts]
    return load_settings(flags, {"IMS_EXPORTER_TARGETS": json.dumps(targets)})


def keys(*accounts: str) -> frozenset[PollKey]:
    """Returns the keys of these accounts."""
    return frozenset(PollKey(account, "cn-a", "smart") for account in accounts)


def test_a_change_of_targets() -> None:
    """An unchanged target continues, a changed one stops and starts, a removed one stops, an added one starts."""
    old, new = settings_of("same", "changed", "removed"), settings_of("added", "changed=ASR", "same")

    plan = plan_reload(old, new, old.polled_targets)

    assert {target.key for target in plan.unchanged} == keys("same")
    assert {target.key for target in plan.stopped} == keys("changed", "removed")
    assert [target.key.account for target in plan.started] == ["added", "changed"]
    assert (plan.added, plan.removed) == (keys("added"), keys("removed"))
    assert plan.targets == new.polled_targets
    assert not plan.needs_new_clients


def test_a_change_for_every_target() -> None:
    """A setting that applies to every target stops and starts them all; none is added or removed."""
    old, new = settings_of("a", "b"), settings_of("a", "b", request_timeout_seconds=20)

    plan = plan_reload(old, new, old.polled_targets)

    assert (plan.stopped, plan.started) == (frozenset(old.polled_targets), new.polled_targets)
    assert (plan.unchanged, plan.added, plan.removed) == (frozenset(), frozenset(), frozenset())
    assert plan.needs_new_clients


def test_no_change() -> None:
    """The same settings change nothing."""
    settings = settings_of("a", "b")

    plan = plan_reload(settings, settings, settings.polled_targets)

    assert (plan.stopped, plan.started, plan.unchanged) == (frozenset(), (), frozenset(settings.polled_targets))


def test_another_number_of_shards() -> None:
    """Targets that move to another shard stop here, and are known as those of other shards."""
    accounts = [f"account-{number}" for number in range(20)]
    old, new = settings_of(*accounts), settings_of(*accounts, shards=2, shard=0)

    plan = plan_reload(old, new.model_copy(update={"shard": old.shard}), old.polled_targets)

    assert plan.removed == {*plan.other_shards}
    assert {target.key for target in plan.targets} | plan.removed == keys(*accounts)
    assert 0 < len(plan.removed) < 20


def test_a_change_that_takes_a_restart() -> None:
    """The error names all settings that take a restart, and no other."""
    old, new = settings_of("a"), settings_of("b", log_level="debug", lookback_days=3, lease_seconds=20)

    with pytest.raises(SettingsError, match=r"^a change of lease_seconds, log_level takes a restart$"):
        plan_reload(old, new, old.polled_targets)


def test_a_bug_does_not_end_the_reloads() -> None:
    """After an error that nobody foresaw the metric says that the reload failed, and the next signal reloads again."""
    loads: list[None] = []

    def load() -> Settings:
        loads.append(None)
        raise RuntimeError("a bug")

    async def apply(_: Settings) -> None:
        pass

    async def scenario() -> Reload:
        reload, hangup = Reload(load, apply, time.time), asyncio.Event()
        reloading = asyncio.create_task(reload.on(hangup))
        for _ in range(2):
            hangup.set()
            await asyncio.sleep(0.01)
        reloading.cancel()
        return reload

    reload = asyncio.run(scenario())

    assert (len(loads), reload.is_successful) == (2, False)
