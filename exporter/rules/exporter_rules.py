"""The alerts about the exporter processes: one is down, missing or unknown, none polls, or the shards disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.rules.promql import any_of, duration, highest, lowest, without
from exporter.rules.rule import COUNT, EXPORTER_DASHBOARD, Alert, Recording

if TYPE_CHECKING:
    from exporter.rules.promql import Series
    from exporter.rules.thresholds import Thresholds

INFO = "ims_exporter_build_info"
UP = "ims_exporter_target_up"
EXPORTERS, EXPORTERS_STEADY = "ims_exporter:count", "ims_exporter:count_steady"


def exporter_recordings(limits: Thresholds, series: Series) -> list[Recording]:
    """Returns the number of exporters per scrape job, now and over twice the gap that a redeploy leaves."""
    exporters = f"count {without('version', 'python_version')} ({series(INFO)})"
    steady = f"min_over_time({series(EXPORTERS)}[{duration(2 * limits.gap_seconds)}])"
    return [Recording(EXPORTERS, exporters), Recording(EXPORTERS_STEADY, steady)]


def exporter_rules(limits: Thresholds, series: Series) -> list[Alert]:
    """Returns the alerts about the exporter."""
    return [
        exporter_down(limits, series),
        exporter_absent(limits, series),
        exporter_unknown(limits, series),
        none_active(limits, series),
        shard_mismatch(limits, series),
    ]


def exporter_down(limits: Thresholds, series: Series) -> Alert:
    """Fires while an exporter fails its scrapes and no other exporter polls one of its poll targets."""
    return Alert(
        name="ImsExporterDown",
        severity="critical",
        expr=_unpolled_while_down(series),
        summary="IMS exporter is down.",
        description=(
            f"An exporter of scrape job {{{{ $labels.job }}}} has failed its scrapes for "
            f"{duration(limits.exporter_down_for_seconds)}. {COUNT} poll target(s) are not polled by any exporter."
        ),
        for_seconds=limits.exporter_down_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def exporter_absent(limits: Thresholds, series: Series) -> Alert:
    """Fires while a scrape job has fewer exporters than before and no other exporter polls their poll targets."""
    complete = f"{series(EXPORTERS)} >= max_over_time({series(EXPORTERS_STEADY)}[1d])"
    return Alert(
        name="ImsExporterAbsent",
        severity="critical",
        expr=f"{_unpolled(_known(series, UP), series)}\nunless {complete}\nunless {_unpolled_while_down(series)}",
        summary="IMS exporter is missing.",
        description=(
            f"Scrape job {{{{ $labels.job }}}} has had fewer exporters than during the last day for "
            f"{duration(limits.exporter_absent_for_seconds)}: an exporter was removed, Prometheus no longer discovers "
            "it, or its replacement has never answered a scrape. "
            f"{COUNT} poll target(s) are not polled by any exporter."
        ),
        for_seconds=limits.exporter_absent_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def exporter_unknown(limits: Thresholds, series: Series) -> Alert:
    """Fires while there is no exporter and there was none during the last day."""
    return Alert(
        name="ImsExporterUnknown",
        severity="warning",
        expr=f"absent({series(INFO)})\nunless on () {_known(series, INFO)}",
        summary="Prometheus scrapes no IMS exporter.",
        description=(
            f"The metric ims_exporter_build_info has been absent for {duration(limits.exporter_unknown_for_seconds)}, "
            "and it was absent during the last day: the exporter is not deployed, or Prometheus does not discover it. "
            "No IMS jobs are monitored."
        ),
        for_seconds=limits.exporter_unknown_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def none_active(limits: Thresholds, series: Series) -> Alert:
    """Fires while every exporter of a scrape job that answers is on standby, so that none polls."""
    return Alert(
        name="ImsExporterNoneActive",
        severity="critical",
        expr=f"{highest(series('ims_exporter_active'))} == 0",
        summary="No IMS exporter polls.",
        description=(
            f"Every exporter of scrape job {{{{ $labels.job }}}} has been on standby for "
            f"{duration(limits.none_active_for_seconds)}: none can become the leader, or Prometheus scrapes only the "
            "standbys. Its IMS jobs are not monitored."
        ),
        for_seconds=limits.none_active_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def shard_mismatch(limits: Thresholds, series: Series) -> Alert:
    """Fires while a scrape job lacks a shard, its shards disagree on their number, or two of them poll one target.

    A shard that was scraped during the last day is not lacking: if it is gone, `ImsExporterAbsent` fires. Replicas that
    poll the same target as the same shard are no mismatch. One address for several pods shows one shard at a time.
    """
    shard, shards = series("ims_exporter_shard"), series("ims_exporter_shards")
    seen = f'count_values {without()} ("exporter_shard", last_over_time({shard}[1d]))'
    # The series of a target with the number of its shard as value.
    of_target = f"max by (job, instance) ({shard}) + on (job, instance) group_right () 0 * {series(UP)}"
    doubled = f"{highest(of_target)} != {lowest(of_target)}"
    return Alert(
        name="ImsExporterShardMismatch",
        severity="warning",
        expr=any_of(
            f"{highest(shards)} > count {without('exporter_shard')} ({seen})",
            f"{highest(shards)} != {lowest(shards)}",
            f"count {without('account', 'region_id', 'job_kind')} ({doubled})",
        ),
        summary="The shards of the IMS exporter do not match.",
        description=(
            f"For {duration(limits.shard_mismatch_for_seconds)}, scrape job {{{{ $labels.job }}}} has lacked a shard, "
            "its exporters have had different numbers of shards, or two shards have polled the same target. "
            "Some targets are not monitored, or their jobs are counted twice."
        ),
        for_seconds=limits.shard_mismatch_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def _known(series: Series, metric: str) -> str:
    """Returns the series of a metric that existed at some time during the last day."""
    return f"max_over_time({series(metric)}[1d])"


def _unpolled(poll_targets: str, series: Series) -> str:
    """Returns, per scrape job, how many of its poll targets no exporter of any scrape job polls."""
    unpolled = f"{poll_targets} unless on (account, region_id, job_kind) {series(UP)}"
    return f"count {without('account', 'region_id', 'job_kind')} ({highest(unpolled)})"


def _unpolled_while_down(series: Series) -> str:
    return _unpolled(f"{_known(series, UP)} and on (job, instance) {series('up')} == 0", series)
