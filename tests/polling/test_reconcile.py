"""Each rule by which a job is counted once, by an example."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.jobs.kinds import SMART
from exporter.polling.pagination import Row, Seam
from exporter.polling.reconcile import (
    POLLS_UNTIL_DELETED,
    POLLS_UNTIL_DELETED_UNPROVEN,
    READINGS_OF_A_SEAM,
    SLACK_SECONDS,
    Known,
    Observed,
    OpenJob,
    OpenSeam,
    Outcome,
    reconcile,
)

BASELINE = 5_000
HORIZON = 10_000
NOW = HORIZON + SLACK_SECONDS + 60
OPEN = OpenJob("a", "ASR", "Created", HORIZON - 500)
KNOWN = Known(SMART, polls=3, horizon=HORIZON, proven_to=HORIZON, baseline=BASELINE, open_jobs={"a": OPEN})
EMPTY = replace(KNOWN, open_jobs={})


def row(state: str, created_at: int = HORIZON + 10, ended_at: int | None = None, job_id: str = "a") -> Row:
    """Returns a sighting of an ASR job."""
    return Row(job_id, "ASR", state, created_at, created_at + 5 if ended_at is None else ended_at)


def poll(known: Known, *rows: Row, started_at: int = NOW, absent: frozenset[str] = frozenset()) -> Outcome:
    """Returns what a poll changes that has seen these rows."""
    return reconcile(known, Observed(started_at, rows, absent))


def after_missing(polls: int, *, proven: bool) -> Outcome:
    """Returns what the last of so many polls changes that do not see the open job."""
    known = replace(KNOWN, open_jobs={"a": replace(OPEN, missing_polls=polls - 1)})
    return poll(known, absent=frozenset("a") if proven else frozenset())


def seams_after(known: Known, *seams: Seam, started_at: int = NOW) -> Outcome:
    """Returns what a poll changes whose walk of the head left these seams."""
    return reconcile(known, Observed(started_at, (), head_seams=seams))


def test_the_first_poll_counts_nothing() -> None:
    """What is there at a target's first poll is history: the open jobs are remembered, the ended ones too."""
    old = row("Created", 100, job_id="old"), row("Failed", NOW - 50, NOW - 10, job_id="failed")

    outcome = poll(Known(SMART), *old)

    assert (outcome.ended, outcome.created_types, outcome.deleted_types) == ((), (), ())
    assert outcome.open_jobs == (OpenJob("old", "ASR", "Created", 100),)
    assert outcome.history == old[1:]
    assert (outcome.baseline, outcome.horizon) == (NOW, NOW - SLACK_SECONDS)


def test_birth() -> None:
    """A job that is new and open is remembered, and its birth is counted."""
    outcome = poll(EMPTY, row("Executing"))

    assert outcome.open_jobs == (OpenJob("a", "ASR", "Executing", HORIZON + 10),)
    assert (outcome.created_types, outcome.ended) == (("ASR",), ())


def test_an_open_job_found_late() -> None:
    """An open job is taken in whenever it shows up; its birth counts, but for those of before the horizon."""
    new, late = row("Created", HORIZON, job_id="new"), row("Created", HORIZON - 1, job_id="late")

    outcome = poll(EMPTY, new, late)

    assert {job.job_id for job in outcome.open_jobs} == {"new", "late"}
    assert outcome.created_types == ("ASR",)


def test_step() -> None:
    """A known job in another open state is stored with it; one in the same state is not touched."""
    assert poll(KNOWN, row("Executing")).open_jobs == (replace(OPEN, job_state="Executing"),)
    assert poll(KNOWN, row("Created")).open_jobs == ()


@pytest.mark.parametrize("state", ["Finished", "Failed"])
def test_end(state: str) -> None:
    """A known job's end is counted, however old the job is, and the job is open no longer."""
    ended = row(state, OPEN.created_at)

    outcome = poll(KNOWN, ended)

    assert (outcome.ended, outcome.closed_ids, outcome.created_types) == ((ended,), ("a",), ())


def test_born_and_ended_between_two_polls() -> None:
    """A job met for the first time when it has ended is counted twice: as born and as ended."""
    ended = row("Failed")

    outcome = poll(EMPTY, ended)

    assert (outcome.ended, outcome.created_types, outcome.open_jobs) == ((ended,), ("ASR",), ())


def test_ended_before_the_horizon() -> None:
    """An unknown job that was created before the horizon, and has ended, was counted then; from there on it is new."""
    outcome = poll(EMPTY, row("Finished", HORIZON - 1, NOW, "before"), row("Finished", HORIZON, NOW, "at"))

    assert [ended.job_id for ended in outcome.ended] == ["at"]
    assert (outcome.history, outcome.created_types) == ((), ("ASR",))


