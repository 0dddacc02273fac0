"""The calls of a poll: which they are, how many, and what they see."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from exporter.errors import BadRequestError, BadResponseError
from exporter.jobs.kinds import SMART
from exporter.polling.pagination import Seam
from exporter.polling.reading import page_size
from exporter.polling.reconcile import READINGS_OF_A_SEAM, SLACK_SECONDS, Known
from tests.support.fake_service import START, FakeService
from tests.support.single_poll import DAY, IDLE, KNOWN, look, reader_of, seen


def test_an_idle_target_costs_three_calls() -> None:
    """Whatever the history, a poll without news reads one page of each open list and one of all jobs."""
    service = FakeService()
    for number in range(500):
        service.create(f"old {number}", age=DAY - number, state="Finished")

    look(reader_of(service))

    assert service.calls == IDLE


def test_lists_are_read_in_the_order_of_a_jobs_life() -> None:
    """A job that moves on while the lists are read is met in a later one, and its later state comes last."""
    service = FakeService()
    service.create("a", age=5)
    service.create("b", age=6, state="Executing")
    service.before = {
        1: lambda: service.jobs.move("a", "Executing"),
        2: lambda: service.fail("b"),
    }

    observed = look(reader_of(service))

    assert [(row.job_id, row.job_state) for row in observed.rows] == [
        ("a", "Created"),
        ("a", "Executing"),
        ("b", "Executing"),
        ("a", "Executing"),
        ("b", "Failed"),
    ]


def test_the_head_is_read_down_to_the_horizon() -> None:
    """New jobs cost their pages, and the page on which the first older one stands is the last."""
    service = FakeService(rows_per_page=2)
    for age in (10, 20, 30, 40, 5000, 6000, 7000):
        service.create(f"{age}", age=age, state="Finished")

    observed = look(reader_of(service))

    assert service.calls == [*IDLE, "* * 2", "* * 4"]
    assert seen(observed).keys() == {"10", "20", "30", "40", "5000", "6000"}
    assert observed.head_seams == [Seam(START - 30, START - 20), Seam(START - 5000, START - 40)]


def test_a_first_poll_reads_no_history() -> None:
    """Without a horizon the head goes back no further than the slack."""
    service = FakeService(rows_per_page=2)
    for age in (10, SLACK_SECONDS + 10, 5000, 6000):
        service.create(f"{age}", age=age, state="Finished")

    observed = look(reader_of(service), Known(SMART))

    assert service.calls == IDLE
    assert not observed.is_truncated


def test_catching_up_is_truncated_at_lookback() -> None:
    """After a downtime longer than lookback the head is read that far, and the poll says so."""
    service = FakeService(rows_per_page=2)
    for days in (1, 2, 3, 4, 5, 6):
        service.create(f"{days}", age=days * DAY, state="Finished")

    within = look(reader_of(service), replace(KNOWN, horizon=START - 4 * DAY - 1), 5 * DAY)
    calls = len(service.calls)
    beyond = look(reader_of(service), replace(KNOWN, horizon=START - 9 * DAY), 3 * DAY - 1)

    assert (within.is_truncated, calls) == (False, 5)
    assert (beyond.is_truncated, len(service.calls) - calls) == (True, 4)


def test_start_of_the_poll() -> None:
    """A poll began when the service says, or when our clock says, whichever is earlier; its first answer counts."""
    for offset in (-30, 30):
        service = FakeService(now=START + offset)
        service.before[1] = partial(setattr, service, "now", START + 900)

        assert look(reader_of(service)).started_at == START + min(offset, 0)


def test_only_the_types_chosen() -> None:
    """One type is left to the service to filter; of several, the others' rows are passed over."""
    service = FakeService()
    service.create("a", job_type="ASR")
    service.create("t", job_type="TextToSpeech")

    one = look(reader_of(service, job_types=("ASR",)))
    several = look(reader_of(service, job_types=("ASR", "DynamicChart")))

    assert service.calls == ["ASR Created 0", "ASR Executing 0", "ASR * 0", *IDLE]
    assert seen(one).keys() == seen(several).keys() == {"a"}


def test_a_documented_state_must_be_listable() -> None:
    """A service that refuses the open lists fails the poll."""
    service = FakeService()
    service.refuse(BadRequestError("no"), 0)

    with pytest.raises(BadRequestError):
        look(reader_of(service))


def test_a_first_poll_reads_seams_again() -> None:
    """What the first poll's open lists may have missed would not be new later: seams are read again, elsewhere."""
    service = FakeService()
    for number in range(150):
        service.create(f"{number}", age=3600 - number)

    look(reader_of(service), Known(SMART))

    assert service.calls[:4] == ["* Created 0", "* Created 100", "* Created 0", "* Created 93"]
    assert service.calls.count("* Created 0") == 2


def test_a_first_poll_gives_up_on_a_seam_it_cannot_cover() -> None:
    """A list of jobs of the very same second is read four times, and no more."""
    service = FakeService()
    for number in range(200):
        service.create(f"{number}", age=3600)

    look(reader_of(service), Known(SMART))

    assert service.calls.count("* Created 0") == 1 + READINGS_OF_A_SEAM


def test_an_endless_list_is_an_error() -> None:
    """A service that gives the same page for ever fails the poll."""
    service = FakeService(rows_per_page=1)
    for job_id in ("a", "b"):
        service.create(job_id, age=10)
    page = service.jobs.page
    service.jobs.page = lambda **options: page(**{**options, "offset": 0})  # type: ignore[method-assign] # a stuck service

    with pytest.raises(BadResponseError):
        look(reader_of(service))


def test_page_sizes_alternate() -> None:
    """Seams do not stay in one place from poll to poll."""
    assert [page_size(polls) for polls in range(4)] == [100, 99, 100, 99]
