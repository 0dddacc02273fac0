"""The layout of every page: it loads nothing, has a navigation, and reloads itself unless that is turned off."""

from __future__ import annotations

import base64
import hashlib

import pytest

from exporter.jobs.snapshot import TargetView
from exporter.web.server import HEADERS
from tests.support.rendered_page import see
from tests.support.scenarios import BUSY, KEY, UP

VIEW = TargetView(KEY, BUSY, UP)
URLS = ("/", "/failures", "/targets", "/targets?account=prod&region_id=cn-shanghai")


@pytest.mark.parametrize("url", URLS)
def test_loads_nothing(url: str) -> None:
    """A page has no scripts, images, linked style sheets, frames or inline styles, which its policy forbids."""
    seen = see(url, VIEW)

    assert not {"script", "img", "link", "iframe", "object", "src=", "style="} & seen.names()
    assert {"h1", "main", "nav", "header", "footer", "lang="} <= seen.names()


@pytest.mark.parametrize("url", URLS)
def test_policy_allows_the_style(url: str) -> None:
    """The Content-Security-Policy has the hash of exactly the style sheet in the page."""
    digest = base64.b64encode(hashlib.sha256(see(url, VIEW).style.encode()).digest()).decode()

    assert f"style-src 'sha256-{digest}'" in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize("url", URLS)
def test_refreshes_itself(url: str) -> None:
    """A page reloads itself with its query, and has a link that turns this off."""
    seen = see(url, VIEW)

    assert {"http-equiv": "refresh", "content": "30"} in seen.of("meta")
    assert f"{url}{'&' if '?' in url else '?'}refresh=off" in seen.links()


def test_stopped_refresh_stays_stopped() -> None:
    """With the refresh off, neither the page nor the pages that it links to reload themselves."""
    seen = see("/?refresh=off", VIEW)

    assert "http-equiv=" not in seen.names()
    for url in ("/failures?refresh=off", "/targets?refresh=off"):
        assert url in seen.links()
    assert "/" in seen.links()


def test_filters_survive_stop_and_start() -> None:
    """Turning the refresh off or on keeps the other parameters of the query."""
    assert "/failures?job_type=ASR&refresh=off" in see("/failures?job_type=ASR", VIEW).links()
    assert "/failures?job_type=ASR" in see("/failures?job_type=ASR&refresh=off", VIEW).links()


def test_navigation_marks_the_current_page() -> None:
    """The link to the current page is marked; metrics and probes are linked too."""
    seen = see("/failures", VIEW)

    assert {"href": "/failures", "aria-current": "page"} in seen.of("a")
    assert {"href": "/"} in seen.of("a")
    assert {"href": "/metrics"} in seen.of("a")
