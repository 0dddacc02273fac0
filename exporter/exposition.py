"""The exposition: the registry, what the process counts itself, and its text in the formats of Prometheus."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar

from exporter import metrics as table
from exporter.metrics import ACTIONS, MAX_CODES, METRICS, OK, OTHER, REASONS, Kind, Metric, Process, Reading
from exporter.snapshot import Durations, TargetKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from exporter.snapshot import FailedJob, TargetView

Registry: TypeAlias = CollectorRegistry

CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
JOB_ID = re.compile(r"[A-Za-z0-9._:-]{1,122}")
"""A job id that fits into an exemplar, whose labels may hold 128 characters in all; six are `job_id`."""
ESCAPING = re.compile(r";\s*escaping=[^;,]*")
FAMILIES: dict[Kind, Callable[..., Family]] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
    "histogram": HistogramMetricFamily,
}


class Instruments:
    """Counts polls, requests and waits as they happen, for the targets introduced and not forgotten since."""

    def __init__(self) -> None:
        self._codes: dict[TargetKey, set[str]] = {}
        self._poll_seconds = _histogram(table.POLL_DURATION)
        self._polls = _counter(table.POLLS)
        self._failures = _counter(table.POLL_FAILURES)
        self._requests = _counter(table.API_REQUESTS)
        self._request_seconds = _histogram(table.REQUEST_DURATION)
        self._waits = _counter(table.RATE_LIMIT_WAIT)

    def introduce(self, key: TargetKey) -> None:
        """Starts all series of a target that can be known beforehand at zero."""
        target = _labels(key)
        self._codes.setdefault(key, {OK})
        self._poll_seconds.labels(*target)
        self._polls.labels(*target)
        self._waits.labels(_text(key.account))
        for reason in REASONS:
            self._failures.labels(*target, reason)
        for action in ACTIONS:
            self._requests.labels(*target, action, OK)
            self._request_seconds.labels(*target, action)

    def forget(self, key: TargetKey) -> None:
        """Removes all series of a target, and those of its account with its last target."""
        self._codes.pop(key, None)
        account, region_id = _labels(key)
        of_target = self._poll_seconds, self._polls, self._failures, self._requests, self._request_seconds
        for instrument in of_target:
            instrument.remove_by_labels({"account": account, "region_id": region_id})
        if not self._knows(key.account):
            self._waits.remove(account)

    def observe_poll(self, key: TargetKey, seconds: float, reason: str | None) -> None:
        """Counts a poll that ended, and why it failed if it did."""
        if key not in self._codes:
            return
        self._polls.labels(*_labels(key)).inc()
        self._poll_seconds.labels(*_labels(key)).observe(seconds)
        if reason is not None:
            shown = reason if reason in REASONS else OTHER
            self._failures.labels(*_labels(key), shown).inc()

    def observe_request(self, key: TargetKey, action: str, code: str, seconds: float) -> None:
        """Counts one request to the service; `code` is `OK` or the error code."""
        if key not in self._codes:
            return
        self._requests.labels(*_labels(key), action, self._shown(key, code)).inc()
        self._request_seconds.labels(*_labels(key), action).observe(seconds)

    def add_rate_limit_wait(self, account: str, seconds: float) -> None:
        """Adds the seconds that a request of the account waited for its turn."""
        if self._knows(account):
            self._waits.labels(_text(account)).inc(seconds)

    def families(self) -> Iterator[Family]:
        """Yields the families as they are now, without the `_created` samples of prometheus_client."""
        for instrument in self._all():
            for family in instrument.collect():
                created = f"{family.name}_created"
                family.samples = [sample for sample in family.samples if sample.name != created]
                yield family

    def _all(self) -> tuple[Counter | Histogram, ...]:
        return (
            self._poll_seconds,
            self._polls,
            self._failures,
            self._requests,
            self._request_seconds,
            self._waits,
        )

    def _knows(self, account: str) -> bool:
        return any(key.account == account for key in self._codes)

    def _shown(self, key: TargetKey, code: str) -> str:
        seen = self._codes[key]
        if code not in seen:
            if len(seen) >= MAX_CODES or not CODE.fullmatch(code):
                return OTHER
            seen.add(code)
        return code


class Collector:
    """Turns what is published at this moment into families of constant samples; it does no I/O."""

    def __init__(
        self,
        *,
        views: Callable[[], Sequence[TargetView]],
        process: Callable[[], Process],
        instruments: Instruments,
        now: Callable[[], float],
        stale_after_seconds: Callable[[], float],
    ) -> None:
        self._views = views
        self._process = process
        self._instruments = instruments
        self._now = now
        self._stale_after_seconds = stale_after_seconds

    def describe(self) -> Iterator[Family]:
        """Yields every family without samples, so that registering the collector does not collect."""
        return (_family(metric, ()) for metric in METRICS)

    def collect(self) -> Iterator[Family]:
        """Yields every family over all targets, in the order of the table."""
        views = [(_labels(view.key), view) for view in self._views()]
        oldest = self._now() - self._stale_after_seconds()
        fresh = [
            (labels, view.snapshot) for labels, view in views if view.snapshot and view.snapshot.taken_at >= oldest
        ]
        yield from (_family(metric, fresh) for metric in table.JOB_METRICS)
        yield from (_family(metric, views) for metric in table.TARGET_METRICS)
        yield from self._instruments.families()
        yield from (_family(metric, [((), self._process())]) for metric in table.PROCESS_METRICS)


def make_registry(collector: Collector) -> Registry:
    """Returns a registry of our own that holds nothing but the collector."""
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def render(registry: Registry, accept: str = "") -> tuple[bytes, str]:
    """Returns the exposition and its content type: OpenMetrics if `accept` asks for it, else plain text."""
    known = ESCAPING.sub("", accept)  # our names need none, and prometheus_client 0.26 garbles them with some
    try:
        encoder, content_type = choose_encoder(known)
    except TypeError:  # a version that is no number
        encoder, content_type = choose_encoder("")
    return encoder(registry), content_type


def _family(metric: Metric[Any], sources: Iterable[tuple[tuple[str, ...], Any]]) -> Family:
    family = FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
    for target, source in sources:
        for reading in metric.read(source) if metric.read else ():
            _add(family, metric, (*target, *map(_text, reading.labels)), reading)
    return family


def _add(
    family: Any,  # noqa: ANN401 - each kind has an add_metric of its own
    metric: Metric[Any],
    labels: tuple[str, ...],
    reading: Reading,
) -> None:
    if len(labels) != len(metric.labels):
        raise ValueError(f"{metric.name} has the labels {metric.labels}, not {labels}")
    value = reading.value
    if isinstance(value, Durations):
        family.add_metric(labels, _buckets(value, metric.bounds), value.sum_seconds)
    elif reading.example is not None:
        family.add_metric(labels, value, exemplar=_exemplar(reading.example))
    else:
        family.add_metric(labels, value)


def _buckets(durations: Durations, bounds: tuple[float, ...]) -> list[tuple[str, float]]:
    names = (*map(str, bounds), "+Inf")
    return list(zip(names, accumulate(durations.counts), strict=True))


def _exemplar(job: FailedJob) -> Exemplar | None:
    if not JOB_ID.fullmatch(job.job_id):
        return None
    return Exemplar({"job_id": job.job_id}, 1.0, job.ended_at)


def _counter(metric: Metric[None]) -> Counter:
    return Counter(metric.name, metric.help, metric.labels, registry=None)


def _histogram(metric: Metric[None]) -> Histogram:
    return Histogram(metric.name, metric.help, metric.labels, registry=None, buckets=metric.bounds)


def _labels(key: TargetKey) -> tuple[str, str]:
    return _text(key.account), _text(key.region_id)


def _text(value: str) -> str:
    """Returns a label value that UTF-8 can carry (JSON may hold lone surrogates)."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")
