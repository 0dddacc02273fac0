"""Every page has the same frame: it loads nothing, finds its way, and refreshes until it is told not to."""

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
    """A page has no scripts, pictures, style sheets, frames or inline styles, which its policy forbids."""
    seen = see(url, VIEW)

    assert not {"script", "img", "link", "iframe", "object", "src=", "style="} & seen.names()
    assert {"h1", "main", "nav", "header", "footer", "lang="} <= seen.names()


@pytest.mark.parametrize("url", URLS)
def test_policy_allows_the_style(url: str) -> None:
    """The Content-Security-Policy carries the hash of the very style sheet in the page."""
    digest = base64.b64encode(hashlib.sha256(see(url, VIEW).style.encode()).digest()).decode()

    assert f"style-src 'sha256-{digest}'" in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize("url", URLS)
def test_refreshes_itself(url: str) -> None:
    """A page loads itself again, the query included, and offers to stop that."""
    seen = see(url, VIEW)

    assert {"http-equiv": "refresh", "content": "30"} in seen.of("meta")
    assert f"{url}{'&' if '?' in url else '?'}refresh=off" in seen.links()


def test_stopped_refresh_stays_stopped() -> None:
    """With the refresh off no page refreshes by itself, nor one that it leads to, until it is asked to."""
    seen = see("/?refresh=off", VIEW)

    assert "http-equiv=" not in seen.names()
    for url in ("/failures?refresh=off", "/targets?refresh=off"):
        assert url in seen.links()
    assert "/" in seen.links()


def test_filters_survive_stop_and_start() -> None:
    """Stopping or starting the refresh keeps what else the query says."""
    assert "/failures?job_type=ASR&refresh=off" in see("/failures?job_type=ASR", VIEW).links()
    assert "/failures?job_type=ASR" in see("/failures?job_type=ASR&refresh=off", VIEW).links()


def test_navigation_tells_where_one_is() -> None:
    """The link of the page that is shown is marked as the current one; metrics and probes are linked too."""
    seen = see("/failures", VIEW)

    assert {"href": "/failures", "aria-current": "page"} in seen.of("a")
    assert {"href": "/"} in seen.of("a")
    assert {"href": "/metrics"} in seen.of("a")
