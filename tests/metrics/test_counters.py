"""The process counts polls, requests and waits of the targets that were added, in a bounded number of series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.jobs.kinds import KINDS
from exporter.jobs.snapshot import PollKey
from exporter.metrics.table import MAX_CODES, REASONS
from tests.support.scenarios import KEY, instruments_of_key

if TYPE_CHECKING:
    from exporter.metrics.counters import Instruments

ACTIONS = KINDS[KEY.job_kind].actions
LIST = ACTIONS[0]


def codes(instruments: Instruments) -> set[str]:
    """Returns the codes of requests that are counted."""
    return {code for _, code in instruments.counts[KEY].requests}


def test_series_start_at_zero() -> None:
    """All series that are known beforehand are there before anything happens."""
    counts = instruments_of_key().counts[KEY]

    assert counts.polls == 0
    assert counts.poll_failures == dict.fromkeys(REASONS, 0)
    assert counts.requests == {(action, "OK"): 0 for action in ACTIONS}
    assert set(counts.request_seconds) == set(ACTIONS)
    assert instruments_of_key().waits == {KEY.account: 0.0}


def test_polls_are_attempts() -> None:
    """Every poll that ended counts, a failed one by its reason too; an unknown reason is `other`."""
    instruments = instruments_of_key()

    instruments.observe_poll(KEY, 1.0, None)
    instruments.observe_poll(KEY, 2.0, "timeout")
    instruments.observe_poll(KEY, 3.0, "surprise")

    counts = instruments.counts[KEY]
    assert (counts.polls, counts.poll_seconds.sum_seconds) == (3, 6.0)
    assert [counts.poll_failures[reason] for reason in ("timeout", "other", "auth")] == [1, 1, 0]


@pytest.mark.parametrize(("seconds", "place"), [(0.0, 0), (0.1, 0), (0.11, 1), (300.0, 10), (300.1, 11)])
def test_an_observation_is_in_the_bucket_whose_bound_it_does_not_exceed(seconds: float, place: int) -> None:
    """The upper bound of a bucket belongs to it; what exceeds all bounds is in the last bucket."""
    instruments = instruments_of_key()

    instruments.observe_poll(KEY, seconds, None)

    counts = instruments.counts[KEY].poll_seconds.counts
    assert [index for index, count in enumerate(counts) if count] == [place]


def test_adding_a_target_again_changes_nothing() -> None:
    """A target that is added twice keeps its counts."""
    instruments = instruments_of_key()
    instruments.observe_poll(KEY, 1.0, None)

    instruments.add_target(KEY)

    assert instruments.counts[KEY].polls == 1


def test_counts_that_were_read_never_change() -> None:
    """An event replaces the counts of its target."""
    instruments = instruments_of_key()
    before = instruments.counts[KEY]

    instruments.observe_poll(KEY, 1.0, "auth")
    instruments.observe_request(KEY, LIST, "OK", 0.1)

    assert before == instruments_of_key().counts[KEY]


@pytest.mark.parametrize("code", ["", "a b", 'x"', "x" * 65, "中", "a\n", "\ud800"])
def test_odd_codes_are_other(code: str) -> None:
    """An error code is shown only if it is a short word."""
    instruments = instruments_of_key()

    instruments.observe_request(KEY, LIST, code, 0.1)

    assert codes(instruments) == {"OK", "other"}


def test_codes_are_bounded() -> None:
    """A target shows `MAX_CODES` codes, `OK` among them, and `other` for all that follow."""
    instruments = instruments_of_key()

    for number in range(100):
        instruments.observe_request(KEY, LIST, f"Code.{number}", 0.1)

    assert codes(instruments) == {"OK", "other", *(f"Code.{n}" for n in range(MAX_CODES - 1))}


def test_removed_targets_are_not_counted_again() -> None:
    """A removed target has no counts, not even of a call that was still in flight; its account goes with the last."""
    instruments = instruments_of_key()
    other = PollKey(KEY.account, "cn-beijing", "smart")
    instruments.add_target(other)

    instruments.remove_target(KEY)
    instruments.observe_request(KEY, LIST, "OK", 0.1)
    instruments.observe_poll(KEY, 0.1, None)
    instruments.add_rate_limit_wait(KEY.account, 2.0)

    assert list(instruments.counts) == [other]
    assert instruments.waits == {KEY.account: 2.0}
    instruments.remove_target(other)
    instruments.add_rate_limit_wait(KEY.account, 2.0)
    assert (instruments.counts, instruments.waits) == ({}, {})
