"""The exposition: the samples of each target, rendered once and kept as bytes, and the pages joined from them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from operator import is_
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from isal import isal_zlib
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from exporter.metrics.families import make_family
from exporter.metrics.table import ACCOUNT_METRICS, COUNTED_METRICS, HEALTH_METRICS, JOB_METRICS, PROCESS_METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client.metrics_core import Metric as Family

    from exporter.jobs.snapshot import PollKey, TargetView
    from exporter.metrics.counters import Instruments
    from exporter.metrics.table import Metric, Process, TargetCounts

Group: TypeAlias = "tuple[Metric[Any], ...]"

MAX_TARGETS_INLINE = 100
"""Maximum number of targets for which a page is made in the event loop; for more it is made in a thread."""

PARTS_PER_CHUNK = 128
"""Pieces of samples that are joined before they are compressed: the whole page may have tens of megabytes."""

GZIP_LEVEL = 1
"""The fastest level that compresses well: series repeat each other."""

GZIP_WINDOW = 31
"""The largest window, with the header and trailer of gzip."""

TARGET_GROUPS: tuple[Group, ...] = (JOB_METRICS, HEALTH_METRICS, COUNTED_METRICS)
"""The metrics of a target, by what they are read from: its snapshot, view and counts."""

ACCOUNT_GROUPS: tuple[Group, ...] = (ACCOUNT_METRICS,)
"""The metrics of an account, read from the seconds that its requests waited."""

END = b"# EOF\n"
"""The last line of OpenMetrics."""


@dataclass(frozen=True, slots=True, eq=False)
class Format:
    """A text format of Prometheus, and the encoder of prometheus_client that writes it."""

    content_type: str
    encode: Callable[[Collector], bytes]


TEXT = Format(CONTENT_TYPE_PLAIN_0_0_4, generate_latest)
OPENMETRICS = Format(openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest)
FORMATS = (TEXT, OPENMETRICS)


Samples: TypeAlias = "dict[Format, tuple[bytes, ...]]"
"""The samples of one group of metrics of one source: one piece of bytes per metric, in each format."""


class Rendered(NamedTuple):
    """The samples of a target or account.

    The sources are immutable, so the samples of each are valid as long as the source is the same object.
    """

    sources: tuple[object, ...]
    samples: tuple[Samples, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything that a page shows, captured at one moment. None of it changes afterwards."""

    targets: Sequence[tuple[TargetView, TargetCounts | None]]
    fresh: frozenset[PollKey]
    """Targets whose snapshot is not stale."""
    waits: Sequence[tuple[str, float]]
    process: Process


