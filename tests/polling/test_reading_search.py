"""Jobs that left the open lists are found with few calls, or proven to be gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.errors import ServerError
from exporter.polling.reading import ASKED_ANYWAY, Reason
from exporter.polling.reconcile import OpenJob
from tests.support.fake_service import START
from tests.support.single_poll import IDLE, KNOWN, crowded, look, open_before, reader_of, searched, seen


def test_few_vanished_jobs_are_asked_for() -> None:
    """One or two jobs that left the open lists cost a call each, and tell their reason at once."""
    service = crowded()
    for job_id in ("a", "b"):
        service.create(job_id, age=3600, state="Executing")
    known, reader = open_before(service, ["a", "b"]), reader_of(service)
    service.fail("a")
    service.jobs.move("b", "Finished")

    observed = look(reader, known)

    assert service.calls == [*IDLE, "get a", "get b"]
    assert (seen(observed)["a"], seen(observed)["b"]) == ("Failed", "Finished")
    assert reader.reasons["a"] == Reason("E.Test", "it failed")


def test_more_vanished_jobs_are_looked_up_first() -> None:
    """Three or more are read off the finished list as long as its pages show any; what is left is asked for."""
    service = crowded(rows_per_page=4)
    for number in range(12):
        service.create(f"{number}", age=3600 + number, state="Finished")
    service.create("failed", age=3600, state="Failed")

    calls, observed = searched(service, open_before(service, ["failed", "0", "5", "11", "gone"]))

    assert calls == ["ASR Finished 0", "ASR Finished 4", "ASR Finished 8", "get failed", "get gone"]
    assert {"failed", "0", "5", "11"} <= seen(observed).keys()
    assert observed.absent == {"gone"}


def test_a_page_without_a_hit_ends_the_lookup() -> None:
    """Once a page shows none of the jobs wanted, asking for each of them costs less than to read on."""
    service = crowded(rows_per_page=4)
    for number in range(12):
        service.create(f"{number}", age=3600 + number, state="Finished")

    calls, _ = searched(service, open_before(service, ["9", "10", "11"]))

    assert calls == ["ASR Finished 0", "get 9", "get 10", "get 11"]


def test_all_found_on_one_page() -> None:
    """However many jobs finished together, a page of their list shows them: no call for each."""
    service = crowded()
    job_ids = [service.create(f"{number}", age=3600, state="Finished") for number in range(50)]

    calls, observed = searched(service, open_before(service, job_ids))

    assert calls == ["ASR Finished 0"]
    assert set(job_ids) <= seen(observed).keys()


def test_very_many_vanished_jobs_are_looked_up_among_the_failed_too() -> None:
    """More than would be asked for their reason in a poll are worth reading the list of failed jobs."""
    service = crowded()
    job_ids = [service.create(f"{number}", age=3600, state="Failed") for number in range(ASKED_ANYWAY + 1)]

    calls, observed = searched(service, open_before(service, job_ids))

    assert calls == ["ASR Finished 0", "ASR Failed 0"]
    assert set(job_ids) <= seen(observed).keys()


def test_search_without_single_calls() -> None:
    """Where single jobs may not be asked for, lists are read down to the oldest that vanished: of ends, then of all."""
    service = crowded(rows_per_page=2)
    for age in range(3000, 3900, 100):
        service.create(f"{age}", age=age, state="Finished")

    calls, observed = searched(service, open_before(service, ["3300", "gone"]), may_get=False)

    down = (0, 2, 4, 6)
    assert calls == [*(f"ASR Finished {at}" for at in down), "ASR Failed 0", *(f"ASR * {at}" for at in down)]
    assert "3300" in seen(observed)
    assert "3800" not in seen(observed)


def test_search_ends_with_the_last_job_found() -> None:
    """Once all are found no further page, and no further list, is read."""
    service = crowded(rows_per_page=2)
    for age in range(3000, 3900, 100):
        service.create(f"{age}", age=age, state="Finished")

    calls, _ = searched(service, open_before(service, ["3100"]), may_get=False)

    assert calls == ["ASR Finished 0"]


def test_each_type_is_searched_on_its_own() -> None:
    """Types have lists of their own; undocumented ones, which may not be filterable, share that of all types."""
    service = crowded()
    job_ids = [
        service.create(job_type, age=310, job_type=job_type, state="Failed") for job_type in ("ASR", "New", "Newer")
    ]

    calls, observed = searched(service, open_before(service, job_ids), may_get=False)

    assert calls == ["ASR Finished 0", "ASR Failed 0", "* Finished 0", "* Failed 0"]
    assert set(job_ids) <= seen(observed).keys()


@pytest.mark.parametrize("is_forbidden", [True, False])
def test_a_refused_single_call_falls_back_to_the_lists(is_forbidden: bool) -> None:  # noqa: FBT001 - a parameter
    """After one refusal, or one failure, of the single call the lists tell; only a refusal is remembered as such."""
    service = crowded(may_get=not is_forbidden)
    job_ids = [service.create(job_id, age=3600, state="Failed") for job_id in ("a", "b")]
    service.refuse(ServerError("a bad day"), *(() if is_forbidden else (3,)))
    known, reader = open_before(service, job_ids), reader_of(service)

    observed = look(reader, known)

    assert service.calls == [*IDLE, "get a", "ASR Finished 0", "ASR Failed 0"]
    assert {"a", "b"} <= seen(observed).keys()
    assert (reader.was_forbidden, reader.may_get) == (is_forbidden, False)


def test_a_job_that_was_only_overlooked() -> None:
    """A job that slipped from the open lists while they were read is asked for, and is still open."""
    service = crowded(rows_per_page=1)
    service.create("newer", age=3500)
    service.create("older", age=3600)
    service.before[1] = lambda: service.jobs.move("newer", "Executing")

    observed = look(reader_of(service), open_before(service, ["newer", "older"]))

    assert service.calls == ["* Created 0", "* Created 1", "* Executing 0", "* * 0", "get older"]
    assert (seen(observed)["newer"], seen(observed)["older"]) == ("Executing", "Created")
    assert observed.absent == frozenset()


def test_absence_proven_by_lists() -> None:
    """A job is gone if the list of all states would show it; at a page's end, where it may have slipped, it is not."""
    service = crowded(rows_per_page=2)
    for age in (3500, 3550, 3600, 3700):
        service.create(f"{age}", age=age, state="Finished")
    gone = OpenJob("gone", "ASR", "Created", START - 3650)
    at_the_seam = OpenJob("seam", "ASR", "Created", START - 3575)

    known = replace(KNOWN, open_jobs={"gone": gone, "seam": at_the_seam})
    _, observed = searched(service, known, may_get=False)

    assert observed.absent == {"gone"}
