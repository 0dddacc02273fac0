"""The survey counts history in the background, can be cut short anywhere, and never touches a counter."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from exporter.errors import BadRequestError, NetworkError, ServerError
from exporter.polling import survey as module
from exporter.polling.survey import MAX_AGE_SECONDS, WEIGHT
from tests.support.fake_service import FakeService
from tests.support.polled_target import DAY, HOUR, Polled, polled_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HISTORY = 10


def with_history(path: str) -> Iterator[Polled]:
    """Gives a target polled once whose history takes three pages of finished jobs and one of failed ones."""
    for target in polled_target(path=path):
        for number in range(HISTORY):
            target.service.create(f"done {number}", age=HOUR + number * DAY, state="Finished")
        target.service.create("failed", age=2 * HOUR, ended=HOUR // 2, state="Failed")
        target.service.rows_per_page = 4
        yield target


@pytest.fixture
def target() -> Iterator[Polled]:
    """Gives such a target with a ledger in memory."""
    yield from with_history(":memory:")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Polled]:
    """Gives such a target with a ledger that outlives the process."""
    yield from with_history(str(tmp_path / "ledger.db"))


PAGES = ["* Finished 0", "* Finished 4", "* Finished 8", "* Failed 0"]


def survey(target: Polled) -> list[str]:
    """Surveys if it is due, and returns the calls made."""
    return target.calls_of(target.survey.run())


def shown(target: Polled) -> tuple[int | None, int | None]:
    """Returns how many finished and failed jobs the next poll shows."""
    target.poll()
    return target.shown.jobs.get(("ASR", "Finished")), target.shown.jobs.get(("ASR", "Failed"))


def test_counts_the_history(target: Polled) -> None:
    """Each ended list is read once; then the ended jobs and recent failures are shown, and no counter has moved."""
    before = target.shown
    assert shown(target) == (None, None)

    assert survey(target) == PAGES

    assert shown(target) == (HISTORY, 1)
    assert target.shown.failed_recent["ASR", "1h"] == 1
    assert (target.shown.ended, target.shown.created) == (before.ended, before.created)
    assert (target.shown.failures, target.shown.durations) == (before.failures, before.durations)
    health = target.poller.view.health
    assert (health.survey_complete, health.survey_progress) == (True, 1.0)


def test_takes_half_of_the_rate(target: Polled) -> None:
    """Every call of a survey weighs two, those of a poll one."""
    survey(target)
    target.poll()

    assert (target.service.weights, WEIGHT) == ([1] * 3 + [2] * 4 + [1], 2)


def test_ends_with_the_lookback(target: Polled) -> None:
    """Jobs older than the lookback are neither read nor counted, but for the rest of the page they begin on."""
    for number in range(20):
        target.service.create(f"old {number}", age=(31 + number) * DAY, state="Finished")

    assert survey(target) == PAGES
    assert shown(target) == (HISTORY, 1)


def test_is_due_once_an_interval(target: Polled) -> None:
    """A complete survey is made again an interval after its start, and no sooner."""
    survey(target)
    target.poll(after=DAY - HOUR)
    assert survey(target) == []
    target.service.jobs.delete("done 0")

    target.poll(after=HOUR)
    calls = survey(target)

    assert calls == PAGES
    assert shown(target) == (HISTORY - 1, 1)


def test_says_whether_one_was_completed(target: Polled) -> None:
    """Only a survey that was completed asks for another poll."""
    assert asyncio.run(target.survey.run())
    assert not asyncio.run(target.survey.run())
    target.poll(after=DAY)
    target.service.refuse(ServerError("x"), len(target.service.calls))
    assert not asyncio.run(target.survey.run())


@pytest.mark.parametrize("page", range(4))
@pytest.mark.parametrize("restarted", [True, False])
def test_resumes_where_it_was_interrupted(kept: Polled, page: int, restarted: bool) -> None:  # noqa: FBT001 - a parameter
    """An error at any page is logged and ends the run; the next one, or the next process, goes on at that page."""
    kept.service.refuse(NetworkError("gone"), len(kept.service.calls) + page)
    with capture_logs() as logs:
        assert survey(kept) == PAGES[: page + 1]
    if restarted:
        kept.ledger.close()
        kept.start()
        kept.poll()

    assert survey(kept) == PAGES[page:]

    assert shown(kept) == (HISTORY, 1)
    assert [(line["outcome"], line["reason"]) for line in logs if line["log_level"] == "warning"] == [
        ("interrupted", "network")
    ]


@pytest.mark.parametrize("page", [1, 2])
def test_a_token_no_longer_taken_begins_anew(target: Polled, page: int) -> None:
    """A token kept from the run before may be refused: then the survey begins anew, and counts nothing twice."""
    target.service.refuse(NetworkError("gone"), len(target.service.calls) + page)
    survey(target)
    target.service.refuse(BadRequestError("no such token"), len(target.service.calls))

    assert survey(target) == [PAGES[page], *PAGES]

    assert shown(target) == (HISTORY, 1)


def test_a_token_of_this_run_is_taken(target: Polled) -> None:
    """A survey that was begun anew once ends at the next refusal: it does not go round in circles."""
    target.service.refuse(NetworkError("gone"), len(target.service.calls) + 1)
    survey(target)
    started = len(target.service.calls)
    target.service.refuse(BadRequestError("no such token"), started, started + 2)

    assert survey(target) == [PAGES[1], *PAGES[:2]]
    assert not target.poller.view.health.survey_complete


def test_a_refusal_of_the_first_page_is_an_error(target: Polled) -> None:
    """A survey that the service does not take is not begun again and again in one run."""
    target.service.refuse(BadRequestError("no"), len(target.service.calls))

    assert survey(target) == PAGES[:1]
    assert not target.poller.view.health.survey_complete


def test_a_survey_too_old_begins_anew(target: Polled) -> None:
    """What was begun more than a day ago and never ended is forgotten."""
    target.service.refuse(NetworkError("gone"), len(target.service.calls) + 2)
    survey(target)

    target.poll(after=MAX_AGE_SECONDS)

    assert survey(target) == PAGES
    assert shown(target) == (HISTORY, 1)


def test_progress_never_falls(target: Polled) -> None:
    """Within a survey the progress shown rises from page to page, and is 1 at the end."""
    progress: list[float] = []
    started = len(target.service.calls)
    for call in range(started, started + 4):
        target.service.before[call] = lambda: progress.append(target.poller.view.health.survey_progress)

    survey(target)

    progress.append(target.poller.view.health.survey_progress)
    assert progress == sorted(set(progress))
    assert (progress[0], progress[-1]) == (0.0, 1.0)


def test_jobs_that_end_meanwhile(target: Polled) -> None:
    """Polls go on beside a survey: what ends while it runs is counted once, whoever sees it first."""
    for number in range(4):
        target.service.create(f"running {number}", age=DAY + number, state="Executing")
    target.poll()
    started = len(target.service.calls)
    for number, call in enumerate((1, 2, 3)):
        target.service.before[started + call] = partial(target.service.jobs.move, f"running {number}", "Finished")

    survey(target)

    assert shown(target) == (HISTORY + 3, 1)
    assert target.shown.ended["ASR", "Finished"] == 3
    assert target.poll(after=DAY // 2)
    assert target.shown.jobs["ASR", "Finished"] == HISTORY + 3


def test_makes_good_what_catching_up_has_missed() -> None:
    """After a poll that could not reach back far enough a survey is due at once; it clears the warning."""
    for target in polled_target(survey_interval=99 * DAY):
        survey(target)
        target.poll(after=31 * DAY)
        target.service.create("missed", age=DAY, state="Finished")
        assert target.poller.view.health.catchup_truncated

        assert survey(target) == ["* Finished 0", "* Failed 0"]

        assert not target.poller.view.health.catchup_truncated
        assert shown(target) == (1, 0)
        assert survey(target) == []


def test_endless_lists(target: Polled, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that gives the same token, or the same jobs, again and again ends the run and not the process."""
    monkeypatch.setattr(module, "MAX_PAGES_WITHOUT_PROGRESS", 5)
    page = target.service.jobs.page
    stuck = page(job_state="Finished", limit=4)
    monkeypatch.setattr(target.service.jobs, "page", lambda **_: stuck)
    monkeypatch.setattr(target.service.jobs, "total", lambda *_: 10**6)

    with capture_logs() as logs:
        calls = survey(target)

    assert len(calls) == 7
    assert logs[-1]["reason"] == "parse"
    assert not target.poller.view.health.survey_complete
    assert target.poller.view.health.budgets_exceeded == {"survey": 1}


