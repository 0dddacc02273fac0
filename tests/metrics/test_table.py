"""The table holds every metric of the design, and any published data is shown with exactly its values."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from exporter.jobs.snapshot import DURATION_BOUNDS, Durations, FailedJob, Health, PollKey, Snapshot, TargetView
from exporter.metrics.document import document, series_per_target, series_per_type
from exporter.metrics.exposition import Collector, Instruments, make_registry, render
from exporter.metrics.table import JOB_METRICS, METRICS, POLLED
from tests.support.repository import ROOT
from tests.support.scenarios import (
    ACCEPT,
    BUSY,
    DOWN,
    EMPTY,
    FAILED,
    GOLDEN,
    KEY,
    NOW,
    PROCESS,
    STALE_AFTER,
    UP,
    at_work,
    parsed,
    registry_of,
    scenarios,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.metrics_core import Metric as Family

    from exporter.metrics.exposition import Registry
    from exporter.metrics.row import Metric

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]

ENCODERS: dict[str, Callable[[Registry], bytes]] = {"txt": generate_latest, "om.txt": openmetrics.generate_latest}
OTHER = PollKey("a", "cn-beijing", "smart")
ONE = Durations((1,) + (0,) * len(DURATION_BOUNDS), 1.0)
TARGET = ("account", "region_id")
DESIGN = {
    ("ims_jobs", "gauge", (*TARGET, "job_type", "job_state")),
    ("ims_jobs_failed_recent", "gauge", (*TARGET, "job_type", "window")),
    ("ims_jobs_created_total", "counter", (*TARGET, "job_type")),
    ("ims_jobs_ended_total", "counter", (*TARGET, "job_type", "job_state")),
    ("ims_job_failures_total", "counter", (*TARGET, "job_type", "error_code")),
    ("ims_jobs_deleted_total", "counter", (*TARGET, "job_type")),
    ("ims_job_duration_seconds", "histogram", (*TARGET, "job_type", "job_state")),
    ("ims_job_oldest_open_timestamp_seconds", "gauge", (*TARGET, "job_type", "job_state")),
    ("ims_job_last_failure_timestamp_seconds", "gauge", (*TARGET, "job_type")),
    ("ims_exporter_target_up", "gauge", TARGET),
    ("ims_exporter_last_success_timestamp_seconds", "gauge", TARGET),
    ("ims_exporter_poll_duration_seconds", "histogram", TARGET),
    ("ims_exporter_polls_total", "counter", TARGET),
    ("ims_exporter_poll_failures_total", "counter", (*TARGET, "reason")),
    ("ims_exporter_api_requests_total", "counter", (*TARGET, "action", "code")),
    ("ims_exporter_api_request_duration_seconds", "histogram", (*TARGET, "action")),
    ("ims_exporter_rate_limit_wait_seconds_total", "counter", ("account",)),
    ("ims_exporter_survey_complete", "gauge", TARGET),
    ("ims_exporter_survey_progress_ratio", "gauge", TARGET),
    ("ims_exporter_catchup_truncated", "gauge", TARGET),
    ("ims_exporter_ledger_jobs", "gauge", TARGET),
    ("ims_exporter_ledger_size_bytes", "gauge", ()),
    ("ims_exporter_config_last_reload_successful", "gauge", ()),
    ("ims_exporter_config_last_reload_success_timestamp_seconds", "gauge", ()),
    ("ims_exporter_build_info", "gauge", ("version", "python_version")),
}

counts = st.integers(0, 2**53)
names = st.text(max_size=8)
pairs = st.tuples(names, names)
durations = st.builds(
    Durations,
    st.tuples(*[st.integers(0, 2**40)] * (len(DURATION_BOUNDS) + 1)),
    st.floats(0, 1e15),
)
failed_jobs = st.builds(FailedJob, names, names, counts, counts, names, names)
snapshots = st.builds(
    Snapshot,
    taken_at=st.just(NOW),
    jobs=st.dictionaries(pairs, counts, max_size=3),
    failed_recent=st.dictionaries(pairs, counts, max_size=3),
    created=st.dictionaries(names, counts, max_size=3),
    ended=st.dictionaries(st.tuples(names, st.sampled_from(["Finished", "Failed"])), counts, max_size=3),
    failures=st.dictionaries(pairs, counts, max_size=3),
    deleted=st.dictionaries(names, counts, max_size=3),
    durations=st.dictionaries(pairs, durations, max_size=2),
    oldest_open=st.dictionaries(pairs, counts, max_size=3),
    last_failure=st.dictionaries(names, failed_jobs, max_size=3),
    ledger_jobs=counts,
)


def registry_of_all(views: Callable[[], list[TargetView]], instruments: Instruments) -> Registry:
    """Returns a registry that shows what there is at each scrape, at `NOW`."""
    return make_registry(
        Collector(
            views=views,
            process=lambda: PROCESS,
            instruments=instruments,
            now=lambda: NOW,
            stale_after_seconds=lambda: STALE_AFTER,
        )
    )


def series(families: list[Family]) -> Series:
    """Returns the value of every series by its name and labels."""
    samples = [sample for family in families for sample in family.samples]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


def expected(values: Iterable[tuple[tuple[str, ...], float]], name: str, *labels: str) -> Series:
    """Returns the series of one metric of the target."""
    target = dict(zip(TARGET, (KEY.account, KEY.region_id), strict=True))
    return {(name, frozenset((target | dict(zip(labels, key, strict=True))).items())): value for key, value in values}


def expected_of(snapshot: Snapshot) -> Series:
    """Returns the series that a snapshot must give, written down apart from the table."""
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


def test_table_is_the_designs() -> None:
    """The table holds exactly the metrics of the design, each with its kind and labels."""
    table = [(metric.name, metric.kind, metric.labels) for metric in METRICS]

    assert len(table) == len(DESIGN)
    assert set(table) == DESIGN


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_and_labels_follow_prometheus(metric: Metric[Any]) -> None:
    """Counters alone end in _total, histograms have bounds, and no label is named as one of Prometheus's."""
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert bool(metric.bounds) == (metric.kind == "histogram")
    assert not {"type", "job", "region", "instance", "le"} & set(metric.labels)
    assert metric.help.endswith(".")