class Families(Collector):
    """A collector of families that exist already."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        """Returns the families."""
        return self._families


class Exposition:
    """Makes the pages of /metrics from what `views`, `process` and `instruments` hold at the moment of a scrape.

    The samples of a target are rendered again only when what they show was replaced: its snapshot, its view or its
    counts. `runtime` collects the families of the process and of Python at every scrape. Without `duration_histograms`
    the histograms of jobs are left out.
    """

    def __init__(
        self,
        *,
        views: Callable[[], Sequence[TargetView]],
        process: Callable[[], Process],
        instruments: Instruments,
        now: Callable[[], float],
        stale_after_seconds: Callable[[], float],
        runtime: Collector | None = None,
        duration_histograms: bool = True,
    ) -> None:
        self._views = views
        self._process = process
        self._instruments = instruments
        self._now = now
        self._stale_after_seconds = stale_after_seconds
        self._runtime = runtime_collector() if runtime is None else runtime
        jobs = tuple(metric for metric in JOB_METRICS if duration_histograms or metric.kind != "histogram")
        self._target_groups: tuple[Group, ...] = (jobs, *TARGET_GROUPS[1:])
        self._heads = {
            form: [
                [encode(form, make_family(metric, ())) for metric in metrics]
                for metrics in (*self._target_groups, *ACCOUNT_GROUPS)
            ]
            for form in FORMATS
        }
        self._rendered: dict[PollKey | str, Rendered] = {}
        """The samples of each target, and those of each account under its name."""

    def prerender(self, view: TargetView) -> None:
        """Renders a target whose poll has ended, so that the next scrape finds its samples rendered."""
        self._target_samples(view, self._instruments.counts.get(view.key))
        account = view.key.account
        if account in self._instruments.waits:
            self._account_samples(account, self._instruments.waits[account])

    def page(self, form: Format) -> bytes:
        """Returns the page of this moment."""
        return b"".join(self._parts(self._capture(), form))

    async def scrape(self, form: Format, *, is_gzip: bool) -> bytes:
        """Returns the page of this moment, in gzip if asked for; many targets do not hold up the event loop."""
        moment = self._capture()
        if len(moment.targets) <= MAX_TARGETS_INLINE:
            return self._make_body(moment, form, is_gzip=is_gzip)
        return await asyncio.to_thread(self._make_body, moment, form, is_gzip=is_gzip)

    def _capture(self) -> Moment:
        counts, views = self._instruments.counts, self._views()
        now, monotonic, limit = self._now(), time.monotonic(), self._stale_after_seconds()
        return Moment(
            targets=[(view, counts.get(view.key)) for view in views],
            fresh=frozenset(view.key for view in views if view.age_seconds(now, monotonic) <= limit),
            waits=list(self._instruments.waits.items()),
            process=self._process(),
        )

    def _make_body(self, moment: Moment, form: Format, *, is_gzip: bool) -> bytes:
        parts = self._parts(moment, form)
        return compress(parts) if is_gzip else b"".join(parts)

    def _parts(self, moment: Moment, form: Format) -> list[bytes]:
        """Returns the page in pieces, family by family, as no other family may come between the samples of one.

        Any thread may call it.
        """
        targets = [self._target_samples(view, counts) for view, counts in moment.targets]
        accounts = [self._account_samples(name, seconds) for name, seconds in moment.waits]
        if len(self._rendered) > len(targets) + len(accounts):
            self._drop_all_but({view.key for view, _ in moment.targets} | {name for name, _ in moment.waits})
        fresh = [
            samples for samples, (view, _) in zip(targets, moment.targets, strict=True) if view.key in moment.fresh
        ]
        jobs, health, counted, waited = self._heads[form]
        groups = ((jobs, fresh, 0), (health, targets, 1), (counted, targets, 2), (waited, accounts, 0))
        parts: list[bytes] = []
        for heads, shown, group in groups:
            of_sources = [samples[group][form] for samples in shown]
            for place, head in enumerate(heads):
                parts.append(head)
                parts.extend([of_metrics[place] for of_metrics in of_sources])
        own = [make_family(metric, [((), moment.process)]) for metric in PROCESS_METRICS]
        parts.append(form.encode(Families([*own, *self._runtime.collect()])))
        return parts

    def _target_samples(self, view: TargetView, counts: TargetCounts | None) -> tuple[Samples, ...]:
        key = view.key
        labels = (key.account, key.region_id, key.job_kind)
        return self._current_samples(key, labels, self._target_groups, (view.snapshot, view, counts))

    def _account_samples(self, name: str, seconds: float) -> tuple[Samples, ...]:
        return self._current_samples(name, (name,), ACCOUNT_GROUPS, (seconds,))

    def _current_samples(
        self, key: PollKey | str, labels: tuple[str, ...], groups: tuple[Group, ...], sources: tuple[object, ...]
    ) -> tuple[Samples, ...]:
        """Returns the samples of a target or account, after rendering those whose source was replaced.

        Threads may render the same one at the same time: each returns what it was asked for, and whichever is stored
        last is valid only for its own sources.
        """
        before = self._rendered.get(key)
        if before and all(map(is_, before.sources, sources)):
            return before.samples
        samples = tuple(
            before.samples[place] if before and before.sources[place] is source else render(metrics, labels, source)
            for place, (metrics, source) in enumerate(zip(groups, sources, strict=True))
        )
        self._rendered[key] = Rendered(sources, samples)
        return samples

    def _drop_all_but(self, live: set[PollKey | str]) -> None:
        for key in list(self._rendered):
            if key not in live:
                self._rendered.pop(key, None)


def runtime_collector() -> CollectorRegistry:
    """Returns a registry of prometheus_client's own collectors: `process_*` and `python_*`."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def encode(form: Format, family: Family) -> bytes:
    """Returns one family as prometheus_client writes it."""
    return form.encode(Families([family])).removesuffix(END)


def render(metrics: Group, labels: tuple[str, ...], source: object) -> Samples:
    """Renders a group of metrics of one source in both formats; a source of None has no samples."""
    families = [make_family(metric, [] if source is None else [(labels, source)]) for metric in metrics]
    text = tuple(samples_of(TEXT, family) for family in families)
    # The formats differ in comments and exemplars only, so all other samples are rendered and kept once.
    with_exemplars = tuple(
        samples_of(OPENMETRICS, family) if any(sample.exemplar for sample in family.samples) else samples
        for family, samples in zip(families, text, strict=True)
    )
    return {TEXT: text, OPENMETRICS: with_exemplars}


def samples_of(form: Format, family: Family) -> bytes:
    """Returns the samples of a family, without the two comments above them (HELP and TYPE)."""
    return encode(form, family).split(b"\n", 2)[2]


def compress(parts: list[bytes]) -> bytes:
    """Returns the parts as one gzip stream."""
    compressor = isal_zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WINDOW)
    chunks = (b"".join(parts[start : start + PARTS_PER_CHUNK]) for start in range(0, len(parts), PARTS_PER_CHUNK))
    return b"".join([*map(compressor.compress, chunks), compressor.flush()])
