"""A poll is published as a whole or not at all, and whatever goes wrong with it is told, once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from exporter.errors import (
    BadRequestError,
    BadResponseError,
    ClockSkewError,
    CredentialsError,
    ForbiddenError,
    LedgerError,
    NetworkError,
    ServerError,
    ThrottledError,
    TimedOutError,
)
from exporter.metrics.table import REASONS
from exporter.polling import search
from exporter.polling.reconcile import POLLS_UNTIL_DELETED_UNPROVEN
from tests.support.fake_service import START, FakeService
from tests.support.polled_target import DAY, HOUR, MINUTE, Polled, polled_target

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


def test_a_good_poll(target: Polled) -> None:
    """What was seen is published, the target is up, and one line says what happened."""
    target.service.create("a", age=-MINUTE)
    target.service.create("b", age=-MINUTE, state="Finished")

    with capture_logs() as logs:
        target.poll()

    health = target.poller.view.health
    assert (health.up, health.last_error, health.last_reason) == (True, "", "")
    assert health.last_success_at == health.last_attempt_at == target.shown.taken_at == START + 2 * MINUTE
    assert target.shown.created["ASR"] == 2
    assert target.poller.polled_at == START + 2 * MINUTE
    assert target.told == [None, None]
    (line,) = of(logs, "poll")
    assert line["log_level"] == "info"
    expected = {"account": "prod", "region_id": "cn-shanghai", "outcome": "ok", "list_calls": 3, "created": 2}
    assert {**line, **expected, "finished": 1, "failed": 0, "deleted": 0} == line


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CredentialsError("x"), "auth"),
        (ClockSkewError("x"), "auth"),
        (ForbiddenError("x"), "forbidden"),
        (ThrottledError("x"), "throttled"),
        (TimedOutError("x"), "timeout"),
        (NetworkError("x"), "network"),
        (ServerError("x"), "server"),
        (BadResponseError("x"), "parse"),
        (BadRequestError("x"), "other"),
        (LedgerError("x"), "ledger"),
        (KeyError("x"), "other"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
@pytest.mark.parametrize("call", [0, 1, 2])
def test_a_failed_poll_changes_nothing_but_health(target: Polled, error: Exception, reason: str, call: int) -> None:
    """Whichever call fails, the published data and the ledger stay as they are; health tells what to do."""
    target.service.create("a", age=-MINUTE)
    before, known = target.poller.view, target.ledger.load(target.poller.key, ())
    target.service.refuse(error, len(target.service.calls) + call)

    target.poll()

    after = target.poller.view
    assert after.snapshot is before.snapshot
    assert target.ledger.load(target.poller.key, ()) == known
    assert (after.health.up, after.health.last_reason, target.told[-1]) == (False, reason, reason)
    said, _, hint = after.health.last_error.partition("; ")
    assert said == ("KeyError" if isinstance(error, KeyError) else "x")
    assert hint
    assert (after.health.last_attempt_at, after.health.last_success_at) == (START + 2 * MINUTE, START + MINUTE)
    assert reason in REASONS


def test_the_next_good_poll_heals(target: Polled) -> None:
    """After a failure the next poll counts what has happened since the last good one, and the error is gone."""
    target.fail_jobs(1)
    target.service.refuse(ServerError("x"), len(target.service.calls))
    target.poll()

    target.poll()

    assert target.shown.ended["ASR", "Failed"] == 1
    assert (target.poller.view.health.up, target.poller.view.health.last_error) == (True, "")


def test_a_known_error_is_one_line(target: Polled) -> None:
    """A failed poll is one line with the service's code and request id, and without a trace."""
    error = ForbiddenError("NoPermission: words", code="NoPermission", request_id="r-1")
    target.service.refuse(error, len(target.service.calls))

    with capture_logs() as logs:
        target.poll()

    (line,) = logs
    expected = {"log_level": "error", "outcome": "failed", "reason": "forbidden", "code": "NoPermission"}
    assert {**line, **expected, "request_id": "r-1", "error": "NoPermission: words", "exc_info": None} == line
    assert "`check` prints the policy" in line["hint"]


def test_an_unexpected_error_comes_with_its_trace(target: Polled) -> None:
    """An error that nobody thought of ends no loop; it is logged once, with its trace, as a fault of ours."""
    error = ZeroDivisionError("oops")
    target.service.refuse(error, len(target.service.calls))

    with capture_logs() as logs:
        target.poll()

    (line,) = logs
    assert (line["reason"], line["exc_info"], line["error"]) == ("other", error, "oops")
    assert "report it" in line["hint"]


