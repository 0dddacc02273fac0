"""A survey counts history beside the live counts, page by page, and replaces them in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.jobs.kinds import SMART
from exporter.polling.ledger import Ledger
from tests.support.ledger_driver import DAY, HOUR, KEY, LOOKBACK_DAYS, Book, job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exporter.polling.ledger import SurveyState
    from exporter.polling.records import Row

HISTORY = tuple(job(f"{hours} h", "Finished", age=hours * HOUR) for hours in (2, 3, 5, 6, 9))


@pytest.fixture
def book() -> Iterator[Book]:
    """Gives a ledger that has seen its first poll."""
    book = Book(Ledger(":memory:"))
    book.poll()
    yield book
    book.ledger.close()


def finished(book: Book) -> int:
    """Returns how many jobs the next poll shows as finished."""
    return book.poll().jobs["ASR", "Finished"]


def page(book: Book, state: SurveyState, *rows: Row, more: bool = True) -> SurveyState:
    """Stores a page that is not the last one of a survey, but is that of a list unless there is more."""
    following, _ = book.ledger.store_survey_page(KEY, state, rows, "next" if more else "")
    assert following is not None
    return following


def complete(book: Book, state: SurveyState) -> None:
    """Ends a survey with nothing more in its lists."""
    failed = page(book, state, more=False) if state.job_state == "Finished" else state
    assert book.ledger.store_survey_page(KEY, failed, (), "") == (None, [])


def test_counts_history(book: Book) -> None:
    """The ended jobs of the whole lookback are shown once both lists are read; no counter has moved."""
    state = book.start_survey()
    state = page(book, state, *HISTORY, more=False)
    assert ("ASR", "Finished") not in book.poll().jobs
    assert book.ledger.store_survey_page(KEY, state, (job("f", "Failed", age=HOUR),), "") == (None, [])

    snapshot = book.poll()

    assert (snapshot.jobs["ASR", "Finished"], snapshot.jobs["ASR", "Failed"]) == (5, 1)
    assert (snapshot.failed_recent["ASR", "1h"], snapshot.failed_recent["ASR", "24h"]) == (0, 1)
    assert set(snapshot.ended.values()) == set(snapshot.created.values()) == set(snapshot.failures.values()) == {0}


def test_replaces_the_live_counts(book: Book) -> None:
    """What was counted by the polls and is no more, such as deleted jobs, is corrected; what is new stays."""
    book.survey(finished=HISTORY)
    assert finished(book) == 5

    book.survey(finished=HISTORY[:2])

    assert finished(book) == 2
    assert book.poll(job("new", "Finished", now=book.now)).jobs["ASR", "Finished"] == 3


def test_leaves_out_what_the_polls_account_for(book: Book) -> None:
    """Jobs that the polls hold one by one, and those created since the horizon, are not counted again."""
    was_open = job("open", age=5 * HOUR)
    lately = job("lately", "Finished", age=10)
    book.poll(was_open, lately)
    state = book.start_survey()
    ended = was_open._replace(job_state="Finished")
    born = job("born", "Finished", now=book.now + 30)

    state = page(book, state, born, lately, ended, more=False)
    complete(book, state)

    assert book.poll(ended, born).jobs["ASR", "Finished"] == 3
    assert book.poll(after=2 * HOUR).jobs["ASR", "Finished"] == 3


def test_ends_during_a_survey_count_once(book: Book) -> None:
    """A job that ends while a survey runs is counted once, whichever of the two meets it first, folded or not."""
    open_jobs = job("early", age=5 * HOUR), job("late", age=4 * HOUR)
    book.poll(*open_jobs)
    early, late = (row._replace(job_state="Finished") for row in open_jobs)
    state = book.start_survey()

    book.poll(early, open_jobs[1], after=DAY // 2)
    state = page(book, state, late, early, more=False)
    book.poll(late)
    complete(book, state)

    assert finished(book) == 2
    assert book.poll(after=DAY // 2).jobs["ASR", "Finished"] == 2


def test_resumes_at_any_page(tmp_path: Path) -> None:
    """A survey interrupted after any page goes on from there in the next process."""
    book = Book(Ledger(str(tmp_path / "ledger.db")))
    book.poll()
    book.start_survey()
    for number in range(6):
        book.ledger.close()
        book.ledger = Ledger(str(tmp_path / "ledger.db"))
        state, last = book.ledger.survey_state(KEY, book.window_start)
        assert state is not None
        assert (state.next_token, last.is_complete) == ("next" if number else "", False)
        going = page(book, state, *HISTORY[number : number + 1])
    complete(book, going)

    state_after, last = book.ledger.survey_state(KEY, book.window_start)
    assert (state_after, last.is_complete, last.started_at) == (None, True, book.now)
    assert finished(book) == 5
    book.ledger.close()


def test_rows_pushed_over_a_pages_border(book: Book) -> None:
    """Jobs that end meanwhile push passed rows into the next page, where they are passed over."""
    state = page(book, book.start_survey(), *HISTORY[:3])

    state = page(book, state, *HISTORY[1:3], *HISTORY[3:], more=False)
    complete(book, state)

    assert finished(book) == 5


def test_rows_of_the_very_same_second(book: Book) -> None:
    """At a page's border within one second each job is told apart by its id, over any number of pages."""
    twins = [job(f"twin {number}", "Finished", age=HOUR) for number in range(6)]
    state = page(book, book.start_survey(), *twins[:2])
    state = page(book, state, *twins[1:4])
    state = page(book, state, *twins[1:4])

    state = page(book, state, *twins[3:], twins[5], more=False)
    complete(book, state)

    assert finished(book) == 6


