"""What a poll publishes: every count that the ledger keeps, where it begins and where it falls."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from exporter.jobs.kinds import SMART
from exporter.jobs.snapshot import DURATION_BOUNDS, FAILED_WINDOWS, FailedJob
from exporter.polling.ledger import Ledger
from exporter.polling.ledger.counting import MAX_ERROR_CODES, MAX_FAILURES_KEPT, MAX_MESSAGE, Reasons
from exporter.polling.ledger.totals import POLLS_UNTIL_HIDDEN
from exporter.polling.records import Reason
from tests.support.ledger_driver import DAY, HOUR, LOOKBACK_DAYS, START, Book, job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.jobs.snapshot import Snapshot


@pytest.fixture
def book() -> Iterator[Book]:
    """Gives a ledger in memory that has seen its first poll, and a survey of nothing."""
    ledger = Ledger(":memory:")
    book = Book(ledger)
    book.poll()
    book.survey()
    yield book
    ledger.close()


def fails(book: Book, name: str, code: str = "", message: str = "", kind: str = "ASR") -> Snapshot:
    """Stores a poll that meets a job which has just failed, for this reason."""
    reasons = {name: Reason(code, message)} if code else {}
    return book.poll(job(name, "Failed", took=0, now=book.now + 60, kind=kind), reasons=reasons)


def test_zeros() -> None:
    """From the first poll on every known type has every series at zero, but for ended jobs before a survey."""
    book = Book(Ledger(":memory:"))

    snapshot = book.poll()

    assert snapshot.jobs == {(kind, state): 0 for kind in SMART.job_types for state in SMART.open_states}
    assert snapshot.failed_recent == {}
    assert snapshot.created == snapshot.deleted == dict.fromkeys(SMART.job_types, 0)
    assert snapshot.ended == {(kind, state): 0 for kind in SMART.job_types for state in SMART.ended_states}
    assert snapshot.failures == {(kind, "unknown"): 0 for kind in SMART.job_types}
    assert {sum(each.counts) for each in snapshot.durations.values()} == {0}
    assert snapshot.durations.keys() == snapshot.ended.keys()
    book.ledger.close()


def test_zeros_after_a_survey(book: Book) -> None:
    """With a survey complete, the ended jobs and the recent failures are there as well."""
    snapshot = book.poll()

    assert snapshot.jobs == {(kind, state): 0 for kind in SMART.job_types for state in SMART.job_states}
    assert snapshot.failed_recent == {(kind, window): 0 for kind in SMART.job_types for window, _ in FAILED_WINDOWS}


def test_types_chosen_and_met(book: Book) -> None:
    """Zeros are for the documented types and every further one that was ever met; or for the chosen types alone."""
    met = book.poll(job("a", kind="New"))
    book.job_types = ("ASR",)
    chosen = book.poll()

    assert set(met.created) == {*SMART.job_types, "New"}
    assert (met.jobs["New", "Created"], met.jobs["New", "Failed"]) == (1, 0)
    assert {kind for kind, _ in chosen.jobs} == set(chosen.created) == {kind for kind, _ in chosen.ended} == {"ASR"}


def test_open_jobs(book: Book) -> None:
    """Open jobs of any age are counted as they are now, and the oldest of each is told."""
    old, young = job("old", age=99 * DAY), job("young", age=HOUR)

    both = book.poll(old, young, job("other", "Executing", age=9))
    moved = book.poll(old._replace(job_state="Executing"), young, job("other", "Executing", age=9))

    assert (both.jobs["ASR", "Created"], both.jobs["ASR", "Executing"]) == (2, 1)
    assert both.oldest_open == {("ASR", "Created"): START - 99 * DAY, ("ASR", "Executing"): START - 9}
    assert (moved.jobs["ASR", "Created"], moved.jobs["ASR", "Executing"]) == (1, 2)
    assert moved.oldest_open == {("ASR", "Created"): START - HOUR, ("ASR", "Executing"): START - 99 * DAY}
    assert book.poll(young, after=10).oldest_open[("ASR", "Created")] == START - HOUR


def test_births_ends_and_deletions(book: Book) -> None:
    """Each is counted once, under its type."""
    here = [job(name, now=book.now + 60) for name in ("a", "b", "c")]
    book.poll(*here)
    book.poll(job("a", "Finished", now=book.now), job("b", "Failed", now=book.now))

    snapshot = book.poll()

    assert snapshot.created["ASR"] == 3
    assert (snapshot.ended["ASR", "Finished"], snapshot.ended["ASR", "Failed"]) == (1, 1)
    assert snapshot.deleted == {"ASR": 1, "DynamicChart": 0, "VideoTranslation": 0, "TextToSpeech": 0}
    assert snapshot.jobs["ASR", "Created"] == 0


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0, 0), (5, 0), (6, 1), (15, 1), (86400, len(DURATION_BOUNDS) - 1), (86401, len(DURATION_BOUNDS))],
)
def test_durations(book: Book, seconds: int, bucket: int) -> None:
    """A job falls into the first bucket whose upper bound it does not exceed, the last one being +Inf."""
    snapshot = book.poll(job("a", "Finished", took=seconds, now=book.now + 60))

    durations = snapshot.durations["ASR", "Finished"]
    assert [number for number, count in enumerate(durations.counts) if count] == [bucket]
    assert durations.sum_seconds == seconds
    assert len(durations.counts) == len(DURATION_BOUNDS) + 1


def test_unknown_durations(book: Book) -> None:
    """A job that does not say when it was modified has no duration."""
    snapshot = book.poll(job("a", "Finished", now=book.now + 60)._replace(modified_at=None))

    assert snapshot.ended["ASR", "Finished"] == 1
    assert sum(snapshot.durations["ASR", "Finished"].counts) == 0


def test_reasons(book: Book) -> None:
    """Failures are counted by their code, without one as `unknown`; the newest of each type is told with its words."""
    fails(book, "a", "E.One", "first words")
    fails(book, "b", kind="TextToSpeech")
    snapshot = fails(book, "c", "E.One", "m" * 9999)

    assert {key: number for key, number in snapshot.failures.items() if number} == {
        ("ASR", "E.One"): 2,
        ("TextToSpeech", "unknown"): 1,
    }
    newest = FailedJob("c", "ASR", book.now, book.now, "E.One", "m" * MAX_MESSAGE)
    assert snapshot.last_failure["ASR"] == newest
    assert snapshot.last_failure["TextToSpeech"].error_code == "unknown"


def test_error_codes_are_bounded(book: Book) -> None:
    """A target shows fifty codes of its own; those that come later are `other`, those known are counted on."""
    rows = [job(f"{number}", "Failed", now=book.now + 60) for number in range(MAX_ERROR_CODES + 10)]
    reasons = {row.job_id: Reason(f"E.{row.job_id}", "") for row in rows}
    book.poll(*rows, reasons=reasons)

    snapshot = fails(book, "again", "E.0", kind="TextToSpeech")

    codes = {code for (_, code), number in snapshot.failures.items() if number}
    assert (len(codes), MAX_ERROR_CODES) == (51, 50)
    assert snapshot.failures["ASR", "other"] == 10
    assert snapshot.failures["TextToSpeech", "E.0"] == 1
    assert sum(snapshot.failures.values()) == MAX_ERROR_CODES + 11


def test_failures_kept_are_bounded(book: Book) -> None:
    """The newest hundred failures of each type are kept with their reasons, and nothing of those before."""
    rows = [job(f"{number}", "Failed", took=number, now=book.now + 60) for number in range(MAX_FAILURES_KEPT + 20)]
    book.poll(*rows, job("other", "Failed", now=book.now, kind="TextToSpeech"))

    snapshot = book.poll()

    shown = [failed.job_id for failed in snapshot.failed_jobs]
    assert set(shown) <= {"other", *(f"{number}" for number in range(20, MAX_FAILURES_KEPT + 20))}
    assert snapshot.last_failure["ASR"].job_id == f"{MAX_FAILURES_KEPT + 19}"
    assert snapshot.ended["ASR", "Failed"] == MAX_FAILURES_KEPT + 20


def test_ended_jobs_are_counted_while_they_are_in_the_lookback(book: Book) -> None:
    """A job is counted from its end until the hour of its creation has left the lookback, folded or not."""
    born = book.now + 60
    shown = [book.poll(job("a", "Finished", now=born)).jobs["ASR", "Finished"]]
    kept = [1]
    for moment in (born + HOUR, START + LOOKBACK_DAYS * DAY + HOUR - 1, START + LOOKBACK_DAYS * DAY + HOUR):
        snapshot = book.poll(after=moment - book.now)
        shown.append(snapshot.jobs["ASR", "Finished"])
        kept.append(snapshot.ledger_jobs)

    assert shown == [1, 1, 1, 0]
    assert kept == [1, 0, 0, 0]
    assert snapshot.ended["ASR", "Finished"] == 1


def test_folding_at_an_edge_of_hours(book: Book) -> None:
    """Jobs of the last second of an hour and the first of the next leave the lookback an hour apart."""
    edge = START + 10 * HOUR
    book.poll(after=edge - 60 - book.now)
    book.poll(job("a", "Finished", now=edge - 1), job("b", "Finished", now=edge), after=60)
    leaves = edge + LOOKBACK_DAYS * DAY

    shown = [
        book.poll(after=moment - book.now).jobs["ASR", "Finished"]
        for moment in (edge + HOUR, leaves - 1, leaves, leaves + HOUR - 1, leaves + HOUR)
    ]

    assert shown == [2, 2, 1, 1, 0]


def test_a_long_run(book: Book) -> None:
    """A job that ran for hours is counted by its creation from the moment it ends, and stays so when it is folded."""
    book.poll(job("a", age=5 * HOUR))
    ended = job("a", "Finished", age=5 * HOUR, took=5 * HOUR + 120)

    shown = [book.poll(ended, after=60).jobs["ASR", "Finished"] for _ in range(25)]

    assert shown == [1] * 25
    assert book.poll().ledger_jobs == 0


def test_an_end_seen_late_counts_by_its_creation(book: Book) -> None:
    """A job older than the lookback is not shown when it ends, but its end is counted."""
    book.poll(job("old", age=9 * DAY))

    snapshot = book.poll(job("old", "Failed", age=9 * DAY, took=9 * DAY))

    assert (snapshot.ended["ASR", "Failed"], snapshot.jobs["ASR", "Failed"]) == (1, 0)
    assert snapshot.failed_recent["ASR", "1h"] == 1


def test_recent_failures_fall_by_themselves(book: Book) -> None:
    """A failure leaves each window at most a minute early, without anything happening."""
    ended = fails(book, "a").taken_at

    shown = [
        tuple(book.poll(after=int(ended) + seconds - book.now).failed_recent["ASR", window] for window in ("1h",))
        + tuple(book.poll(after=0).failed_recent["ASR", window] for window in ("24h",))
        for seconds in (0, HOUR, HOUR + 1, DAY, DAY + 1)
    ]

    assert shown == [(1, 1), (1, 1), (0, 1), (0, 1), (0, 0)]


def test_ledger_jobs(book: Book) -> None:
    """The jobs kept one by one are told: open ones, and those ended a moment ago."""
    snapshot = book.poll(job("a"), job("b", "Finished", now=book.now + 60))

    assert snapshot.ledger_jobs == 2


def test_a_job_that_polls_miss_is_not_among_the_oldest() -> None:
    """What the gauges show as open no more, the list of the oldest open jobs does not show either."""
    book = Book(Ledger(":memory:"))
    book.poll(job("a", age=HOUR))
    known, outcome = book.outcome()
    unseen = replace(known.open_jobs["a"], missing_polls=POLLS_UNTIL_HIDDEN)

    snapshot = book.store(known, replace(outcome, open_jobs=(unseen,), closed_ids=(), deleted=()))

    assert (snapshot.jobs["ASR", "Created"], snapshot.oldest_open, snapshot.oldest_jobs) == (0, {}, ())
    book.ledger.close()


def test_noticed_failures_after_the_clock_was_set_back(book: Book) -> None:
    """A failure is not noticed for as long as the clock was set back, but for the window at most."""
    noticed = fails(book, "a").failed_noticed["ASR", "5m"]
    known, outcome = book.outcome()

    snapshot = book.ledger.commit(
        book.key, known, outcome, Reasons(), taken_at=float(book.now - HOUR), window_start=book.window_start
    )

    assert (noticed, snapshot.failed_noticed["ASR", "5m"]) == (1, 0)
