"""Each rule by which a job is counted once, by an example."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from exporter.jobs.kinds import SMART
from exporter.polling.reconcile import (
    MAX_GAP_READINGS,
    MAX_LAG_SECONDS,
    MIN_SLACK_SECONDS,
    POLLS_UNTIL_DELETED,
    POLLS_UNTIL_DELETED_UNPROVEN,
    QUIET_READINGS,
    QUIET_TIE_READINGS,
    reconcile,
    slack_of,
)
from exporter.polling.records import GoneJob, Known, Observed, OpenGap, OpenJob, Outcome, PageGap, Row

BASELINE = 5_000
HORIZON = 10_000
NOW = HORIZON + MIN_SLACK_SECONDS + 60
OPEN = OpenJob("a", "ASR", "Created", HORIZON - 500)
KNOWN = Known(
    SMART,
    polls=3,
    polled_at=NOW - 60,
    deep_at=HORIZON + MAX_LAG_SECONDS + MIN_SLACK_SECONDS,
    horizon=HORIZON,
    remembered_since=HORIZON,
    proven_to=HORIZON,
    baseline=BASELINE,
    open_jobs={"a": OPEN},
)
EMPTY = replace(KNOWN, open_jobs={})


def row(state: str, created_at: int = HORIZON + 10, ended_at: int | None = None, job_id: str = "a") -> Row:
    """Returns a sighting of an ASR job."""
    return Row(job_id, "ASR", state, created_at, created_at + 5 if ended_at is None else ended_at)


def observed(*rows: Row, started_at: int = NOW, is_deep: bool = False, **fields: Any) -> Observed:  # noqa: ANN401 - for Observed
    """Returns what a poll has read, by default with the usual overlap."""
    return Observed(started_at, is_deep, fields.pop("slack_seconds", MIN_SLACK_SECONDS), rows, **fields)


def poll(known: Known, *rows: Row, **fields: Any) -> Outcome:  # noqa: ANN401 - for Observed
    """Returns what a poll changes that has seen these rows."""
    return reconcile(known, observed(*rows, **fields))


def deletion(known: Known, polls: int, interval: int = 60, **fields: frozenset[str]) -> tuple[int, Outcome]:
    """Returns the number of polls that miss the open job until it is deleted, at most `polls`, and the last outcome."""
    for number in range(1, polls + 1):
        outcome = poll(known, started_at=NOW + (number - 1) * interval, **fields)
        if outcome.deleted:
            break
        (missing,) = outcome.open_jobs
        assert missing.missing_polls == number
        assert outcome.closed_ids == ()
        known = replace(known, open_jobs={"a": missing})
    return number, outcome


def gaps_after(known: Known, *gaps: PageGap, started_at: int = NOW, rows: tuple[Row, ...] = ()) -> Outcome:
    """Returns what a poll changes whose reading of all jobs left these page gaps."""
    return poll(known, *rows, started_at=started_at, newest_gaps=gaps)


def after(known: Known, outcome: Outcome) -> Known:
    """Returns what is known after a poll, as far as page gaps go."""
    return replace(
        known,
        polls=known.polls + 1,
        polled_at=outcome.started_at,
        horizon=outcome.horizon,
        remembered_since=outcome.remembered_since,
        proven_to=outcome.proven_to,
        gaps=outcome.gaps,
    )


def test_the_first_poll_counts_nothing() -> None:
    """What is there at a target's first poll is history: the open jobs are remembered, the ended ones too."""
    old = row("Created", 100, job_id="old"), row("Failed", NOW - 50, NOW - 10, job_id="failed")

    outcome = poll(Known(SMART), *old)

    assert (outcome.ended, outcome.created_types, outcome.deleted) == ((), (), ())
    assert outcome.open_jobs == (OpenJob("old", "ASR", "Created", 100),)
    assert outcome.history == old[1:]
    assert (outcome.baseline, outcome.horizon) == (NOW, NOW - MIN_SLACK_SECONDS)


