"""The documentation of the metrics, generated from their table: `docs/metrics.md` and the command `metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.jobs.kinds import KINDS
from exporter.jobs.snapshot import DURATION_BOUNDS, FAILED_WINDOWS, NOTICED_WINDOWS
from exporter.metrics.exposition import runtime_collector
from exporter.metrics.table import (
    HANDSHAKE_REASONS,
    HEALTH_METRICS,
    MAX_CODES,
    METRICS,
    POLL_BOUNDS,
    PROCESS_METRICS,
    REASONS,
    REQUEST_BOUNDS,
    SKIP_REASONS,
    WORKS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.jobs.kinds import JobKind

PAGE = """\
# Metrics

Generated from `exporter/metrics/table.py` by `make docs`; do not edit.

{table}

The labels `account`, `region_id` and `job_kind` identify a poll target: one kind of job of one account in one region.

## Metrics of the process

The process and Python are shown by the collectors of `prometheus_client`, on Linux:

{runtime_table}

## Freshness

The service pushes nothing, so the exporter polls it on a timer. A scrape shows the last successful poll of each target:
all of one poll, never half of one. A failed poll changes only the `ims_exporter_*` metrics. The data is
`time() - ims_exporter_last_success_timestamp_seconds` seconds old. When its age exceeds `stale_after_seconds`, the
`ims_job*` metrics of the target are withdrawn until a poll succeeds again. Its `ims_exporter_*` metrics stay.

The counters of jobs are stored in the ledger and survive restarts. The counters of the process (polls, requests, waits)
start at zero with the process; requests are shown as soon as they end, also in the middle of a poll.

## Series that start at zero

After the first successful poll there is a series for every known type and state, at zero where nothing happened, so
that `increase()` sees the first event. Types and states that the service does not document appear when they occur. In
`ims_jobs` the ended states are absent until the first survey is complete (`ims_exporter_survey_complete`). Polls, the
reasons of failed polls, and the code `OK` of each action are at zero from the start.

{kinds_table}

## Exemplars

`ims_jobs_ended_total{{job_state="Failed"}}` has the id of the newest failed job as its exemplar,
`{{job_id="..."}} 1 <end of the job>`, for scrapers that ask for OpenMetrics. Prometheus stores exemplars with
`--enable-feature=exemplar-storage`.

## Number of series

A poll target with T job types and C error codes per type has at most this number of series:

{series_table}

Of these, {codes} per action are codes of requests; most targets show two or three. A state that the service does not
document adds one series for each type it occurs in. Each account adds one series, the process {per_process}, and
`prometheus_client` about 20.
"""


def metrics_table() -> str:
    """Returns the table of the exporter's own metrics in Markdown."""
    return markdown_table((metric.name, metric.kind, metric.labels, metric.help) for metric in METRICS)


def runtime_table() -> str:
    """Returns the table of `process_*` and `python_*` in Markdown, as prometheus_client shows them on this machine."""
    rows = []
    for family in runtime_collector().collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = sorted({label for sample in family.samples for label in sample.labels})
        rows.append((name, family.type, labels, family.documentation))
    return markdown_table(rows)


def markdown_table(rows: Iterable[tuple[str, str, Iterable[str], str]]) -> str:
    """Returns a table of metrics, each given as its name, kind, labels and help."""
    head = ["| name | kind | labels | meaning |", "|---|---|---|---|"]
    body = [f"| `{name}` | {kind} | {_code(labels)} | {text} |" for name, kind, labels, text in rows]
    return "\n".join([*head, *body])


def kinds_table() -> str:
    """Returns the types and states of each job kind in Markdown."""
    head = ["| job_kind | job_type | job_state |", "|---|---|---|"]
    rows = [f"| `{kind.name}` | {_code(kind.known_types)} | {_code(kind.job_states)} |" for kind in KINDS.values()]
    return "\n".join([*head, *rows])


def series_table() -> str:
    """Returns the maximum number of series of a target of each job kind in Markdown."""
    head = ["| job_kind | series | with the documented types |", "|---|---|---|"]
    rows = []
    for kind in KINDS.values():
        types, per_type, fixed = len(kind.known_types), series_per_type(kind), series_per_target(kind)
        rows.append(f"| `{kind.name}` | T * ({per_type} + C) + {fixed} | {types * per_type + fixed} + {types} * C |")
    return "\n".join([*head, *rows])


def series_per_type(kind: JobKind) -> int:
    """Returns the maximum number of series of one job type of a target, error codes left out."""
    states, ended = len(kind.job_states), len(kind.ended_states)
    gauges = states + len(FAILED_WINDOWS) + len(NOTICED_WINDOWS) + len(kind.open_states) + 1
    counters = 1 + ended + 1
    return gauges + counters + ended * series_of_histogram(DURATION_BOUNDS)


def series_per_target(kind: JobKind) -> int:
    """Returns the maximum number of series of a target that do not depend on its job types."""
    polls = series_of_histogram(POLL_BOUNDS) + 1 + len(REASONS)
    requests = len(kind.actions) * (MAX_CODES + 1 + series_of_histogram(REQUEST_BOUNDS))
    health = len(HEALTH_METRICS) - 2 + len(WORKS) + len(SKIP_REASONS)  # two of them have a label of their own
    return health + polls + requests


def series_of_process() -> int:
    """Returns the number of series that every process has, whatever its targets."""
    return len(PROCESS_METRICS) - 1 + len(HANDSHAKE_REASONS)


def series_of_histogram(bounds: tuple[float, ...]) -> int:
    """Returns the number of series of a histogram: its buckets, +Inf, count and sum."""
    return len(bounds) + 3


def document() -> str:
    """Returns the text of docs/metrics.md."""
    return PAGE.format(
        table=metrics_table(),
        runtime_table=runtime_table(),
        kinds_table=kinds_table(),
        series_table=series_table(),
        per_process=series_of_process(),
        codes=MAX_CODES + 1,
    )


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
