"""A target of a calm service, with everything that polls and surveys it."""

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
    """A service, the ledger, and the poller and survey of its one target; the ledger may be opened anew."""

    service: FakeService = field(default_factory=FakeService)
    path: str = ":memory:"
    failure_details: bool = True
    job_types: tuple[str, ...] = ()
    survey_interval: int = DAY
    told: list[str | None] = field(default_factory=list)
    """The reason of each poll's failure, None for a good one."""
    ledger: Ledger = field(init=False)
    poller: Poller = field(init=False)
    survey: Survey = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Starts the process, as it were, on whatever the ledger holds."""
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
        """Makes a poll so many seconds after the last; returns the calls it made."""
        self.service.now += after
        return self.calls_of(self.poller.run())

    def calls_of(self, work: Any) -> list[str]:  # noqa: ANN401 - any coroutine
        """Runs something, and returns the calls that it made."""
        before = len(self.service.calls)
        asyncio.run(work)
        return self.service.calls[before:]

    def fail_jobs(self, number: int, name: str = "job") -> None:
        """Lets so many jobs fail between the last poll and the next."""
        for each in range(number):
            self.service.create(f"{name} {each}", age=-MINUTE)
            self.service.fail(f"{name} {each}", f"E.{each % 3}")

    @property
    def shown(self) -> Snapshot:
        """What the last good poll published."""
        snapshot = self.poller.view.snapshot
        assert snapshot is not None
        return snapshot


def polled_target(**options: Any) -> Iterator[Polled]:  # noqa: ANN401 - for Polled
    """Gives a target that has been polled once, and closes its ledger."""
    target = Polled(**options)
    target.poll()
    yield target
    target.ledger.close()
