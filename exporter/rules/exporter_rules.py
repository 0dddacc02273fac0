"""The rules about the exporter as a whole: it does not answer, it is gone, there never was one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.rules.promql import duration, highest, without
from exporter.rules.rule import COUNT, EXPORTER_DASHBOARD, Alert, Recording

if TYPE_CHECKING:
    from exporter.rules.promql import Series
    from exporter.rules.thresholds import Thresholds

INFO = "ims_exporter_build_info"
UP = "ims_exporter_target_up"
THERE, STEADY = "ims_exporter:there", "ims_exporter:there_steady"


def exporter_recordings(limits: Thresholds, series: Series) -> list[Recording]:
    """Returns how many exporters a scrape job has, and has had for longer than a redeploy overlaps."""
    there = f"count {without('version', 'python_version')} ({series(INFO)})"
    long = duration(2 * limits.gap_seconds)
    return [Recording(THERE, there), Recording(STEADY, f"min_over_time({series(THERE)}[{long}])")]


def exporter_rules(limits: Thresholds, series: Series) -> list[Alert]:
    """Returns the alerts about the exporter."""
    return [exporter_down(limits, series), exporter_absent(limits, series), exporter_unknown(limits, series)]


def exporter_down(limits: Thresholds, series: Series) -> Alert:
    """Fires while an exporter that Prometheus knows does not answer, and nobody else watches one of its targets."""
    lasting = duration(limits.exporter_down_for_seconds)
    return Alert(
        name="ImsExporterDown",
        severity="critical",
        expr=_unwatched_while_down(series),
        summary="The exporter does not answer.",
        description=(
            f"No exporter of {{{{ $labels.job }}}} that watches {COUNT} of its targets has answered a scrape for "
            f"{lasting}, and no other one watches them."
        ),
        for_seconds=limits.exporter_down_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def exporter_absent(limits: Thresholds, series: Series) -> Alert:
    """Fires while Prometheus has fewer exporters of a job than it had, and nobody else watches one of their targets."""
    lasting = duration(limits.exporter_absent_for_seconds)
    complete = f"{series(THERE)} >= max_over_time({series(STEADY)}[1d])"
    return Alert(
        name="ImsExporterAbsent",
        severity="critical",
        expr=f"{_unwatched(_known(series, UP), series)}\nunless {complete}\nunless {_unwatched_while_down(series)}",
        summary="Prometheus has lost an exporter.",
        description=(
            f"For {lasting} Prometheus has missed an exporter of {{{{ $labels.job }}}}, and {COUNT} target(s) are "
            "watched by no other one: it was removed, Prometheus has no scrape target for it any more, or a new one in "
            "its place has never answered."
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
        expr=f"absent({series(INFO)})\nunless on () {_known(series, INFO)}",
        summary="Prometheus knows no exporter.",
        description=(
            f"No series ims_exporter_build_info for {lasting}, nor within the last day: the exporter is not deployed "
            "yet, or Prometheus has no scrape target for it; no smart job is watched."
        ),
        for_seconds=limits.exporter_unknown_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def _known(series: Series, metric: str) -> str:
    """Returns the series that were there within the last day."""
    return f"max_over_time({series(metric)}[1d])"


def _unwatched(targets: str, series: Series) -> str:
    """Returns, for each scrape job, how many of its targets are watched by no exporter of any job."""
    unwatched = f"{targets} unless on (account, region_id, job_kind) {series(UP)}"
    return f"count {without('account', 'region_id', 'job_kind')} ({highest(unwatched)})"


def _unwatched_while_down(series: Series) -> str:
    return _unwatched(f"{_known(series, UP)} and on (job, instance) {series('up')} == 0", series)
