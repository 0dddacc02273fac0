"""The pages in a real browser: no JavaScript, keyboard, phone, dark colors, screen readers, injected markup."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from exporter.jobs.snapshot import FailedJob, Health, PastCounts, PollKey, TargetView, WaitingJob
from tests.support.browser import chromium
from tests.support.page_server import PageServer, page_server
from tests.support.scenarios import BUSY, DOWN, EMPTY, FAILED, KEY, NOW, UP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.tools


ATTACK = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>\" autofocus onfocus=window.hacked=3 x=\""
)
LONG = "a-name-without-any-place-to-break-it-" * 5
FULL = replace(
    BUSY,
    failed_jobs=(
        FAILED,
        FailedJob("b" * 32, "TextToSpeech", int(NOW - 90), int(NOW - 60), "Voice.NotFound", "no voice"),
    ),
    oldest_jobs=(WaitingJob("c" * 32, "ASR", "Executing", int(NOW - 9000)),),
)
PAST = tuple(PastCounts(NOW - 12 - 60 * back, {("ASR", "Executing"): back % 7}) for back in range(59, -1, -1))
VIEWS = (
    TargetView(KEY, FULL, UP, PAST),
    TargetView(PollKey("staging", LONG, "smart"), EMPTY, replace(DOWN, last_error=f"{DOWN.last_error} {LONG}")),
    TargetView(PollKey("new", "cn-hangzhou", "smart")),
)
ONE = "/targets?account=prod&region_id=cn-shanghai"
PATHS = ("/", "/failures", "/targets", ONE)
PHONE = (390, 844)
DESK = (1200, 800)

CONTRASTS = """() => {
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = channels(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const poor = [];
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || node.closest('svg, option')) continue;
    const [a, b] = [light(channels(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(1)}: ${texts.currentNode.data}`);
  }
  return poor;
}"""
"""Returns the texts whose contrast is below the minimum of WCAG AA."""

FAULTS = """() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const levels = all('h1, h2, h3, h4').map(node => Number(node.tagName[1]));
  const ids = all('[id]').map(node => node.id);
  const name = node => (node.getAttribute('aria-label') || node.textContent).trim();
  return [
    document.documentElement.lang !== 'en' && 'no language',
    !document.title && 'no title',
    levels.filter(level => level === 1).length !== 1 && 'not one h1',
    levels.some((level, i) => i && level > levels[i - 1] + 1) && 'a heading level is skipped',
    all('main').length !== 1 && 'not one main',
    all('th:not([scope])').length && 'a table header without scope',
    all('table:not([aria-label])').length && 'a table without a name',
    all(':is(nav, form, [role=region]):not([aria-label])').length && 'a landmark without a name',
    all('select, input:not([type=hidden])').some(node => !node.labels.length) && 'a control without a label',
    all('a, button, summary').some(node => !name(node)) && 'a link or button without a name',
    all('svg').some(node => !node.ariaLabel && node.ariaHidden !== 'true') && 'a picture without words',
    all('progress:not([aria-label])').length && 'a bar without a name',
    all('[tabindex]').some(node => node.tabIndex > 0) && 'an order of its own',
    new Set(ids).size !== ids.length && 'an id twice',
  ].filter(Boolean);
}"""
"""Returns the accessibility faults that a checker would report first."""

REACHABLE = "() => [...document.querySelectorAll('a[href], button, select, summary, [tabindex=\"0\"]')].length"
FOCUSED = """() => {
  const node = document.activeElement;
  const all = [...document.querySelectorAll('a[href], button, select, summary, [tabindex="0"]')];
  return [all.indexOf(node), getComputedStyle(node).outlineStyle];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Runs one Chromium for all tests."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    """Serves pages that use every element."""
    with page_server(VIEWS, now=NOW).running() as running:
        yield running


@pytest.fixture
def options() -> dict[str, Any]:
    """Returns the options of the browser window; tests override them by parametrization."""
    return {}


@pytest.fixture
def page(browser: Browser, options: dict[str, Any]) -> Iterator[Page]:
    """Opens a window, and closes it."""
    with browser.new_context(**options) as context:
        yield context.new_page()


def window(size: tuple[int, int] = DESK, **more: object) -> dict[str, Any]:
    """Returns the options of a window of a size."""
    return {"viewport": {"width": size[0], "height": size[1]}, **more}


def test_filters_without_javascript(browser: Browser, server: PageServer) -> None:
    """Pages, links and filters work with JavaScript off."""
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(server.url)

        page.get_by_role("link", name="Failures", exact=True).click()
        page.get_by_label("Type").select_option("ASR")
        page.get_by_role("button", name="Filter").click()

        assert page.url == f"{server.url}/failures?account=&region_id=&job_kind=&job_type=ASR&error_code="
        assert page.get_by_role("rowheader").all_inner_texts() == [FAILED.job_id]
        page.get_by_role("link", name="Clear").click()
        assert page.get_by_role("rowheader").count() == 2


@pytest.mark.parametrize("path", PATHS)
def test_keyboard_reaches_everything(page: Page, server: PageServer, path: str) -> None:
    """Tab visits every link, control and scrolling table in the order of the page, with a visible focus."""
    page.goto(server.url + path)
    order = list(range(page.evaluate(REACHABLE)))

    visited = []
    for _ in order:
        page.keyboard.press("Tab")
        visited.append(page.evaluate(FOCUSED))

    assert [index for index, _ in visited] == order
    assert {outline for _, outline in visited} <= {"solid", "auto"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("options", [window(PHONE), window((320, 640)), window(DESK)], ids=["phone", "small", "desk"])
def test_page_never_scrolls_sideways(page: Page, server: PageServer, path: str) -> None:
    """On a narrow screen and with long names, only tables scroll sideways."""
    page.goto(server.url + path)

    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


@pytest.mark.parametrize("options", [window(PHONE)], ids=["phone"])
def test_matrix_fits_a_phone(page: Page, server: PageServer) -> None:
    """The whole table of jobs by type and state is visible on a phone."""
    page.goto(server.url)

    table = page.get_by_role("region", name="Jobs of prod/cn-shanghai/smart")

    assert table.evaluate("node => node.scrollWidth - node.clientWidth") <= 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("options", [window(color_scheme="light"), window(color_scheme="dark")], ids=["light", "dark"])
def test_contrast(page: Page, server: PageServer, path: str) -> None:
    """Every text has enough contrast, in light and in dark colors."""
    page.goto(server.url + path)

    assert page.evaluate(CONTRASTS) == []


def test_follows_color_scheme(browser: Browser, server: PageServer) -> None:
    """The page follows the color scheme of the system."""
    seen = []
    for scheme in ("light", "dark"):
        with browser.new_context(**window(color_scheme=scheme)) as context:
            page = context.new_page()
            page.goto(server.url)
            seen.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert seen == ["rgb(255, 255, 255)", "rgb(15, 19, 25)"]


@pytest.mark.parametrize("path", PATHS)
def test_accessible(page: Page, server: PageServer, path: str) -> None:
    """Language, headings, landmarks, tables, controls and images are labelled for screen readers."""
    page.goto(server.url + path)

    assert page.evaluate(FAULTS) == []


@pytest.mark.parametrize("options", [window(PHONE)], ids=["phone"])
def test_cards_stay_tables_for_screen_readers(page: Page, server: PageServer) -> None:
    """A table whose rows are shown as cards keeps the roles of its cells and headers."""
    page.goto(f"{server.url}/failures")

    assert page.get_by_role("table", name="Failed jobs").count() == 1
    assert page.get_by_role("columnheader").count() == 7
    assert page.get_by_role("cell").count() == 12


def test_reloads_until_it_is_stopped(browser: Browser) -> None:
    """A page reloads itself to show new data, until the reader stops it."""
    with page_server((), refresh_seconds=1).running() as server, browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        server.views = VIEWS

        page.get_by_role("link", name="prod", exact=True).wait_for(timeout=10_000)
        page.get_by_role("link", name="Stop").click()
        page.wait_for_url("**/?refresh=off")

        assert page.locator("meta[http-equiv]").count() == 0
        assert page.get_by_text("Does not refresh.").is_visible()


@pytest.mark.parametrize("path", ["/", "/failures", f"/failures?account={ATTACK}", "/targets", "/targets?detail"])
def test_injected_markup_stays_text(page: Page, path: str) -> None:
    """Markup in names, ids, error codes and errors is shown as text, and the browser logs nothing."""
    job = FailedJob(ATTACK, ATTACK, 0, int(NOW), ATTACK, ATTACK)
    waiting = WaitingJob(ATTACK, ATTACK, ATTACK, 0)
    snapshot = replace(EMPTY, jobs={(ATTACK, ATTACK): 1}, failed_jobs=(job,), oldest_jobs=(waiting,))
    view = TargetView(PollKey(ATTACK, "r", "smart"), snapshot, Health(up=False, last_error=ATTACK, last_reason=ATTACK))
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))

    with page_server([view], now=NOW).running() as server:
        if path == "/targets?detail":
            page.goto(f"{server.url}/targets")
            page.get_by_role("row").get_by_role("link").first.click()
        else:
            page.goto(server.url + path)
        text = page.locator("body").inner_text()

    assert "window.hacked = 1" in text
    assert page.evaluate("window.hacked") is None
    assert page.locator("script, img").count() == 0
    assert said == []
