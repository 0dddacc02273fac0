"""A target of the fake service, with its poller, survey and ledger."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exporter.jobs.snapshot import PollKey, Snapshot
from exporter.polling.ledger import Ledger
from exporter.polling.poller import Poller, PollSettings
from exporter.polling.survey import Survey
from tests.support.fake_service import FakeService

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = PollKey("prod", "cn-shanghai", "smart")
MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(slots=True)
class Polled:
    """A fake service, and the ledger, poller and survey of its one target; `start` opens the ledger again."""

    service: FakeService = field(default_factory=FakeService)
    path: str = ":memory:"
    failure_details: bool = True
    job_types: tuple[str, ...] = ()
    survey_interval: int = DAY
    told: list[str | None] = field(default_factory=list)
    """The failure reason of each poll, None for a good one."""
    ledger: Ledger = field(init=False)
    poller: Poller = field(init=False)
    survey: Survey = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Opens the ledger, and makes a new poller and survey, as a restart does."""
        self.ledger = Ledger(self.path)
        settings = PollSettings(60, 30, self.failure_details, self.job_types)
        self.poller = Poller(
            KEY,
            self.service,
            self.ledger,
            settings,
            observe_poll=lambda _, reason: self.told.append(reason),
            now=lambda: self.service.now,
        )
        self.survey = Survey(
            self.poller,
            self.service,
            self.ledger,
            interval_seconds=self.survey_interval,
            lookback_days=30,
            job_types=self.job_types,
        )

    def poll(self, after: int = MINUTE) -> list[str]:
        """Polls `after` seconds after the last poll; returns the calls."""
        self.service.now += after
        return self.calls_of(self.poller.run())

    def calls_of(self, work: Any) -> list[str]:  # noqa: ANN401 - any coroutine
        """Runs a coroutine, and returns the calls that it made."""
        before = len(self.service.calls)
        asyncio.run(work)
        return self.service.calls[before:]

    def fail_jobs(self, number: int, name: str = "job") -> None:
        """Makes `number` jobs fail between the last poll and the next."""
        for each in range(number):
            self.service.create(f"{name} {each}", age=-MINUTE)
            self.service.fail(f"{name} {each}", f"E.{each % 3}")

    @property
    def shown(self) -> Snapshot:
        """The snapshot of the last good poll."""
        snapshot = self.poller.view.snapshot
        assert snapshot is not None
        return snapshot


def polled_target(**options: Any) -> Iterator[Polled]:  # noqa: ANN401 - for Polled
    """Yields a target that has been polled once, and closes its ledger at the end."""
    target = Polled(**options)
    target.poll()
    yield target
    target.ledger.close()
