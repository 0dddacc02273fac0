"""The page `/`: how every target fares, its jobs by type and state, and the jobs that are open for too long."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from exporter.jobs.count_history import POINTS, series
from exporter.jobs.kinds import SMART
from exporter.jobs.snapshot import OLDEST_JOBS_SHOWN
from exporter.web.pages.layout import document
from exporter.web.pages.parts import ago, close_span, count, error_row, row, span, sparkline, sums, table, target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from exporter.jobs.snapshot import Health, PollKey, TargetView, WaitingJob
    from exporter.web.pages.layout import Site, Visit

JOB_STATES, JOB_TYPES, OPEN_STATES = SMART.job_states, SMART.job_types, SMART.open_states

FEW = 3
"""So many targets show their jobs unfolded."""
TARGET_HEADS = ("Target", "State", "Last success", "Open", "Failed 1 h", "Failed 24 h", "Survey")
STUCK_HEADS = ("Job", "Target", "Type", "State", "Open for", "Threshold")
UNKNOWN = '<span class="zero" title="not known yet">-</span>'


@dataclass(frozen=True, slots=True)
class Stuck:
    """A job that is open for longer than its type should be."""

    key: PollKey
    job: WaitingJob
    age_seconds: float


def page(views: Sequence[TargetView], visit: Visit, site: Site) -> str:
    """Returns the page."""
    if not views:
        return document("Status", "<p>No targets.</p>", visit, site)
    late = [each for view in views for each in stuck(view, visit.now, site)]
    parts = (
        _sums(views, late),
        "<h2>Targets</h2>",
        targets_table(views, visit, site),
        "<h2>Open for too long</h2>",
        _stuck_section(late, site),
        "<h2>Jobs</h2>",
        f'<p class="note">The lines show the last {POINTS} polls, each from its lowest to its highest count.</p>',
        *(_jobs_section(view, unfolded=len(views) <= FEW) for view in views),
    )
    return document("Status", "\n".join(parts), visit, site)


def stuck(view: TargetView, now: float, site: Site) -> list[Stuck]:
    """Returns the jobs of a target that are open for longer than the threshold of their type, oldest first."""
    jobs = view.snapshot.oldest_jobs if view.snapshot else ()
    ages = [Stuck(view.key, job, now - job.created_at) for job in jobs]
    return [each for each in ages if each.age_seconds > site.too_long(each.job.job_type)]


def stuck_table(late: Iterable[Stuck], site: Site) -> str:
    """Returns a row for each job that is open for too long."""
    return table("Jobs open for too long", "cards", STUCK_HEADS, (_stuck_row(each, site) for each in late))


def targets_table(views: Iterable[TargetView], visit: Visit, site: Site) -> str:
    """Returns a row for each target, and one more for what is wrong with it."""
    rows = (each for view in views for each in _target_rows(view, visit, site))
    return table("Targets", "cards targets", TARGET_HEADS, rows)


def matrix(view: TargetView) -> str:
    """Returns the jobs of a target by type and state, each with the line of its past."""
    jobs = view.snapshot.jobs if view.snapshot else {}
    states = known_first(JOB_STATES, (job_state for _, job_state in jobs))
    types = known_first(JOB_TYPES, (job_type for job_type, _ in jobs))
    heads = ("Type", *states)
    rows = (row(heads, escape(kind), (_cell(view, kind, state) for state in states)) for kind in types)
    return table(f"Jobs of {view.key}", "numbers", heads, rows)


def known_first(known: tuple[str, ...], seen: Iterable[str]) -> list[str]:
    """Returns the known names in their order, then the others."""
    return [*known, *sorted(set(seen) - set(known))]


def state(view: TargetView, now: float, site: Site) -> str:
    """Returns how the last poll ended, and whether what is shown is too old."""
    health = view.health
    if health.up is None:
        return "waiting"
    is_stale = health.last_success_at is not None and now - health.last_success_at > site.stale_after_seconds
    stale = ' <span class="warn">stale</span>' if is_stale else ""
    if health.up:
        return f'<span class="good">up</span>{stale}'
    return f'<span><span class="bad">down</span> {escape(health.last_reason)}{stale}</span>'


def survey(health: Health) -> str:
    """Returns how far the survey is."""
    if health.survey_complete:
        return "complete"
    share = f"{min(max(health.survey_progress, 0), 1):.0%}"
    value = f"{min(max(health.survey_progress, 0), 1):.3f}"
    return f'<span><progress max="1" value="{value}" aria-label="Survey">{share}</progress> {share}</span>'


def failed_recent(view: TargetView, window: str) -> int | None:
    """Returns how many jobs of a target failed within a window, None if that is not known yet."""
    recent = view.snapshot.failed_recent if view.snapshot else {}
    return sum(n for (_, name), n in recent.items() if name == window) if recent else None


def _sums(views: Sequence[TargetView], late: Sequence[Stuck]) -> str:
    up = sum(view.health.up is True for view in views)
    failed = [number for view in views if (number := failed_recent(view, "1h")) is not None]
    return sums(
        (
            (
                "targets up",
                f"{up} of {len(views)}" if up == len(views) else f'<span class="bad">{up} of {len(views)}</span>',
            ),
            ("jobs open", count(sum(_open(view) or 0 for view in views))),
            ("open for too long", f'<span class="warn">{len(late)}</span>' if late else count(0)),
            ("failed within 1 h", count(sum(failed)) if failed else UNKNOWN),
        )
    )


def _target_rows(view: TargetView, visit: Visit, site: Site) -> Iterator[str]:
    key = view.key
    own = key.labels
    failures = visit.url("/failures", **own)
    name = f'<a href="{visit.url("/targets", **own)}">{escape(key.account)}</a> <small>{escape(key.region_id)}</small>'
    hour, day = failed_recent(view, "1h"), failed_recent(view, "24h")
    cells = (
        state(view, visit.now, site),
        ago(view.health.last_success_at, visit.now),
        _known(_open(view)),
        _known(hour),
        f'<a href="{failures}">{day:,}<span class="unseen"> failures of {escape(str(key))}</span></a>'
        if day
        else _known(day),
        survey(view.health),
    )
    yield row(TARGET_HEADS, name, cells)
    if view.health.last_error:
        yield error_row(len(TARGET_HEADS), view.health.last_error)


def _stuck_section(late: Sequence[Stuck], site: Site) -> str:
    if not late:
        return f'<p class="note">None of the {OLDEST_JOBS_SHOWN} oldest jobs of each target.</p>'
    note = f"Of the {OLDEST_JOBS_SHOWN} oldest jobs of each target; the thresholds are the alerts' default ones."
    return f'<p class="note">{note}</p>{stuck_table(late, site)}'


def _stuck_row(late: Stuck, site: Site) -> str:
    job = late.job
    cells = (
        target(late.key),
        escape(job.job_type),
        escape(job.job_state),
        f'<span class="warn">{close_span(late.age_seconds)}</span>',
        span(site.too_long(job.job_type)),
    )
    return row(STUCK_HEADS, f"<code>{escape(job.job_id)}</code>", cells)


def _jobs_section(view: TargetView, *, unfolded: bool) -> str:
    name = escape(f"{view.key.account} / {view.key.region_id}")
    if view.snapshot is None:
        return f"<p><b>{name}</b>: no good poll yet</p>"
    is_open = " open" if unfolded else ""
    return f"<details{is_open}><summary><h3>{name}</h3></summary>\n{matrix(view)}\n</details>"


def _cell(view: TargetView, job_type: str, job_state: str) -> str:
    number = view.snapshot.jobs.get((job_type, job_state)) if view.snapshot else None
    kind = "failed" if job_state == "Failed" else ""
    return _known(number) + sparkline(series(view.history, job_type, job_state), kind)


def _open(view: TargetView) -> int | None:
    return sum(n for (_, name), n in view.snapshot.jobs.items() if name in OPEN_STATES) if view.snapshot else None


def _known(number: int | None) -> str:
    return UNKNOWN if number is None else count(number)
