"""Failed jobs are asked why they failed, within bounds, and a reason not had costs nothing but itself."""

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
from exporter.polling.poller import FORBIDDEN_FOR_SECONDS, REASONS_PER_POLL
from exporter.polling.reading import FEW
from tests.support.polled_target import Polled, polled_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import EventDict


@pytest.fixture
def target() -> Iterator[Polled]:
    """Gives a target that has been polled once."""
    yield from polled_target()


def of(logs: list[EventDict], event: str) -> list[EventDict]:
    """Returns the lines of an event."""
    return [line for line in logs if line["event"] == event]


def test_reasons_of_failures(target: Polled) -> None:
    """Each failed job is asked for its reason, once, and is a line in the log."""
    target.fail_jobs(3)

    with capture_logs() as logs:
        calls = target.poll()

    assert calls[3:] == ["get job 2", "get job 1", "get job 0"]
    assert {key: number for key, number in target.shown.failures.items() if number} == {
        ("ASR", "E.0"): 1,
        ("ASR", "E.1"): 1,
        ("ASR", "E.2"): 1,
    }
    lines = of(logs, "job_failed")
    assert sorted((line["job_id"], line["error_code"], line["error_message"]) for line in lines) == [
        (f"job {number}", f"E.{number}", "it failed") for number in range(3)
    ]


def test_a_reason_known_already_is_not_asked_for(target: Polled) -> None:
    """A job that was looked up as vanished has told its reason then."""
    target.service.create("old", age=3600)
    target.poll()
    for number in range(100):
        target.service.create(f"crowd {number}", age=1000, state="Finished")
    target.service.fail("old")

    calls = target.poll()

    assert calls[3:] == ["get old"]
    assert target.shown.failures["ASR", "E.Test"] == 1


def test_reasons_are_asked_for_within_a_budget(target: Polled) -> None:
    """Of very many failures fifty are asked for; the others are `unknown`, and stay so."""
    target.fail_jobs(REASONS_PER_POLL + 10)

    calls = target.poll()

    assert (len([call for call in calls if call.startswith("get")]), REASONS_PER_POLL) == (50, 50)
    assert target.shown.failures["ASR", "unknown"] == 10
    assert sum(target.shown.failures.values()) == target.shown.ended["ASR", "Failed"] == 60
    assert target.poll() == ["* Created 0", "* Executing 0", "* * 0"]


def test_forbidden_reasons(target: Polled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the reason may not be asked for, that is said once, and tried again an hour later, no sooner."""
    target.service.may_get = False
    real, asked = time.monotonic, list[int]()

    with capture_logs() as logs:
        for seconds in (0, 1, FORBIDDEN_FOR_SECONDS - 60, FORBIDDEN_FOR_SECONDS + 1):
            monkeypatch.setattr(time, "monotonic", lambda seconds=seconds: real() + seconds)
            target.fail_jobs(3, f"after {seconds}")
            asked.append(len([call for call in target.poll() if call.startswith("get")]))

    assert asked == [1, 0, 0, 1]
    assert target.shown.failures["ASR", "unknown"] == 12
    (line,) = of(logs, "failure_details_forbidden")
    assert "ice:GetSmartHandleJob" in line["hint"]
    assert target.told == [None] * 5


def test_no_failure_details() -> None:
    """With failure_details off no job is ever asked for, and every reason is `unknown`."""
    for target in polled_target(failure_details=False):
        target.fail_jobs(FEW)
        calls = target.poll()

        assert not [call for call in calls if call.startswith("get")]
        assert target.shown.failures["ASR", "unknown"] == FEW


@pytest.mark.parametrize("error", [ServerError("x"), ThrottledError("x"), BadResponseError("x")])
def test_a_reason_not_had_is_no_failure_of_the_poll(target: Polled, error: ApiError) -> None:
    """Where the reason cannot be had for once, the poll is good all the same, and the next one asks again."""
    target.fail_jobs(1)
    target.service.refuse(error, len(target.service.calls) + 3)
    target.poll()
    target.fail_jobs(1, "later")
    target.poll()

    assert target.told == [None, None, None]
    assert (target.shown.failures["ASR", "unknown"], target.shown.failures["ASR", "E.0"]) == (1, 1)


def test_a_failed_job_deleted_meanwhile(target: Polled) -> None:
    """A failed job that is gone before it is asked for stays `unknown`; the others tell their reasons."""
    target.fail_jobs(3)
    target.service.before[len(target.service.calls) + 3] = lambda: target.service.jobs.delete("job 2")

    target.poll()

    assert target.shown.ended["ASR", "Failed"] == 3
    assert target.shown.failures["ASR", "unknown"] == 1
