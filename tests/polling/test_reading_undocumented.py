"""Jobs in states that the service does not document: followed as far as it pays, never taken for what they are not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from exporter.errors import ApiError, BadRequestError, NotFoundError, ServerError
from exporter.jobs.kinds import SMART
from exporter.polling.pagination import ListReading
from exporter.polling.reading import MAX_UNLISTED_JOBS, jobs_to_search
from exporter.polling.records import OpenJob
from tests.support.fake_service import START, FakeService
from tests.support.single_poll import WHOLE, crowded, look, open_before, reader_of, searched, seen

if TYPE_CHECKING:
    from exporter.ims.answers import Page
    from exporter.polling.records import Known


class Deaf(FakeService):
    """A service that ignores the filter for a state it does not document."""

    async def list_jobs(self, **options: Any) -> Page:  # noqa: ANN401 - those of the class above
        """Returns one page."""
        state = options.pop("job_state", "")
        return await super().list_jobs(**options, job_state=state if state in SMART.job_states else "")


def undocumented(service: FakeService, number: int, state: str = "Cancelled") -> Known:
    """Returns what the ledger knows if so many jobs of a state, a minute between them, were there before."""
    names = [service.create(f"{state} {each}", age=3600 + 60 * each, state=state) for each in range(number)]
    return open_before(service, names, job_state=state)


def test_undocumented_open_states() -> None:
    """A state that known jobs are in is listed too; one that cannot be listed fails nothing: the list of all proves."""
    service = crowded()
    service.create("a", age=3600, state="Paused")
    known = open_before(service, ["a", "gone"], job_state="Paused")
    both = replace(known, open_jobs={**known.open_jobs, "b": OpenJob("b", "ASR", "Hidden", START - 3600)})

    observed = look(reader_of(service, may_get=False), both)

    assert service.calls[:5] == [*WHOLE, "* Hidden 0", "* Paused 0"]
    assert seen(observed)["a"] == "Paused"
    assert observed.absent == {"b", "gone"}


def test_a_job_met_in_an_undocumented_state_is_not_gone() -> None:
    """An open job that is in no documented list any more is looked for among all before it counts as gone."""
    service = crowded()
    service.create("a", age=3600, state="Paused")

    calls, observed = searched(service, open_before(service, ["a"]), may_get=False)

    assert calls == ["ASR Finished 0", "ASR Failed 0", "ASR * 0"]
    assert (seen(observed)["a"], observed.absent) == ("Paused", frozenset())


def test_a_job_leaves_an_undocumented_state() -> None:
    """It is looked for as one that left an open list is."""
    service = crowded()
    known = undocumented(service, 3, "Paused")
    service.jobs.move("Paused 1", "Finished")

    observed = look(reader_of(service), known)

    assert service.calls == [*WHOLE, "* Paused 0", "get Paused 1"]
    assert seen(observed)["Paused 1"] == "Finished"


def test_an_undocumented_state_is_listed_as_far_as_jobs_are_known() -> None:
    """What else a long list holds is history, like that of an end, and costs nothing."""
    service = FakeService(rows_per_page=10)
    undocumented(service, 100)

    look(reader_of(service), open_before(service, ["Cancelled 3"], job_state="Cancelled"))

    assert service.calls == [*WHOLE, "* Cancelled 0"]


def test_an_undocumented_state_with_very_many_jobs() -> None:
    """Ten pages of it are read, and none of the jobs further down is taken for gone."""
    service = FakeService(rows_per_page=10)
    known = undocumented(service, 150)

    look(reader_of(service), known)

    assert service.calls == [*WHOLE, *(f"* Cancelled {each * 10}" for each in range(10))]


def test_a_state_that_cannot_be_listed_costs_few_calls() -> None:
    """Only some of the jobs in it are looked for, and in a few polls all of them; the others are not missing."""
    service = crowded()
    names = [service.create(f"{number}", age=3600 + number, state="x" * 99) for number in range(60)]
    known = open_before(service, names, job_state="x" * 64)
    jobs, unread = list(known.open_jobs.values()), {"x" * 64: ListReading()}

    sought = [{job.job_id for job in jobs_to_search(jobs, unread, SMART, polls)} for polls in range(3)]
    observed = [look(reader_of(service), replace(known, polls=polls)) for polls in (1, 2, 3)]

    assert {len(ids) for ids in sought} == {MAX_UNLISTED_JOBS}
    assert set.union(*sought) == set(names)
    assert {len(each.unchecked) for each in observed} == {len(names) - MAX_UNLISTED_JOBS}
    assert len(service.calls) <= 3 * 10


def test_a_service_that_ignores_the_filter_of_a_state() -> None:
    """A list that shows other states is left at once: it is that of all jobs, and each job is asked for."""
    service = Deaf(rows_per_page=10)
    for number in range(100):
        service.create(f"old {number}", age=1000 + number, state="Finished")
    known = undocumented(service, 1)

    look(reader_of(service), known)

    assert service.calls == [*WHOLE, "* * 0", "get Cancelled 0"]


@pytest.mark.parametrize("error", [BadRequestError("no"), NotFoundError("no such state"), ServerError("unknown enum")])
def test_a_list_that_fails_is_no_failed_poll(error: ApiError) -> None:
    """Whatever a service answers for a state it does not know, the rest of the poll goes on."""
    service = crowded()
    known = undocumented(service, 1, "Paused")
    service.refuse(error, 3)

    observed = look(reader_of(service), known)

    assert service.calls == [*WHOLE, "* Paused 0", "get Paused 0"]
    assert seen(observed)["Paused 0"] == "Paused"
