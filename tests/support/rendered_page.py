"""Pages as a browser sees them: what a path answers, with its tags, attributes and text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from exporter.web.pages.layout import Site
from exporter.web.pages.routes import Answer, Asked, answer
from tests.support.scenarios import NOW, STALE_AFTER

if TYPE_CHECKING:
    from exporter.jobs.snapshot import TargetView

SITE = Site(
    version="1.2.3",
    stuck_seconds={"ASR": 7200},
    stuck_other_seconds=21600,
    stale_after_seconds=STALE_AFTER,
    refresh_seconds=30,
)


class Seen(HTMLParser):
    """Collects the tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.style = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Takes a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Takes text, the style sheet apart."""
        if self.lasttag == "style" and not self.style:
            self.style = data
        else:
            self.text += data

    def names(self) -> set[str]:
        """Returns the names of all tags, and of all attributes with a `=` behind."""
        return {tag for tag, _ in self.tags} | {f"{name}=" for _, attributes in self.tags for name in attributes}

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Returns the attributes of every tag of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def links(self) -> list[str | None]:
        """Returns where the links lead."""
        return [attributes.get("href") for attributes in self.of("a")]


def get(url: str, *views: TargetView, accept: str = "text/html", site: Site = SITE) -> Answer:
    """Returns what is answered to a URL."""
    parts = urlsplit(url)
    return answer(
        Asked(
            path=parts.path,
            query=parse_qsl(parts.query, keep_blank_values=True),
            accept=accept,
            links=("/metrics",),
            views=views,
            site=site,
            now=NOW,
        )
    )


def see(url: str, *views: TargetView) -> Seen:
    """Returns the page of a URL."""
    found = get(url, *views)
    assert (found.status, found.content_type) == (200, "text/html")
    return Seen(found.text)
