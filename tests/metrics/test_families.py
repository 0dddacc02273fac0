"""Families of prometheus_client hold exactly the values of what they are read from."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from prometheus_client.samples import Timestamp

from exporter.jobs.snapshot import DURATION_BOUNDS, Health, Snapshot, TargetView
from exporter.metrics.families import make_family
from exporter.metrics.table import Metric, Reading
from tests.support.scenarios import (
    BUSY,
    EMPTY,
    FAILED,
    FORMATS,
    KEY,
    UP,
    exposition_of,
    parsed,
    sample_value,
    series,
)
from tests.support.snapshots import snapshots

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.scenarios import Series


def expected(values: Iterable[tuple[tuple[str, ...], float]], name: str, *labels: str) -> Series:
    """Returns the series of one metric of the target."""
    return {
        (name, frozenset((KEY.labels | dict(zip(labels, key, strict=True))).items())): value for key, value in values
    }


def expected_of(snapshot: Snapshot) -> Series:
    """Returns the series that a snapshot must give, written down independently of the table."""
    state, histogram = ("job_type", "job_state"), "ims_job_duration_seconds"
    buckets = [
        ((*key, bound), total)
        for key, value in snapshot.durations.items()
        for bound, total in zip((*map(str, DURATION_BOUNDS), "+Inf"), accumulate(value.counts), strict=True)
    ]
    all_counts = [(key, sum(value.counts)) for key, value in snapshot.durations.items()]
    sums = [(key, value.sum_seconds) for key, value in snapshot.durations.items()]
    failures = [((job_type,), job.ended_at) for job_type, job in snapshot.last_failure.items()]
    return {
        **expected(snapshot.jobs.items(), "ims_jobs", *state),
        **expected(snapshot.failed_recent.items(), "ims_jobs_failed_recent", "job_type", "window"),
        **expected((((k,), v) for k, v in snapshot.created.items()), "ims_jobs_created_total", "job_type"),
        **expected(snapshot.ended.items(), "ims_jobs_ended_total", *state),
        **expected(snapshot.failures.items(), "ims_job_failures_total", "job_type", "error_code"),
        **expected((((k,), v) for k, v in snapshot.deleted.items()), "ims_jobs_deleted_total", "job_type"),
        **expected(buckets, f"{histogram}_bucket", *state, "le"),
        **expected(all_counts, f"{histogram}_count", *state),
        **expected(sums, f"{histogram}_sum", *state),
        **expected(snapshot.oldest_open.items(), "ims_job_oldest_open_timestamp_seconds", *state),
        **expected(failures, "ims_job_last_failure_timestamp_seconds", "job_type"),
    }


@pytest.mark.property
@pytest.mark.parametrize("suffix", FORMATS)
@given(snapshot=snapshots)
def test_any_snapshot_is_shown_exactly(suffix: str, snapshot: Snapshot) -> None:
    """Any snapshot renders, parses again, and gives exactly its values, no series more and none less."""
    shown = series(parsed(exposition_of(TargetView(KEY, snapshot, Health())), suffix))

    job_series = {key: value for key, value in shown.items() if key[0].startswith("ims_job")}
    assert job_series == expected_of(snapshot)


def test_empty_snapshot_is_no_error() -> None:
    """A poll that found nothing at all gives no series of jobs."""
    shown = series(parsed(exposition_of(TargetView(KEY, EMPTY, UP)), "om.txt"))

    assert not any(name.startswith("ims_job") for name, _ in shown)


@pytest.mark.parametrize("labels", [(), ("a", "b")])
def test_a_missing_or_surplus_label_is_an_error(labels: tuple[str, ...]) -> None:
    """prometheus_client would drop the label or its value without a word; here it is an error."""
    metric: Metric[int] = Metric("x", "gauge", "X.", ("one",), lambda source: [Reading(labels, source)])

    with pytest.raises(ValueError, match=r"x has the labels \('one',\), not"):
        make_family(metric, [((), 1)])


def test_exemplar_is_the_newest_failure_and_in_openmetrics_only() -> None:
    """OpenMetrics shows the newest failed job at the counter of failures; plain text has no exemplars."""
    exposition = exposition_of(TargetView(KEY, BUSY, UP))

    exemplars = [
        (sample.name, sample.labels["job_state"], sample.exemplar)
        for family in parsed(exposition, "om.txt")
        for sample in family.samples
        if sample.exemplar
    ]
    ((name, job_state, exemplar),) = exemplars
    assert (name, job_state) == ("ims_jobs_ended_total", "Failed")
    assert (exemplar.labels, exemplar.value) == ({"job_id": FAILED.job_id}, 1.0)
    assert exemplar.timestamp == Timestamp(FAILED.ended_at, 0)
    assert FAILED.job_id.encode() not in exposition.page(FORMATS["txt"])


@pytest.mark.parametrize("job_id", ["", "x" * 123, 'a"b', "a b", "a\nb", "é"])
def test_no_exemplar_for_a_job_id_that_does_not_fit(job_id: str) -> None:
    """A job id that an exemplar cannot hold is left out; the count is shown all the same."""
    failure = {"ASR": replace(FAILED, job_id=job_id)}

    exposition = exposition_of(TargetView(KEY, replace(BUSY, last_failure=failure), UP))

    assert b"job_id=" not in exposition.page(FORMATS["om.txt"])
    assert sample_value(exposition, "ims_jobs_ended_total", job_type="ASR", job_state="Failed") == 3


def test_longest_exemplar_parses() -> None:
    """The longest job id that is shown stays within the 128 characters of OpenMetrics."""
    failure = {"ASR": replace(FAILED, job_id="x" * 122)}

    families = parsed(exposition_of(TargetView(KEY, replace(BUSY, last_failure=failure), UP)), "om.txt")

    exemplars = [sample.exemplar for family in families for sample in family.samples if sample.exemplar]
    assert [exemplar.labels for exemplar in exemplars] == [{"job_id": "x" * 122}]
