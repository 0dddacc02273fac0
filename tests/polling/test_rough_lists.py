"""What lists served from a search index hide, repeat or show late is counted once all the same, rule by rule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from exporter.polling.reconcile import MAX_LAG_SECONDS
from exporter.simulator.habits import OFF, Habits
from tests.support.fake_service import FakeService
from tests.support.polled_target import DAY, HOUR, MINUTE, Polled, polled_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOTICED = ("ASR", "5m")


@pytest.fixture
def target() -> Iterator[Polled]:
    """Gives a target that has been polled once."""
    yield from polled_target()


@pytest.fixture
def without_details() -> Iterator[Polled]:
    """Gives such a target whose details call is not made."""
    yield from polled_target(failure_details=False)


def with_habits(target: Polled, **habits: Any) -> None:  # noqa: ANN401 - for Habits
    """Gives the service these habits, and no others."""
    target.service.index.habits = Habits(**habits)


def totals(target: Polled) -> tuple[int, int, int]:
    """Returns the jobs that were counted as created, as ended and as deleted."""
    shown = target.shown
    return sum(shown.created.values()), sum(shown.ended.values()), sum(shown.deleted.values())


def polls(target: Polled, number: int) -> None:
    """Polls a minute after each other."""
    for _ in range(number):
        target.poll()
        assert target.poller.view.health.up


def open_jobs(target: Polled, number: int, state: str = "Executing") -> list[str]:
    """Makes jobs of hours ago known as open, and returns their ids; newer ended jobs fill the newest page."""
    names = [target.service.create(f"open {each}", age=HOUR + each, state=state, ended=HOUR) for each in range(number)]
    target.poll()
    for each in range(100):
        target.service.create(f"crowd {each}", age=1300, ended=1300, state="Finished")
    assert target.shown.jobs["ASR", state] == number
    return names


@pytest.mark.parametrize(
    "habits",
    [{"get_missing_ids": ("open 0", "open 1")}, {"get_words": {"Finished": "Success"}}],
    ids=["not found", "another word"],
)
def test_lists_decide_and_the_details_call_is_a_hint(target: Polled, habits: dict[str, Any]) -> None:
    """Two old jobs end, and the details call denies them or has another word: both ends count, none is a deletion."""
    names = open_jobs(target, 2)
    before = totals(target)
    with_habits(target, **habits)
    for name in names:
        target.service.jobs.move(name, "Finished")

    polls(target, 3)

    assert totals(target) == (before[0], before[1] + 2, before[2])
    assert target.shown.jobs["ASR", "Executing"] == 0


def test_a_stall_of_the_index(target: Polled) -> None:
    """Ten jobs are born and end while the index is stopped for 240 s: the next deep poll counts all of them."""
    polls(target, 6)
    with_habits(target, stopped=True)
    for number in range(10):
        target.service.create(f"{number}", age=-MINUTE, state="Finished", ended=-MINUTE)
        if number % 3 == 2:
            target.poll()
    target.poll()
    assert totals(target) == (0, 0, 0)
    with_habits(target)

    polls(target, 5)

    assert totals(target) == (10, 10, 0)
    assert target.shown.list_lag_seconds > 0
    assert target.shown.late_jobs > 0


@pytest.mark.parametrize("minutes", [4, 8, 14])
def test_a_first_stall_loses_nothing(target: Polled, minutes: int) -> None:
    """A stall of up to 15 minutes that nothing announced loses no birth and no end."""
    polls(target, 9)
    with_habits(target, stopped=True)
    for number in range(minutes):
        target.service.create(f"{number}", age=-30, state="Failed", ended=-30)
        target.poll()
    with_habits(target)

    polls(target, 6)

    assert totals(target) == (minutes, minutes, 0)


@pytest.mark.parametrize("kind", ["late lists", "creation times behind"])
def test_a_constant_lag(target: Polled, kind: str) -> None:
    """Lists that are always 150 s late lose neither births nor ends, and widen the span that polls read again."""
    polls(target, 4)
    if kind == "late lists":
        with_habits(target, new_jobs_late_seconds=150)
    for number in range(30):
        age = -30 if kind == "late lists" else 150 - MINUTE
        target.service.create(f"{number}", age=age, state="Finished", ended=age)
        target.poll()
    widened = target.shown.list_lag_seconds
    polls(target, 8)

    assert totals(target)[:2] == (30, 30)
    assert widened >= 30
    known = target.ledger.load(target.poller.key, ())
    assert known.polled_at is not None
    assert known.polled_at - known.horizon > 120


def test_lateness_is_remembered_over_a_restart(tmp_path: Path) -> None:
    """The next process reads again as far as the last one had to."""
    for target in polled_target(path=str(tmp_path / "ledger.db")):
        polls(target, 9)
        with_habits(target, stopped=True)
        target.service.create("a", age=-30, state="Finished", ended=-30)
        polls(target, 8)
        with_habits(target)
        polls(target, 5)
        lag = target.shown.list_lag_seconds
        target.ledger.close()
        target.start()

        target.poll()

        assert 0 < lag - target.shown.list_lag_seconds < 10


def test_lists_later_than_can_be_bridged(target: Polled) -> None:
    """A job first seen an hour late is reported: in the log, in the metrics, and by a survey that is due at once."""
    target.calls_of(target.survey.run())
    polls(target, 9)
    with_habits(target, stopped=True)
    target.service.create("a", age=-30)
    polls(target, 60)
    assert target.calls_of(target.survey.run()) == []
    with_habits(target)

    with capture_logs() as logs:
        polls(target, 10)

    assert target.shown.late_jobs == 1
    assert target.shown.list_lag_seconds > MAX_LAG_SECONDS
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["lists_late"]
    assert target.calls_of(target.survey.run()) != []


def test_ties_in_any_order(target: Polled) -> None:
    """Ninety jobs of one second, in another order in each request: each birth and each end counts once."""
    with_habits(target, ties_probability=1)
    for minute in range(15):
        for number in range(90):
            target.service.create(f"{minute} {number}", age=-30, state="Finished", ended=-30)
        target.poll()

    polls(target, 10)

    assert totals(target) == (15 * 90, 15 * 90, 0)
    assert target.shown.late_jobs == target.shown.gaps_given_up == 0


@pytest.mark.parametrize(("jobs", "per_second"), [(4000, 4), (800, 800)])
def test_a_survey_of_ties(target: Polled, jobs: int, per_second: int) -> None:
    """A survey of jobs that share seconds, in another order in each request, counts each of them."""
    with_habits(target, ties_probability=1)
    for number in range(jobs):
        age = DAY + number // per_second
        target.service.create(f"{number}", age=age, state="Finished", ended=age)

    target.calls_of(target.survey.run())
    target.poll()

    assert target.poller.view.health.survey_complete
    assert target.shown.jobs["ASR", "Finished"] == jobs
    assert target.shown.gaps_given_up == 0


def test_empty_answers_delete_nothing(without_details: Polled) -> None:
    """Lists that are empty for two polls where 300 jobs were open cost few calls, and all jobs are there afterwards."""
    open_jobs(without_details, 300)
    with_habits(without_details, empty_probability=1)

    numbers = [len(without_details.poll()) for _ in range(2)]
    with_habits(without_details)
    without_details.poll()

    assert max(numbers) <= 8
    assert totals(without_details)[2] == 0
    assert without_details.shown.jobs["ASR", "Executing"] == 300


def test_empty_answers_are_cross_checked(target: Polled) -> None:
    """With the details call, too, two empty polls delete none of 300 jobs, and cost less than a call for each."""
    open_jobs(target, 300)
    with_habits(target, empty_probability=1)

    numbers = [len(target.poll()) for _ in range(2)]

    assert max(numbers) <= 30
    assert totals(target)[2] == 0


def test_jobs_in_no_list_for_some_polls(without_details: Polled) -> None:
    """Jobs that are in no list for four minutes after they have ended are no deletions: each end counts."""
    names = open_jobs(without_details, 25)
    before = totals(without_details)
    with_habits(without_details, gap_seconds=240)
    for name in names:
        without_details.service.jobs.move(name, "Finished")

    polls(without_details, 7)

    assert totals(without_details) == (before[0], before[1] + 25, before[2])


def test_a_deletion_is_counted_late(without_details: Polled) -> None:
    """Without the details call a job that is gone is a deletion after 15 minutes; the gauge follows after two polls."""
    names = open_jobs(without_details, 3)
    without_details.service.jobs.delete(names[0])

    polls(without_details, 2)
    hidden = without_details.shown.jobs["ASR", "Executing"]
    polls(without_details, 13)
    before = totals(without_details)[2]
    polls(without_details, 1)

    assert (hidden, before, totals(without_details)[2]) == (2, 0, 1)


def test_a_deletion_that_the_details_call_confirms(target: Polled) -> None:
    """With it, two polls are enough."""
    names = open_jobs(target, 3)
    target.service.jobs.delete(names[0])

    polls(target, 1)
    before = totals(target)[2]
    polls(target, 1)

    assert (before, totals(target)[2]) == (0, 1)


def test_a_deleted_job_that_comes_back(target: Polled) -> None:
    """A job that no list and no details call showed for ten minutes is recognised, and its end counted; once."""
    names = open_jobs(target, 2)
    before = totals(target)
    with_habits(target, gap_seconds=600, get_missing_after_change_seconds=600)
    target.service.jobs.move(names[0], "Finished")

    polls(target, 3)
    assert totals(target) == (before[0], before[1], before[2] + 1)
    polls(target, 20)

    assert totals(target) == (before[0], before[1] + 1, before[2] + 1)
    polls(target, 20)
    assert totals(target) == (before[0], before[1] + 1, before[2] + 1)


def test_a_survey_meets_a_job_that_the_polls_miss(target: Polled) -> None:
    """The end of a job that a survey finds while the polls miss it is counted by the next poll."""
    names = open_jobs(target, 1)
    before = totals(target)
    with_habits(target, get_missing_ids=(names[0],))
    target.service.jobs.delete(names[0])
    polls(target, 2)
    target.service.create(names[0], age=HOUR, state="Finished")
    target.poll(after=1)

    target.calls_of(target.survey.run())
    target.poll(after=1)

    assert totals(target) == (before[0], before[1] + 1, before[2] + 1)


def test_rows_that_cannot_be_read(target: Polled) -> None:
    """A null item and one without an id are skipped, counted and logged once; the other rows are counted."""
    for name in ("a", "null", "no id", "b"):
        target.service.create(name, age=-MINUTE, state="Finished", ended=-MINUTE)
    with_habits(target, null_row_ids=("null",), row_without_id_ids=("no id",))

    with capture_logs() as logs:
        polls(target, 2)

    assert totals(target) == (2, 2, 0)
    assert target.poller.view.health.rows_skipped == {"not_an_object": 2, "no_id": 2}
    assert sorted(line["reason"] for line in logs if line["event"] == "rows_skipped") == ["no_id", "not_an_object"]
    with_habits(target)
    polls(target, 5)
    assert totals(target) == (4, 4, 0)


def test_failures_noticed(target: Polled) -> None:
    """Failures are in `failed_noticed` for five minutes from their first publication, and leave it without an event."""
    assert target.shown.failed_noticed[NOTICED] == 0
    target.fail_jobs(3)

    shown = [(target.poll(), target.shown.failed_noticed[NOTICED])[1] for _ in range(7)]

    assert shown == [3, 3, 3, 3, 3, 0, 0]


def test_failures_noticed_after_a_restart(tmp_path: Path) -> None:
    """A restart neither hides nor repeats them; history of before the first poll is not in it."""
    service = FakeService()
    service.create("history", age=60, state="Failed", ended=30)
    for target in polled_target(path=str(tmp_path / "ledger.db"), service=service):
        assert target.shown.failed_noticed[NOTICED] == 0
        target.fail_jobs(2)
        target.poll()
        target.ledger.close()
        target.start()

        shown = [(target.poll(), target.shown.failed_noticed[NOTICED])[1] for _ in range(6)]

        assert shown == [2, 2, 2, 2, 0, 0]


def test_failures_noticed_after_hours_without_an_exporter(target: Polled) -> None:
    """What failed while the exporter was away is news when it comes back."""
    target.fail_jobs(2)

    target.poll(after=60 * HOUR)

    assert target.shown.failed_noticed[NOTICED] == 2


def test_failures_of_a_type_that_is_polled_again(tmp_path: Path) -> None:
    """What of a type failed while only others were polled is no news when the type is polled again."""
    for target in polled_target(path=str(tmp_path / "ledger.db")):
        for job_types, failed in ((("TextToSpeech",), "while away"), ((), "after")):
            target.ledger.close()
            target.job_types = job_types
            target.start()
            target.poll()
            target.service.create(failed, age=0, state="Executing")
            target.service.now += 30
            target.service.fail(failed)
        assert target.shown.failed_noticed[NOTICED] == 0

        target.poll()

        assert target.shown.failed_noticed[NOTICED] == 1


@pytest.mark.parametrize("is_history", [True, False])
def test_an_old_failure_whose_time_moves(target: Polled, is_history: bool) -> None:  # noqa: FBT001 - a parameter
    """A later modification of a job that failed hours ago makes it no recent failure."""
    age = 3 * HOUR if is_history else -MINUTE
    target.service.create("a", age=age, state="Failed", ended=age)
    target.poll()
    target.poll(after=3 * HOUR)
    target.calls_of(target.survey.run())
    target.poll()
    assert target.shown.failed_recent["ASR", "1h"] == 0
    target.service.jobs.move("a", "Failed", error=("E.Edited", "tagged"))
    target.poll(after=DAY)
    target.calls_of(target.survey.run())

    target.poll()

    assert target.shown.failed_recent["ASR", "1h"] == 0
    assert target.shown.failed_noticed[NOTICED] == 0


def test_an_idle_target_is_cheap(target: Polled) -> None:
    """Twenty polls of a kind in which nothing happens cost at most 1.3 list calls each."""
    calls = [call for _ in range(20) for call in target.poll()]

    assert len(calls) <= 1.3 * 20


def test_a_late_move(target: Polled) -> None:
    """Lists by state that are late, and show a job in two of them, count its end once."""
    names = open_jobs(target, 5)
    before = totals(target)
    with_habits(target, filtered_lists_late_seconds=90, overlap_seconds=100, stale_rows_seconds=50)
    for name in names:
        target.service.jobs.move(name, "Finished")

    polls(target, 30)
    target.service.index.habits = replace(OFF)
    polls(target, 5)

    assert totals(target) == (before[0], before[1] + 5, before[2])
    assert target.shown.jobs["ASR", "Executing"] == 0
