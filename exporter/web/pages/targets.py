"""The page `/targets`: all targets, or one of them in detail."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from exporter.jobs.kinds import SMART
from exporter.web.pages.failure_list import Failure
from exporter.web.pages.failures import failures_table
from exporter.web.pages.layout import document
from exporter.web.pages.parts import ago, close_span, count, facts, row, span, table
from exporter.web.pages.status import known_first, matrix, state, survey, targets_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from exporter.jobs.snapshot import Snapshot, TargetView, WaitingJob
    from exporter.web.pages.layout import Site, Visit

ENDED_STATES, JOB_TYPES = SMART.ended_states, SMART.job_types

FAILURES = 10
COUNTER_HEADS = ("Type", "Created", *ENDED_STATES, "Deleted", "Failed 1 h", "Failed 24 h", "Mean time to finish")
REASON_HEADS = ("Reason", "Type", "Failed")
OLDEST_HEADS = ("Job", "Type", "State", "Open for", "Threshold")


def page(views: Sequence[TargetView], visit: Visit, site: Site) -> str:
    """Returns the page with all targets."""
    body = targets_table(views, visit, site) if views else "<p>No targets.</p>"
    return document("Targets", body, visit, site)


def detail_page(view: TargetView, visit: Visit, site: Site) -> str:
    """Returns the page with all that is known of one target."""
    parts = [_health(view, visit, site)]
    if view.snapshot:
        parts += ["<h2>Jobs</h2>", matrix(view), *_sections(view.snapshot, view, visit, site)]
    return document(str(view.key), "\n".join(parts), visit, site)


def _health(view: TargetView, visit: Visit, site: Site) -> str:
    health, now = view.health, visit.now
    error = f'<span class="bad">{escape(health.last_error)}</span>' if health.last_error else "none"
    cut = "yes: ends before the lookback are missing" if health.catchup_truncated else "no"
    return facts(
        (
            ("State", state(view, now, site)),
            ("Last error", error),
            ("Last success", ago(health.last_success_at, now)),
            ("Last attempt", ago(health.last_attempt_at, now)),
            ("Survey", survey(health)),
            ("Catch-up truncated", cut),
            ("Jobs in the ledger", count(view.snapshot.ledger_jobs) if view.snapshot else "unknown"),
        )
    )


def _sections(snapshot: Snapshot, view: TargetView, visit: Visit, site: Site) -> Iterator[str]:
    yield "<h2>Counted since the ledger began</h2>"
    yield table("Counters", "numbers", COUNTER_HEADS, _counters(snapshot))
    yield "<h2>Failures by reason</h2>"
    reasons = sorted((item for item in snapshot.failures.items() if item[1]), key=lambda item: (-item[1], item[0]))
    rows = (row(REASON_HEADS, f"<code>{escape(code)}</code>", (escape(kind), count(n))) for (kind, code), n in reasons)
    yield table("Failures by reason", "reasons", REASON_HEADS, rows) if reasons else "<p>None.</p>"
    yield "<h2>Oldest open jobs</h2>"
    yield _oldest(snapshot.oldest_jobs, visit.now, site)
    yield "<h2>Last failures</h2>"
    failures = [Failure(view.key, job) for job in snapshot.failed_jobs]
    yield failures_table(failures[:FAILURES], visit.now) if failures else "<p>None.</p>"
    link = visit.url("/failures", **view.key.labels)
    if len(failures) > FAILURES:
        yield f'<p><a href="{link}">All {len(failures)} kept failures of this target</a></p>'


def _counters(snapshot: Snapshot) -> Iterable[str]:
    seen = (*snapshot.created, *snapshot.deleted, *(kind for kind, _ in snapshot.ended))
    for kind in known_first(JOB_TYPES, seen):
        numbers = (
            snapshot.created.get(kind, 0),
            *(snapshot.ended.get((kind, ended), 0) for ended in ENDED_STATES),
            snapshot.deleted.get(kind, 0),
            snapshot.failed_recent.get((kind, "1h")),
            snapshot.failed_recent.get((kind, "24h")),
        )
        cells = ("-" if number is None else count(number) for number in numbers)
        yield row(COUNTER_HEADS, escape(kind), (*cells, _mean(snapshot, kind)))


def _mean(snapshot: Snapshot, job_type: str) -> str:
    durations = snapshot.durations.get((job_type, "Finished"))
    number = sum(durations.counts) if durations else 0
    return span(durations.sum_seconds / number) if durations and number else "-"


def _oldest(jobs: Sequence[WaitingJob], now: float, site: Site) -> str:
    rows = (_oldest_row(job, now - job.created_at, site.too_long(job.job_type)) for job in jobs)
    return table("Oldest open jobs", "cards", OLDEST_HEADS, rows) if jobs else "<p>None.</p>"


def _oldest_row(job: WaitingJob, age: float, threshold: int) -> str:
    told = f'<span class="warn">{close_span(age)}, too long</span>' if age > threshold else close_span(age)
    cells = (escape(job.job_type), escape(job.job_state), told, span(threshold))
    return row(OLDEST_HEADS, f"<code>{escape(job.job_id)}</code>", cells)
