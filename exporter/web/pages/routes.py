"""What the pages answer, to any query, without a server: a status, a content type, a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.web.pages import failure_list as failures
from exporter.web.pages import failures as failures_page
from exporter.web.pages import status as status_page
from exporter.web.pages import targets as targets_page
from exporter.web.pages.layout import Site, Visit
from exporter.web.pages.query import BadQueryError, parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporter.jobs.snapshot import TargetView

    Query = Sequence[tuple[str, str]]

HTML, JSON, TEXT = "text/html", "application/json", "text/plain"
FORMATS = ("html", "json")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back, in UTF-8."""

    status: int
    content_type: str
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a page, and what there is to show."""

    path: str
    query: Query
    accept: str
    links: Sequence[str]
    views: Sequence[TargetView]
    site: Site
    now: float


def answer(asked: Asked) -> Answer:
    """Answers a request for one of the pages; a query that is not the page's gets 400 and what would be."""
    try:
        return PAGES[asked.path](asked)
    except BadQueryError as error:
        return Answer(400, TEXT, f"{error}\n")


def prefers_json(accept: str) -> bool:
    """Says whether an Accept header names JSON and wants it more than HTML."""
    weights = dict(_weight(choice) for choice in accept.lower().split(","))
    return weights.get(JSON, 0.0) > weights.get(HTML, 0.0)


def _status(asked: Asked) -> Answer:
    return Answer(200, HTML, status_page.page(asked.views, _visit(asked, parameters(asked.query, ())), asked.site))


def _failures(asked: Asked) -> Answer:
    which = failures.wanted(asked.query)
    given = dict(asked.query)
    form = given.get("format") or ("json" if prefers_json(asked.accept) else "html")
    if form not in FORMATS:
        raise BadQueryError(f"parameter format is {form!r}: it is html or json")
    if (
        asked.site.shard
        and _names_target(which.filters)
        and not any(_is_of(view, which.filters) for view in asked.views)
    ):
        return Answer(404, TEXT, f"this is {asked.site.shard}, which polls no such target: ask the others\n")
    found = failures.find(asked.views, which)
    if form == "json":
        return Answer(200, JSON, failures.as_json(found, asked.now))
    visit = _visit(asked, {name: value for name, value in given.items() if value})
    return Answer(200, HTML, failures_page.page(found, which, visit, asked.site))


def _names_target(filters: Mapping[str, str]) -> bool:
    return "account" in filters or "region_id" in filters


def _is_of(view: TargetView, filters: Mapping[str, str]) -> bool:
    names = view.key.labels
    return all(filters.get(name, own) == own for name, own in names.items())


def _targets(asked: Asked) -> Answer:
    given = parameters(asked.query, ("account", "region_id", "job_kind"))
    visit = _visit(asked, given)
    wanted = [given[name] for name in ("account", "region_id", "job_kind") if name in given]
    if not wanted:
        return Answer(200, HTML, targets_page.page(asked.views, visit, asked.site))
    if "account" not in given or "region_id" not in given:
        raise BadQueryError("a target has an account and a region_id: give both, or none to see all targets")
    view = next((view for view in asked.views if _is_asked_for(view, given)), None)
    if view is None:
        return Answer(404, TEXT, f"there is no target {'/'.join(wanted)}{_here(asked.site)}; see /targets\n")
    return Answer(200, HTML, targets_page.detail_page(view, visit, asked.site))


def _is_asked_for(view: TargetView, given: dict[str, str]) -> bool:
    return all(given.get(name, value) == value for name, value in view.key.labels.items())


def _here(site: Site) -> str:
    return f" in {site.shard}" if site.shard else ""


def _visit(asked: Asked, given: dict[str, str]) -> Visit:
    return Visit(asked.path, given, asked.now, asked.links)


def _weight(choice: str) -> tuple[str, float]:
    name, *settings = (part.strip() for part in choice.split(";"))
    weight = next((part[2:] for part in settings if part.startswith("q=")), "1")
    try:
        return name, float(weight)
    except ValueError:
        return name, 0.0


PAGES: dict[str, Callable[[Asked], Answer]] = {"/": _status, "/failures": _failures, "/targets": _targets}
