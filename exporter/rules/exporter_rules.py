"""The rules about the exporter as a whole: it does not answer, it is gone, there never was one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.rules.promql import duration, highest
from exporter.rules.rule import EXPORTER_DASHBOARD, Alert

if TYPE_CHECKING:
    from exporter.rules.promql import Series
    from exporter.rules.thresholds import Thresholds

INFO = "ims_exporter_build_info"


def exporter_rules(limits: Thresholds, series: Series) -> list[Alert]:
    """Returns the alerts about the exporter."""
    return [exporter_down(limits, series), exporter_absent(limits, series), exporter_unknown(limits, series)]


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
        dashboard=EXPORTER_DASHBOARD,
    )


def exporter_absent(limits: Thresholds, series: Series) -> Alert:
    """Fires while an exporter that was there within the last day is not discovered any more."""
    lasting = duration(limits.exporter_absent_for_seconds)
    return Alert(
        name="ImsExporterAbsent",
        severity="critical",
        expr=f"{_absent(series)}\nand on ()\n{_known(series)}",
        summary="Prometheus has lost the exporter.",
        description=(
            f"No series ims_exporter_build_info for {lasting}, though there was one within the last day: the exporter "
            "was removed, or Prometheus has no scrape target for it any more; no smart job is watched."
        ),
        for_seconds=limits.exporter_absent_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def exporter_unknown(limits: Thresholds, series: Series) -> Alert:
    """Fires while there is no exporter and was none within the last day."""
    lasting = duration(limits.exporter_unknown_for_seconds)
    return Alert(
        name="ImsExporterUnknown",
        severity="warning",
        expr=f"{_absent(series)}\nunless on ()\n{_known(series)}",
        summary="Prometheus knows no exporter.",
        description=(
            f"No series ims_exporter_build_info for {lasting}, nor within the last day: the exporter is not deployed "
            "yet, or Prometheus has no scrape target for it; no smart job is watched."
        ),
        for_seconds=limits.exporter_unknown_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def _absent(series: Series) -> str:
    return f"absent({series(INFO)})\nunless on ()\n{_no_answer(series)}"


def _known(series: Series) -> str:
    return f"max_over_time({series(INFO)}[1d])"


def _no_answer(series: Series) -> str:
    """Returns zero for each exporter none of whose scrape targets, known as such for a day, answers."""
    up = f"{series('up')} and on (job, instance) {_known(series)}"
    return f"{highest(up)} == 0"