def test_birth() -> None:
    """A job that is new and open is remembered, and its birth is counted."""
    outcome = poll(EMPTY, row("Executing"))

    assert outcome.open_jobs == (OpenJob("a", "ASR", "Executing", HORIZON + 10),)
    assert (outcome.created_types, outcome.ended) == (("ASR",), ())


def test_an_open_job_found_late() -> None:
    """An open job is taken in whenever it shows up; its birth counts if it is as young as the jobs remembered."""
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

    assert (
        tuple(each._replace(noticed_at=None) for each in outcome.ended),
        outcome.closed_ids,
        outcome.created_types,
    ) == ((ended,), ("a",), ())


def test_born_and_ended_between_two_polls() -> None:
    """A job met for the first time when it has ended is counted twice: as born and as ended."""
    ended = row("Failed")

    outcome = poll(EMPTY, ended)

    noticed = (ended._replace(noticed_at=NOW),)
    assert (outcome.ended, outcome.created_types, outcome.open_jobs) == (noticed, ("ASR",), ())


def test_ended_before_those_remembered() -> None:
    """An unknown ended job is new if it was created since the moment from which on all ended jobs are remembered."""
    outcome = poll(EMPTY, row("Finished", HORIZON - 1, NOW, "before"), row("Finished", HORIZON, NOW, "at"))

    assert [ended.job_id for ended in outcome.ended] == ["at"]
    assert (outcome.history, outcome.created_types) == ((), ("ASR",))


def test_ended_and_remembered() -> None:
    """A job whose end is counted already is passed over, even if a list still shows it open."""
    known = replace(EMPTY, ended_ids=frozenset("a"))

    outcome = poll(known, row("Executing"), row("Finished"))

    assert (outcome.ended, outcome.open_jobs, outcome.created_types) == ((), (), ())


def test_ended_before_the_first_poll_but_shown_after_it() -> None:
    """An end from before the target's first poll stays history, even if the job shows up within the horizon's slack."""
    known = replace(EMPTY, horizon=BASELINE - MIN_SLACK_SECONDS, remembered_since=BASELINE - MIN_SLACK_SECONDS)
    ended = row("Failed", BASELINE - 60, BASELINE - 1)

    outcome = poll(known, ended)

    assert (outcome.ended, outcome.history, outcome.created_types) == ((), (ended,), ())


def test_born_before_the_first_poll_and_ended_after_it() -> None:
    """Such a job's end is counted, its birth is not."""
    known = replace(EMPTY, horizon=BASELINE - MIN_SLACK_SECONDS, remembered_since=BASELINE - MIN_SLACK_SECONDS)

    outcome = poll(known, row("Failed", BASELINE - 60, BASELINE + 1))

    assert (len(outcome.ended), outcome.created_types) == (1, ())


@pytest.mark.parametrize(
    ("states", "last"),
    [
        (["Created", "Executing"], "Executing"),
        (["Executing", "Created"], "Executing"),
        (["Created", "Finished"], "Finished"),
        (["Finished", "Executing"], "Finished"),
        (["Finished", "Executing", "Failed"], "Failed"),
        (["Failed", "Failed"], "Failed"),
        (["Paused", "Created"], "Created"),
        (["Executing", "Paused"], "Paused"),
    ],
)
def test_several_sightings(states: list[str], last: str) -> None:
    """The most advanced sighting wins, since rows may be behind; of undocumented states the last. It counts once."""
    outcome = poll(EMPTY, *map(row, states))

    open_states, ended_states = (
        [job.job_state for job in outcome.open_jobs],
        [ended.job_state for ended in outcome.ended],
    )
    assert open_states + ended_states == [last]
    assert outcome.created_types == ("ASR",)


def test_deletion_that_the_details_call_confirms() -> None:
    """A job that no list shows, and that the details call does not know, is deleted by the second such poll."""
    gone = frozenset("a")

    polls, outcome = deletion(KNOWN, 9, absent=gone, denied=gone)

    assert (polls, POLLS_UNTIL_DELETED) == (2, 2)
    assert [job.job_id for job in outcome.deleted] == ["a"]
    assert (outcome.closed_ids, outcome.open_jobs) == (("a",), ())


