"""The page that documents the metrics, written from their table: `python -m exporter.metrics.document`."""

from __future__ import annotations

import sys

from exporter.jobs.kinds import SMART
from exporter.jobs.snapshot import (
    DURATION_BOUNDS,
    FAILED_WINDOWS,
)
from exporter.metrics.table import (
    ACTIONS,
    MAX_CODES,
    METRICS,
    POLL_BOUNDS,
    PROCESS_METRICS,
    REASONS,
    REQUEST_BOUNDS,
    TARGET_METRICS,
)

ENDED_STATES, JOB_STATES, OPEN_STATES = SMART.ended_states, SMART.job_states, SMART.open_states
JOB_TYPES = SMART.job_types

PAGE = """\
# Metrics

Generated from `exporter/metrics/table.py` by `python -m exporter.metrics.document`; do not edit.

{table}

## How fresh they are

The service pushes nothing, so the exporter polls it on a timer, and a scrape shows the last successful poll:
all of one poll, never half of one. A failed poll changes nothing but the `ims_exporter_*` metrics. What you
see is `time() - ims_exporter_last_success_timestamp_seconds` old. Once that exceeds `stale_after_seconds`,
the `ims_job*` metrics of the target are withdrawn until a poll succeeds again; those of its health stay.

The counters of jobs are kept in the ledger and survive restarts. What the process counts itself (polls,
requests, waits) starts anew with it.

## What is there at zero

From the first successful poll on there is a series for every known type and state, at zero where nothing
happened, so that `increase()` sees the first event. Types and states that the service does not document
appear when they occur. In `ims_jobs` the ended states wait for the first survey
(`ims_exporter_survey_complete`). Polls, their reasons of failure, and the `OK` of each action are there from
the start.

- types: {types}
- states: {states}

## Exemplars

`ims_jobs_ended_total{{job_state="Failed"}}` carries the id of the newest failed job as exemplar,
`{{job_id="..."}} 1 <end of the job>`, for scrapers that ask for OpenMetrics. Prometheus keeps exemplars with
`--enable-feature=exemplar-storage`.

## How many series

For one target with T job types ({known_types} are known) and C error codes for each type:

    T * ({per_type} + C) + {per_target}

at most, and {per_process} for the process and one for each account. The known types alone make
{matrix} + {known_types} * C. Among the {per_target} are {codes} codes of requests for each of {actions}
actions, of which most targets show two or three. A state that the service does not document adds one series
for each type it occurs in.
"""


def metrics_table() -> str:
    """Returns the table of all metrics in Markdown."""
    rows = [f"| `{metric.name}` | {metric.kind} | {_names(metric.labels)} | {metric.help} |" for metric in METRICS]
    head = ["| name | kind | labels | meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *rows])


def series_per_type() -> int:
    """Returns how many series one job type of one target has, error codes left out."""
    both = len(ENDED_STATES)
    gauges = len(JOB_STATES) + len(FAILED_WINDOWS) + len(OPEN_STATES) + 1
    counters = 1 + both + 1
    return gauges + counters + both * _series(DURATION_BOUNDS)


def series_per_target() -> int:
    """Returns how many series one target has at most, whatever its jobs."""
    polls = _series(POLL_BOUNDS) + 1 + len(REASONS)
    requests = len(ACTIONS) * (MAX_CODES + 1 + _series(REQUEST_BOUNDS))
    return len(TARGET_METRICS) + polls + requests


def document() -> str:
    """Returns the text of docs/metrics.md."""
    return PAGE.format(
        table=metrics_table(),
        types=", ".join(JOB_TYPES),
        states=", ".join(JOB_STATES),
        known_types=len(JOB_TYPES),
        per_type=series_per_type(),
        per_target=series_per_target(),
        per_process=len(PROCESS_METRICS),
        matrix=len(JOB_TYPES) * series_per_type() + series_per_target(),
        codes=MAX_CODES + 1,
        actions=len(ACTIONS),
    )


def _series(bounds: tuple[float, ...]) -> int:
    """Returns how many series a histogram has: its buckets, +Inf, count and sum."""
    return len(bounds) + 3


def _names(labels: tuple[str, ...]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


if __name__ == "__main__":
    sys.stdout.write(document())
