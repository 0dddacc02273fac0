"""Reloads of the configuration: what a reload changes, and how the last one went."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from exporter.config.settings import TargetSettings, restart_settings
from exporter.errors import ExporterError, SettingsError
from exporter.systemd import READY, RELOADING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from exporter.config.settings import Settings
    from exporter.jobs.snapshot import PollKey
    from exporter.jobs.target import Target


@dataclass(frozen=True, slots=True)
class ReloadPlan:
    """What changes when new settings replace the current ones."""

    needs_new_clients: bool
    """Whether a setting that applies to every target has changed: then no target is unchanged."""
    targets: tuple[Target, ...]
    """The targets to poll, in the order of the settings."""
    unchanged: frozenset[Target]
    """The targets whose worker continues."""
    stopped: frozenset[Target]
    """The targets whose worker stops: removed ones, and changed ones with their current settings."""
    started: tuple[Target, ...]
    """The targets that get a new worker: added ones, and changed ones with their new settings."""
    added: frozenset[PollKey]
    removed: frozenset[PollKey]
    other_shards: tuple[PollKey, ...]
    """The targets that other shards poll."""


def plan_reload(current: Settings, new: Settings, polled: Iterable[Target]) -> ReloadPlan:
    """Returns what changes if `new` replaces `current` while the targets of `polled` have a worker.

    Raises SettingsError for a change of a setting that takes a restart.
    """
    changed = [name for name in restart_settings() if getattr(current, name) != getattr(new, name)]
    if changed:
        raise SettingsError(f"a change of {', '.join(changed)} takes a restart")
    needs_new_clients = _of_all_targets(current) != _of_all_targets(new)
    before, targets = frozenset(polled), new.polled_targets
    unchanged = frozenset() if needs_new_clients else before & {*targets}
    keys_before, keys = {target.key for target in before}, {target.key for target in targets}
    return ReloadPlan(
        needs_new_clients=needs_new_clients,
        targets=targets,
        unchanged=unchanged,
        stopped=before - unchanged,
        started=tuple(target for target in targets if target not in unchanged),
        added=frozenset(keys - keys_before),
        removed=frozenset(keys_before - keys),
        other_shards=tuple(target.key for target in new.all_targets if target.key not in keys),
    )


class Reload:
    """Loads the settings and applies them, one reload at a time; invalid settings change nothing.

    `now` is the local clock in Unix seconds, `notify` informs systemd; the start counts as the first successful reload.
    """

    def __init__(
        self,
        load: Callable[[], Settings],
        apply: Callable[[Settings], Awaitable[None]],
        now: Callable[[], float],
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.is_successful = True
        self.succeeded_at = now()
        self._load = load
        self._apply = apply
        self._now = now
        self._notify = notify
        self._lock = asyncio.Lock()

    async def __call__(self) -> None:
        """Reloads, and logs the outcome; raises ExporterError, which is a SettingsError for invalid settings."""
        log = structlog.get_logger()
        async with self._lock:
            self._notify(RELOADING)
            try:
                await self._apply(self._load())
            except ExporterError as error:
                self.is_successful = False
                hint = "the previous configuration stays active"
                log.error("reload", outcome="refused", error=str(error), hint=hint)  # noqa: TRY400 - no bug of the exporter
                raise
            except Exception:
                self.is_successful = False
                raise
            finally:
                self._notify(READY)
            self.is_successful = True
            self.succeeded_at = self._now()
            log.info("reload", outcome="ok")

    async def on(self, signal: asyncio.Event) -> None:
        """Reloads each time the event is set, until cancelled."""
        while True:
            await signal.wait()
            signal.clear()
            try:
                await self()
            except ExporterError:
                continue  # it is in the log and in the metrics
            except Exception as error:  # noqa: BLE001 - a bug must not end the reloads that follow
                structlog.get_logger().exception("background", task="reload", error=str(error))


def _of_all_targets(settings: Settings) -> dict[str, object]:
    """Returns the settings that apply to every target, whatever its own settings are."""
    return settings.model_dump(exclude={"targets", *TargetSettings.model_fields})
