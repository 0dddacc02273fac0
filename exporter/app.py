"""Composition root: creates the parts of the exporter from the settings, connects them, and runs them."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from exporter import __version__
from exporter.errors import LedgerError
from exporter.ims.clients import Clients
from exporter.metrics.counters import Instruments
from exporter.metrics.exposition import Exposition
from exporter.metrics.table import Process
from exporter.polling.ledger import Ledger
from exporter.polling.poller import Poller, PollSettings
from exporter.polling.schedule import Worker, make_scheduler, reschedule_on_clock_step
from exporter.polling.survey import Survey
from exporter.reload import Reload, plan_reload
from exporter.rules.thresholds import Thresholds
from exporter.standby.standby import lead
from exporter.systemd import READY, STOPPING, keep_alive, notifier
from exporter.threads import to_thread_shielded
from exporter.web.client_errors import HandshakeFailures
from exporter.web.pages.request import PageSettings
from exporter.web.server import base_url, make_app, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    from exporter.config.settings import Settings
    from exporter.ims.client import ImsClient
    from exporter.jobs.snapshot import PollKey, TargetView
    from exporter.jobs.target import Target

MIN_HUNG_SECONDS = 300.0
HUNG_INTERVALS = 5
"""A poll loop without a heartbeat for this many poll intervals is hung, but not before `MIN_HUNG_SECONDS`."""

MAX_START_PAUSE_SECONDS = 0.05
"""Maximum time between the first polls of two targets: hundreds at once would delay each other and the scrapes."""

MIN_REFRESH_SECONDS = 30.0
"""Minimum time between two automatic refreshes of a page."""


class App:
    """The parts of the exporter, wired together; `assembled` creates and closes it."""

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], ledger: Ledger, load: Callable[[], Settings]
    ) -> None:
        self.settings = settings
        self.instruments = Instruments()
        self.handshake_failures = HandshakeFailures()
        self.workers: list[Worker] = []
        self.notify = notifier(environ)
        self.reload = Reload(load, self.apply, time.time, self.notify)
        self.lease_failures: Callable[[], int] = lambda: 0
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
            duration_histograms=settings.duration_histograms,
        )

    def views(self) -> list[TargetView]:
        """Returns the view of each target: its last snapshot and its health."""
        return [worker.poller.view for worker in self.workers]

    async def apply(self, settings: Settings) -> None:
        """Replaces the settings; targets without a change are not interrupted.

        Raises SettingsError for a change that takes a restart, and LedgerError; then nothing has changed.
        """
        plan = plan_reload(self.settings, settings, [worker.target for worker in self.workers])
        clients = old_clients = self._clients
        stopped = [worker for worker in self.workers if worker.target in plan.stopped]
        async with AsyncExitStack() as undo:
            if plan.needs_new_clients:
                clients = self._make_clients(settings)
                undo.push_async_callback(clients.aclose)
            apis = {target: clients.client(target) for target in plan.started}
            for key in plan.added:
                self.instruments.add_target(key)
                undo.callback(self.instruments.remove_target, key)
            await self._stop(stopped, settings, plan.other_shards)
            undo.pop_all()
        self.settings, self._clients = settings, clients
        views = {worker.target.key: worker.poller.view for worker in stopped}
        started = {target: self._worker(target, api, views.get(target.key)) for target, api in apis.items()}
        workers = {worker.target: worker for worker in self.workers} | started
        self.workers = [workers[target] for target in plan.targets]
        self._start([*started.values()])
        for key in plan.removed:
            self.instruments.remove_target(key)
        if clients is not old_clients:
            await old_clients.aclose()

    def _make_clients(self, settings: Settings) -> Clients:
        return Clients(
            self._environ,
            timeout_seconds=settings.request_timeout_seconds,
            max_requests_per_second=settings.max_requests_per_second,
            observe_request=self.instruments.observe_request,
            observe_wait=self.instruments.add_rate_limit_wait,
        )

    async def _stop(self, workers: Sequence[Worker], settings: Settings, other_shards: Sequence[PollKey]) -> None:
        """Stops workers and deletes the targets of other shards from the ledger; restarts the workers on LedgerError.

        `once` deletes nothing: it has no scheduler.
        """
        await asyncio.gather(*(worker.stop() for worker in workers))
        try:
            deleted = await to_thread_shielded(
                self._ledger.claim,
                settings.shard or 0,
                {target.key for target in settings.polled_targets},
                other_shards if self._scheduler else (),
            )
        except LedgerError:
            self._start(workers)
            raise
        for key in deleted:
            structlog.get_logger().warning("dropped", **key.labels, shards=settings.shards)

    async def start(self, scheduler: AsyncIOScheduler) -> None:
        """Starts to poll all targets on a schedule, also those of later settings; raises LedgerError."""
        self._scheduler = scheduler
        await self._stop([], self.settings, plan_reload(self.settings, self.settings, ()).other_shards)
        self._start(self.workers)

    async def close(self) -> None:
        """Stops all polls and surveys, and closes all connections."""
        await asyncio.gather(*(worker.stop() for worker in self.workers))
        await self._clients.aclose()

    def _start(self, workers: Sequence[Worker]) -> None:
        """Starts workers with a pause between them; without a scheduler does nothing."""
        interval = self.settings.poll_interval_seconds
        pause = min(MAX_START_PAUSE_SECONDS, interval / (len(workers) or 1))
        for number, worker in enumerate(workers):
            if self._scheduler is not None:
                worker.start(self._scheduler, interval, number * pause)

    def _worker(self, target: Target, api: ImsClient, view: TargetView | None) -> Worker:
        """Returns a new worker; until its first poll ends, its view is the given one."""
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
        """Returns a reason for each target whose poll loop hangs; an outage of the API is no reason."""
        maximum = max(MIN_HUNG_SECONDS, HUNG_INTERVALS * self.settings.poll_interval_seconds)
        now = time.monotonic()
        return [
            f"the poll loop of {worker.poller.key} hangs: "
            f"no heartbeat for {now - worker.poller.last_heartbeat:.0f} seconds"
            for worker in self.workers
            if now - worker.poller.last_heartbeat > maximum
        ]

    def not_ready(self) -> list[str]:
        """Returns a reason for each target whose first poll has not ended yet."""
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
            refresh_seconds=max(MIN_REFRESH_SECONDS, self.settings.poll_interval_seconds),
            shard=f"shard {self.settings.shard} of {self.settings.shards}" if self.settings.shards > 1 else "",
            shards=self.settings.shards,
        )

    def _process(self) -> Process:
        return Process(
            ledger_size_bytes=self._ledger.size_bytes,
            reload_successful=self.reload.is_successful,
            reloaded_at=self.reload.succeeded_at,
            version=__version__,
            tls_handshake_failures=self.handshake_failures.counts,
            lease_failures=self.lease_failures(),
            shard=self.settings.shard or 0,
            shards=self.settings.shards,
        )


def background_task(name: str, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
    """Starts a task that logs the error it fails with."""

    def log_error(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            structlog.get_logger().error("background", task=name, error=str(error), exc_info=error)

    task = asyncio.create_task(work)
    task.add_done_callback(log_error)
    return task


@asynccontextmanager
async def assembled(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    load: Callable[[], Settings] | None = None,
    recreate_if_damaged: bool = False,
) -> AsyncIterator[App]:
    """Yields the wired parts, and closes them; raises LedgerError.

    `load` returns the settings of a reload. Only the process that holds the lock of the ledger may recreate it.
    """
    async with AsyncExitStack() as stack:
        ledger = Ledger(
            settings.ledger_path, exclusive=settings.standby != "none", recreate_if_damaged=recreate_if_damaged
        )
        stack.callback(ledger.close)
        app = App(settings, environ, ledger, load or (lambda: settings))
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
    """Polls and serves until `stop` is set; passes the base URL to `listening`. Raises ExporterError at the start.

    With standby, it first waits to become the leader; then it also raises LeadershipLostError. `load` returns the
    settings of a reload, which happens when `hangup` is set, and by HTTP if the settings allow it.
    """
    log = structlog.get_logger()
    notify = notifier(environ)
    apps: list[App] = []
    async with AsyncExitStack() as stack:
        alive = keep_alive(environ, notify, lambda: not any(app.not_live() for app in apps))
        stack.callback(background_task("watchdog", alive).cancel)
        if settings.standby != "none":
            notify(READY)  # it may wait for hours
        term = await stack.enter_async_context(lead(settings, stop))
        if stop.is_set():
            return
        app = await stack.enter_async_context(assembled(settings, environ, load=load, recreate_if_damaged=True))
        app.lease_failures = term.lease_failures
        apps.append(app)
        web_app = make_app(
            exposition=app.exposition,
            views=app.views,
            live=app.not_live,
            ready=app.not_ready,
            page_settings=app.page_settings,
            now=time.time,
            reload=app.reload if settings.web_enable_lifecycle else None,
        )
        runner, _ = await serve(
            web_app, *settings.listen_pair, settings.web_config_file, failures=app.handshake_failures
        )
        stack.push_async_callback(runner.cleanup)
        url = base_url(runner)
        log.info("listening", url=url, version=__version__, targets=len(app.workers))
        listening(url)
        scheduler = make_scheduler()
        scheduler.start()
        stack.callback(scheduler.shutdown, wait=False)
        stack.callback(background_task("clock", reschedule_on_clock_step(scheduler)).cancel)
        await app.start(scheduler)
        stack.push_async_callback(app.close)
        if hangup is not None:
            stack.callback(background_task("reload", app.reload.on(hangup)).cancel)
        notify(READY)
        await term.until_over()
        notify(STOPPING)
        log.info("stopping")
