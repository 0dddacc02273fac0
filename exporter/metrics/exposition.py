"""The exposition: what is published, as families of a registry and as text in the formats of Prometheus."""

from __future__ import annotations

import asyncio
import re
import time
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from exporter.jobs.snapshot import Durations, PollKey
from exporter.metrics import table
from exporter.metrics.counters import Instruments
from exporter.metrics.lines import JOB_ID, Lines, carried
from exporter.metrics.packing import Packing
from exporter.metrics.table import METRICS, Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from exporter.jobs.snapshot import FailedJob, TargetView
    from exporter.metrics.row import Kind, Metric, Reading

__all__ = ["LARGE", "Collector", "Instruments", "Registry", "keep_written", "make_registry", "render", "rendered"]

Sources: TypeAlias = "Sequence[tuple[tuple[str, ...], Any]]"
"""What a metric is read off, each with the values of its first labels."""
Published: TypeAlias = "list[Sources]"
"""Everything that is shown at one moment, for each group of metrics. None of it changes afterwards."""

ESCAPING = re.compile(r";\s*escaping=[^;,]*")
END = b"# EOF\n"
REST_SECONDS = 1.0
REST_RATIO = 50
LARGE = 20
"""So many targets are rendered in a thread, lest polls and probes wait for it."""
FAMILIES: dict[Kind, Callable[..., Family]] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
    "histogram": HistogramMetricFamily,
}


class Collector:
    """Turns what is published at this moment into families of constant samples; it does no I/O.

    Pages are written from what is `published`; the families are for those who read the registry as such, and for
    prometheus_client's encoders, with whose text the pages are compared.
    """

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
        groups = zip(table.GROUPS, self.published(), strict=True)
        return (_family(metric, sources) for metrics, sources in groups for metric in metrics)

    def published(self) -> Published:
        """Returns what is shown at this moment, without the jobs of targets whose last poll is stale."""
        views = [(_labels(view.key), view) for view in self._views()]
        oldest = self._now() - self._stale_after_seconds()
        fresh = [
            (labels, view.snapshot) for labels, view in views if view.snapshot and view.snapshot.taken_at >= oldest
        ]
        counts = [(_labels(key), counts) for key, counts in self._instruments.counts.items()]
        waits = [((account,), seconds) for account, seconds in self._instruments.waits.items()]
        return [fresh, views, counts, waits, [((), self._process())]]


class Page:
    """What is published, as text in one format; written and packed anew only where it has changed."""

    def __init__(self, encoder: Callable[[CollectorRegistry], bytes], *, is_openmetrics: bool) -> None:
        self._groups = [
            (
                [_head(metric, encoder) for metric in metrics],
                Lines(metrics, floatToGoString, has_exemplars=is_openmetrics),
            )
            for metrics in table.GROUPS
        ]
        self._end = END if is_openmetrics else b""
        self._packing = Packing()
        self._lock = Lock()

    def write(self, published: Published, *, is_packed: bool = False) -> bytes:
        """Returns the text, or that in gzip; any thread may ask for it."""
        with self._lock:
            families = [
                [head, *lines]
                for (heads, group), sources in zip(self._groups, published, strict=True)
                for head, lines in zip(heads, group.of(sources), strict=True)
            ]
            families.append([self._end])
            if is_packed:
                return self._packing.packed(families)
            return b"".join(part for family in families for part in family)


class Registry(CollectorRegistry):
    """A registry of our own that holds nothing but the collector, and its pages."""

    def __init__(self, collector: Collector) -> None:
        super().__init__()
        self.register(collector)
        self.collector = collector
        self.text = Page(generate_latest, is_openmetrics=False)
        self.openmetrics = Page(openmetrics.generate_latest, is_openmetrics=True)
        self._asked: tuple[Page, bool] | None = None

    def page(self, accept: str, *, is_packed: bool) -> tuple[Page, str]:
        """Returns the page that an Accept header asks for, plain text if in doubt, and its content type."""
        known = ESCAPING.sub("", accept)  # our names need none, and prometheus_client 0.26 garbles them with some
        try:
            _, content_type = choose_encoder(known)
        except TypeError:  # a version that is no number
            _, content_type = choose_encoder("")
        page = self.openmetrics if content_type.startswith("application/openmetrics") else self.text
        self._asked = page, is_packed
        return page, content_type

    def rewrite(self, published: Published) -> None:
        """Writes anew what the last scrape asked for, so that the next one finds it written; any thread may do it."""
        if self._asked:
            page, is_packed = self._asked
            page.write(published, is_packed=is_packed)


def make_registry(collector: Collector) -> Registry:
    """Returns a registry of our own that holds nothing but the collector."""
    return Registry(collector)


def render(registry: Registry, accept: str = "", *, is_packed: bool = False) -> tuple[bytes, str]:
    """Returns the exposition and its content type: OpenMetrics if `accept` asks for it, else plain text."""
    page, content_type = registry.page(accept, is_packed=is_packed)
    return page.write(registry.collector.published(), is_packed=is_packed), content_type


async def rendered(registry: Registry, accept: str, *, is_packed: bool) -> tuple[bytes, str]:
    """Returns the same, without holding up the event loop if there is much to write."""
    page, content_type = registry.page(accept, is_packed=is_packed)
    published = registry.collector.published()
    if max(map(len, published)) < LARGE:
        return page.write(published, is_packed=is_packed), content_type
    return await asyncio.to_thread(page.write, published, is_packed=is_packed), content_type


async def keep_written(registry: Registry, news: asyncio.Event) -> None:
    """Rewrites after each news, such as a poll: soon, but at most for a fiftieth of the time."""
    while True:
        await news.wait()
        news.clear()
        started = time.monotonic()
        await asyncio.to_thread(registry.rewrite, registry.collector.published())
        await asyncio.sleep(max(REST_SECONDS, REST_RATIO * (time.monotonic() - started)))


def _head(metric: Metric[Any], encoder: Callable[[CollectorRegistry], bytes]) -> bytes:
    """Returns the comments above a metric, as prometheus_client writes them."""
    registry = CollectorRegistry()
    registry.register(_Described(metric))
    return encoder(registry).removesuffix(END)


class _Described:
    """Collects one family without samples."""

    def __init__(self, metric: Metric[Any]) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Family]:
        yield _family(self._metric, ())


def _family(metric: Metric[Any], sources: Iterable[tuple[tuple[str, ...], Any]]) -> Family:
    family = FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
    for target, source in sources:
        for reading in metric.read(source):
            _add(family, metric, tuple(map(carried, (*target, *reading.labels))), reading)
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


def _labels(key: PollKey) -> tuple[str, str, str]:
    return key.account, key.region_id, key.job_kind
