"""The rules about the exporter itself: targets down, data stale, exporter gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.rules.promql import duration, highest
from exporter.rules.rule import TARGET, Alert, Recording

if TYPE_CHECKING:
    from exporter.rules.promql import Series
    from exporter.rules.thresholds import Thresholds

DASHBOARD = "ims-smartjob-exporter"


def exporter_rules(limits: Thresholds, series: Series) -> list[Recording | Alert]:
    """Returns the rules in the order of their evaluation."""
    return [
        target_down(limits, series),
        data_stale(limits, series),
        exporter_down(limits, series),
        exporter_absent(limits, series),
    ]


def target_down(limits: Thresholds, series: Series) -> Alert:
    """Fires while no replica's polls of a target succeed."""
    lasting = duration(limits.target_down_for_seconds)
    return Alert(
        name="ImsExporterTargetDown",
        severity="warning",
        expr=f"{highest(series('ims_exporter_target_up'))} == 0",
        summary="The polls of a target fail.",
        description=f"Every poll of {TARGET} has failed for {lasting}; its job metrics will be withdrawn.",
        for_seconds=limits.target_down_for_seconds,
        dashboard=DASHBOARD,
    )


def data_stale(limits: Thresholds, series: Series) -> Alert:
    """Fires while no replica has a recent poll of a target, whether polls fail, hang or do not start."""
    allowed = duration(limits.data_stale_seconds)
    last = highest(series("ims_exporter_last_success_timestamp_seconds"))
    return Alert(
        name="ImsExporterDataStale",
        severity="critical",
        expr=f"time() - {last} > {limits.data_stale_seconds}",
        summary="The jobs of a target are not watched.",
        description=(
            f"The last good poll of {TARGET} was {{{{ $value | humanizeDuration }}}} ago "
            f"(allowed: {allowed}). Until there is a new one, no failed or stuck job of it can alert."
        ),
        for_seconds=limits.data_stale_for_seconds,
        dashboard=DASHBOARD,
    )


def exporter_down(limits: Thresholds, series: Series) -> Alert:
    """Fires while no replica of an exporter that Prometheus knows answers its scrapes."""
    lasting = duration(limits.exporter_down_for_seconds)
    return Alert(
        name="ImsExporterDown",
        severity="critical",
        expr=_no_answer(series),
        summary="The exporter does not answer.",
        description=(
            f"No replica of {{{{ $labels.job }}}} has answered a scrape for {lasting}; nobody watches its targets."
        ),
        for_seconds=limits.exporter_down_for_seconds,
        dashboard=DASHBOARD,
    )


def exporter_absent(limits: Thresholds, series: Series) -> Alert:
    """Fires while Prometheus knows no exporter at all, unless it knows one that does not answer."""
    lasting = duration(limits.exporter_absent_for_seconds)
    return Alert(
        name="ImsExporterAbsent",
        severity="critical",
        expr=f"absent({series('ims_exporter_build_info')})\nunless on ()\n{_no_answer(series)}",
        summary="Prometheus knows no exporter.",
        description=(
            f"No series ims_exporter_build_info for {lasting}: the exporter is not deployed, or Prometheus "
            "has no scrape target for it; no smart job is watched."
        ),
        for_seconds=limits.exporter_absent_for_seconds,
        dashboard=DASHBOARD,
    )


def _no_answer(series: Series) -> str:
    """Returns zero for each exporter none of whose scrape targets, known as such for a day, answers."""
    known = f"max_over_time({series('ims_exporter_build_info')}[1d])"
    up = f"{series('up')} and on (job, instance) {known}"
    return f"{highest(up)} == 0"