def test_lately_ended() -> None:
    """A job whose end is counted already is passed over, even if a list still shows it open."""
    known = replace(EMPTY, lately_ended=frozenset("a"))

    outcome = poll(known, row("Executing"), row("Finished"))

    assert (outcome.ended, outcome.open_jobs, outcome.created_types) == ((), (), ())


def test_ended_before_the_first_poll_but_shown_after_it() -> None:
    """An end from before the target's first poll stays history, even if the job shows up within the horizon's slack."""
    known = replace(EMPTY, horizon=BASELINE - SLACK_SECONDS)
    ended = row("Failed", BASELINE - 60, BASELINE - 1)

    outcome = poll(known, ended)

    assert (outcome.ended, outcome.history, outcome.created_types) == ((), (ended,), ())


def test_born_before_the_first_poll_and_ended_after_it() -> None:
    """Such a job's end is counted, its birth is not."""
    known = replace(EMPTY, horizon=BASELINE - SLACK_SECONDS)

    outcome = poll(known, row("Failed", BASELINE - 60, BASELINE + 1))

    assert (len(outcome.ended), outcome.created_types) == (1, ())


@pytest.mark.parametrize(
    ("states", "last"),
    [
        (["Created", "Executing"], "Executing"),
        (["Executing", "Created"], "Created"),
        (["Created", "Finished"], "Finished"),
        (["Finished", "Executing"], "Finished"),
        (["Finished", "Executing", "Failed"], "Failed"),
        (["Failed", "Failed"], "Failed"),
    ],
)
def test_several_sightings(states: list[str], last: str) -> None:
    """The later sighting wins, but an end once seen stays; however often a job is seen, it is counted once."""
    outcome = poll(EMPTY, *map(row, states))

    open_states, ended_states = (
        [job.job_state for job in outcome.open_jobs],
        [ended.job_state for ended in outcome.ended],
    )
    assert open_states + ended_states == [last]
    assert outcome.created_types == ("ASR",)


@pytest.mark.parametrize(("proven", "needed"), [(True, POLLS_UNTIL_DELETED), (False, POLLS_UNTIL_DELETED_UNPROVEN)])
def test_deletion(proven: bool, needed: int) -> None:  # noqa: FBT001 - a parameter of the test
    """A job in no list is deleted after two polls that prove it, or after ten that do not; until then it stays open."""
    for polls in range(1, needed):
        before = after_missing(polls, proven=proven)
        assert before.open_jobs == (replace(OPEN, missing_polls=polls),)
        assert (before.deleted_types, before.closed_ids) == ((), ())

    outcome = after_missing(needed, proven=proven)

    assert (outcome.deleted_types, outcome.closed_ids, outcome.open_jobs) == (("ASR",), ("a",), ())
    assert (POLLS_UNTIL_DELETED, POLLS_UNTIL_DELETED_UNPROVEN) == (2, 10)


def test_found_again() -> None:
    """A job that was missing and is there again is as good as new."""
    known = replace(KNOWN, open_jobs={"a": replace(OPEN, missing_polls=9)})

    assert poll(known, row("Created")).open_jobs == (OPEN,)
    assert len(poll(known, row("Finished")).ended) == 1


@pytest.mark.parametrize(("started_at", "horizon"), [(NOW, NOW - SLACK_SECONDS), (HORIZON, HORIZON), (1, HORIZON)])
def test_horizon(started_at: int, horizon: int) -> None:
    """The horizon is the poll's start less the slack, and never goes back, though the service's clock may."""
    outcome = poll(KNOWN, started_at=started_at)

    assert (outcome.horizon, outcome.proven_to) == (horizon, horizon)


def test_a_seam_holds_the_horizon() -> None:
    """As long as a job may have slipped between two pages, the next polls read down to there again."""
    seam = Seam(HORIZON + 5, HORIZON + 20)

    outcome = seams_after(KNOWN, seam)

    assert (outcome.horizon, outcome.seams) == (HORIZON + 5, (OpenSeam(seam),))
    assert outcome.proven_to == NOW - SLACK_SECONDS


@pytest.mark.parametrize(
    "seam",
    [Seam(NOW - SLACK_SECONDS, NOW), Seam(HORIZON - 50, HORIZON - 1)],
    ids=["within the slack", "below the horizon"],
)
def test_seams_that_do_not_matter(seam: Seam) -> None:
    """What the next poll reads anyway, and what nobody needs to read, holds nothing up."""
    outcome = seams_after(replace(KNOWN, proven_to=HORIZON - 100), seam)

    assert (outcome.horizon, outcome.seams) == (NOW - SLACK_SECONDS, ())


