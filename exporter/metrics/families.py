"""Metric families of prometheus_client, made from rows of the table and what they are read from."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar

from exporter.jobs.snapshot import Durations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.jobs.snapshot import FailedJob
    from exporter.metrics.table import Kind, Metric

Sources: TypeAlias = "Iterable[tuple[tuple[str, ...], Any]]"
"""Sources that a metric is read from, each with the values of its first labels."""

JOB_ID = re.compile(r"[A-Za-z0-9._:-]{1,122}")
"""A job id that fits into an exemplar: its labels hold at most 128 characters, of which six are `job_id`."""

FAMILIES: dict[Kind, Callable[..., Family]] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
    "histogram": HistogramMetricFamily,
}


def make_family(metric: Metric[Any], sources: Sources) -> Family:
    """Returns the family of a metric with the samples of all sources.

    Its counters have no `_created` samples: the exporter does not know when the service created what it counts.
    """
    family: Any = FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
    for first_labels, source in sources:
        for reading in metric.read(source):
            labels = tuple(map(encodable, (*first_labels, *reading.labels)))
            if len(labels) != len(metric.labels):  # add_metric would drop what has no name or no value
                raise ValueError(f"{metric.name} has the labels {metric.labels}, not {labels}")
            value = reading.value
            if isinstance(value, Durations):
                family.add_metric(labels, buckets(value, metric.bounds), value.sum_seconds)
            elif reading.exemplar is not None:
                family.add_metric(labels, value, exemplar=job_exemplar(reading.exemplar))
            else:
                family.add_metric(labels, value)
    return cast("Family", family)


def encodable(label: str) -> str:
    """Returns a label value that UTF-8 can encode (JSON may contain lone surrogates)."""
    return label if label.isascii() else label.encode("utf-8", "backslashreplace").decode("utf-8")


def buckets(durations: Durations, bounds: tuple[float, ...]) -> list[tuple[str, float]]:
    """Returns the cumulative buckets of a histogram, +Inf last."""
    return list(zip((*map(str, bounds), "+Inf"), accumulate(durations.counts), strict=True))


def job_exemplar(job: FailedJob) -> Exemplar | None:
    """Returns the exemplar that names a job, or None if its id does not fit into one."""
    return Exemplar({"job_id": job.job_id}, 1.0, job.ended_at) if JOB_ID.fullmatch(job.job_id) else None