@pytest.mark.parametrize("metric", JOB_METRICS, ids=lambda metric: metric.name)
def test_help_of_polled_metrics_says_so(metric: Metric[Snapshot]) -> None:
    """The help of what a poll read says that it is as of the last successful poll."""
    assert POLLED in metric.help


@pytest.mark.parametrize("name", scenarios())
@pytest.mark.parametrize("suffix", ACCEPT)
def test_golden(name: str, suffix: str) -> None:
    """Each scenario shows exactly its golden text, in both formats (see `python -m tests.support.scenarios`)."""
    shown, _ = render(scenarios()[name].registry(), ACCEPT[suffix])

    assert shown.decode() == (GOLDEN / f"{name}.{suffix}").read_text()


@pytest.mark.parametrize("name", scenarios())
def test_both_formats_say_the_same(name: str) -> None:
    """Text and OpenMetrics both parse, and hold the same series with the same values."""
    registry = scenarios()[name].registry()

    assert series(parsed(registry, "txt")) == series(parsed(registry, "om.txt"))


@pytest.mark.parametrize("name", scenarios())
def test_every_sample_has_every_label_of_its_row(name: str) -> None:
    """No sample lacks a label of its row or has one more, but for the bound of a bucket."""
    labels = {metric.name.removesuffix("_total"): set(metric.labels) for metric in METRICS}

    families = parsed(scenarios()[name].registry(), "om.txt")

    assert {family.name for family in families} == set(labels)
    for family in families:
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == labels[family.name]


