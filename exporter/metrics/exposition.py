"""The exposition: the samples of each target, rendered once and kept as bytes, and the pages joined from them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isal import isal_zlib
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from exporter.metrics.families import make_family
from exporter.metrics.table import ACCOUNT_METRICS, PROCESS_METRICS, TARGET_GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client.metrics_core import Metric as Family

    from exporter.jobs.snapshot import PollKey, TargetView
    from exporter.metrics.counters import Instruments
    from exporter.metrics.table import Metric, Process, TargetCounts

MAX_TARGETS_INLINE = 20
"""Maximum number of targets for which a page is made in the event loop; for more it is made in a thread."""

GZIP_LEVEL = 1
"""The fastest level that compresses well: series repeat each other."""

GZIP_WINDOW = 31
"""The largest window, with the header and trailer of gzip."""

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


@dataclass(frozen=True, slots=True)
class Block:
    """The samples of one group of metrics of one target: one piece of bytes per metric, in each format."""

    source: object
    """What the samples were read from. It is immutable, so the samples are valid as long as it is the same object."""
    samples: dict[Format, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything that a page shows, captured at one moment. None of it changes afterwards."""

    targets: Sequence[tuple[TargetView, TargetCounts | None]]
    oldest_fresh: float
    """Unix time of the oldest snapshot that is not stale."""
    waits: dict[str, float]
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
    counts. `runtime` collects the families of the process and of Python at every scrape.
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
    ) -> None:
        self._views = views
        self._process = process
        self._instruments = instruments
        self._now = now
        self._stale_after_seconds = stale_after_seconds
        self._runtime = runtime_collector() if runtime is None else runtime
        self._heads = {
            form: [[encode(form, make_family(metric, ())) for metric in metrics] for metrics in TARGET_GROUPS]
            for form in FORMATS
        }
        self._blocks: dict[PollKey, tuple[Block, ...]] = {}

    def prerender(self, view: TargetView) -> None:
        """Renders a target whose poll has ended, so that the next scrape finds its samples rendered."""
        self._current_blocks(view, self._instruments.counts.get(view.key))

    def page(self, form: Format) -> bytes:
        """Returns the page of this moment."""
        return self._make_page(self._capture(), form)

    async def scrape(self, form: Format, *, is_gzip: bool) -> bytes:
        """Returns the page of this moment, in gzip if asked for; many targets do not hold up the event loop."""
        moment = self._capture()
        if len(moment.targets) <= MAX_TARGETS_INLINE:
            return self._make_body(moment, form, is_gzip=is_gzip)
        return await asyncio.to_thread(self._make_body, moment, form, is_gzip=is_gzip)

    def _capture(self) -> Moment:
        counts = self._instruments.counts
        return Moment(
            targets=[(view, counts.get(view.key)) for view in self._views()],
            oldest_fresh=self._now() - self._stale_after_seconds(),
            waits=dict(self._instruments.waits),
            process=self._process(),
        )

    def _make_body(self, moment: Moment, form: Format, *, is_gzip: bool) -> bytes:
        page = self._make_page(moment, form)
        return isal_zlib.compress(page, GZIP_LEVEL, GZIP_WINDOW) if is_gzip else page

    def _make_page(self, moment: Moment, form: Format) -> bytes:
        """Joins the page family by family, as a family must not be interrupted; any thread may call it."""
        targets = [(view, self._current_blocks(view, counts)) for view, counts in moment.targets]
        if len(self._blocks) > len(targets):
            self._drop_blocks({view.key for view, _ in targets})
        parts: list[bytes] = []
        for group, heads in enumerate(self._heads[form]):
            is_of_jobs = group == 0
            shown = [
                blocks[group].samples[form]
                for view, blocks in targets
                if not is_of_jobs or (view.snapshot and view.snapshot.taken_at >= moment.oldest_fresh)
            ]
            for place, head in enumerate(heads):
                parts.append(head)
                parts.extend([samples[place] for samples in shown])
        waits = [((account,), seconds) for account, seconds in moment.waits.items()]
        own = [make_family(metric, waits) for metric in ACCOUNT_METRICS]
        own += [make_family(metric, [((), moment.process)]) for metric in PROCESS_METRICS]
        parts.append(form.encode(Families([*own, *self._runtime.collect()])))
        return b"".join(parts)

    def _current_blocks(self, view: TargetView, counts: TargetCounts | None) -> tuple[Block, ...]:
        """Returns the blocks of a target, after rendering those whose source was replaced.

        Threads may render the same target at the same time: each returns what it was asked for, and whichever is stored
        last is valid only for the sources it was read from.
        """
        sources = (view.snapshot, view, counts)
        blocks = self._blocks.get(view.key)
        if blocks is None or any(block.source is not source for block, source in zip(blocks, sources, strict=True)):
            labels = (view.key.account, view.key.region_id, view.key.job_kind)
            blocks = tuple(
                blocks[group] if blocks and blocks[group].source is source else make_block(metrics, labels, source)
                for group, (metrics, source) in enumerate(zip(TARGET_GROUPS, sources, strict=True))
            )
            self._blocks[view.key] = blocks
        return blocks

    def _drop_blocks(self, live: set[PollKey]) -> None:
        for key in list(self._blocks):
            if key not in live:
                self._blocks.pop(key, None)


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


def make_block(metrics: Sequence[Metric[Any]], labels: tuple[str, ...], source: object) -> Block:
    """Renders a group of metrics of one target in both formats; a source of None has no samples."""
    families = [make_family(metric, [] if source is None else [(labels, source)]) for metric in metrics]
    text = tuple(samples_of(TEXT, family) for family in families)
    # The formats differ in comments and exemplars only, so all other samples are rendered and kept once.
    with_exemplars = tuple(
        samples_of(OPENMETRICS, family) if any(sample.exemplar for sample in family.samples) else samples
        for family, samples in zip(families, text, strict=True)
    )
    return Block(source, {TEXT: text, OPENMETRICS: with_exemplars})


def samples_of(form: Format, family: Family) -> bytes:
    """Returns the samples of a family, without the two comments above them (HELP and TYPE)."""
    return encode(form, family).split(b"\n", 2)[2]