@pytest.mark.parametrize(("chosen", "first"), [(("ASR",), "ASR Finished 0"), (("ASR", "DynamicChart"), "* Finished 0")])
def test_only_the_types_chosen(chosen: tuple[str, ...], first: str) -> None:
    """One type is left to the service to filter; of several, the others' jobs are passed over."""
    for target in polled_target(job_types=chosen):
        target.service.create("a", age=HOUR, state="Finished")
        target.service.create("t", age=HOUR, job_type="TextToSpeech", state="Finished")

        assert survey(target)[0] == first

        assert shown(target) == (1, 0)
        assert ("TextToSpeech", "Finished") not in target.shown.jobs


def test_many_pages_without_the_types_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of other types are passed over, down to the lookback and no further."""
    monkeypatch.setattr(module, "MAX_PAGES_WITHOUT_PROGRESS", 3)
    for target in polled_target(job_types=("ASR", "DynamicChart"), service=FakeService(rows_per_page=2)):
        for number in range(20):
            target.service.create(f"t{number}", age=HOUR + number, job_type="TextToSpeech", state="Finished")
        target.service.create("a", age=2 * HOUR, state="Finished")
        for number in range(20):
            target.service.create(f"old{number}", age=40 * DAY, job_type="TextToSpeech", state="Finished")

        calls = survey(target)

        assert shown(target) == (1, 0)
        assert len([call for call in calls if call.startswith("* Finished")]) == 11


def test_what_is_logged(target: Polled) -> None:
    """A survey says when it starts, how it goes on, and when it is complete."""
    with capture_logs() as logs:
        survey(target)

    outcomes = [line["outcome"] for line in logs]
    assert (outcomes[0], outcomes[-1], set(outcomes[1:-1])) == ("started", "complete", {"in progress"})
    assert {(line["event"], line["account"], line["region_id"]) for line in logs} == {("survey", "prod", "cn-shanghai")}
