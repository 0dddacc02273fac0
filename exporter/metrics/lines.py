"""The lines of an exposition, byte for byte as prometheus_client writes them, each written once for all scrapes."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from exporter.jobs.snapshot import Durations

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporter.jobs.snapshot import FailedJob
    from exporter.metrics.row import Metric, Reading

JOB_ID = re.compile(r"[A-Za-z0-9._:-]{1,122}")
"""A job id that fits into an exemplar, whose labels may hold 128 characters in all; six are `job_id`."""
SHORT = 10**6
"""Numbers from here on are written with an exponent."""


class Part(NamedTuple):
    """The lines of one metric of one source."""

    readings: tuple[Reading, ...]
    forms: dict[tuple[str, ...], str]
    """The lines of each reading, by its labels, with `%s` for what changes from poll to poll."""
    text: bytes


class Column(NamedTuple):
    """The lines of some metrics of one source, which is a target in most cases."""

    source: object
    """What they were read off; immutable, so that the lines hold as long as the source is the same."""
    parts: tuple[Part, ...]


class Lines:
    """The lines of some metrics in one format, kept from scrape to scrape.

    Of each source they are written anew only where a metric reads otherwise. `number` writes a number; that of a small
    count is always the count and `.0`.
    """

    def __init__(
        self, metrics: tuple[Metric[Any], ...], number: Callable[[float], str], *, has_exemplars: bool
    ) -> None:
        self._metrics = metrics
        self._number = number
        self._has_exemplars = has_exemplars
        self._columns: dict[tuple[str, ...], Column] = {}

    def of(self, sources: Sequence[tuple[tuple[str, ...], object]]) -> list[list[bytes]]:
        """Returns the lines of each metric, source by source; forgets all other sources."""
        columns = [(target, self._column(target, source)) for target, source in sources]
        self._columns = dict(columns)
        return [[column.parts[place].text for _, column in columns] for place in range(len(self._metrics))]

    def _column(self, target: tuple[str, ...], source: object) -> Column:
        before = self._columns.get(target)
        if before is None:
            empty = Part((), {}, b"")
            return Column(source, tuple(self._part(metric, target, source, empty) for metric in self._metrics))
        if before.source is source:
            return before
        pairs = zip(self._metrics, before.parts, strict=True)
        return Column(source, tuple(self._part(metric, target, source, part) for metric, part in pairs))

    def _part(self, metric: Metric[Any], target: tuple[str, ...], source: object, before: Part) -> Part:
        readings = tuple(metric.read(source))
        if readings == before.readings:
            return before
        forms = {}
        lines = []
        for labels, value, example in readings:
            forms[labels] = each = before.forms.get(labels) or form(metric, (*target, *labels))
            if isinstance(value, Durations):
                lines.append(each % self._buckets(value))
            else:
                number = f"{value}.0" if type(value) is int and 0 <= value < SHORT else self._number(value)
                lines.append(each % (number, exemplar(example) if example and self._has_exemplars else ""))
        return Part(readings, forms, "".join(lines).encode())

    def _buckets(self, value: Durations) -> tuple[str, ...]:
        """Returns what goes into the form of a histogram."""
        totals = [*accumulate(value.counts)]
        are_small = totals[-1] < SHORT
        texts = [f"{total}.0" for total in totals] if are_small else [*map(self._number, totals)]
        return (*texts, texts[-1], self._number(value.sum_seconds))


def form(metric: Metric[Any], values: tuple[str, ...]) -> str:
    """Returns the lines of one reading of a metric with these labels, with `%s` where the values of `Lines` go."""
    labels = [(name, pair.replace("%", "%%")) for name, pair in pairs(metric, values)]
    whole = f"{{{','.join(pair for _, pair in labels)}}}" if labels else ""
    if metric.kind != "histogram":
        return f"{metric.name}{whole} %s%s\n"
    before = "".join(f"{pair}," for name, pair in labels if name < "le")
    after = "".join(f",{pair}" for name, pair in labels if name > "le")
    buckets = (f'{metric.name}_bucket{{{before}le="{bound}"{after}}} %s\n' for bound in (*metric.bounds, "+Inf"))
    return f"{''.join(buckets)}{metric.name}_count{whole} %s\n{metric.name}_sum{whole} %s\n"


def pairs(metric: Metric[Any], values: tuple[str, ...]) -> list[tuple[str, str]]:
    """Returns the labels in the order in which they are shown: their names, and each as it is written."""
    if len(values) != len(metric.labels):
        raise ValueError(f"{metric.name} has the labels {metric.labels}, not {values}")
    named = sorted(zip(metric.labels, values, strict=True))
    return [(name, f'{name}="{escaped(value)}"') for name, value in named]


def escaped(value: str) -> str:
    """Returns the value of a label as it stands between quotes."""
    return carried(value).replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def carried(value: str) -> str:
    """Returns a label value that UTF-8 can carry (JSON may hold lone surrogates)."""
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")


def exemplar(job: FailedJob) -> str:
    """Returns how a job is shown as exemplar, nothing if its id does not fit into one."""
    return f' # {{job_id="{job.job_id}"}} 1.0 {job.ended_at}' if JOB_ID.fullmatch(job.job_id) else ""
