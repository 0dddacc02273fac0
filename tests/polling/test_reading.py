"""The calls of a poll: which they are, how many, and what they see."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from exporter.errors import BadRequestError, BadResponseError, BudgetExceededError, ForbiddenError, ServerError
from exporter.jobs.kinds import SMART
from exporter.polling import reading as module
from exporter.polling.poller import page_size
from exporter.polling.reading import MAX_FIRST_READINGS, MAX_GETS_AT_ONCE, newest_floor, side_by_side
from exporter.polling.records import Known, PageGap
from exporter.simulator.habits import Habits
from tests.support.fake_service import START, FakeService
from tests.support.single_poll import ALL, DAY, HORIZON, KNOWN, WHOLE, look, open_before, reader_of, seen

if TYPE_CHECKING:
    from exporter.ims.answers import JobDetails, Page
    from exporter.ims.client import RetryBudget


class SlowService(FakeService):
    """A service that takes a moment for each answer, and notes when pages were asked for and when it answered."""

    events: ClassVar[list[str]] = []

    async def list_jobs(self, **options: Any) -> Page:  # noqa: ANN401 - those of the class above
        """Returns one page."""
        name = options["job_state"] or "all"
        self.events.append(f"{name} asked")
        await asyncio.sleep(0.01)
        self.events.append(f"{name} answered")
        return await super().list_jobs(**options)

    async def get_job(self, job_id: str, *, budget: RetryBudget) -> JobDetails:
        """Returns one job."""
        try:
            return await super().get_job(job_id, budget=budget)
        finally:
            await asyncio.sleep(0.01)


class GrowingService(FakeService):
    """A service with one more waiting job, of the same second, each time the list of them is asked for."""

    async def list_jobs(self, **options: Any) -> Page:  # noqa: ANN401 - those of the class above
        """Returns one page."""
        if options["job_state"] == "Created":
            self.create(f"new {len(self.calls)}", age=3600)
        return await super().list_jobs(**options)


def test_an_idle_target_costs_one_call() -> None:
    """Where no job is known to be open and none is found, a poll reads one page of all jobs, whatever the history."""
    service = FakeService()
    for number in range(500):
        service.create(f"old {number}", age=DAY - number, state="Finished")

    look(reader_of(service))

    assert service.calls == [ALL]


@pytest.mark.parametrize(
    ("known", "is_read"),
    [
        (KNOWN, False),
        (replace(KNOWN, polls=10), True),
        (replace(KNOWN, polls=15), False),
        (replace(KNOWN, has_new_types=True), True),
        (Known(SMART), True),
    ],
    ids=["idle", "tenth poll", "deep poll", "new types", "first poll"],
)
def test_the_open_lists_of_an_idle_target(known: Known, is_read: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """They are read by every tenth poll, by the first one, and when other types are polled than before."""
    service = FakeService()

    look(reader_of(service), known)

    assert service.calls == (WHOLE if is_read else [ALL])


def test_an_open_job_among_the_newest() -> None:
    """A poll that finds a job which has not ended reads the open lists after the list of all jobs."""
    service = FakeService()
    service.create("a", age=5)

    look(reader_of(service))

    assert service.calls == WHOLE


def test_lists_are_read_side_by_side() -> None:
    """The list of all jobs and the first open list are asked for before either answers."""
    service = SlowService()

    look(reader_of(service), open_before(service, [service.create("a", age=500)]))

    assert service.events[:2] == ["all asked", "Created asked"]
    assert service.events.index("Created answered") < service.events.index("Executing asked")


def test_lists_are_read_in_the_order_of_a_jobs_life() -> None:
    """A job that moves on while the open lists are read is met in a later one."""
    service = FakeService()
    known = open_before(service, [service.create("a", age=5), service.create("b", age=6, state="Executing")])
    service.before = {2: lambda: service.jobs.move("a", "Executing")}

    observed = look(reader_of(service), known)

    assert service.calls == WHOLE
    assert [(row.job_id, row.job_state) for row in observed.rows] == [
        ("a", "Created"),
        ("b", "Executing"),
        ("a", "Created"),
        ("a", "Executing"),
        ("b", "Executing"),
    ]


def test_the_newest_jobs_are_read_down_to_the_horizon() -> None:
    """New jobs cost their pages, and the page on which the first older one stands is the last."""
    service = FakeService(rows_per_page=2)
    for age in (10, 20, 30, 40, 5000, 6000, 7000):
        service.create(f"{age}", age=age, state="Finished")

    observed = look(reader_of(service))

    assert service.calls == [ALL, "* * 2", "* * 4"]
    assert seen(observed).keys() == {"10", "20", "30", "40", "5000", "6000"}
    assert observed.newest_gaps == [PageGap(START - 30, START - 20), PageGap(START - 5000, START - 40)]


@pytest.mark.parametrize(
    ("known", "floor"),
    [
        (KNOWN, HORIZON),
        (replace(KNOWN, polls=5), START - 240 - 900),
        (replace(KNOWN, polls=5, deep_at=START - 900, remembered_since=START - 1020), START - 1020),
        (replace(KNOWN, polled_at=START - 91), START - 240 - 900),
        (replace(KNOWN, polled_at=START - 89), HORIZON),
        (Known(SMART), START - 900),
        (replace(KNOWN, polls=5, horizon=START - 5000), START - 5000),
    ],
    ids=["usual", "fifth poll", "as far as ended jobs are remembered", "pause", "no pause", "first poll", "held back"],
)
def test_deep_polls(known: Known, floor: int) -> None:
    """Every fifth poll, the first one and one after a pause read down to 15 minutes before the last deep poll."""
    assert newest_floor(known, START, 60) == floor


def test_a_first_poll_reads_no_history() -> None:
    """Without a horizon the newest jobs are read back to the 15 minutes by which lists may be late."""
    service = FakeService(rows_per_page=2)
    for age in (10, 910, 5000, 6000):
        service.create(f"{age}", age=age, state="Finished")

    observed = look(reader_of(service), Known(SMART))

    assert service.calls == WHOLE
    assert observed.is_deep
    assert not observed.is_truncated


def test_catching_up_is_truncated_at_lookback() -> None:
    """After a downtime longer than lookback the newest jobs are read that far, and the poll says so."""
    service = FakeService(rows_per_page=2)
    for days in (1, 2, 3, 4, 5, 6):
        service.create(f"{days}", age=days * DAY, state="Finished")

    within = look(reader_of(service), replace(KNOWN, horizon=START - 4 * DAY - 1), 5 * DAY)
    calls = len(service.calls)
    beyond = look(reader_of(service), replace(KNOWN, horizon=START - 9 * DAY), 3 * DAY - 1)

    assert (within.is_truncated, calls) == (False, 3)
    assert (beyond.is_truncated, len(service.calls) - calls) == (True, 2)


def test_start_of_the_poll() -> None:
    """A poll began when the service says, or when our clock says, whichever is earlier; its first answer counts."""
    for offset in (-30, 30):
        service = FakeService(now=START + offset)
        service.create("a")
        service.before[1] = partial(setattr, service, "now", START + 900)

        assert look(reader_of(service)).started_at == START + min(offset, 0)


def test_only_the_types_chosen() -> None:
    """One type is left to the service to filter; of several, the others' rows are passed over."""
    service = FakeService()
    service.create("a", job_type="ASR")
    service.create("t", job_type="TextToSpeech")

    one = look(reader_of(service, job_types=("ASR",)))
    several = look(reader_of(service, job_types=("ASR", "DynamicChart")))

    assert service.calls == ["ASR * 0", "ASR Created 0", "ASR Executing 0", *WHOLE]
    assert seen(one).keys() == seen(several).keys() == {"a"}


