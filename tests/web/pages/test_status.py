"""The status page: targets, stuck jobs, and jobs by type and state."""

from __future__ import annotations

from dataclasses import replace

from exporter.jobs.snapshot import Health, PastCounts, PollKey, TargetView, WaitingJob
from tests.support.rendered_page import see
from tests.support.scenarios import BUSY, DOWN, EMPTY, KEY, NOW, UP

SCRIPT = "<script>alert('x')</script>"
WORKING = TargetView(KEY, BUSY, UP)
BROKEN = TargetView(PollKey("staging", "cn-beijing", "smart"), replace(EMPTY, taken_at=NOW - 7200), DOWN)
WAITING = TargetView(PollKey("new", "cn-hangzhou", "smart"))


def waiting(job_id: str, job_type: str, age: float) -> WaitingJob:
    """Returns an open job of an age."""
    return WaitingJob(job_id, job_type, "Executing", int(NOW - age))


def test_shows_every_target() -> None:
    """A target has its state, the age of its last success, its counts, its survey, and its last error."""
    page = see("/", WORKING, BROKEN, WAITING)

    assert "IMS exporter 1.2.3" in page.lines
    start = page.lines.index("Target | State | Last success | Open | Failed 1 h | Failed 24 h | Survey")
    assert page.lines[start + 1 : start + 5] == [
        "prod cn-shanghai smart | up | 12 s ago | 2 | 1 | 3 failures of prod/cn-shanghai/smart | complete",
        "staging cn-beijing smart | down forbidden stale | 6 min ago | 0 | - | - | 25% 25%",
        DOWN.last_error,
        "new cn-hangzhou smart | waiting | never | - | - | - | 0% 0%",
    ]


def test_summary() -> None:
    """The first lines count the targets that are up, and the open, stuck and failed jobs."""
    late = replace(BUSY, oldest_jobs=(waiting("a", "ASR", 7201),))

    assert "Status\ntargets up | 1 of 2\nopen jobs | 2\nstuck jobs | 1\nfailed within 1 h | 1" in (
        see("/", TargetView(KEY, late, UP), BROKEN).text
    )


def test_survey_is_a_bar_until_it_is_complete() -> None:
    """The progress of a survey is a bar with its percentage as text."""
    assert see("/", BROKEN).of("progress") == [{"max": "1", "value": "0.250", "aria-label": "Survey"}]
    assert see("/", WORKING).of("progress") == []


def test_target_leads_to_its_details_and_failures() -> None:
    """The name of a target leads to its page, its failures to the list of them."""
    links = see("/", WORKING).links()

    assert "/targets?account=prod&region_id=cn-shanghai&job_kind=smart" in links
    assert "/failures?account=prod&region_id=cn-shanghai&job_kind=smart" in links


def test_shows_the_jobs_of_every_target() -> None:
    """Each target has its jobs by type and state; a count that is not known is a dash."""
    surveyed_not_yet = {pair: count for pair, count in BUSY.jobs.items() if pair[1] in {"Created", "Executing"}}
    text = see("/", WORKING, TargetView(KEY, replace(BUSY, jobs=surveyed_not_yet), UP), WAITING).text

    assert "Type | Created | Executing | Finished | Failed\n" in text
    assert "ASR | 0 | 2 | 12,345,678 | 3\n" in text
    assert "ASR | 0 | 2 | - | -\n" in text
    assert "new / cn-hangzhou / smart: no successful poll yet" in text


def test_counts_have_their_past() -> None:
    """A count that two polls have read has a sparkline; failed jobs have one of another colour."""
    before = PastCounts(NOW - 72, {**BUSY.jobs, ("ASR", "Failed"): 1, ("ASR", "Executing"): 9})
    view = TargetView(KEY, BUSY, UP, (before, PastCounts(NOW - 12, BUSY.jobs)))

    lines = [(line["class"], line.get("aria-label")) for line in see("/", view).of("svg")]

    assert len(lines) == 16
    assert [line for line in lines if line[1]] == [
        ("spark", "2 to 9 in the last 1 min"),
        ("spark failed", "1 to 3 in the last 1 min"),
    ]


def test_stuck_jobs() -> None:
    """Jobs older than the threshold of their type are listed; other types have a threshold too."""
    jobs = (waiting("late", "ASR", 9000), waiting("right", "ASR", 7200), waiting("new-type", "Avatar", 90000))

    text = see("/", TargetView(KEY, replace(BUSY, oldest_jobs=jobs), UP)).text

    assert "late | prod cn-shanghai smart | ASR | Executing | 2 h 30 min | 2 h\n" in text
    assert "new-type | prod cn-shanghai smart | Avatar | Executing | 1 d 1 h | 6 h\n" in text
    assert "right" not in text


def test_no_stuck_job() -> None:
    """Without stuck jobs the page says how many jobs it has checked."""
    assert "None of the 20 oldest jobs of each target is stuck." in see("/", WORKING).text


def test_unknown_types_and_states_follow_the_known() -> None:
    """A type or state that the service does not document gets a row or column of its own."""
    text = see("/", TargetView(KEY, replace(EMPTY, jobs={("Avatar", "Paused"): 7}), UP)).text

    assert "Type | Created | Executing | Finished | Failed | Paused\n" in text
    assert "TextToSpeech | - | - | - | - | -\nAvatar | - | - | - | - | 7\n" in text


def test_unknown_state_counts_as_open() -> None:
    """A job in a state that is not documented counts as open."""
    jobs = {("ASR", "Paused"): 7, ("ASR", "Executing"): 1, ("ASR", "Failed"): 5}

    assert "open jobs | 8\n" in see("/", TargetView(KEY, replace(EMPTY, jobs=jobs), UP)).text


def test_many_targets_are_folded() -> None:
    """The jobs of more than three targets are folded."""
    assert "open=" in see("/", WORKING).names()
    assert "open=" not in see("/", *[WORKING] * 4).names()


def test_no_targets() -> None:
    """Without targets the page says so."""
    assert "No targets." in see("/").text


def test_escapes_what_comes_from_outside() -> None:
    """Names, types, states, reasons, ids and errors never become markup."""
    evil = f"{SCRIPT}\"' onload=x"
    health = Health(up=False, last_error=evil, last_reason=evil)
    job = WaitingJob(evil, evil, evil, 0)
    snapshot = replace(EMPTY, jobs={(evil, evil): 1}, oldest_jobs=(job,), failed_recent={(evil, "24h"): 1})

    seen = see("/", TargetView(PollKey(evil, evil, "smart"), snapshot, health))

    assert not {"script", "onload="} & seen.names()
    assert seen.text.count(evil) == 15