def test_a_denial_alone_deletes_nothing() -> None:
    """A details call that does not know a job is a hint; as long as the lists prove nothing, the job stays open."""
    assert not deletion(KNOWN, 30, denied=frozenset("a"))[1].deleted


def test_a_deletion_without_the_details_call_takes_15_minutes() -> None:
    """Lists may be late or empty for a while, so that their word alone counts after 15 minutes only."""
    gone = frozenset("a")

    assert deletion(KNOWN, 30, absent=gone, proven_absent=gone)[0] == 1 + MAX_LAG_SECONDS // 60
    assert deletion(KNOWN, 30, 900, absent=gone, proven_absent=gone)[0] == POLLS_UNTIL_DELETED


def test_a_deletion_within_a_page_gap_takes_ten_polls() -> None:
    """A job whose second no page covers may be hidden in a page gap: ten polls have to miss it."""
    assert deletion(KNOWN, 30, 900, absent=frozenset("a"))[0] == POLLS_UNTIL_DELETED_UNPROVEN == 10


def test_a_job_that_no_list_was_read_for_is_not_deleted() -> None:
    """Polls that did not read the list of all jobs down to the job prove nothing, however many there are."""
    assert not deletion(KNOWN, 30, 900)[1].deleted


@pytest.mark.parametrize(("state", "ended"), [("Executing", 0), ("Failed", 1)])
def test_a_deleted_job_that_comes_back(state: str, ended: int) -> None:
    """It is recognised, however old it is: it is open again, or its end is counted; its creation is not counted."""
    gone = replace(EMPTY, gone={"a": GoneJob("ASR", OPEN.created_at, NOW - 600)})

    outcome = poll(gone, row(state, OPEN.created_at))

    assert (outcome.returned_ids, outcome.created_types) == (("a",), ())
    assert (len(outcome.ended), len(outcome.open_jobs)) == (ended, 1 - ended)


def test_found_again() -> None:
    """A job that was missing and is there again is as good as new."""
    missing = replace(OPEN, missing_polls=9, absent_polls=9, missing_since=NOW - 800)
    known = replace(KNOWN, open_jobs={"a": missing})

    assert poll(known, row("Created")).open_jobs == (OPEN,)
    assert len(poll(known, row("Finished")).ended) == 1


@pytest.mark.parametrize(("started_at", "horizon"), [(NOW, NOW - MIN_SLACK_SECONDS), (HORIZON, HORIZON), (1, HORIZON)])
def test_horizon(started_at: int, horizon: int) -> None:
    """The horizon is the poll's start less the slack, and never goes back, though the service's clock may."""
    outcome = poll(KNOWN, started_at=started_at)

    assert (outcome.horizon, outcome.proven_to) == (horizon, horizon)


def test_the_horizon_goes_back_when_the_slack_grows() -> None:
    """Lists that are found to be late are read further back by the next polls, but not beyond what is remembered."""
    remembering = replace(KNOWN, remembered_since=HORIZON - 700)

    assert poll(remembering, slack_seconds=600).horizon == NOW - 600
    assert poll(remembering, slack_seconds=900).horizon == HORIZON - 700


def test_ended_jobs_are_remembered_15_minutes_beyond_the_last_deep_poll() -> None:
    """A deep poll can be told by the ids which of the ended jobs that late lists show only now are new."""
    assert poll(KNOWN, started_at=NOW + 900).remembered_since == HORIZON
    deep = poll(KNOWN, started_at=NOW + 900, is_deep=True)
    assert deep.remembered_since == NOW - MIN_SLACK_SECONDS == HORIZON + 60


def test_an_open_gap_holds_the_horizon() -> None:
    """As long as a job may have slipped between two pages, the next polls read down to there again."""
    gap = PageGap(HORIZON + 5, HORIZON + 20)

    outcome = gaps_after(KNOWN, gap)

    assert (outcome.horizon, outcome.gaps) == (HORIZON + 5, (OpenGap(gap),))
    assert outcome.proven_to == NOW - MIN_SLACK_SECONDS


