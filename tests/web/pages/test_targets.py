"""The page of a target shows all that is known of it."""

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


def test_alone_lists_all_targets() -> None:
    """Without parameters the page has a row for every target."""
    text = see(
        "/targets", TargetView(KEY, FULL, UP), TargetView(PollKey("staging", "cn-beijing", "smart"), None, DOWN)
    ).text

    assert "prod cn-shanghaiup" in text
    assert "staging cn-beijingdown forbidden stale" in text
    assert "No targets." in see("/targets").text


def test_shows_health_and_counters() -> None:
    """The page has the state of the polls, and every counter of the ledger by type."""
    text = see(ONE, TargetView(KEY, FULL, replace(UP, catchup_truncated=True))).text

    assert "StateupLast errornoneLast success12 s agoLast attempt12 s agoSurveycomplete" in text
    assert "Catch-up truncatedyes: ends before the lookback are missingJobs in the ledger4" in text
    assert "ASR17123013" in text
    assert "InvalidParameterASR2\nunknownASR1" in text


def test_shows_jobs() -> None:
    """The oldest open jobs, late ones marked, and the newest failures are there, and the way to the others."""
    seen = see(ONE, TargetView(KEY, FULL, UP))

    assert "late-1ASRExecuting2 h 30 min, too long2 h" in seen.text
    assert "fresh-1ASRCreated1 min 30 s2 h" in seen.text
    assert "failed-9" in seen.text
    assert "failed-10" not in seen.text
    assert "All 12 kept failures of this target" in seen.text
    assert "/failures?account=prod&region_id=cn-shanghai" in seen.links()


def test_target_that_was_never_polled() -> None:
    """Before the first good poll there is health and nothing else."""
    seen = see(ONE, TargetView(KEY, None, DOWN))

    assert DOWN.last_error in seen.text
    assert "Jobs in the ledgerunknown" in seen.text
    assert "table" not in seen.names()


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("account=prod", 400, "a target has an account and a region_id: give both, or none to see all targets\n"),
        ("account=prod&region_id=moon", 404, "there is no target prod/moon; see /targets\n"),
        ("target=prod", 400, "unknown parameter 'target': known are account, region_id, refresh\n"),
    ],
)
def test_wrong_target_is_told(query: str, status: int, text: str) -> None:
    """A target that is not there, or only half named, is told in words."""
    found = get(f"/targets?{query}", TargetView(KEY, FULL, UP))

    assert (found.status, found.text) == (status, text)


def test_escapes_what_comes_from_outside() -> None:
    """Nothing that the service or the settings say becomes markup."""
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
