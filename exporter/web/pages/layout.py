"""The frame of every page: head, style sheet, navigation, and the refresh that can be stopped."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME = "IMS exporter"
NAVIGATION = {"/": "Status", "/failures": "Failures", "/targets": "Targets"}
"""The pages for people, in the order of the navigation."""

STYLE = """
:root {
  color-scheme: light dark; font: 100%/1.45 system-ui, sans-serif;
  --back: #fff; --text: #1c2128; --soft: #57606a; --line: #d8dee4; --band: #f6f8fa; --link: #0550ae;
  --good: #116329; --bad: #b3261e; --warn: #7d4e00; --bar: #0969da;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #0f1319; --text: #e4e8ed; --soft: #a0a9b4; --line: #2d343d; --band: #171c24; --link: #79b8ff;
    --good: #57c773; --bad: #ff8f86; --warn: #e3b341; --bar: #58a6ff;
  }
}
body { background: var(--back); color: var(--text); margin: 0 auto; max-width: 72rem; padding: 0 1rem 2rem; }
a { color: var(--link); }
:focus-visible { outline: 2px solid var(--bar); outline-offset: 2px; }
header { align-items: baseline; border-bottom: 1px solid var(--line); display: flex; flex-wrap: wrap;
  gap: .2rem 1.2rem; }
