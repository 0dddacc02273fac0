"""The table holds every metric of the contract, and each scenario shows its golden text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from exporter.metrics.table import JOB_METRICS, METRICS, POLLED
from tests.support.scenarios import FORMATS, GOLDEN, parsed, scenarios, series

if TYPE_CHECKING:
    from exporter.jobs.snapshot import Snapshot
    from exporter.metrics.table import Metric

TARGET = ("account", "region_id", "job_kind")
CONTRACT = {
    ("ims_jobs", "gauge", (*TARGET, "job_type", "job_state")),
    ("ims_jobs_failed_recent", "gauge", (*TARGET, "job_type", "window")),
    ("ims_jobs_failed_noticed", "gauge", (*TARGET, "job_type", "window")),
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
    ("ims_exporter_list_lag_seconds", "gauge", TARGET),
    ("ims_exporter_late_jobs_total", "counter", TARGET),
    ("ims_exporter_gaps_given_up_total", "counter", TARGET),
    ("ims_exporter_budget_exceeded_total", "counter", (*TARGET, "work")),
    ("ims_exporter_rows_skipped_total", "counter", (*TARGET, "reason")),
    ("ims_exporter_ledger_size_bytes", "gauge", ()),
    ("ims_exporter_config_last_reload_successful", "gauge", ()),
    ("ims_exporter_config_last_reload_success_timestamp_seconds", "gauge", ()),
    ("ims_exporter_tls_handshake_failures_total", "counter", ("reason",)),
    ("ims_exporter_active", "gauge", ()),
    ("ims_exporter_lease_failures_total", "counter", ()),
    ("ims_exporter_shard", "gauge", ()),
    ("ims_exporter_shards", "gauge", ()),
    ("ims_exporter_build_info", "gauge", ("version", "python_version")),
}


def test_table_is_the_contract() -> None:
    """The table holds exactly the metrics of the contract, each with its kind and labels."""
    table = [(metric.name, metric.kind, metric.labels) for metric in METRICS]

    assert len(table) == len(CONTRACT)
    assert set(table) == CONTRACT


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_and_labels_follow_prometheus(metric: Metric[Any]) -> None:
    """Counters alone end in _total, histograms have bounds, and no label is named as one of Prometheus's own."""
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert bool(metric.bounds) == (metric.kind == "histogram")
    assert not {"type", "job", "region", "instance", "le"} & set(metric.labels)
    assert metric.help.endswith(".")


@pytest.mark.parametrize("metric", JOB_METRICS, ids=lambda metric: metric.name)
def test_help_of_polled_metrics_says_so(metric: Metric[Snapshot]) -> None:
    """The help of what a poll reads says that it is as of the last successful poll."""
    assert POLLED in metric.help


@pytest.mark.parametrize("name", scenarios())
@pytest.mark.parametrize("suffix", FORMATS)
def test_golden(name: str, suffix: str) -> None:
    """Each scenario shows exactly its golden text, in both formats (see `python -m tests.support.scenarios`)."""
    page = scenarios()[name].exposition().page(FORMATS[suffix])

    assert page.decode() == (GOLDEN / f"{name}.{suffix}").read_text()


@pytest.mark.parametrize("name", scenarios())
def test_both_formats_hold_the_same_series(name: str) -> None:
    """Text and OpenMetrics both parse, and hold the same series with the same values."""
    exposition = scenarios()[name].exposition()

    assert series(parsed(exposition, "txt")) == series(parsed(exposition, "om.txt"))


@pytest.mark.parametrize("name", scenarios())
def test_every_sample_has_every_label_of_its_row(name: str) -> None:
    """No sample lacks a label of its row or has one more, but for the bound of a bucket."""
    labels = {metric.name.removesuffix("_total"): set(metric.labels) for metric in METRICS}

    families = parsed(scenarios()[name].exposition(), "om.txt")

    assert {family.name for family in families} == set(labels)
    for family in families:
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == labels[family.name]
