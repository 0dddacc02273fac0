"""One row of the table of metrics, and the ways to read series off what is published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from exporter.jobs.snapshot import Durations, FailedJob

Kind: TypeAlias = Literal["gauge", "counter", "histogram"]
Source = TypeVar("Source")


class Reading(NamedTuple):  # made and compared by the thousand: a tuple is several times faster at both
    """One series of a metric: the values of the labels after those of the target, and its value."""

    labels: tuple[str, ...]
    value: float | Durations
    example: FailedJob | None = None
    """The job to show as exemplar."""


@dataclass(frozen=True, slots=True)
class Metric(Generic[Source]):
    """One row of the table; `read` is pure. `bounds` are a histogram's upper bounds without +Inf."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    read: Callable[[Source], Iterable[Reading]]
    bounds: tuple[float, ...] = ()


def one(value: float | Durations | None) -> Iterator[Reading]:
    """Reads the one series without further labels; None is no series."""
    if value is not None:
        yield Reading((), value)


def by_type(values: Mapping[str, float] | Mapping[str, Durations]) -> Iterator[Reading]:
    """Reads one series for each value of the one further label, such as the job type."""
    return (Reading((label,), value) for label, value in values.items())


def by_pair(values: Mapping[tuple[str, str], float] | Mapping[tuple[str, str], Durations]) -> Iterator[Reading]:
    """Reads one series for each pair of further labels, such as job type and state."""
    return (Reading(pair, value) for pair, value in values.items())
