"""A survey counts history beside the live counts, page by page, and replaces them in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.jobs.kinds import SMART
from exporter.polling.ledger import Ledger
from exporter.polling.ledger.survey import MAX_READINGS, QUIET_READINGS
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


def reread(book: Book, state: SurveyState | None, *rows: Row) -> SurveyState | None:
    """Stores one-page readings of a list until its ties count as read; returns the first state of the next list."""
    readings = 0
    while state is not None and state.reading > 1:
        state, _ = book.ledger.store_survey_page(KEY, state, rows, "")
        readings += 1
        assert readings <= MAX_READINGS
    return state


def complete(book: Book, state: SurveyState) -> None:
    """Ends a survey with nothing more in its lists."""
    following: SurveyState | None = state
    if state.job_state == "Finished":
        following, _ = book.ledger.store_survey_page(KEY, state, (), "")
        following = reread(book, following)
    assert following is not None
    assert book.ledger.store_survey_page(KEY, following, (), "") == (None, [])


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
    """Jobs that end meanwhile push passed rows into the next page, where they are passed over: the list is reread."""
    state = page(book, book.start_survey(), *HISTORY[:3])

    tied = page(book, state, *HISTORY[1:3], *HISTORY[3:], more=False)
    assert (tied.job_state, tied.reading) == ("Finished", 2)
    failed = reread(book, tied, *HISTORY)
    assert failed is not None
    complete(book, failed)

    assert finished(book) == 5


def test_rows_of_the_very_same_second(book: Book) -> None:
    """At a page's border within one second each job is told apart by its id, over any number of pages."""
    twins = [job(f"twin {number}", "Finished", age=HOUR) for number in range(6)]
    state = page(book, book.start_survey(), *twins[:2])
    state = page(book, state, *twins[1:4])
    state = page(book, state, *twins[1:4])

    tied = page(book, state, *twins[3:], twins[5], more=False)
    failed = reread(book, tied, *twins)
    assert failed is not None
    complete(book, failed)

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
    failed = reread(book, state, *HISTORY)
    assert failed is not None
    state = page(book, failed, job("f", "Failed", age=LOOKBACK_DAYS * DAY))
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


def test_a_tie_that_a_page_boundary_hides(book: Book) -> None:
    """A job that was on neither page, because its second changed order, is counted by the second reading."""
    a, b, c = (job(name, "Finished", age=HOUR) for name in "abc")
    state = page(book, book.start_survey(), a)
    tied = page(book, state, a, more=False)  # b was here while the first page was read, and there while this one was

    failed = reread(book, tied, a, b, c)
    assert failed is not None
    complete(book, failed)

    assert finished(book) == 3


def test_a_page_that_covers_a_tie_ends_the_reading(book: Book) -> None:
    """Once one page shows all of the second, with newer and older jobs around it, the list is not read again."""
    newer, a, older = HISTORY[0], HISTORY[1], HISTORY[2]
    state = page(book, book.start_survey(), newer, a)
    tied = page(book, state, a, older, more=False)
    assert (tied.reading, tied.job_state) == (2, "Finished")

    following = page(book, tied, newer, a, older)

    assert (following.reading, following.job_state) == (1, "Failed")


def test_a_tie_that_is_never_covered(book: Book) -> None:
    """It counts as read after four readings in a row without a new job of its second."""
    a, b = (job(name, "Finished", age=HOUR) for name in "ab")
    state = page(book, page(book, book.start_survey(), a), a, b, more=False)

    readings = 0
    while state.job_state == "Finished":
        state = page(book, page(book, state, a), b, more=False)
        readings += 1

    assert readings == QUIET_READINGS == 4
    assert book.poll().gaps_given_up == 0


def test_a_tie_that_is_given_up(book: Book) -> None:
    """A second that shows new jobs in each of 25 readings is given up, and counted as a gap that was."""
    state = page(book, page(book, book.start_survey(), job("a", "Finished", age=HOUR)), job("b", "Finished", age=HOUR))
    state = page(book, state, more=False)

    for number in range(MAX_READINGS - 1):
        assert state.job_state == "Finished"
        state = page(book, page(book, state, job("a", "Finished", age=HOUR)), job(f"{number}", "Finished", age=HOUR))
        state = page(book, state, more=False)

    assert (state.job_state, MAX_READINGS) == ("Failed", 25)
    assert book.poll().gaps_given_up == 1


def test_a_row_of_an_open_state(book: Book) -> None:
    """A row in an ended list that says Executing is not counted under that state: polls count the open jobs."""
    book.poll(*(job(f"{number}", "Executing", age=2 * HOUR) for number in range(20)))
    behind = job("behind", "Executing", age=5 * HOUR)
    complete(book, page(book, book.start_survey(), behind, more=False))

    shown = book.poll(*(job(f"{number}", "Executing", age=2 * HOUR) for number in range(20))).jobs

    assert (shown["ASR", "Executing"], shown["ASR", "Finished"]) == (20, 0)


def test_jobs_that_the_polls_miss(book: Book) -> None:
    """A page returns the jobs that the polls miss or have counted as deleted: the next poll counts their end."""
    book.poll(job("here", age=9 * HOUR), job("missing", age=8 * HOUR), job("gone", age=7 * HOUR))
    book.poll(job("here", age=9 * HOUR), job("missing", age=8 * HOUR))
    book.poll(job("here", age=9 * HOUR), job("missing", age=8 * HOUR))
    book.poll(job("here", age=9 * HOUR))
    rows = tuple(job(name, "Finished", age=HOUR * age) for name, age in (("gone", 7), ("missing", 8), ("here", 9)))

    _, missing = book.ledger.store_survey_page(KEY, book.start_survey(), rows, "")

    assert missing == list(rows[:2])
