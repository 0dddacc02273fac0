"""Failed jobs are asked why they failed, within bounds; a reason that is not known is owed, and asked for again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from exporter.errors import (
    ApiError,
    BadResponseError,
    ServerError,
    ThrottledError,
)
from exporter.polling.poller import FORBIDDEN_FOR_SECONDS, MAX_REASON_ERRORS, MAX_REASONS_PER_POLL
from exporter.simulator.habits import OFF, Habits
from tests.support.polled_target import DAY, Polled, polled_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from structlog.typing import EventDict


@pytest.fixture
def target() -> Iterator[Polled]:
    """Gives a target that has been polled once."""
    yield from polled_target()


def of(logs: list[EventDict], event: str) -> list[EventDict]:
    """Returns the lines of an event."""
    return [line for line in logs if line["event"] == event]


def asked(calls: list[str]) -> list[str]:
    """Returns the details calls, sorted."""
    return sorted(call for call in calls if call.startswith("get"))


def reasons(target: Polled) -> dict[str, int]:
    """Returns the failures that are counted, by reason; they are those that ended as far as no reason is owed."""
    counted = {code: number for (_, code), number in target.shown.failures.items() if number}
    assert sum(counted.values()) <= target.shown.ended["ASR", "Failed"]
    return counted


def test_reasons_of_failures(target: Polled) -> None:
    """Each failed job is asked for its reason, once, and is a line in the log."""
    target.fail_jobs(3)

    with capture_logs() as logs:
        calls = target.poll()

    assert asked(calls) == ["get job 0", "get job 1", "get job 2"]
    assert reasons(target) == {"E.0": 1, "E.1": 1, "E.2": 1}
    lines = of(logs, "job_failed")
    assert sorted((line["job_id"], line["error_code"], line["error_message"]) for line in lines) == [
        (f"job {number}", f"E.{number}", "it failed") for number in range(3)
    ]
    assert asked(target.poll()) == []


def test_a_reason_known_already_is_not_asked_for(target: Polled) -> None:
    """A job that was asked for because it had vanished has given its reason then."""
    target.service.create("old", age=3600)
    target.poll()
    for number in range(100):
        target.service.create(f"crowd {number}", age=1000, state="Finished")
    target.service.fail("old")

    assert asked(target.poll()) == ["get old"]
    assert reasons(target) == {"E.Test": 1}


def test_reasons_are_asked_for_within_a_budget(target: Polled) -> None:
    """Of very many failures a poll asks for fifty; the next poll asks for the others, and none is `unknown`."""
    target.fail_jobs(MAX_REASONS_PER_POLL + 10)

    first, counted = asked(target.poll()), sum(reasons(target).values())
    second = asked(target.poll())

    assert (len(first), counted, MAX_REASONS_PER_POLL) == (50, 50, 50)
    assert (len(second), set(first) & set(second)) == (10, set())
    assert "unknown" not in reasons(target)
    assert sum(reasons(target).values()) == target.shown.ended["ASR", "Failed"] == 60
    assert asked(target.poll()) == []


def test_new_failures_are_asked_for_before_owed_ones(target: Polled) -> None:
    """A failure that was not asked for yet comes before those whose reason was not known when it was asked for."""
    target.service.index.habits = Habits(error_late_seconds=300)
    target.fail_jobs(MAX_REASONS_PER_POLL, "first")
    target.poll()
    target.service.index.habits = OFF
    target.fail_jobs(10, "second")

    calls = asked(target.poll())

    assert len(calls) == MAX_REASONS_PER_POLL
    assert len([call for call in calls if "second" in call]) == 10


def test_forbidden_reasons(target: Polled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the reason may not be asked for, that is said once, and tried again an hour later, no sooner."""
    target.service.may_get = False
    real, numbers = time.monotonic, list[int]()

    with capture_logs() as logs:
        for seconds in (0, 1, FORBIDDEN_FOR_SECONDS - 60, FORBIDDEN_FOR_SECONDS + 1):
            monkeypatch.setattr(time, "monotonic", lambda seconds=seconds: real() + seconds)
            target.fail_jobs(3, f"after {seconds}")
            numbers.append(len(asked(target.poll())))

    assert numbers == [1, 0, 0, 1]
    assert reasons(target) == {"unknown": 12}
    (line,) = of(logs, "failure_details_forbidden")
    assert "ice:GetSmartHandleJob" in line["hint"]
    assert target.told == [None] * 5


