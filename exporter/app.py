"""Puts the exporter together from its settings, and runs it: the one place that knows all the parts."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from exporter import __version__
from exporter.config.settings import TargetSettings, restart_settings
from exporter.errors import LedgerError, SettingsError
from exporter.ims.clients import Clients
from exporter.metrics.counters import Instruments
from exporter.metrics.exposition import Exposition
from exporter.metrics.table import Process
from exporter.polling.ledger import Ledger
from exporter.polling.poller import Poller, PollSettings
from exporter.polling.schedule import Worker, heed_clock, make_scheduler
from exporter.polling.survey import Survey
from exporter.reload import Reload
from exporter.rules.thresholds import Thresholds
from exporter.standby.standby import lead
from exporter.threads import to_thread_shielded
from exporter.web.pages.request import PageSettings
from exporter.web.server import base_url, make_app, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    from exporter.config.settings import Settings
    from exporter.ims.client import ImsClient
    from exporter.jobs.snapshot import TargetView
    from exporter.jobs.target import Target

HUNG_AFTER_SECONDS = 300.0
HUNG_AFTER_INTERVALS = 5
START_PAUSE_SECONDS = 0.05
"""So long after each other the targets are first polled, lest hundreds of them hold up each other and the scrapes."""
REFRESH_SECONDS = 30.0
"""The pages load themselves again so often, or at the poll interval if that is longer."""


class App:
    """The exporter's parts, wired up; built by `assembled`."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], ledger: Ledger) -> None:
        self.settings = settings
        self.instruments = Instruments()
        self.workers: list[Worker] = []
        self.reload = Reload(lambda: settings, self.apply, time.time)
        self._ledger = ledger
        self._environ = environ
        self._clients = self._make_clients(settings)
        self._scheduler: AsyncIOScheduler | None = None
        self.exposition = Exposition(
            views=self.views,
            process=self._process,
            instruments=self.instruments,
            now=time.time,
            stale_after_seconds=lambda: self.settings.stale_after_seconds,
        )

    def views(self) -> list[TargetView]:
        """Returns what can be shown of each target."""
        return [worker.poller.view for worker in self.workers]

    async def apply(self, settings: Settings) -> None:
        """Polls as these settings say from now on: what they leave as it was goes on undisturbed.

        Raises SettingsError for what takes a restart, and LedgerError; then nothing has changed.
        """
        refuse_what_takes_a_restart(self.settings, settings)
        is_same = common(settings) == common(self.settings)
        targets = settings.polled_targets
        kept = {worker.target: worker for worker in self.workers if is_same and worker.target in targets}
        left = [worker for worker in self.workers if worker not in kept.values()]
        clients = self._clients if is_same else self._make_clients(settings)
        made = {target: clients.client(target) for target in targets if target not in kept}
        for target in made:
            self.instruments.add_target(target.key)
        try:
            await self._leave(left, settings)
        except LedgerError:
            for key in {target.key for target in made} - {worker.target.key for worker in self.workers}:
                self.instruments.remove_target(key)
            if not is_same:
                await clients.aclose()
            raise
        shown = {worker.target.key: worker.poller.view for worker in left}
        self.settings, before, self._clients = settings, self._clients, clients
        self.workers = [
            kept.get(target) or self._worker(target, made[target], shown.get(target.key)) for target in targets
        ]
        self._start([worker for worker in self.workers if worker.target in made])
        for key in shown.keys() - {target.key for target in targets}:
            self.instruments.remove_target(key)
        if before is not clients:
            await before.aclose()

    def _make_clients(self, settings: Settings) -> Clients:
        return Clients(
            self._environ,
            timeout_seconds=settings.request_timeout_seconds,
            max_requests_per_second=settings.max_requests_per_second,
            observe_request=self.instruments.observe_request,
            observe_wait=self.instruments.add_rate_limit_wait,
        )

    async def _leave(self, workers: list[Worker], settings: Settings) -> None:
        """Stops these workers, and drops from the ledger what other shards poll; or lets the workers go on."""
        targets = settings.polled_targets
        elsewhere = [target.key for target in settings.all_targets if target not in targets]
        await asyncio.gather(*(worker.stop() for worker in workers))
        try:
            dropped = await to_thread_shielded(
                self._ledger.belong_to, settings.shard or 0, elsewhere if self._scheduler else []
            )
        except LedgerError:
            self._start(workers)
            raise
        for key in dropped:
            structlog.get_logger().warning("dropped", **key.labels, shards=settings.shards)

    async def start(self, scheduler: AsyncIOScheduler) -> None:
        """Lets every target be polled by the timer, also those that come with new settings.

        Until then, as for a single look, nothing of other shards' targets is dropped.
        """
        self._scheduler = scheduler
        await self._leave([], self.settings)
        self._start(self.workers)

    async def close(self) -> None:
        """Ends what is under way, and closes all connections."""
        await asyncio.gather(*(worker.stop() for worker in self.workers))
        await self._clients.aclose()

    def _start(self, workers: Sequence[Worker]) -> None:
        """Lets these be polled by the timer, one a moment after the other; as long as there is none, not yet."""
        interval = self.settings.poll_interval_seconds
        pause = min(START_PAUSE_SECONDS, interval / (len(workers) or 1))
        for number, worker in enumerate(workers):
            if self._scheduler is not None:
                worker.start(self._scheduler, interval, number * pause)

    def _worker(self, target: Target, api: ImsClient, view: TargetView | None) -> Worker:
        """Returns a new worker, which shows what was shown of the target until its first poll."""
        settings = self.settings
        poller = Poller(
            target.key,
            api,
            self._ledger,
            PollSettings(
                interval_seconds=settings.poll_interval_seconds,
                lookback_days=settings.lookback_days,
                failure_details=settings.failure_details,
                job_types=target.job_types,
            ),
            observe_poll=lambda seconds, reason: self._polled(poller, seconds, reason),
        )
        poller.view = view or poller.view
        survey = Survey(
            poller,
            api,
            self._ledger,
            interval_seconds=settings.survey_interval_hours * 3600,
            lookback_days=settings.lookback_days,
            job_types=target.job_types,
        )
        return Worker(target, poller, survey)

    def _polled(self, poller: Poller, seconds: float, reason: str | None) -> None:
        self.instruments.observe_poll(poller.key, seconds, reason)
        self.exposition.prerender(poller.view)

    def not_live(self) -> list[str]:
        """Returns the targets whose poll hangs; an outage of the API is no hang."""
        longest = max(HUNG_AFTER_SECONDS, HUNG_AFTER_INTERVALS * self.settings.poll_interval_seconds)
        now = time.monotonic()
        return [
            f"the polls of {worker.poller.key} hang: no sign of life for {now - worker.poller.last_beat:.0f} seconds"
            for worker in self.workers
            if now - worker.poller.last_beat > longest
        ]

    def not_ready(self) -> list[str]:
        """Returns the targets whose first poll has not ended yet."""
        return [
            f"the first poll of {worker.poller.key} has not ended yet"
            for worker in self.workers
            if worker.poller.view.health.up is None
        ]

    def page_settings(self) -> PageSettings:
        """Returns the settings that the pages depend on; pages reload no faster than polls bring new data."""
        thresholds = Thresholds()
        return PageSettings(
            version=__version__,
            stuck_seconds=thresholds.stuck_seconds,
            stuck_other_seconds=thresholds.stuck_other_seconds,
            stale_after_seconds=self.settings.stale_after_seconds,
            refresh_seconds=max(REFRESH_SECONDS, self.settings.poll_interval_seconds),
            shard=f"shard {self.settings.shard} of {self.settings.shards}" if self.settings.shards > 1 else "",
        )

    def _process(self) -> Process:
        return Process(
            ledger_size_bytes=self._ledger.size_bytes,
            reload_successful=self.reload.is_successful,
            reloaded_at=self.reload.succeeded_at,
            version=__version__,
        )


