"""The page `/targets`: all targets, or one of them in detail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.jobs.kinds import KINDS
from exporter.web.pages.failures import CONSOLE_URL, target_failures
from exporter.web.pages.request import PageError, matches_target
from exporter.web.pages.status import job_matrix, known_first, oldest_jobs, target_row
from exporter.web.pages.templates import render_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment

    from exporter.jobs.kinds import JobKind
    from exporter.jobs.snapshot import Snapshot, TargetView
    from exporter.web.pages.request import PageRequest, PageResponse

PARAMETERS = ("account", "region_id", "job_kind")
MAX_FAILURES = 10
"""Maximum number of failures that the details of a target show."""


@dataclass(frozen=True, slots=True)
class CounterRow:
    """The counters of one job type of a target; a count that is not known yet is None."""

    job_type: str
    counts: Sequence[int | None]
    """Created, then each ended state, deleted, failed within 1 h and within 24 h."""
    mean_seconds: float | None
    """Mean duration of the finished jobs; None if none has finished."""


def respond_targets(request: PageRequest, parameters: Mapping[str, str], environment: Environment) -> PageResponse:
    """Returns the details of the target that the parameters name, or a list if they name none or several job kinds."""
    names = [parameters[name] for name in PARAMETERS if name in parameters]
    if names and not {"account", "region_id"} <= parameters.keys():
        raise PageError(400, "a target has an account and a region_id: give both, or neither to see all targets")
    views = [view for view in request.views if matches_target(view.key, parameters)]
    if names and not views:
        place = f" in {request.settings.shard}" if request.settings.shard else ""
        raise PageError(404, f"there is no target {'/'.join(names)}{place}; see /targets")
    if names and len(views) == 1:
        return _respond_details(views[0], request, parameters, environment)
    rows = [target_row(view, request) for view in views]
    return render_page(environment, "targets.html", request, parameters, targets=rows)


def _respond_details(
    view: TargetView, request: PageRequest, parameters: Mapping[str, str], environment: Environment
) -> PageResponse:
    kind = KINDS[view.key.job_kind]
    failures = target_failures(view)
    return render_page(
        environment,
        "target.html",
        request,
        parameters,
        target=target_row(view, request),
        snapshot=view.snapshot,
        matrix=job_matrix(view),
        ended_states=kind.ended_states,
        counters=counter_rows(view.snapshot, kind) if view.snapshot else [],
        reasons=failures_by_error_code(view.snapshot) if view.snapshot else [],
        oldest=oldest_jobs(view, request),
        failures=failures[:MAX_FAILURES],
        failures_total=len(failures),
        console_url=CONSOLE_URL,
    )


def counter_rows(snapshot: Snapshot, kind: JobKind) -> list[CounterRow]:
    """Returns the counters of each job type."""
    seen = (*snapshot.created, *snapshot.deleted, *(job_type for job_type, _ in snapshot.ended))
    return [
        CounterRow(
            job_type,
            counts=(
                snapshot.created.get(job_type, 0),
                *(snapshot.ended.get((job_type, job_state), 0) for job_state in kind.ended_states),
                snapshot.deleted.get(job_type, 0),
                snapshot.failed_recent.get((job_type, "1h")),
                snapshot.failed_recent.get((job_type, "24h")),
            ),
            mean_seconds=mean_seconds_to_finish(snapshot, job_type),
        )
        for job_type in known_first(kind.known_types, seen)
    ]


def mean_seconds_to_finish(snapshot: Snapshot, job_type: str) -> float | None:
    """Returns the mean duration of the finished jobs of a type; None if none has finished."""
    durations = snapshot.durations.get((job_type, "Finished"))
    finished = sum(durations.counts) if durations else 0
    return durations.sum_seconds / finished if durations and finished else None


def failures_by_error_code(snapshot: Snapshot) -> list[tuple[str, str, int]]:
    """Returns (error code, job type, failed jobs), most failures first."""
    counts = [(code, job_type, count) for (job_type, code), count in snapshot.failures.items() if count]
    return sorted(counts, key=lambda row: (-row[2], row[1], row[0]))