@pytest.mark.property
@pytest.mark.parametrize("suffix", ACCEPT)
@given(snapshot=snapshots)
def test_any_snapshot_is_shown_exactly(suffix: str, snapshot: Snapshot) -> None:
    """Any snapshot renders, parses again, and gives exactly its values, no series more and none less."""
    shown = series(parsed(registry_of(TargetView(KEY, snapshot, Health())), suffix))

    job_series = {key: value for key, value in shown.items() if key[0].startswith("ims_job")}
    assert job_series == expected_of(snapshot)


@pytest.mark.property
@given(
    polls=st.lists(
        st.tuples(snapshots, st.sampled_from([UP, DOWN]), st.sampled_from([0.0, STALE_AFTER + 1])), max_size=3
    )
)
def test_pages_are_what_prometheus_client_writes(polls: list[tuple[Snapshot, Health, float]]) -> None:
    """Poll after poll, both formats are byte for byte what the library's encoders make of the same registry."""
    views = [TargetView(KEY), TargetView(OTHER, BUSY, UP)]
    instruments = at_work()
    registry = registry_of_all(lambda: views, instruments)

    for snapshot, health, age in polls:
        views[0] = TargetView(KEY, replace(snapshot, taken_at=NOW - age), health)
        instruments.observe_request(KEY, "ListSmartJobs", "OK", 0.1)

        assert render(registry)[0] == ENCODERS["txt"](registry)
        assert render(registry, ACCEPT["om.txt"])[0] == ENCODERS["om.txt"](registry)


@pytest.mark.parametrize("value", [0, 1, 999_999, 1_000_000, 2**53, 0.5, -1, -0.0, 1e-7, 1e22, inf, -inf, nan])
@pytest.mark.parametrize("suffix", ACCEPT)
def test_every_number_is_written_as_prometheus_client_writes_it(suffix: str, value: float) -> None:
    """Small counts, which take a short way, and all other numbers are written alike."""
    views = [TargetView(KEY, replace(EMPTY, jobs={("ASR", "Failed"): 7}, durations={("ASR", "Failed"): ONE}), UP)]
    registry = registry_of_all(lambda: views, Instruments())
    render(registry, ACCEPT[suffix])

    many = Durations((*ONE.counts[:-1], abs(int(value)) if isfinite(value) else 1), value)
    views = [TargetView(KEY, replace(EMPTY, jobs={("ASR", "Failed"): value}, durations={("ASR", "Failed"): many}), UP)]  # type: ignore[dict-item] # any number

    assert render(registry, ACCEPT[suffix])[0] == ENCODERS[suffix](registry)


def test_bound_of_series_is_reached() -> None:
    """A target with everything there can be has exactly the documented number of series."""
    instruments = Instruments()
    instruments.introduce(KEY)
    for action in ("ListSmartJobs", "GetSmartHandleJob"):
        for number in range(50):
            instruments.observe_request(KEY, action, f"Code{number}", 0.1)
    full = replace(
        BUSY,
        failures={(job_type, code): 1 for job_type in BUSY.created for code in ("a", "b", "c")},
        oldest_open={(job_type, state): 1 for job_type in BUSY.created for state in ("Created", "Executing")},
        last_failure=dict.fromkeys(BUSY.created, FAILED),
    )

    shown = series(parsed(registry_of(TargetView(KEY, full, UP), instruments=instruments), "txt"))

    of_process, of_account = 4, 1
    assert len(shown) - of_process - of_account == 4 * (series_per_type() + 3) + series_per_target()


def test_empty_snapshot_is_no_error() -> None:
    """A poll that found nothing at all gives no series of jobs."""
    shown = series(parsed(registry_of(TargetView(KEY, EMPTY, UP)), "om.txt"))

    assert not any(name.startswith("ims_job") for name, _ in shown)


def test_document_is_current() -> None:
    """docs/metrics.md is what `python -m exporter.metrics.document` writes."""
    page = ROOT / "docs" / "metrics.md"

    assert page.read_text() == document()
