"""After a poll the page is written anew before anybody asks, and what a scrape is given stays the same."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from exporter.jobs.snapshot import TargetView
from exporter.metrics import exposition
from exporter.metrics.exposition import Collector, Instruments, Registry, keep_written, make_registry, render
from exporter.metrics.table import Process
from tests.support.scenarios import BUSY, KEY, NOW, UP

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


class Shown:
    """A registry of one target."""

    def __init__(self) -> None:
        self.view = TargetView(KEY, BUSY, UP)
        self.registry: Registry = make_registry(
            Collector(
                views=lambda: [self.view],
                process=lambda: Process(0, reload_successful=True, reloaded_at=NOW, version="0"),
                instruments=Instruments(),
                now=lambda: NOW,
                stale_after_seconds=lambda: 3600.0,
            )
        )

    def poll(self) -> None:
        """Publishes other numbers."""
        self.view = replace(self.view, snapshot=replace(BUSY, jobs=dict.fromkeys(BUSY.jobs, 7)))


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """Returns the threads that write pages from now on, one for each time."""
    found: list[threading.Thread] = []
    write = exposition.Page.write

    def noted(page: exposition.Page, published: exposition.Published, *, is_packed: bool = False) -> bytes:
        found.append(threading.current_thread())
        return write(page, published, is_packed=is_packed)

    monkeypatch.setattr(exposition.Page, "write", noted)
    return found


def test_nothing_is_written_for_nobody(writers: list[threading.Thread]) -> None:
    """As long as nobody has scraped there is nothing to write."""
    shown = Shown()

    shown.registry.rewrite(shown.registry.collector.published())

    assert writers == []


@pytest.mark.parametrize("is_packed", [True, False])
def test_a_rewritten_page_is_the_page(*, is_packed: bool) -> None:
    """A scrape after a rewriting is given what it would be given without one."""
    shown, plain = Shown(), Shown()
    for each in (shown, plain):
        render(each.registry, OPENMETRICS, is_packed=is_packed)
        each.poll()

    shown.registry.rewrite(shown.registry.collector.published())

    assert render(shown.registry, OPENMETRICS, is_packed=is_packed) == render(
        plain.registry, OPENMETRICS, is_packed=is_packed
    )


def test_rewriting_is_done_beside_the_loop_and_rests(
    monkeypatch: pytest.MonkeyPatch, writers: list[threading.Thread]
) -> None:
    """News are written in a thread, those of one moment once, and then there is a pause."""
    monkeypatch.setattr(exposition, "REST_SECONDS", 0.2)
    shown = Shown()
    render(shown.registry)
    writers.clear()

    async def scenario() -> float:
        news = asyncio.Event()
        keeping = asyncio.create_task(keep_written(shown.registry, news))
        started = time.monotonic()
        while len(writers) < 3:
            news.set()
            await asyncio.sleep(0.01)
        keeping.cancel()
        return time.monotonic() - started

    assert asyncio.run(asyncio.wait_for(scenario(), 30)) >= 0.4  # two pauses
    assert threading.main_thread() not in writers
