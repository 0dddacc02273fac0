"""Target `polls`: polls and surveys of a service that answers anything succeed or fail for a reason that is known.

An input is a script of answers, each after a line `--- STATUS DATE`; when it is at its end there are no jobs.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
from hypothesis import strategies as st
from structlog.testing import capture_logs

from exporter.metrics.counters import Instruments
from exporter.metrics.exposition import Exposition
from exporter.polling.ledger import Ledger
from exporter.polling.poller import Poller, PollSettings
from exporter.polling.survey import Survey
from tests.fuzz.answers import BODIES, ERRORS, GOOD, ODD, START, written
from tests.fuzz.mutation import spoiled
from tests.fuzz.target import Target
from tests.support.api_client import answer, client_of
from tests.support.random_history import InlineExecutor
from tests.support.rendered_page import get
from tests.support.scenarios import FORMATS, KEY, PROCESS, parsed
from tests.support.time_skipping_loop import run_skipping_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.ims.client import ImsClient
    from exporter.jobs.snapshot import TargetView

POLLS = 4
MOST_CALLS = 200
MARK = b"--- "
KNOWN_REASONS = {None, "auth", "forbidden", "throttled", "timeout", "network", "server", "parse", "other"}
"""How a poll may end; `other` only with the service's own refusal. `ledger` is not among them: it takes any answer."""
DATES = st.sampled_from(
    (
        "",
        "Tue, 14 Nov 2023 22:13:20 GMT",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "14 Nov 2023",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "x, 1 2 3 4",
        "0 0 0 0 0",
        ", , , ,",
        "1 Jan , 00:00 GMT",
    )
) | st.text(st.sampled_from(" ,:-+0129JanTueGMT"), max_size=20)
STATUSES = st.sampled_from((200, 200, 200, 200, 200, 204, 301, 400, 403, 404, 429, 500, 503))
PROPER = (GOOD.map(written) | spoiled(GOOD, ODD, most_edits=2).map(written)).map(lambda body: b"--- 200\n%s\n" % body)
ANY = st.builds(
    lambda status, date, body: b"--- %d %s\n%s\n" % (status, date.encode(), body),
    STATUSES,
    DATES,
    BODIES | ERRORS.map(written),
)
SCRIPTS = st.lists(PROPER, max_size=16) | st.lists(PROPER | PROPER | PROPER | PROPER | ANY, max_size=16)


class Script:
    """Answers the calls one after the other."""

    def __init__(self, text: bytes) -> None:
        self.calls = 0
        self._answers = [_answer(part) for part in text.split(MARK)[1:]]

    def __call__(self, _: httpx.Request) -> httpx.Response:
        """Answers a call."""
        self.calls += 1
        assert self.calls <= MOST_CALLS
        return self._answers[self.calls - 1] if self.calls <= len(self._answers) else answer()


def check(text: bytes) -> None:
    """Polls a few times, surveys once, and renders metrics and pages."""
    with capture_logs() as logs:
        run_skipping_time(lambda: _polls(text))
    assert not [line for line in logs if line.get("exc_info")]


async def _polls(text: bytes) -> None:
    asyncio.get_running_loop().set_default_executor(InlineExecutor())
    ledger = Ledger(":memory:")
    try:
        async with client_of(Script(text)) as api:
            await _lives(api, ledger)
    finally:
        ledger.close()


async def _lives(api: ImsClient, ledger: Ledger) -> None:
    now, told, counted = [START], list[str | None](), list[int]()
    settings = PollSettings(0, 30, failure_details=True)
    poller = Poller(
        KEY, api, ledger, settings, observe_poll=lambda _, reason: told.append(reason), now=lambda: float(now[0])
    )
    survey = Survey(poller, api, ledger, interval_seconds=60, lookback_days=30)
    for number in range(POLLS):
        await poller.run()
        assert "please report" not in poller.view.health.last_error, poller.view.health.last_error
        if number == POLLS - 2 and poller.polled_at:
            await survey.run()
        snapshot = poller.view.snapshot
        counted.append(sum(snapshot.ended.values()) + sum(snapshot.created.values()) if snapshot else 0)
        now[0] += 60
    show(poller.view, float(now[0]))
    assert set(told) <= KNOWN_REASONS, told
    assert counted == sorted(counted), "a counter has gone back"


def show(view: TargetView, now: float) -> None:
    """Parses the metrics in both formats, and renders every page."""
    exposition = Exposition(
        views=lambda: [view],
        process=lambda: PROCESS,
        instruments=Instruments(),
        now=lambda: now,
        stale_after_seconds=lambda: 300.0,
    )
    for suffix in FORMATS:
        assert parsed(exposition, suffix)
    for url in ("/", "/failures", "/failures?format=json", "/targets", "/targets?account=prod&region_id=cn-shanghai"):
        given = get(url, view)
        assert given.status == 200
        assert "<script" not in given.text


def _answer(part: bytes) -> httpx.Response:
    head, _, body = part.partition(b"\n")
    number, _, date = head.partition(b" ")
    status = int(number) if number.isdigit() and len(number) == 3 and b"200" <= number < b"600" else 200
    headers = [(b"Date", bytes(date))] if date else []
    return httpx.Response(status, content=bytes(body), headers=headers)


@contextmanager
def ready() -> Iterator[Callable[[bytes], None]]:
    """Yields the check."""
    yield check


POLLED = Target("polls", SCRIPTS.map(b"".join), ready)