@pytest.mark.parametrize("call", [0, 1, 2])
def test_a_documented_state_must_be_listable(call: int) -> None:
    """A service that refuses the list of all jobs, or an open list, fails the poll."""
    service = FakeService()
    service.refuse(BadRequestError("no"), call)

    with pytest.raises(BadRequestError):
        look(reader_of(service), open_before(service, ["a"]))


def test_a_first_poll_reads_gaps_again() -> None:
    """What the first poll's open lists may have missed would not be new later: gaps are read again, elsewhere."""
    service = FakeService()
    for number in range(150):
        service.create(f"{number}", age=3600 - number)

    look(reader_of(service), Known(SMART))

    created = [call for call in service.calls if "Created" in call]
    assert created == ["* Created 0", "* Created 100", "* Created 0", "* Created 93"]


def test_a_first_poll_gives_up_on_a_gap_it_cannot_cover() -> None:
    """A list of jobs of the very same second is read until two readings in a row bring no further job."""
    service = FakeService()
    for number in range(200):
        service.create(f"{number}", age=3600)

    look(reader_of(service), Known(SMART))

    assert service.calls.count("* Created 0") == 1 + 2


def test_a_first_poll_that_finds_jobs_again_and_again() -> None:
    """An open list whose readings go on showing further jobs is read nine times, and no more."""
    service = GrowingService()
    for number in range(150):
        service.create(f"{number}", age=3600)

    look(reader_of(service), Known(SMART))

    assert service.calls.count("* Created 0") == 1 + MAX_FIRST_READINGS == 9