@pytest.mark.parametrize(
    "gap",
    [PageGap(NOW - MIN_SLACK_SECONDS + 1, NOW), PageGap(HORIZON - 50, HORIZON - 1)],
    ids=["within the slack", "below the horizon"],
)
def test_gaps_that_do_not_matter(gap: PageGap) -> None:
    """What the next poll reads anyway, and what nobody needs to read, holds nothing up."""
    outcome = gaps_after(replace(KNOWN, proven_to=HORIZON - 100), gap)

    assert (outcome.horizon, outcome.gaps) == (NOW - MIN_SLACK_SECONDS, ())


def test_gaps_below_the_horizon_are_cut() -> None:
    """A gap that begins below the horizon is read again from there on only."""
    outcome = gaps_after(KNOWN, PageGap(0, HORIZON + 20))

    assert (outcome.horizon, outcome.gaps) == (HORIZON, (OpenGap(PageGap(HORIZON, HORIZON + 20)),))


def test_a_gap_read_again() -> None:
    """What is left uncovered by a second reading is read again; what it has covered is closed."""
    held = replace(KNOWN, proven_to=HORIZON + 60, gaps=(OpenGap(PageGap(HORIZON, HORIZON + 50)),))
    left = PageGap(HORIZON + 10, HORIZON + 12)

    assert gaps_after(held, left).gaps == (OpenGap(left, readings=2, quiet_readings=1),)
    assert gaps_after(held).gaps == ()
    assert gaps_after(held, PageGap(HORIZON + 51, HORIZON + 59)).gaps == ()


@pytest.mark.parametrize(
    ("gap", "quiet", "readings"),
    [
        (PageGap(HORIZON, HORIZON + 10), QUIET_READINGS, 1 + 2),
        (PageGap(HORIZON, HORIZON), QUIET_TIE_READINGS, 1 + 6),
    ],
)
def test_a_gap_that_no_page_covers(gap: PageGap, quiet: int, readings: int) -> None:
    """It is closed after two further readings that show no unknown job in it, after six if it is one second long."""
    known, read = replace(KNOWN, proven_to=HORIZON), 0
    while True:
        outcome = gaps_after(known, gap)
        read += 1
        known = after(known, outcome)
        if not outcome.gaps:
            break

    assert read == readings == 1 + quiet
    assert outcome.gaps_given_up == 0
    assert known.horizon == NOW - MIN_SLACK_SECONDS


def test_a_gap_that_goes_on_showing_unknown_jobs() -> None:
    """Each unknown job in it starts the count of quiet readings again; after thirty readings it is given up."""
    gap, given_up = PageGap(HORIZON, HORIZON + 10), list[int]()
    known = replace(EMPTY, proven_to=HORIZON)
    for number in range(MAX_GAP_READINGS + 2):
        outcome = gaps_after(known, gap, rows=(row("Finished", HORIZON + 5, job_id=f"{number}"),))
        given_up.append(outcome.gaps_given_up)
        known = after(known, outcome)

    assert given_up == [*[0] * MAX_GAP_READINGS, 1, 0]
    assert MAX_GAP_READINGS == 30


def test_truncated() -> None:
    """That the newest jobs were not read down to the horizon is passed on."""
    assert poll(KNOWN, is_truncated=True).is_truncated
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

    def changes(known: Known, oldest: int, *rows: Row) -> tuple[tuple[str, ...], tuple[str, ...], tuple[OpenJob, ...]]:
        outcome = poll(known, *rows, oldest=oldest)
        assert (outcome.ended, outcome.deleted) == ((), ())
        return outcome.closed_ids, outcome.created_types, outcome.open_jobs

    assert changes(known, OPEN.created_at, sighting) == ((), (), ())
    assert changes(known, OPEN.created_at + 1, sighting) == (("a",), (), ())
    assert changes(known, OPEN.created_at + 1) == (("a",), (), ())
    assert changes(EMPTY, OPEN.created_at + 1, sighting) == ((), (), ())


