"""The status page tells how every target fares, in plain escaped HTML."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from exporter.snapshot import Health, TargetKey, TargetView
from exporter.status_page import ago, page
from exporter.web import HEADERS
from tests.scenarios import BUSY, DOWN, EMPTY, KEY, NOW, UP

SCRIPT = "<script>alert('x')</script>"
WORKING = TargetView(KEY, BUSY, UP)
BROKEN = TargetView(TargetKey("staging", "cn-beijing"), replace(EMPTY, taken_at=NOW - 7200), DOWN)
WAITING = TargetView(TargetKey("new", "cn-hangzhou"))


class Outline(HTMLParser):
    """Collects the tags, the names of their attributes, and the text of a page as a browser sees them."""

    def __init__(self, *views: TargetView) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.style = ""
        self.feed(page(views, now=NOW, version="1.2.3", links=("/metrics",)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Takes a tag."""
        self.tags |= {tag, *(f"{name}=" for name, _ in attrs)}

    def handle_data(self, data: str) -> None:
        """Takes text, the style sheet apart."""
        if self.lasttag == "style" and not self.style:
            self.style = data
        else:
            self.text += data


def test_shows_every_target() -> None:
    """Each target has its state, the age of its last success, its survey, and its last error."""
    text = Outline(WORKING, BROKEN, WAITING).text

    assert "1.2.3" in text
    assert "prod cn-shanghaiup12 s agocomplete" in text
    assert f"staging cn-beijingdown forbidden6 min ago25%\n{DOWN.last_error}" in text
    assert "new cn-hangzhouwaitingnever0%" in text


def test_shows_the_jobs_of_every_target() -> None:
    """Each target has its jobs by type and state; what is not known is a dash."""
    surveyed_not_yet = {pair: count for pair, count in BUSY.jobs.items() if pair[1] in {"Created", "Executing"}}
    text = Outline(WORKING, TargetView(KEY, replace(BUSY, jobs=surveyed_not_yet), UP), WAITING).text

    assert "TypeCreatedExecutingFinishedFailed" in text
    assert "ASR02123456783" in text
    assert "ASR02--" in text
    assert "new / cn-hangzhou: no successful poll yet" in text


def test_unknown_types_and_states_follow_the_known() -> None:
    """A type or state that the service does not document gets a row or column of its own."""
    text = Outline(TargetView(KEY, replace(EMPTY, jobs={("Avatar", "Paused"): 7}), UP)).text

    assert "TypeCreatedExecutingFinishedFailedPaused" in text
    assert "TextToSpeech-----\nAvatar----7" in text


def test_many_targets_are_folded() -> None:
    """More than a few targets show their jobs folded."""
    assert "open=" in Outline(WORKING).tags
    assert "open=" not in Outline(*[WORKING] * 4).tags


def test_says_when_there_are_no_targets() -> None:
    """Without targets the page says so."""
    assert "No targets." in Outline().text


def test_escapes_what_comes_from_outside() -> None:
    """Names, types, states, reasons and errors never become markup."""
    evil = f"{SCRIPT}\"' onload=x"
    health = Health(up=False, last_error=evil, last_reason=evil)

    seen = Outline(TargetView(TargetKey(evil, evil), replace(EMPTY, jobs={(evil, evil): 1}), health))

    assert not {"script", "onload="} & seen.tags
    assert seen.text.count(evil) == 8


def test_loads_nothing() -> None:
    """The page has no scripts, pictures, style sheets, frames or inline styles, which its policy forbids."""
    seen = Outline(WORKING, BROKEN, WAITING)

    assert not {"script", "img", "link", "iframe", "object", "src=", "style="} & seen.tags
    assert {"h1", "h2", "main", "table", "thead", "tbody", "lang=", "scope="} <= seen.tags


def test_policy_allows_the_style() -> None:
    """The Content-Security-Policy carries the hash of the very style sheet in the page."""
    digest = base64.b64encode(hashlib.sha256(Outline().style.encode()).digest()).decode()

    assert f"style-src 'sha256-{digest}'" in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOW + 5, "0 s ago"),
        (NOW, "0 s ago"),
        (NOW - 59.9, "59 s ago"),
        (NOW - 60, "1 min ago"),
        (NOW - 7199, "1 h ago"),
        (NOW - 200_000, "2 d ago"),
    ],
)
def test_ages_are_short(moment: float, text: str) -> None:
    """An age is told in its largest unit; the clock of another machine may be ahead."""
    assert ago(moment, NOW).endswith(f">{text}</time>")


def test_never_is_said() -> None:
    """What has not happened yet was never."""
    assert ago(None, NOW) == "never"