def test_an_error_of_the_ledger(target: Polled) -> None:
    """A poll that cannot be stored is not published."""
    before = target.poller.view.snapshot
    target.ledger.close()

    target.poll()

    assert target.poller.view.snapshot is before
    assert target.told[-1] == "ledger"


@pytest.mark.parametrize("call", [0, 1, 2])
def test_a_poll_cut_short_stores_nothing(target: Polled, call: int) -> None:
    """A poll that is cancelled at any call, as at shutdown, leaves no trace."""
    target.service.create("open", age=HOUR)
    target.poll()
    target.told.clear()
    known = target.ledger.load(target.poller.key, ())
    assert known.open_jobs
    target.service.refuse(asyncio.CancelledError(), len(target.service.calls) + call)

    with pytest.raises(asyncio.CancelledError):
        target.poll()

    assert target.ledger.load(target.poller.key, ()) == known
    assert target.told == []


def test_one_poll_at_a_time(target: Polled) -> None:
    """Two polls wanted at once are made one after the other, and neither fails."""

    async def both() -> None:
        await asyncio.gather(target.poller.run(), target.poller.run())

    target.fail_jobs(1)
    target.service.now += MINUTE
    target.calls_of(both())

    assert target.told == [None, None, None]
    assert target.shown.ended["ASR", "Failed"] == 1


def test_catching_up_beyond_the_lookback_is_shown(target: Polled) -> None:
    """After a downtime longer than the lookback, health says that ends may be missing."""
    assert not target.poller.view.health.catchup_truncated

    target.poll(after=31 * DAY)

    assert target.poller.view.health.catchup_truncated


def test_signs_of_life(target: Polled) -> None:
    """The begin of a poll is a sign of life, and so is its end, good or bad."""
    before = target.poller.last_heartbeat
    target.service.refuse(ServerError("x"), len(target.service.calls) + 1)

    target.poll()

    assert before < target.poller.last_heartbeat <= time.monotonic()


@pytest.mark.parametrize("chosen", [("ASR",), ("ASR", "DynamicChart")])
def test_only_the_types_chosen(chosen: tuple[str, ...]) -> None:
    """A target polled for some types shows these, and nothing of the others."""
    for target in polled_target(job_types=chosen):
        for kind in ("ASR", "TextToSpeech"):
            target.service.create(kind, age=-MINUTE, job_type=kind)
        target.poll()

        assert target.shown.created == dict.fromkeys(chosen, 0) | {"ASR": 1}


def test_other_types_chosen_after_a_restart(tmp_path: Path) -> None:
    """Without the right to ask for single jobs, too, open jobs of types no longer polled do not count as deleted."""
    for target in polled_target(path=str(tmp_path / "ledger.db"), failure_details=False):
        target.service.create("a", age=HOUR)
        target.service.create("t", age=HOUR, job_type="TextToSpeech")
        target.poll()
        target.ledger.close()
        target.job_types = ("TextToSpeech",)
        target.start()
        for _ in range(POLLS_UNTIL_DELETED_UNPROVEN):
            target.poll()
        target.ledger.close()
        target.job_types = ()
        target.start()
        target.poll()

        assert set(target.shown.deleted.values()) == {0}
        assert (target.shown.jobs["ASR", "Created"], target.shown.jobs["TextToSpeech", "Created"]) == (1, 1)


def test_a_deletion_that_cannot_be_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deleted job that is older than the pages that a poll reads for a proof is searched less and less often."""
    monkeypatch.setattr(search, "MAX_PROOF_PAGES", 3)
    service = FakeService(rows_per_page=10)
    for number in range(200):
        service.create(f"{number}", age=HOUR + number, state="Finished")
    service.create("deleted", age=DAY, state="Executing")
    for target in polled_target(service=service):
        service.jobs.delete("deleted")

        calls = [target.poll() for _ in range(5 * HOUR // MINUTE)]

        searches = [minute for minute, made in enumerate(calls) if "get deleted" in made]
        assert searches[:31] == list(range(31))
        assert searches[31:] == [60, 120, 240]
        assert target.shown.jobs["ASR", "Executing"] == 0