header p { margin: .7rem 0; }
header nav { display: flex; gap: 1.2rem; }
header nav a { padding: .7rem 0 .6rem; text-decoration: none; }
header nav a[aria-current] { border-bottom: 2px solid var(--bar); color: var(--text); font-weight: 600; }
header .refresh { margin-left: auto; }
.refresh, footer, .note, small, caption { color: var(--soft); font-size: .85rem; }
footer { border-top: 1px solid var(--line); margin-top: 2rem; padding-top: .7rem; }
footer a { margin-right: .8rem; }
h1 { font-size: 1.35rem; margin: 1.1rem 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
h3 { display: inline; font-size: .95rem; overflow-wrap: anywhere; }
summary { cursor: pointer; margin: .8rem 0 .3rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
th, td { padding: .35rem 1rem .35rem 0; text-align: left; vertical-align: top; }
th:last-child, td:last-child { padding-right: .2rem; }
thead th { color: var(--soft); font-size: .8rem; font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 600; }
tbody th, tbody td { border-top: 1px solid var(--line); }
td small, th small { display: block; font-weight: normal; overflow-wrap: anywhere; }
td.error { border: 0; color: var(--bad); overflow-wrap: anywhere; padding-top: 0; }
.numbers { max-width: 52rem; }
.reasons { width: auto; }
.numbers td, .numbers thead th + th { font-variant-numeric: tabular-nums; text-align: right; }
.zero { color: var(--soft); }
code { font: .92em ui-monospace, monospace; overflow-wrap: anywhere; }
time, .target small { white-space: nowrap; }
.good { color: var(--good); }
.bad { color: var(--bad); font-weight: 600; }
.warn { color: var(--warn); font-weight: 600; }
.spark { display: inline-block; height: 1.1rem; margin-left: .5rem; vertical-align: middle; width: 4.5rem; }
.spark polyline { fill: none; stroke: var(--bar); stroke-linejoin: round; stroke-width: 1.3;
  vector-effect: non-scaling-stroke; }
.spark.failed polyline { stroke: var(--bad); }
.spark.flat polyline { stroke: var(--line); }
progress { accent-color: var(--bar); height: .7rem; vertical-align: baseline; width: 5rem; }
dl { display: grid; gap: .2rem 1.2rem; grid-template-columns: max-content 1fr; margin: .6rem 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.sum { display: flex; flex-wrap: wrap; gap: .4rem 2rem; }
.sum div { display: flex; flex-direction: column-reverse; }
.sum dd { font-size: 1.5rem; font-variant-numeric: tabular-nums; line-height: 1.2; }
.sum dt { font-size: .85rem; }
form { align-items: end; background: var(--band); border: 1px solid var(--line); border-radius: 6px; display: flex;
  flex-wrap: wrap; gap: .5rem 1rem; margin: .8rem 0; padding: .6rem .8rem; }
label { color: var(--soft); display: grid; font-size: .8rem; gap: .15rem; }
select, button { background: var(--back); border: 1px solid var(--soft); border-radius: 4px; color: var(--text);
  font: inherit; font-size: .9rem; max-width: 17rem; min-height: 1.9rem; padding: .1rem .5rem; }
.unseen { clip-path: inset(50%); height: 1px; overflow: hidden; position: absolute; white-space: nowrap; width: 1px; }
@media (max-width: 44rem) {
  th, td { padding-right: .6rem; }
  .spark { display: block; margin: .1rem 0 0 auto; width: 2.9rem; }
  .numbers { font-size: .75rem; }
  .numbers thead th { font-size: .68rem; }
  .numbers :is(th, td) { padding-right: .3rem; }
  .cards thead { clip-path: inset(50%); height: 1px; overflow: hidden; position: absolute; width: 1px; }
  .cards, .cards tbody, .cards tr, .cards th, .cards td { display: block; padding: 0; }
  .cards tr { border-top: 1px solid var(--line); padding: .5rem 0; }
  .cards tbody th, .cards tbody td { border: 0; }
  .cards td[data-label] { display: grid; gap: .6rem; grid-template-columns: 6rem 1fr; }
  .cards td[data-label]::before { color: var(--soft); content: attr(data-label); font-size: .85rem; }
  .cards tr:has(.error) { border: 0; padding-top: 0; }
  select, button { max-width: 100%; }
  label, form button { flex: 1 1 9rem; }
}
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{refresh}<title>{heading} - {name}</title>
<style>{style}</style>
</head>
<body>
<header>
<p>{name} <small>{version}</small></p>
<nav aria-label="Pages">{pages}</nav>
<p class="refresh">{stop}</p>
</header>
<main>
<h1>{heading}</h1>
{body}
</main>
<footer>
<nav aria-label="Endpoints">{links}</nav>
</footer>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages need to know of the settings."""

    version: str
    stuck_seconds: Mapping[str, int]
    """Age of an open job that is too old, by job type."""
    stuck_other_seconds: int
    """The same for job types not named there."""
    stale_after_seconds: float
    refresh_seconds: float
    shard: str = ""
    """Which one of several this is, in words."""

    def too_long(self, job_type: str) -> int:
        """Returns the age from which on an open job of a type is open for too long."""
        return self.stuck_seconds.get(job_type, self.stuck_other_seconds)


@dataclass(frozen=True, slots=True)
class Visit:
    """What a reader asked for, and when."""

    path: str
    parameters: Mapping[str, str]
    now: float
    links: Sequence[str] = ()
    """The paths that are no pages: metrics and probes."""

    @property
    def refreshes(self) -> bool:
        """Whether the page loads itself again."""
        return self.parameters.get("refresh") != "off"

    def url(self, path: str, **parameters: str) -> str:
        """Returns a link to a page, escaped; a stopped refresh stays stopped."""
        kept = {} if self.refreshes else {"refresh": "off"}
        return address(path, {**parameters, **kept})


def document(heading: str, body: str, visit: Visit, site: Site) -> str:
    """Returns a page; `heading` is text, `body` is HTML that is escaped already."""
    seconds = max(1, round(site.refresh_seconds))
    return PAGE.format(
        refresh=f'<meta http-equiv="refresh" content="{seconds}">\n' if visit.refreshes else "",
        heading=escape(heading),
        name=NAME,
        style=STYLE,
        version=escape(site.version),
        pages="".join(_page_link(path, visit) for path in NAVIGATION),
        stop=_stop_link(visit, seconds),
        body=f'<p class="note">This is {escape(site.shard)}: it shows its own targets.</p>\n{body}'
        if site.shard
        else body,
        links="".join(f'<a href="{escape(path)}">{escape(path)}</a>' for path in visit.links),
    )


def address(path: str, parameters: Mapping[str, str]) -> str:
    """Returns path and parameters as the value of an attribute."""
    query = urlencode(parameters, errors="backslashreplace")
    return escape(f"{path}?{query}" if query else path)


def _page_link(path: str, visit: Visit) -> str:
    current = ' aria-current="page"' if path == visit.path else ""
    return f'<a href="{visit.url(path)}"{current}>{NAVIGATION[path]}</a>'


def _stop_link(visit: Visit, seconds: int) -> str:
    others = {name: value for name, value in visit.parameters.items() if name != "refresh"}
    if visit.refreshes:
        return f'Refreshes every {seconds} s. <a href="{address(visit.path, {**others, "refresh": "off"})}">Stop</a>'
    return f'Does not refresh. <a href="{address(visit.path, others)}">Refresh every {seconds} s</a>'