def test_no_failure_details() -> None:
    """With failure_details off no job is ever asked for, and every reason is `unknown` at once."""
    for target in polled_target(failure_details=False):
        target.fail_jobs(3)

        assert asked(target.poll()) == []
        assert reasons(target) == {"unknown": 3}


@pytest.mark.parametrize("error", [ServerError("x"), ThrottledError("x"), BadResponseError("x")])
def test_a_failed_call_takes_no_other_reason(target: Polled, error: ApiError) -> None:
    """Of twenty failures the first call fails: the poll is good, the others are counted, the next poll asks for it."""
    target.fail_jobs(20)
    target.service.refuse(error, len(target.service.calls) + 1)
    target.poll()
    assert sum(reasons(target).values()) == 19

    calls = asked(target.poll())

    assert len(calls) == 1
    assert target.told == [None, None, None]
    assert "unknown" not in reasons(target)
    assert sum(reasons(target).values()) == 20


def test_an_outage_of_the_details_call(target: Polled) -> None:
    """After three failed calls a poll asks for no more reasons; later polls do, and learn all of them."""
    target.fail_jobs(20)
    started = len(target.service.calls) + 1
    target.service.refuse(ServerError("down"), *range(started, started + 20))
    assert len(asked(target.poll())) == MAX_REASON_ERRORS == 3
    target.service.before.clear()

    target.poll()

    assert sum(reasons(target).values()) == 20
    assert "unknown" not in reasons(target)


def test_a_reason_that_is_there_later(target: Polled) -> None:
    """A code that the service fills in seconds after the failure is learned by a later poll, and logged then, once."""
    target.service.index.habits = Habits(error_late_seconds=150)
    target.fail_jobs(1)

    with capture_logs() as logs:
        counted = [(target.poll(), reasons(target))[1] for _ in range(5)]

    assert counted == [{}, {}, {"E.0": 1}, {"E.0": 1}, {"E.0": 1}]
    assert target.shown.last_failure["ASR"].error_code == "E.0"
    (line,) = of(logs, "job_failed")
    assert (line["job_id"], line["error_code"]) == ("job 0", "E.0")


def test_a_reason_that_is_never_there(target: Polled) -> None:
    """It is owed for 15 minutes, over a restart too; then the failure counts as `unknown`, and is asked for no more."""
    target.service.index.habits = Habits(error_late_seconds=DAY)
    target.fail_jobs(1)

    counted = [(target.poll(), reasons(target))[1] for _ in range(17)]

    assert counted == [{}] * 15 + [{"unknown": 1}] * 2
    assert asked(target.poll()) == []


def test_a_reason_is_owed_over_a_restart(tmp_path: Path) -> None:
    """The next process asks for it."""
    for target in polled_target(path=str(tmp_path / "ledger.db")):
        target.service.index.habits = Habits(error_late_seconds=90)
        target.fail_jobs(1)
        target.poll()
        assert reasons(target) == {}
        target.ledger.close()
        target.start()

        target.poll()
        target.poll()

        assert reasons(target) == {"E.0": 1}


def test_a_reason_that_may_be_asked_for_no_more(target: Polled) -> None:
    """Reasons that are owed when the details call is forbidden are `unknown` at once."""
    target.service.index.habits = Habits(error_late_seconds=300)
    target.fail_jobs(2)
    target.poll()
    target.service.may_get = False

    target.poll()

    assert reasons(target) == {"unknown": 2}


def test_a_failed_job_deleted_meanwhile(target: Polled) -> None:
    """A failed job that is gone before it is asked for is `unknown` in the end; the others give their reasons."""
    target.fail_jobs(3)
    target.service.before[len(target.service.calls) + 1] = lambda: target.service.jobs.delete("job 2")

    target.poll()
    at_once = sum(reasons(target).values())
    for _ in range(15):
        target.poll()

    assert at_once == 2
    assert target.shown.ended["ASR", "Failed"] == 3
    assert reasons(target)["unknown"] == 1
