"""Jobs that left the open lists are found with few calls, or proven to be gone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from exporter.errors import ForbiddenError, ServerError
from exporter.jobs.kinds import SMART
from exporter.polling import search as module
from exporter.polling.records import OpenJob, Reason
from exporter.simulator.habits import Habits
from tests.support.fake_service import START, FakeService
from tests.support.single_poll import (
    KNOWN,
    OLD,
    WHOLE,
    crowded,
    look,
    open_before,
    reader_of,
    searched,
    seen,
)

MAX_RATIO = 1.5
"""Maximum number of calls, divided by the pages down to the oldest job sought."""


def batch(types: tuple[str, ...], ends: int, still_open: int = 0, failed: int = 0) -> tuple[FakeService, list[str]]:
    """Returns a service where jobs an hour old and older have ended, and their ids; `failed` of them have failed."""
    service = crowded()
    for number in range(ends + still_open):
        service.create(f"{number}", age=OLD + number, job_type=types[number % len(types)], state="Executing")
    step = (ends + still_open) / ends
    job_ids = [f"{int(place * step)}" for place in range(ends)]
    failing = {job_ids[int(place * ends / failed)] for place in range(failed)} if failed else set()
    for job_id in job_ids:
        service.jobs.move(job_id, "Failed" if job_id in failing else "Finished")
    return service, job_ids


def pages(calls: list[str]) -> list[str]:
    """Returns the list calls."""
    return [call for call in calls if not call.startswith("get")]


def test_few_vanished_jobs_are_asked_for() -> None:
    """One or two jobs that left the open lists cost a call each, and give their reason at once."""
    service = crowded(job_type="ASR")
    for job_id in ("a", "b"):
        service.create(job_id, age=3600, state="Executing")
    known, reader = open_before(service, ["a", "b"]), reader_of(service)
    service.fail("a")
    service.jobs.move("b", "Finished")

    observed = look(reader, known)

    assert sorted(service.calls) == sorted([*WHOLE, "get a", "get b"])
    assert (seen(observed)["a"], seen(observed)["b"]) == ("Failed", "Finished")
    assert reader.reasons["a"] == Reason("E.Test", "it failed")


@pytest.mark.parametrize("ends", [10, 100, 1000, 3600])
def test_a_batch_of_one_type(ends: int) -> None:
    """However many jobs of one type finish in one poll, the pages of their list show them: no call for each."""
    service, job_ids = batch(("ASR",), ends)

    calls, observed = searched(service, open_before(service, job_ids))

    assert set(job_ids) <= seen(observed).keys()
    assert len(calls) <= max(2, MAX_RATIO * ends / 100)


def test_a_batch_of_four_types() -> None:
    """500 of 1,000 open jobs of four types end, 254 of them failed: the lists of all types show them, not 500 calls."""
    service, job_ids = batch(SMART.job_types, 500, still_open=500, failed=254)

    observed = look(reader_of(service), open_before(service, job_ids))

    assert set(job_ids) <= seen(observed).keys()
    assert {"Failed": 254, "Finished": 246}.items() <= Counter(seen(observed)[job_id] for job_id in job_ids).items()
    in_open_lists = [call for call in service.calls if "Executing" in call]
    assert len(service.calls) - len(in_open_lists) <= MAX_RATIO * (254 / 100 + 246 / 100 + 3)


def test_a_few_jobs_far_down_are_asked_for() -> None:
    """Once the few that are left would take a page each, asking for each of them costs no more than to read on."""
    service = crowded()
    for number in range(3000):
        service.create(f"past {number}", age=OLD + number, state="Finished")
    near = [service.create(f"near {number}", age=600 + number, state="Finished") for number in range(40)]
    far = [service.create(f"far {number}", age=OLD + 2900 + number, state="Finished") for number in range(3)]

    calls, observed = searched(service, open_before(service, [*near, *far]))

    assert {*near, *far} <= seen(observed).keys()
    assert sorted(call for call in calls if call.startswith("get")) == ["get far 0", "get far 1", "get far 2"]
    assert len(pages(calls)) <= 6


def test_search_ends_with_the_last_job_found() -> None:
    """Once all are found no further page, and no further list, is read."""
    service = crowded(rows_per_page=2)
    for age in range(3000, 3900, 100):
        service.create(f"{age}", age=age, state="Finished")

    calls, observed = searched(service, open_before(service, ["3100"]), may_get=False)

    assert "3100" in seen(observed)
    assert set(calls) <= {"* Finished 0", "* Finished 2", "* Failed 0"}


def test_search_without_details_calls() -> None:
    """Where no details call may be made, ended lists are read down to the oldest vanished job, then the list of all."""
    service = crowded(rows_per_page=2)
    for age in range(3000, 3900, 100):
        service.create(f"{age}", age=age, state="Finished")

    calls, observed = searched(service, open_before(service, ["3300", "gone"]), may_get=False)

    assert calls[-4:] == [f"ASR * {at}" for at in (0, 2, 4, 6)]
    assert len(calls) <= 2 + 4 + 4 + 1
    assert "3300" in seen(observed)
    assert "3800" not in seen(observed)
    assert observed.absent == {"gone"}


def test_undocumented_types() -> None:
    """They may not be filterable: jobs of them are looked for in the lists of all types."""
    service = crowded()
    job_ids = [
        service.create(job_type, age=310, job_type=job_type, state="Failed") for job_type in ("ASR", "New", "Newer")
    ]

    calls, observed = searched(service, open_before(service, job_ids), may_get=False)

    assert set(calls) == {"* Finished 0", "* Failed 0"}
    assert set(job_ids) <= seen(observed).keys()


def test_a_forbidden_details_call_falls_back_to_the_lists() -> None:
    """After one refusal no further job is asked for: the lists show the ends."""
    service = crowded(job_type="ASR", may_get=False)
    job_ids = [service.create(job_id, age=3600, state="Failed") for job_id in ("a", "b")]
    known, reader = open_before(service, job_ids), reader_of(service)

    observed = look(reader, known)

    assert len([call for call in service.calls if call.startswith("get")]) == 1
    assert {"a", "b"} <= seen(observed).keys()
    assert (reader.was_forbidden, reader.may_get) == (True, False)


def test_a_details_call_that_fails_costs_no_other() -> None:
    """A failed details call is no failed poll, and no refusal: others are asked for, this one is in the lists."""
    service = crowded(job_type="ASR")
    job_ids = [service.create(job_id, age=3600, state="Failed") for job_id in ("a", "b")]
    service.refuse(ServerError("down"), 3)
    known, reader = open_before(service, job_ids), reader_of(service)

    observed = look(reader, known)

    assert len([call for call in service.calls if call.startswith("get")]) == 2
    assert {"a", "b"} <= seen(observed).keys()
    assert (reader.was_forbidden, reader.may_get) == (False, True)


@pytest.mark.parametrize(
    "habits",
    [Habits(get_missing_ids=("a", "b")), Habits(get_words={"Finished": "Success"})],
    ids=["not known", "another word"],
)
def test_the_details_call_is_a_hint(habits: Habits) -> None:
    """Where it does not know jobs, or gives a state in another word, the lists decide: both have finished."""
    service = crowded(job_type="ASR", habits=habits)
    job_ids = [service.create(job_id, age=3600, state="Finished") for job_id in ("a", "b")]

    observed = look(reader_of(service), open_before(service, job_ids))

    assert (seen(observed)["a"], seen(observed)["b"]) == ("Finished", "Finished")
    assert observed.absent == frozenset()


def test_a_job_that_was_only_overlooked() -> None:
    """A job that slipped from the open lists while they were read is asked for, and is still open.

    The second page of Created is empty, so it is asked for again.
    """
    service = crowded(rows_per_page=1)
    service.create("newer", age=3500)
    service.create("older", age=3600)
    service.before[2] = lambda: service.jobs.move("newer", "Executing")

    observed = look(reader_of(service), open_before(service, ["newer", "older"]))

    assert service.calls == ["* * 0", "* Created 0", *["* Created 1"] * 3, "* Executing 0", "get older"]
    assert (seen(observed)["newer"], seen(observed)["older"]) == ("Executing", "Created")
    assert observed.absent == frozenset()


def test_an_open_state_is_not_believed_twice() -> None:
    """A details call that is behind says Executing of a job that has ended: the second poll reads the lists."""
    service = crowded(job_type="ASR", habits=Habits(get_late_seconds=600))
    job_id = service.create("a", age=3600, state="Executing", ended=3600)
    service.jobs.move(job_id, "Finished")

    first = look(reader_of(service), open_before(service, ["a"]))
    second = look(reader_of(service), open_before(service, ["a"], missing_polls=1))

    assert (seen(first)["a"], seen(second)["a"]) == ("Executing", "Finished")


def test_absence_proven_by_lists() -> None:
    """A job is gone if the list of all would show it; in the second of a page boundary that is not proven."""
    service = crowded(rows_per_page=2)
    for age in (3500, 3550, 3600, 3700):
        service.create(f"{age}", age=age, state="Finished")
    gone = OpenJob("gone", "ASR", "Created", START - 3650)
    in_a_gap = OpenJob("in a gap", "ASR", "Created", START - 3575)

    known = replace(KNOWN, open_jobs={"gone": gone, "in a gap": in_a_gap})
    _, observed = searched(service, known, may_get=False)

    assert observed.absent == {"gone", "in a gap"}
    assert observed.proven_absent == {"gone"}
    assert observed.denied == frozenset()


def test_absence_is_confirmed_by_the_details_call() -> None:
    """Jobs that no list shows are asked for, within a budget, so that a deletion needs two polls and not 15 minutes."""
    service = crowded()
    service.create("oldest", age=2 * OLD, state="Finished")
    names = [f"gone {number}" for number in range(40)]

    calls, observed = searched(service, open_before(service, names))

    assert observed.absent == set(names)
    assert (
        len(observed.denied) == len([call for call in calls if call.startswith("get")]) == module.MAX_PROOF_CALLS == 20
    )


def test_empty_lists_with_many_open_jobs() -> None:
    """An empty answer where jobs were known costs few calls, and denies nothing: it is suspicious, not proof."""
    service = crowded()
    names = [service.create(f"{number}", age=OLD + number, state="Executing") for number in range(300)]
    known = open_before(service, names)
    service.index.habits = Habits(empty_probability=1)

    observed = look(reader_of(service), known)

    assert len(service.calls) <= 3 + 2 + 3 + module.MAX_PROOF_CALLS, "the list of all is asked for three times"
    assert observed.denied == frozenset()


def test_proof_has_a_budget_of_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is used up nothing is proven of the jobs further down, and the poll says that it was cut short."""
    monkeypatch.setattr(module, "MAX_PROOF_PAGES", 2)
    service = crowded(rows_per_page=2)
    for age in range(3000, 3900, 100):
        service.create(f"{age}", age=age, state="Finished")
    known = open_before(service, ["gone"])
    older = replace(known.open_jobs["gone"], created_at=START - 3850)

    _, observed = searched(service, replace(known, open_jobs={"gone": older}), may_get=False)

    assert observed.was_cut_short
    assert observed.absent == frozenset()


def test_a_forbidden_list_fails_the_poll() -> None:
    """An ended list that cannot be read leaves the search without proof: the poll fails as a whole."""
    service, job_ids = batch(("ASR",), 300)
    service.refuse(ForbiddenError("no"), 3)

    with pytest.raises(ForbiddenError):
        look(reader_of(service), open_before(service, job_ids))