def beside(name: str, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
    """Does some work beside everything else; if it ends in an error, that is logged."""

    def tell(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            structlog.get_logger().error("background", task=name, error=str(error), exc_info=error)

    task = asyncio.create_task(work)
    task.add_done_callback(tell)
    return task


def refuse_what_takes_a_restart(old: Settings, new: Settings) -> None:
    """Raises SettingsError if a setting has changed that is read at the start only."""
    changed = [name for name in restart_settings() if getattr(old, name) != getattr(new, name)]
    if changed:
        raise SettingsError(f"a change of {', '.join(changed)} takes a restart")


def common(settings: Settings) -> dict[str, object]:
    """Returns the settings that concern every target."""
    return settings.model_dump(exclude={"targets", *TargetSettings.model_fields})


@asynccontextmanager
async def assembled(settings: Settings, environ: Mapping[str, str], *, begins_anew: bool = False) -> AsyncIterator[App]:
    """Gives the wired-up parts, and closes them; raises LedgerError.

    Whoever holds the ledger's lock may begin a new one in place of a damaged one.
    """
    async with AsyncExitStack() as stack:
        ledger = Ledger(settings.ledger_path, kept=settings.standby != "none", begins_anew=begins_anew)
        stack.callback(ledger.close)
        app = App(settings, environ, ledger)
        stack.push_async_callback(app.close)
        await app.apply(settings)
        yield app


async def run(
    settings: Settings,
    environ: Mapping[str, str],
    stop: asyncio.Event,
    *,
    listening: Callable[[str], None] = lambda _: None,
    load: Callable[[], Settings] | None = None,
    hangup: asyncio.Event | None = None,
) -> None:
    """Polls and serves until `stop` is set; `listening` is told the base URL. Raises ExporterError at the start.

    Where the settings say so, it is a standby first; then it also raises LeadershipLostError.
    `load` reads the settings anew: each time `hangup` is set, and by HTTP where the settings allow it.
    """
    log = structlog.get_logger()
    async with AsyncExitStack() as stack:
        until_over = await stack.enter_async_context(lead(settings, stop))
        if stop.is_set():
            return
        app = await stack.enter_async_context(assembled(settings, environ, begins_anew=True))
        app.reload = Reload(load or (lambda: settings), app.apply, time.time)
        web_app = make_app(
            exposition=app.exposition,
            views=app.views,
            live=app.not_live,
            ready=app.not_ready,
            page_settings=app.page_settings,
            now=time.time,
            reload=app.reload if settings.web_enable_lifecycle else None,
        )
        runner, _ = await serve(web_app, *settings.listen_pair, settings.web_config_file)
        stack.push_async_callback(runner.cleanup)
        url = base_url(runner)
        log.info("listening", url=url, version=__version__, targets=len(app.workers))
        listening(url)
        scheduler = make_scheduler()
        scheduler.start()
        stack.callback(scheduler.shutdown, wait=False)
        stack.callback(beside("heed_clock", heed_clock(scheduler)).cancel)
        await app.start(scheduler)
        stack.push_async_callback(app.close)
        if hangup is not None:
            reloading = asyncio.create_task(app.reload.on(hangup))
            stack.callback(reloading.cancel)
        await until_over()
        log.info("stopping")