def test_an_endless_list_is_an_error() -> None:
    """A service that gives the same page for ever fails the poll."""
    service = FakeService(rows_per_page=1)
    for job_id in ("a", "b"):
        service.create(job_id, age=10)
    page = service.jobs.page
    service.jobs.page = lambda **options: page(**{**options, "offset": 0})  # type: ignore[method-assign] # a stuck service

    with pytest.raises(BadResponseError):
        look(reader_of(service))


def test_a_poll_has_a_budget_of_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll that would read more pages fails with an error that says so, and leaves no hole in what it has read."""
    monkeypatch.setattr(module, "MAX_POLL_PAGES", 3)
    service = FakeService(rows_per_page=1)
    for number in range(10):
        service.create(f"{number}", age=10, state="Finished")

    with pytest.raises(BudgetExceededError):
        look(reader_of(service))

    assert len(service.calls) == 3


def test_page_sizes_alternate() -> None:
    """Page gaps do not stay in one place from poll to poll."""
    assert [page_size(SMART, polls) for polls in range(4)] == [100, 99, 100, 99]


def test_rows_that_cannot_be_read() -> None:
    """They are skipped and counted by reason, the others are seen, and their page proves nothing."""
    habits = Habits(null_row_ids=("a",), row_without_id_ids=("b",))
    service = FakeService(habits=habits)
    for job_id, age in (("newer", 5), ("a", 10), ("b", 15), ("older", 20)):
        service.create(job_id, age=age, state="Finished")
    reader = reader_of(service)

    observed = look(reader)

    assert seen(observed).keys() == {"newer", "older"}
    assert reader.skipped == {"not_an_object": 1, "no_id": 1}
    assert observed.newest_gaps == [PageGap(START - 20, START - 5)]


def test_the_first_error_of_calls_side_by_side() -> None:
    """It is raised as it is, and the other calls are cancelled."""
    ended: list[str] = []

    async def fail() -> None:
        raise ServerError("down")

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with pytest.raises(ServerError, match="down"):
        asyncio.run(side_by_side(wait(), fail()))

    assert ended == ["cancelled"]


def test_a_call_side_by_side_that_is_cancelled() -> None:
    """What it should have read is missing: the calls as a whole are cancelled."""

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(side_by_side(asyncio.sleep(0), cancelled()))


@pytest.mark.parametrize(("has_got", "calls"), [(False, 1), (True, MAX_GETS_AT_ONCE)])
def test_a_details_call_that_is_forbidden(has_got: bool, calls: int) -> None:  # noqa: FBT001 - a parameter of the test
    """Fifty jobs are asked for: the refusal of the first one spares the others; later, those in flight are lost."""
    service = SlowService(may_get=False)
    reader = reader_of(service, has_got=has_got)

    async def ask(job_id: str) -> None:
        with suppress(ForbiddenError):
            await reader.get(job_id)

    asyncio.run(reader.ask_each(map(str, range(50)), ask))

    assert len(service.calls) == calls
    assert (reader.may_get, reader.has_got) == (False, False)
