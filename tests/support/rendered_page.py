"""Pages as a browser sees them: the response to a path, with its tags, attributes and text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from exporter.web.pages.request import PageRequest, PageResponse, PageSettings
from exporter.web.pages.routes import respond
from exporter.web.pages.templates import make_environment
from tests.support.scenarios import NOW, STALE_AFTER

if TYPE_CHECKING:
    from exporter.jobs.snapshot import TargetView

PAGE_SETTINGS = PageSettings(
    version="1.2.3",
    stuck_seconds={"ASR": 7200},
    stuck_other_seconds=21600,
    stale_after_seconds=STALE_AFTER,
    refresh_seconds=30,
)
ENVIRONMENT = make_environment()
CELLS = {"th", "td", "dt"}
LINES = {"dd", "details", "div", "footer", "form", "h1", "h2", "h3", "header", "label", "p", "title", "tr"}


class RenderedPage(HTMLParser):
    """The tags of a page with their attributes, and its text: one line per row or paragraph, `|` after a cell."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.style = ""
        self._texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Records a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Ends a cell or a line."""
        self._texts.append(" | " if tag in CELLS else "\0" if tag in LINES else "")

    def handle_data(self, data: str) -> None:
        """Records text; that of the style sheet separately."""
        if self.lasttag == "style" and not self.style:
            self.style = data
        else:
            self._texts.append(data)

    @property
    def lines(self) -> list[str]:
        """The lines of text, without the white space that a browser does not show."""
        lines = (re.sub(r"\s+", " ", line).strip(" |") for line in "".join(self._texts).split("\0"))
        return [line for line in lines if line]

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(self.lines)

    def names(self) -> set[str]:
        """Returns the names of all tags, and of all attributes with a `=` behind."""
        return {tag for tag, _ in self.tags} | {f"{name}=" for _, attributes in self.tags for name in attributes}

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Returns the attributes of every tag of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def links(self) -> list[str | None]:
        """Returns the targets of all links."""
        return [attributes.get("href") for attributes in self.of("a")]


def get(
    url: str, *views: TargetView, accept: str = "text/html", settings: PageSettings = PAGE_SETTINGS
) -> PageResponse:
    """Returns the response to a URL."""
    parts = urlsplit(url)
    request = PageRequest(
        path=parts.path,
        query=parse_qsl(parts.query, keep_blank_values=True),
        accept=accept,
        endpoints=("/metrics",),
        views=views,
        settings=settings,
        now=NOW,
    )
    return respond(request, ENVIRONMENT)


def see(url: str, *views: TargetView) -> RenderedPage:
    """Returns the page of a URL."""
    response = get(url, *views)
    assert (response.status, response.content_type) == (200, "text/html")
    return RenderedPage(response.text)