def test_seams_below_the_horizon_are_cut() -> None:
    """A seam that begins below the horizon is read again from there on only."""
    outcome = seams_after(KNOWN, Seam(0, HORIZON + 20))

    assert (outcome.horizon, outcome.seams) == (HORIZON, (OpenSeam(Seam(HORIZON, HORIZON + 20)),))


def test_a_seam_read_again() -> None:
    """What is left uncovered by a second reading is read again; what it has covered is done."""
    held = replace(KNOWN, proven_to=HORIZON + 60, seams=(OpenSeam(Seam(HORIZON, HORIZON + 50)),))
    left = Seam(HORIZON + 10, HORIZON + 12)

    assert seams_after(held, left).seams == (OpenSeam(left, readings=2),)
    assert seams_after(held).seams == ()
    assert seams_after(held, Seam(HORIZON + 51, HORIZON + 59)).seams == ()


def test_a_seam_that_cannot_be_covered() -> None:
    """After three readings a seam is given up, so that the horizon goes on."""
    seam = Seam(HORIZON, HORIZON + 10)
    known, readings = replace(KNOWN, proven_to=HORIZON), list[int]()
    for _ in range(READINGS_OF_A_SEAM + 1):
        outcome = seams_after(known, seam)
        readings.append(sum(again.readings for again in outcome.seams))
        known = replace(known, horizon=outcome.horizon, proven_to=outcome.proven_to, seams=outcome.seams)

    assert readings == [*range(1, READINGS_OF_A_SEAM + 1), 0]
    assert known.horizon == NOW - SLACK_SECONDS


def test_truncated() -> None:
    """That the head was not read down to the horizon is passed on."""
    assert reconcile(KNOWN, Observed(NOW, (), is_truncated=True)).is_truncated
    assert not poll(KNOWN).is_truncated


def test_an_ended_job_without_any_time_is_never_new() -> None:
    """Its place in the list says nothing of its age: only the end of a known open job counts."""
    undated = row("Failed", NOW - 5)._replace(modified_at=None, is_dated=False)

    assert poll(EMPTY, undated).ended == ()
    assert [row.job_id for row in poll(KNOWN, undated).ended] == ["a"]


def test_an_end_whose_time_is_not_told() -> None:
    """A known job that ended without saying when has ended by the poll that noticed it."""
    (ended,) = poll(KNOWN, row("Failed", OPEN.created_at)._replace(modified_at=None)).ended

    assert (ended.modified_at, ended.ended_at) == (None, NOW)


def test_an_undocumented_state_is_forgotten_with_the_lookback() -> None:
    """Nobody knows whether such a state is an end: its jobs leave with the lookback, and do not come back as new."""
    known, sighting = replace(KNOWN, open_jobs={"a": replace(OPEN, job_state="Cancelled")}), row("Cancelled", 9_500)

    def after(known: Known, oldest: int, *rows: Row) -> tuple[tuple[str, ...], tuple[str, ...], tuple[OpenJob, ...]]:
        outcome = reconcile(known, Observed(NOW, rows, oldest=oldest))
        assert (outcome.ended, outcome.deleted_types) == ((), ())
        return outcome.closed_ids, outcome.created_types, outcome.open_jobs

    assert after(known, OPEN.created_at, sighting) == ((), (), ())
    assert after(known, OPEN.created_at + 1, sighting) == (("a",), (), ())
    assert after(known, OPEN.created_at + 1) == (("a",), (), ())
    assert after(EMPTY, OPEN.created_at + 1, sighting) == ((), (), ())


@pytest.mark.parametrize("state", ["Executing", "Finished"])
def test_a_documented_state_is_never_forgotten(state: str) -> None:
    """However old, a job that is open or ends is kept and counted."""
    known = replace(KNOWN, open_jobs={"a": replace(OPEN, job_state="Paused")})

    outcome = reconcile(known, Observed(NOW, (row(state, OPEN.created_at),), oldest=NOW))

    assert [job.job_state for job in outcome.open_jobs] == (["Executing"] if state == "Executing" else [])
    assert [job.job_state for job in outcome.ended] == (["Finished"] if state == "Finished" else [])


def test_a_job_that_was_not_looked_for_is_not_missing() -> None:
    """Only the polls that looked for a job, and did not find it, count towards its deletion."""
    known = replace(KNOWN, open_jobs={"a": replace(OPEN, missing_polls=POLLS_UNTIL_DELETED_UNPROVEN - 1)})

    unseen = reconcile(known, Observed(NOW, (), not_sought=frozenset("a")))

    assert (unseen.deleted_types, unseen.open_jobs, poll(known).deleted_types) == ((), (), ("ASR",))
