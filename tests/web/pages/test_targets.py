"""The targets page: a list of all targets, or all details of one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.jobs.snapshot import FailedJob, PollKey, TargetView, WaitingJob
from tests.support.rendered_page import get, see
from tests.support.scenarios import BUSY, DOWN, EMPTY, FAILED, KEY, NOW, UP

ONE = "/targets?account=prod&region_id=cn-shanghai"
EVIL = "<script>alert('x')</script>\"' onload=x"
FULL = replace(
    BUSY,
    failed_jobs=tuple(replace(FAILED, job_id=f"failed-{number}") for number in range(12)),
    oldest_jobs=(
        WaitingJob("late-1", "ASR", "Executing", int(NOW - 9000)),
        WaitingJob("fresh-1", "ASR", "Created", int(NOW - 90)),
    ),
)


def test_lists_all_targets() -> None:
    """Without parameters the page has a row for every target."""
    text = see(
        "/targets", TargetView(KEY, FULL, UP), TargetView(PollKey("staging", "cn-beijing", "smart"), None, DOWN)
    ).text

    assert "prod cn-shanghai smart | up | " in text
    assert "staging cn-beijing smart | down forbidden stale | " in text
    assert "No targets." in see("/targets").text


def test_shows_health_and_counters() -> None:
    """The page has the health of the target, and every counter of the ledger by type."""
    page = see(ONE, TargetView(KEY, FULL, replace(UP, catchup_truncated=True)))

    assert page.lines[4:11] == [
        "State | up",
        "Last error | none",
        "Last success | 12 s ago",
        "Last attempt | 12 s ago",
        "Survey | complete",
        "Catch-up truncated | yes: jobs that ended before the lookback are not counted",
        "Jobs in the ledger | 4",
    ]
    assert "Type | Created | Finished | Failed | Deleted | Failed 1 h | Failed 24 h | Mean time to finish" in page.lines
    assert "ASR | 17 | 12 | 3 | 0 | 1 | 3 | 2 h" in page.lines
    assert "TextToSpeech | 0 | 0 | 0 | 1 | 0 | 0 | -" in page.lines
    assert "InvalidParameter | ASR | 2\nunknown | ASR | 1" in page.text


def test_shows_jobs() -> None:
    """The page has the oldest open jobs, stuck ones marked, the newest failures, and a link to the others."""
    seen = see(ONE, TargetView(KEY, FULL, UP))

    assert "late-1 | ASR | Executing | 2 h 30 min, stuck | 2 h" in seen.lines
    assert "fresh-1 | ASR | Created | 1 min 30 s | 2 h" in seen.lines
    assert "failed-9" in seen.text
    assert "failed-10" not in seen.text
    assert "All 12 failures of this target" in seen.lines
    assert "/failures?account=prod&region_id=cn-shanghai&job_kind=smart" in seen.links()


def test_target_that_was_never_polled() -> None:
    """Before the first successful poll the page has the health only."""
    seen = see(ONE, TargetView(KEY, None, DOWN))

    assert DOWN.last_error in seen.text
    assert "Jobs in the ledger | unknown" in seen.lines
    assert "table" not in seen.names()


def test_several_job_kinds_are_listed() -> None:
    """Account and region without a job kind list the job kinds of the target; one job kind has the details."""
    views = [TargetView(PollKey("prod", "cn-shanghai", kind), EMPTY, UP) for kind in ("media_convert", "smart")]
    staging = TargetView(PollKey("staging", "cn-shanghai", "smart"), EMPTY, UP)

    listed = see(ONE, *views, staging)
    detail = see(f"{ONE}&job_kind=smart", *views, staging)

    assert [line.partition(" | ")[0] for line in listed.lines if " | up | " in line] == [
        "prod cn-shanghai media_convert",
        "prod cn-shanghai smart",
    ]
    assert "prod/cn-shanghai/smart" in detail.lines
    assert "State | up" in detail.lines


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("account=prod", 400, "a target has an account and a region_id: give both, or neither to see all targets\n"),
        ("job_kind=smart", 400, "a target has an account and a region_id: give both, or neither to see all targets\n"),
        (
            "account=prod&region_id=cn-shanghai&job_kind=no",
            404,
            "there is no target prod/cn-shanghai/no; see /targets\n",
        ),
        ("account=prod&region_id=moon", 404, "there is no target prod/moon; see /targets\n"),
        ("target=prod", 400, "unknown parameter 'target': known are account, region_id, job_kind, refresh\n"),
    ],
)
def test_wrong_target_is_refused(query: str, status: int, text: str) -> None:
    """A target that does not exist, or is not named in full, gets an error that says so."""
    found = get(f"/targets?{query}", TargetView(KEY, FULL, UP))

    assert (found.status, found.text) == (status, text)


def test_escapes_what_comes_from_outside() -> None:
    """No text of the service or the settings becomes markup."""
    job = FailedJob(EVIL, EVIL, 0, 1, EVIL, EVIL)
    snapshot = replace(
        EMPTY,
        jobs={(EVIL, EVIL): 1},
        created={EVIL: 1},
        failures={(EVIL, EVIL): 1},
        failed_jobs=(job,),
        oldest_jobs=(WaitingJob(EVIL, EVIL, EVIL, 0),),
    )
    url = "/targets?account=%3Cscript%3Ealert('x')%3C/script%3E%22'%20onload=x&region_id=r"

    seen = see(url, TargetView(PollKey(EVIL, "r", "smart"), snapshot, replace(DOWN, last_error=EVIL, last_reason=EVIL)))

    assert not {"script", "onload="} & seen.names()
    assert seen.text.count(EVIL) == 18
