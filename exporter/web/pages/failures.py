"""The page `/failures`: the last failed jobs, with filters."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from exporter.jobs.snapshot import FAILED_JOBS_SHOWN
from exporter.web.pages.console import CONSOLE_URL
from exporter.web.pages.failure_list import FILTERS, LIMIT
from exporter.web.pages.layout import address, document
from exporter.web.pages.parts import ago, at, row, span, table, target

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporter.web.pages.failure_list import Failure, Found, Wanted
    from exporter.web.pages.layout import Site, Visit

LABELS = {"account": "Account", "region_id": "Region", "job_kind": "Kind", "job_type": "Type", "error_code": "Reason"}
HEADS = ("Job", "Target", "Type", "Created", "Failed", "Reason", "Look up")
NOTE = (
    f"Kept are the last {FAILED_JOBS_SHOWN} failures of each target. Times are UTC. The console opens on its front"
    " page: choose the region there, and look the job up by its id."
)


def page(found: Found, which: Wanted, visit: Visit, site: Site) -> str:
    """Returns the page."""
    body = "\n".join((_form(found.kept, which, visit), _outcome(found, which, visit)))
    return document("Failures", body, visit, site)


def failures_table(failures: Iterable[Failure], now: float) -> str:
    """Returns a row for each failure."""
    return table("Failed jobs", "cards", HEADS, (_row(failure, now) for failure in failures))


def _outcome(found: Found, which: Wanted, visit: Visit) -> str:
    if not found.shown:
        return f"<p>{'No failed job matches.' if found.kept else 'No failed jobs.'}</p>"
    script = address("/failures", {**_query(which), "format": "json"})
    told = (
        f'<p class="note">{len(found.shown)} of {found.matching}, newest first. '
        f'<a href="{script}">The same as JSON</a>. {NOTE}</p>'
    )
    return told + failures_table(found.shown, visit.now)


def _row(failure: Failure, now: float) -> str:
    job = failure.job
    name = escape(job.job_id)
    ended = f"{ago(job.ended_at, now)}, after {span(failure.duration_seconds)}"
    link = (
        f'<a href="{CONSOLE_URL}" target="_blank" rel="noopener noreferrer">Console'
        f'<span class="unseen"> for job {name}, in a new tab</span></a>'
    )
    cells = (
        target(failure.key),
        escape(job.job_type),
        at(job.created_at),
        f"<span>{at(job.ended_at)} <small>{ended}</small></span>",
        f"<span><code>{escape(job.error_code)}</code> <small>{escape(job.error_message)}</small></span>",
        link,
    )
    return row(HEADS, f"<code>{name}</code>", cells)


def _form(kept: Sequence[Failure], which: Wanted, visit: Visit) -> str:
    choices = "".join(
        _choice(name, {each.value(name) for each in kept}, which.filters.get(name, "")) for name in FILTERS
    )
    hidden = "" if visit.refreshes else '<input type="hidden" name="refresh" value="off">'
    hidden += f'<input type="hidden" name="limit" value="{which.limit}">' if which.limit != LIMIT else ""
    clear = f'<a href="{visit.url("/failures")}">Clear</a>' if which.filters else ""
    return (
        f'<form action="/failures" method="get" aria-label="Filters">{choices}{hidden}'
        f'<button type="submit">Filter</button>{clear}</form>'
    )


def _choice(name: str, values: set[str], chosen: str) -> str:
    options = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(value)}</option>'
        for value in sorted(values | ({chosen} if chosen else set()))
    )
    return f'<label>{LABELS[name]}<select name="{name}"><option value="">all</option>{options}</select></label>'


def _query(which: Wanted) -> dict[str, str]:
    limit = {"limit": str(which.limit)} if which.limit != LIMIT else {}
    return {**which.filters, **limit}
