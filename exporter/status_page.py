"""The status page: one HTML document that tells a person how every target fares."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from exporter.snapshot import JOB_STATES, JOB_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from exporter.snapshot import Health, Snapshot, TargetView

TITLE = "IMS smart-jobs exporter"
FEW = 3
"""So many targets show their jobs unfolded."""

STYLE = """
:root { color-scheme: light dark; font: 100%/1.5 system-ui, sans-serif; }
body { margin: 1rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; }
h2 { font-size: 1.1rem; }
nav a { margin-right: 1rem; }
details { margin-bottom: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: .3rem 1rem .3rem 0; text-align: left; vertical-align: top; }
tbody th, tbody td { border-top: 1px solid #8888; }
tbody .error { border: 0; padding-top: 0; }
.targets tbody th, .error { overflow-wrap: anywhere; }
.targets tbody th { min-width: 5.5rem; }
.targets small { display: block; font-weight: normal; }
.jobs td, .jobs th + th { font-variant-numeric: tabular-nums; text-align: right; }
.up { color: light-dark(#116329, #4ac26b); }
.down { color: light-dark(#b3261e, #ff8f86); font-weight: bold; }
summary { cursor: pointer; }
@media (max-width: 40rem) { table { font-size: .8rem; } th, td { padding-right: .5rem; } }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title} <small>{version}</small></h1>
<nav aria-label="Endpoints">{links}</nav>
</header>
<main>
<h2>Targets</h2>
{targets}
<h2>Jobs</h2>
{jobs}
</main>
</body>
</html>
"""

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def page(views: Sequence[TargetView], *, now: float, version: str, links: Iterable[str]) -> str:
    """Returns the page; everything that is not ours is escaped."""
    none = "<p>No targets.</p>"
    return PAGE.format(
        title=TITLE,
        style=STYLE,
        version=escape(version),
        links=" ".join(f'<a href="{escape(path)}">{escape(path)}</a>' for path in links),
        targets=targets_table(views, now) if views else none,
        jobs="\n".join(jobs_section(view, now, unfolded=len(views) <= FEW) for view in views) or none,
    )


def targets_table(views: Sequence[TargetView], now: float) -> str:
    """Returns a row for each target, and one more for what is wrong with it."""
    heads = ("Target", "State", "Last success", "Survey")
    return table("targets", heads, (row for view in views for row in target_rows(view, now, len(heads))))


def target_rows(view: TargetView, now: float, columns: int) -> Iterator[str]:
    """Yields state, age of the last success and survey of a target, and its last error."""
    health = view.health
    name = f"{escape(view.key.account)} <small>{escape(view.key.region_id)}</small>"
    cells = (state(health), ago(health.last_success_at, now), survey(health))
    yield row(name, cells)
    if health.last_error:
        yield f'<tr><td class="error" colspan="{columns}">{escape(health.last_error)}</td></tr>'


def jobs_section(view: TargetView, now: float, *, unfolded: bool) -> str:
    """Returns the matrix of job types and states of one target."""
    name = escape(f"{view.key.account} / {view.key.region_id}")
    if view.snapshot is None:
        return f"<p>{name}: no successful poll yet</p>"
    summary = f"<summary>{name}, {ago(view.snapshot.taken_at, now)}</summary>"
    return f"<details{' open' if unfolded else ''}>{summary}\n{matrix(view.snapshot)}\n</details>"


def matrix(snapshot: Snapshot) -> str:
    """Returns the jobs by type and state; a dash is a number not known, or not yet."""
    types = known_first(JOB_TYPES, (job_type for job_type, _ in snapshot.jobs))
    states = known_first(JOB_STATES, (job_state for _, job_state in snapshot.jobs))
    rows = [
        row(escape(job_type), (str(snapshot.jobs.get((job_type, each), "-")) for each in states)) for job_type in types
    ]
    return table("jobs", ("Type", *states), rows)


def known_first(known: tuple[str, ...], seen: Iterable[str]) -> list[str]:
    """Returns the known names in their order, then the others."""
    return [*known, *sorted(set(seen) - set(known))]


def table(kind: str, heads: Iterable[str], rows: Iterable[str]) -> str:
    """Returns a table that scrolls sideways where the screen is narrow."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    lines = (f'<div class="wide"><table class="{kind}">', f"<thead><tr>{head}</tr></thead>", "<tbody>")
    return "\n".join((*lines, *rows, "</tbody>", "</table></div>"))


def row(head: str, cells: Iterable[str]) -> str:
    """Returns a row of HTML that is escaped already."""
    return f'<tr><th scope="row">{head}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def state(health: Health) -> str:
    """Returns how the last poll ended."""
    if health.up is None:
        return "waiting"
    if health.up:
        return '<span class="up">up</span>'
    return f'<span class="down">down</span> {escape(health.last_reason)}'


def survey(health: Health) -> str:
    """Returns how far the survey is."""
    return "complete" if health.survey_complete else f"{health.survey_progress:.0%}"


def ago(moment: float | None, now: float) -> str:
    """Returns how long ago a moment was, in its largest unit, with the moment itself as tooltip."""
    if moment is None:
        return "never"
    seconds = max(0, int(now - moment))
    size, unit = next(((size, unit) for size, unit in UNITS if seconds >= size), UNITS[-1])
    exact = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f'<time datetime="{exact}" title="{exact}">{seconds // size} {unit} ago</time>'
