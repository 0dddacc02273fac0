"""Puts the exporter together from its settings, and runs it: the one place that knows all the parts."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from exporter import __version__
from exporter.api import ImsClient, endpoint_pool
from exporter.credentials import credential_source
from exporter.exposition import Collector, Instruments, make_registry
from exporter.ledger import Ledger
from exporter.metrics import Process
from exporter.page import Site
from exporter.poller import Poller, PollSettings
from exporter.rules.thresholds import Thresholds
from exporter.survey import Survey
from exporter.throttle import AccountLimiter
from exporter.web import base_url, make_app, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    import httpx

    from exporter.exposition import Registry
    from exporter.settings import Settings
    from exporter.target import Target

HUNG_AFTER_SECONDS = 300.0
HUNG_AFTER_INTERVALS = 5
MAX_JITTER_SECONDS = 5.0
REFRESH_SECONDS = 30.0
"""The pages load themselves again so often, or at the poll interval if that is longer."""


@dataclass(slots=True)
class Worker:
    """Polls one target, and surveys it beside that."""

    poller: Poller
    survey: Survey
    tasks: set[asyncio.Task[object]] = field(default_factory=set)
    survey_task: asyncio.Task[bool] | None = None

    async def cycle(self) -> None:
        """Makes one poll; after a good one, lets a survey run beside the next polls if one is due."""
        task = asyncio.create_task(self._cycle())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        await asyncio.wait([task])  # the scheduler would log a poll that `stop` cuts short as an error

    async def _cycle(self) -> None:
        await self.poller.run()
        if self.poller.view.health.up and (self.survey_task is None or self.survey_task.done()):
            self.survey_task = asyncio.create_task(self._survey())

    async def _survey(self) -> bool:
        is_complete = await self.survey.run()
        if is_complete:
            await self.poller.run()
        return is_complete

    async def stop(self) -> None:
        """Ends what is under way; whatever is not stored by now is read again at the next start."""
        tasks = [*self.tasks, *([self.survey_task] if self.survey_task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class App:
    """The exporter's parts, wired up; built by `assembled`."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self.settings = settings
        self.ledger = ledger
        self.instruments = Instruments()
        self.workers: list[Worker] = []
        self.started_at = time.time()
        collector = Collector(
            views=lambda: [worker.poller.view for worker in self.workers],
            process=self._process,
            instruments=self.instruments,
            now=time.time,
            stale_after_seconds=lambda: settings.stale_after_seconds,
        )
        self.registry: Registry = make_registry(collector)

    def add(self, target: Target, api: ImsClient) -> None:
        """Adds a target that is called through `api`."""
        settings = self.settings
        poller = Poller(
            target.key,
            api,
            self.ledger,
            PollSettings(
                interval_seconds=settings.poll_interval_seconds,
                lookback_days=settings.lookback_days,
                failure_details=settings.failure_details,
                job_types=target.job_types,
            ),
            observe_poll=lambda seconds, reason: self.instruments.observe_poll(target.key, seconds, reason),
        )
        survey = Survey(
            poller,
            api,
            self.ledger,
            interval_seconds=settings.survey_interval_hours * 3600,
            lookback_days=settings.lookback_days,
            job_types=target.job_types,
        )
        self.workers.append(Worker(poller, survey))

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

    def site(self) -> Site:
        """Returns what the pages need to know of the settings; they refresh no faster than there is news."""
        thresholds = Thresholds()
        return Site(
            version=__version__,
            stuck_seconds=thresholds.stuck_seconds,
            stuck_other_seconds=thresholds.stuck_other_seconds,
            stale_after_seconds=self.settings.stale_after_seconds,
            refresh_seconds=max(REFRESH_SECONDS, self.settings.poll_interval_seconds),
        )

    def _process(self) -> Process:
        return Process(
            ledger_size_bytes=self.ledger.size_bytes,
            reload_successful=True,
            reloaded_at=self.started_at,
            version=__version__,
        )


@asynccontextmanager
async def assembled(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[App]:
    """Gives the wired-up parts, and closes them; raises LedgerError."""
    async with AsyncExitStack() as stack:
        ledger = Ledger(settings.ledger_path)
        stack.callback(ledger.close)
        app = App(settings, ledger)
        clients = Clients(settings, environ, app.instruments)
        for target in settings.polled_targets:
            app.add(target, clients.client(target, stack))
        yield app


class Clients:
    """Makes the clients of the targets: one connection pool for each endpoint, one rate limit for each account."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], instruments: Instruments) -> None:
        self._settings = settings
        self._environ = environ
        self._instruments = instruments
        self._pools: dict[str, httpx.AsyncClient] = {}
        self._limiters: dict[str, AccountLimiter] = {}

    def client(self, target: Target, stack: AsyncExitStack) -> ImsClient:
        """Returns a client; its pool is closed with the stack."""
        timeout = self._settings.request_timeout_seconds
        key = target.key
        self._instruments.introduce(key)
        if target.endpoint not in self._pools:
            self._pools[target.endpoint] = endpoint_pool(target.endpoint, timeout)
            stack.push_async_callback(self._pools[target.endpoint].aclose)
        return ImsClient(
            self._pools[target.endpoint],
            credential_source(target.credentials, self._environ),
            self._limiter(key.account),
            timeout_seconds=timeout,
            observe=lambda action, code, seconds: self._instruments.observe_request(key, action, code, seconds),
        )

    def _limiter(self, account: str) -> AccountLimiter:
        if account not in self._limiters:
            self._limiters[account] = AccountLimiter(
                self._settings.max_requests_per_second,
                lambda seconds: self._instruments.add_rate_limit_wait(account, seconds),
            )
        return self._limiters[account]


async def run(
    settings: Settings,
    environ: Mapping[str, str],
    stop: asyncio.Event,
    listening: Callable[[str], None] = lambda _: None,
) -> None:
    """Polls and serves until `stop` is set; `listening` is told the base URL. Raises ExporterError at the start."""
    log = structlog.get_logger()
    async with assembled(settings, environ) as app, AsyncExitStack() as stack:
        web_app = make_app(
            registry=app.registry,
            views=lambda: [worker.poller.view for worker in app.workers],
            live=app.not_live,
            ready=app.not_ready,
            site=app.site,
            now=time.time,
        )
        runner, _ = await serve(web_app, *settings.listen_pair, settings.web_config_file)
        stack.push_async_callback(runner.cleanup)
        url = base_url(runner)
        log.info("listening", url=url, version=__version__, targets=len(app.workers))
        listening(url)
        scheduler = make_scheduler(app.workers, settings.poll_interval_seconds)
        scheduler.start()
        stack.callback(scheduler.shutdown, wait=False)
        for worker in app.workers:
            stack.push_async_callback(worker.stop)
        stack.callback(scheduler.pause)
        await stop.wait()
        log.info("stopping")


def make_scheduler(workers: list[Worker], interval_seconds: float) -> AsyncIOScheduler:
    """Returns a scheduler that polls every target on its own: at once, then on the interval, never twice at a time."""
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # that a long poll leaves out the next is no news
    scheduler = AsyncIOScheduler(
        timezone=UTC, job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
    )
    for worker in workers:
        trigger = IntervalTrigger(
            seconds=interval_seconds,
            jitter=min(MAX_JITTER_SECONDS, interval_seconds / 10),
            timezone=UTC,
        )
        scheduler.add_job(worker.cycle, trigger, next_run_time=datetime.now(UTC))
    return scheduler