@pytest.mark.parametrize("state", ["Executing", "Finished"])
def test_a_documented_state_is_never_forgotten(state: str) -> None:
    """However old, a job that is open or ends is kept and counted."""
    known = replace(KNOWN, open_jobs={"a": replace(OPEN, job_state="Paused")})

    outcome = poll(known, row(state, OPEN.created_at), oldest=NOW)

    assert [job.job_state for job in outcome.open_jobs] == (["Executing"] if state == "Executing" else [])
    assert [job.job_state for job in outcome.ended] == (["Finished"] if state == "Finished" else [])


def test_a_job_that_was_not_looked_for_is_not_missing() -> None:
    """Only the polls that looked for a job, and did not find it, count towards its deletion."""
    missing = replace(OPEN, missing_polls=9, absent_polls=9, missing_since=NOW - MAX_LAG_SECONDS)
    known = replace(KNOWN, open_jobs={"a": missing})

    unseen = poll(known, unchecked=frozenset("a"))

    assert (unseen.deleted, unseen.open_jobs) == ((), ())
    assert poll(known, absent=frozenset("a")).deleted


def test_a_row_that_is_behind_moves_no_job_back() -> None:
    """A list may show the state of before: a job never goes back to an earlier documented state."""
    running = replace(KNOWN, open_jobs={"a": replace(OPEN, job_state="Executing")})

    assert poll(running, row("Created", OPEN.created_at)).open_jobs == ()
    assert poll(running, row("Paused", OPEN.created_at)).open_jobs == (replace(OPEN, job_state="Paused"),)


def test_a_type_that_is_null_at_first() -> None:
    """A job whose type was unknown takes the type that a later row gives; a known type stays."""
    untyped = replace(KNOWN, open_jobs={"a": replace(OPEN, job_type="unknown")})
    as_unknown = row("Created", OPEN.created_at)._replace(job_type="unknown")

    assert poll(untyped, row("Created", OPEN.created_at)).open_jobs == (OPEN,)
    assert poll(KNOWN, as_unknown).open_jobs == ()


def test_a_first_sighting_proves_how_late_the_lists_are() -> None:
    """A job first seen now that was created before the last poll was in no list then; beyond the slack it is late."""
    remembering = replace(EMPTY, remembered_since=HORIZON - 700)

    within = poll(remembering, row("Executing", NOW - 60 - 100))
    late = poll(remembering, row("Failed", HORIZON - 30))
    new = poll(remembering, row("Failed", NOW - 60))

    assert (within.lag_seconds, within.late_jobs) == (100, 0)
    assert (late.lag_seconds, late.late_jobs) == (NOW - 60 - (HORIZON - 30), 1)
    assert (new.lag_seconds, new.late_jobs) == (0, 0)


def test_lateness_is_not_inferred_from_what_was_not_polled() -> None:
    """The first poll, a type that is polled for the first time, and a page gap say nothing about the lists."""
    old = row("Created", HORIZON - 300)

    assert poll(Known(SMART), old).lag_seconds == 0
    assert poll(replace(EMPTY, polled_since={"ASR": NOW}), old).lag_seconds == 0
    assert poll(replace(EMPTY, gaps=(OpenGap(PageGap(HORIZON - 300, HORIZON - 300)),)), old).lag_seconds == 0
    assert poll(EMPTY, old).lag_seconds > 0


def test_lateness_fades_slowly() -> None:
    """After six hours a third of it is left; below a second it is forgotten."""
    late = replace(EMPTY, lag_seconds=300.0)

    assert 105 < poll(late, started_at=NOW - 60 + 6 * 3600).lag_seconds < 115
    assert poll(late, started_at=NOW + 48 * 3600).lag_seconds == 0


@pytest.mark.parametrize(
    ("lag", "pause", "slack"),
    [(0, 60, 120), (0, 4000, 120), (20, 60, 120), (150, 60, 240), (700, 300, 900), (9999, 60, 900)],
)
def test_slack(lag: float, pause: int, slack: int) -> None:
    """Polls overlap by two minutes, or by the lateness seen and the time since the last poll, 15 minutes at most."""
    assert slack_of(replace(EMPTY, lag_seconds=float(lag)), NOW - 60 + pause) == slack
    assert slack_of(Known(SMART), NOW) == MIN_SLACK_SECONDS
