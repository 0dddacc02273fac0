"""The status page tells how every target fares, in plain escaped HTML."""

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
    """Each target has its state, the age of its last success, its counts, its survey, and its last error."""
    text = see("/", WORKING, BROKEN, WAITING).text

    assert "IMS exporter 1.2.3" in text
    assert "prod cn-shanghaiup12 s ago213 failures of prod/cn-shanghaicomplete" in text
    assert f"staging cn-beijingdown forbidden stale6 min ago0--25% 25%\n{DOWN.last_error}" in text
    assert "new cn-hangzhouwaitingnever---0% 0%" in text


def test_sums_up() -> None:
    """The first lines tell how many targets are up, and how many jobs are open, late and failed."""
    late = replace(BUSY, oldest_jobs=(waiting("a", "ASR", 7201),))

    assert "Status\ntargets up1 of 2jobs open2open for too long1failed within 1 h1" in (
        see("/", TargetView(KEY, late, UP), BROKEN).text
    )


def test_survey_is_a_bar_until_it_is_complete() -> None:
    """The progress of a survey is a bar with its share in words."""
    assert see("/", BROKEN).of("progress") == [{"max": "1", "value": "0.250", "aria-label": "Survey"}]
    assert see("/", WORKING).of("progress") == []


def test_target_leads_to_its_details_and_failures() -> None:
    """The name of a target leads to its page, its failures to the list of them."""
    links = see("/", WORKING).links()

    assert "/targets?account=prod&region_id=cn-shanghai" in links
    assert "/failures?account=prod&region_id=cn-shanghai" in links


def test_shows_the_jobs_of_every_target() -> None:
    """Each target has its jobs by type and state; what is not known is a dash."""
    surveyed_not_yet = {pair: count for pair, count in BUSY.jobs.items() if pair[1] in {"Created", "Executing"}}
    text = see("/", WORKING, TargetView(KEY, replace(BUSY, jobs=surveyed_not_yet), UP), WAITING).text

    assert "TypeCreatedExecutingFinishedFailed" in text
    assert "ASR0212,345,6783" in text
    assert "ASR02--" in text
    assert "new / cn-hangzhou: no good poll yet" in text


def test_counts_have_their_past() -> None:
    """A count that was read twice has a line beside it; failures have one of their own colour."""
    before = PastCounts(NOW - 72, {**BUSY.jobs, ("ASR", "Failed"): 1, ("ASR", "Executing"): 9})
    view = TargetView(KEY, BUSY, UP, (before, PastCounts(NOW - 12, BUSY.jobs)))

    lines = [(line["class"], line.get("aria-label")) for line in see("/", view).of("svg")]

    assert len(lines) == 16
    assert [line for line in lines if line[1]] == [
        ("spark ", "2 to 9 in the last 1 min"),
        ("spark failed", "1 to 3 in the last 1 min"),
    ]


def test_jobs_open_for_too_long() -> None:
    """Jobs older than the threshold of their type are listed; other types have a threshold too."""
    jobs = (waiting("late", "ASR", 9000), waiting("right", "ASR", 7200), waiting("new-type", "Avatar", 90000))

    text = see("/", TargetView(KEY, replace(BUSY, oldest_jobs=jobs), UP)).text

    assert "lateprod cn-shanghaiASRExecuting2 h 30 min2 h" in text
    assert "new-typeprod cn-shanghaiAvatarExecuting1 d 1 h6 h" in text
    assert "right" not in text


def test_no_job_open_for_too_long() -> None:
    """With no such job the page says among how many it has looked."""
    assert "None of the 20 oldest jobs of each target." in see("/", WORKING).text


def test_unknown_types_and_states_follow_the_known() -> None:
    """A type or state that the service does not document gets a row or column of its own."""
    text = see("/", TargetView(KEY, replace(EMPTY, jobs={("Avatar", "Paused"): 7}), UP)).text

    assert "TypeCreatedExecutingFinishedFailedPaused" in text
    assert "TextToSpeech-----\nAvatar----7" in text


def test_many_targets_are_folded() -> None:
    """More than a few targets show their jobs folded."""
    assert "open=" in see("/", WORKING).names()
    assert "open=" not in see("/", *[WORKING] * 4).names()


def test_says_when_there_are_no_targets() -> None:
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