def test_ends_with_the_lookback(book: Book) -> None:
    """The page on which a job older than the lookback stands is a list's last, and such jobs are not counted."""
    oldest = job("oldest", "Finished", now=book.window_start)
    older = job("older", "Finished", now=book.window_start - 1)

    state = page(book, book.start_survey(), HISTORY[0], oldest, older)

    assert (state.job_state, state.next_token, state.cursor_at) == ("Failed", "", None)
    complete(book, state)
    assert finished(book) == 2


def test_progress_never_falls(book: Book) -> None:
    """Progress goes from 0 to 1 over both lists, whatever a page shows."""
    state = book.start_survey()
    shown = [state.progress(SMART)]
    for rows in (HISTORY[:2], (), HISTORY[1:2], HISTORY[2:]):
        state = page(book, state, *rows)
        shown.append(state.progress(SMART))
    state = page(book, state, more=False)
    shown.append(state.progress(SMART))
    state = page(book, state, job("f", "Failed", age=LOOKBACK_DAYS * DAY))
    shown.append(state.progress(SMART))

    assert shown == sorted(shown)
    assert (shown[0], shown[5]) == (0, 0.5)
    assert 0.5 < shown[6] <= 1


def test_a_longer_lookback_needs_another_survey(book: Book) -> None:
    """A survey is complete for the window that it covered, and for a shorter one."""
    book.survey()

    def is_complete(seconds: int) -> bool:
        return book.ledger.survey_state(KEY, book.window_start + seconds)[1].is_complete

    assert (is_complete(0), is_complete(HOUR), is_complete(-1)) == (True, True, False)


def test_truncation(book: Book) -> None:
    """Ends missed by a poll are made good by a survey that began after it, and by no other."""

    def is_truncated() -> bool:
        return book.ledger.survey_state(KEY, book.window_start)[1].is_truncated

    state = book.start_survey()
    book.poll(truncated=True)
    complete(book, state)
    assert is_truncated()

    book.poll()
    book.survey()
    assert not is_truncated()

    book.poll(truncated=True)
    book.survey()
    assert not is_truncated()


def test_starting_anew_forgets_what_was_gathered(book: Book) -> None:
    """A survey begun anew counts from the first page on."""
    page(book, book.start_survey(), *HISTORY[:3])

    book.survey(finished=HISTORY)

    assert finished(book) == 5


def test_other_types_chosen(book: Book) -> None:
    """Types that were not polled before have no ended counts yet: they are missing until a survey has counted them."""
    book.job_types = ("ASR",)
    book.poll()
    book.survey(finished=HISTORY)
    assert finished(book) == 5

    book.job_types = ("ASR", "TextToSpeech")

    assert ("ASR", "Finished") not in book.poll().jobs
    assert not book.ledger.survey_state(KEY, book.window_start)[1].is_complete
    book.survey(finished=(*HISTORY, job("t", "Finished", age=HOUR, kind="TextToSpeech")))
    assert {key: number for key, number in book.poll().jobs.items() if number} == {
        ("ASR", "Finished"): 5,
        ("TextToSpeech", "Finished"): 1,
    }


def test_other_types_chosen_during_a_survey(book: Book) -> None:
    """A survey of other types is of no use: it begins anew."""
    page(book, book.start_survey())

    book.job_types = ("ASR",)
    book.poll()

    assert book.ledger.survey_state(KEY, book.window_start)[0] is None


def test_fewer_types_chosen(book: Book) -> None:
    """Open jobs of types no longer polled are not taken for deleted; they are there when these are polled again."""
    book.poll(job("a"), job("t", kind="TextToSpeech"))
    book.job_types = ("TextToSpeech",)

    snapshots = [book.poll(job("t", kind="TextToSpeech")) for _ in range(3)]
    book.job_types = ()
    everything = book.poll(job("a", "Failed", now=book.now), job("t", kind="TextToSpeech"))

    assert snapshots[-1].jobs == {("TextToSpeech", "Created"): 1, ("TextToSpeech", "Executing"): 0}
    assert everything.jobs["TextToSpeech", "Created"] == 1
    assert everything.ended["ASR", "Failed"] == 1
    assert set(everything.deleted.values()) == {0}


def test_failures_that_a_survey_cannot_see(book: Book) -> None:
    """A job created before the lookback, or deleted since, has failed all the same within the last hour."""
    age = LOOKBACK_DAYS * DAY + HOUR
    book.survey()
    book.poll(job("a", age=age))
    failed = job("a", "Failed", age=age, took=age + 200)
    assert book.poll(failed).failed_recent["ASR", "1h"] == 1
    book.poll(after=20 * 60)

    book.survey()

    assert book.poll().failed_recent["ASR", "1h"] == 1


def test_failures_without_a_time_are_not_recent(book: Book) -> None:
    """A survey cannot say when a job failed that the service gives no time for."""
    book.survey(failed=(job("a", "Failed", age=HOUR)._replace(modified_at=None),))

    snapshot = book.poll()

    assert (snapshot.jobs["ASR", "Failed"], snapshot.failed_recent["ASR", "24h"]) == (1, 0)
