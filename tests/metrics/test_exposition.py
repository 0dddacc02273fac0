"""A page is what prometheus_client writes, made of one moment of each target, and its samples are rendered once."""

from __future__ import annotations

import asyncio
import gzip
import threading
import zlib
from collections import UserDict
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from exporter.jobs.snapshot import DURATION_BOUNDS, Durations, Health, PollKey, Snapshot, TargetView
from exporter.metrics import exposition as exposition_module
from exporter.metrics.counters import Instruments
from exporter.metrics.exposition import MAX_TARGETS_INLINE, OPENMETRICS, TEXT, Exposition, Families, Format
from exporter.metrics.families import make_family
from exporter.metrics.table import (
    ACCOUNT_METRICS,
    COUNTED_METRICS,
    HEALTH_METRICS,
    JOB_METRICS,
    METRICS,
    PROCESS_METRICS,
    Process,
)
from tests.support.scenarios import (
    BUSY,
    DOWN,
    EMPTY,
    FORMATS,
    KEY,
    NOW,
    PROCESS,
    STALE_AFTER,
    UP,
    at_work,
    exposition_of,
    instruments_of_key,
    sample_value,
)
from tests.support.snapshots import snapshots

if TYPE_CHECKING:
    from collections.abc import Callable, ItemsView


FAILED_ASR = {"job_type": "ASR", "job_state": "Failed"}
OTHER = PollKey("a", "cn-beijing", "smart")
MANY = tuple(TargetView(replace(KEY, account=f"a{number}"), BUSY, UP) for number in range(MAX_TARGETS_INLINE + 1))


class Shown:
    """Targets that can be replaced while their exposition is scraped."""

    def __init__(self, *views: TargetView, instruments: Instruments | None = None) -> None:
        self.views = list(views)
        self.instruments = instruments or Instruments()
        self.now = NOW
        self.stale_after = STALE_AFTER
        self.exposition = Exposition(
            views=lambda: self.views,
            process=lambda: replace(PROCESS, ledger_size_bytes=len(self.views)),
            instruments=self.instruments,
            now=lambda: self.now,
            stale_after_seconds=lambda: self.stale_after,
            runtime=CollectorRegistry(),
        )

    def reference(self, form: Format) -> bytes:
        """Returns the page as prometheus_client writes it in one go from all families of the table."""
        views = [((v.key.account, v.key.region_id, v.key.job_kind), v) for v in self.views]
        snapshots = [(labels, view.snapshot) for labels, view in views if view.snapshot]
        fresh = [(labels, shot) for labels, shot in snapshots if shot.taken_at >= self.now - self.stale_after]
        counts = [(labels, self.instruments.counts[view.key]) for labels, view in views]
        waits = [((account,), seconds) for account, seconds in self.instruments.waits.items()]
        process = [((), replace(PROCESS, ledger_size_bytes=len(self.views)))]
        groups = (
            (JOB_METRICS, fresh),
            (HEALTH_METRICS, views),
            (COUNTED_METRICS, counts),
            (ACCOUNT_METRICS, waits),
            (PROCESS_METRICS, process),
        )
        families = [make_family(metric, sources) for metrics, sources in groups for metric in metrics]
        return form.encode(Families(families))


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Returns the sources that are rendered from now on, one for each time."""
    found: list[object] = []
    render = exposition_module.render

    def noted(metrics: exposition_module.Group, labels: tuple[str, ...], source: object) -> exposition_module.Samples:
        found.append(source)
        return render(metrics, labels, source)

    monkeypatch.setattr(exposition_module, "render", noted)
    return found


@pytest.mark.property
@given(
    polls=st.lists(
        st.tuples(snapshots, st.sampled_from([UP, DOWN]), st.sampled_from([0.0, STALE_AFTER + 1]), st.booleans()),
        max_size=3,
    )
)
def test_pages_are_what_prometheus_client_writes(polls: list[tuple[Snapshot, Health, float, bool]]) -> None:
    """Poll after poll, both formats are byte for byte what the library's encoders make of all families at once."""
    shown = Shown(TargetView(KEY), TargetView(OTHER, BUSY, UP), instruments=at_work())
    shown.instruments.add_target(OTHER)

    for snapshot, health, age, is_prerendered in polls:
        shown.views[0] = TargetView(KEY, replace(snapshot, taken_at=NOW - age), health)
        shown.instruments.observe_request(KEY, "ListSmartJobs", "OK", 0.1)
        if is_prerendered:
            shown.exposition.prerender(shown.views[0])

        assert shown.exposition.page(TEXT) == shown.reference(TEXT)
        assert shown.exposition.page(OPENMETRICS) == shown.reference(OPENMETRICS)


@pytest.mark.parametrize("value", [0, 1, 999_999, 1_000_000, 2**53, 0.5, 1e-7, 1e22])
@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_numbers_of_any_size(form: Format, value: float) -> None:
    """Any number is shown as prometheus_client writes it, in gauges, buckets and sums."""
    durations = Durations((int(value),) + (0,) * len(DURATION_BOUNDS), value)
    snapshot = replace(EMPTY, jobs={("ASR", "Failed"): value}, durations={("ASR", "Failed"): durations})  # type: ignore[dict-item] # any number
    shown = Shown(TargetView(KEY, snapshot, UP), instruments=at_work())

    assert shown.exposition.page(form) == shown.reference(form)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_families_are_contiguous(form: Format) -> None:
    """Each family has one HELP and one TYPE, and all its samples follow, whatever the number of targets."""
    lines = exposition_of(*MANY).page(form).decode().splitlines()

    helps = [line.split()[2] for line in lines if line.startswith("# HELP")]
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    suffix = "_total" if form is OPENMETRICS else ""
    assert helps == types == [metric.name.removesuffix(suffix) for metric in METRICS]
    family = ""
    for line in lines:
        family = line.split()[2] if line.startswith("# TYPE") else family
        assert line.startswith(("#", family))


@pytest.mark.parametrize(("age", "is_shown"), [(0.0, True), (STALE_AFTER, True), (STALE_AFTER + 0.001, False)])
@pytest.mark.parametrize("is_prerendered", [True, False])
def test_stale_jobs_are_withdrawn(age: float, is_shown: bool, *, is_prerendered: bool) -> None:  # noqa: FBT001 - a case of the table
    """Job series vanish once the poll is older than stale_after_seconds; health series stay."""
    shown = Shown(TargetView(KEY, BUSY, DOWN))
    shown.now = BUSY.taken_at
    if is_prerendered:
        shown.exposition.page(TEXT)

    shown.now = BUSY.taken_at + age

    value = sample_value(shown.exposition, "ims_jobs", **FAILED_ASR)
    assert value == (3 if is_shown else None)
    assert sample_value(shown.exposition, "ims_exporter_target_up") == 0
    assert sample_value(shown.exposition, "ims_exporter_last_success_timestamp_seconds") == NOW - 400
    assert sample_value(shown.exposition, "ims_exporter_ledger_jobs") == BUSY.ledger_jobs


def test_a_fresh_poll_brings_the_jobs_back() -> None:
    """After a stale target is polled again, its job series are there again."""
    shown = Shown(TargetView(KEY, replace(BUSY, taken_at=0), DOWN))
    before = sample_value(shown.exposition, "ims_jobs", **FAILED_ASR)

    shown.views = [TargetView(KEY, BUSY, UP)]

    assert before is None
    assert sample_value(shown.exposition, "ims_jobs", **FAILED_ASR) == 3


def test_a_stale_target_hides_no_other() -> None:
    """Only the stale target's jobs are withdrawn."""
    stale = TargetView(replace(KEY, account="stale"), replace(BUSY, taken_at=0), DOWN)

    exposition = exposition_of(stale, TargetView(KEY, BUSY, UP))

    assert sample_value(exposition, "ims_jobs", **FAILED_ASR, account="stale") is None
    assert sample_value(exposition, "ims_jobs", **FAILED_ASR) == 3


def test_up_waits_for_the_first_attempt() -> None:
    """Before the first poll has ended, a target is neither up nor down."""
    exposition = exposition_of(TargetView(KEY, None, Health()))

    assert sample_value(exposition, "ims_exporter_target_up") is None
    assert sample_value(exposition, "ims_exporter_survey_complete") == 0


def test_a_removed_target_vanishes_at_once() -> None:
    """A target that is polled no longer leaves no series, and its bytes are not kept."""
    shown = Shown(TargetView(KEY, BUSY, UP), TargetView(OTHER, BUSY, UP), instruments=at_work())
    assert b"cn-shanghai" in shown.exposition.page(TEXT)

    shown.views.pop(0)
    shown.instruments.remove_target(KEY)

    assert b"cn-shanghai" not in shown.exposition.page(TEXT)
    assert list(shown.exposition._rendered) == [OTHER]  # noqa: SLF001 - what is kept shows nowhere else


def test_a_target_that_is_no_longer_shown_is_not_counted() -> None:
    """Counts of a target that has no view are not shown, such as in the middle of a reload."""
    instruments = at_work()
    instruments.add_target(OTHER)

    page = exposition_of(TargetView(KEY, BUSY, UP), instruments=instruments).page(TEXT)

    assert b"cn-beijing" not in page


def test_the_process_and_the_limit_of_age_are_read_at_every_scrape() -> None:
    """What holds for the process and for staleness is asked for at each scrape."""
    shown = Shown(TargetView(KEY, BUSY, UP))
    assert sample_value(shown.exposition, "ims_jobs", **FAILED_ASR) == 3

    shown.stale_after = 1.0
    shown.views.append(TargetView(OTHER))

    assert sample_value(shown.exposition, "ims_jobs", **FAILED_ASR) is None
    assert b"\nims_exporter_ledger_size_bytes 2.0\n" in shown.exposition.page(TEXT)


def test_a_scrape_renders_nothing_that_was_rendered(rendered: list[object]) -> None:
    """After a poll was rendered, scrapes in both formats only join bytes."""
    shown = Shown(TargetView(KEY, BUSY, UP), instruments=at_work())
    shown.exposition.prerender(shown.views[0])
    rendered.clear()

    for form in FORMATS.values():
        shown.exposition.page(form)

    assert rendered == []


def test_a_scrape_renders_only_what_was_replaced(rendered: list[object]) -> None:
    """Requests of a poll that is under way, and a survey's progress, render the few series that show them."""
    shown = Shown(TargetView(KEY, BUSY, UP), TargetView(OTHER, BUSY, UP), instruments=at_work())
    shown.exposition.page(TEXT)
    rendered.clear()

    shown.instruments.observe_request(KEY, "ListSmartJobs", "OK", 0.1)
    shown.views[1] = replace(shown.views[1], health=replace(UP, survey_progress=0.5))
    page = shown.exposition.page(TEXT)

    assert rendered == [shown.instruments.counts[KEY], shown.views[1]]
    assert page == Shown(*shown.views, instruments=shown.instruments).exposition.page(TEXT)


class Watched(UserDict[tuple[str, str], int]):
    """Counts that remember which threads read them, and let something happen at that moment."""

    def __init__(self, readers: set[threading.Thread]) -> None:
        super().__init__({("ASR", "Failed"): 1})
        self._readers = readers
        self.on_read: Callable[[], None] = lambda: None

    def items(self) -> ItemsView[tuple[str, str], int]:
        """Notes the thread."""
        self._readers.add(threading.current_thread())
        self.on_read()
        return super().items()


@pytest.mark.parametrize("targets", [1, MAX_TARGETS_INLINE, MAX_TARGETS_INLINE + 1])
@pytest.mark.parametrize("is_gzip", [True, False])
def test_many_targets_are_rendered_beside_the_loop(targets: int, *, is_gzip: bool) -> None:
    """The page of many targets is made in a thread, that of few at once; it is the same page."""
    readers: set[threading.Thread] = set()
    views = [replace(view, snapshot=replace(BUSY, jobs=Watched(readers))) for view in MANY[:targets]]
    shown = Shown(*views)
    for view in views:
        shown.instruments.add_target(view.key)

    body = asyncio.run(shown.exposition.scrape(TEXT, is_gzip=is_gzip))

    assert (threading.current_thread() in readers) == (targets <= MAX_TARGETS_INLINE)
    assert (gzip.decompress(body) if is_gzip else body) == shown.reference(TEXT)


def test_a_poll_that_is_committed_during_a_scrape_is_in_the_next_one() -> None:
    """A scrape shows the moment it was asked for, of every target, whatever is committed while it is made."""
    jobs = Watched(set())
    shown = Shown(*MANY)
    shown.views[0] = replace(shown.views[0], snapshot=replace(BUSY, jobs=jobs))
    newer = replace(BUSY, jobs={("ASR", "Failed"): 77}, created={"ASR": 77})

    def commit() -> None:
        shown.views = [replace(view, snapshot=newer) for view in shown.views]
        for view in shown.views:
            shown.exposition.prerender(view)

    jobs.on_read = commit

    during = asyncio.run(shown.exposition.scrape(TEXT, is_gzip=False))
    after = asyncio.run(shown.exposition.scrape(TEXT, is_gzip=False))

    assert b" 77.0\n" not in during
    assert after.count(b" 77.0\n") == 2 * len(MANY)


def test_scrapes_at_the_same_time_do_not_disturb_each_other() -> None:
    """Scrapes in several threads each give the whole page."""
    shown = Shown(*MANY)
    for view in MANY:
        shown.instruments.add_target(view.key)
    wanted = shown.reference(TEXT)

    async def scrape() -> list[bytes]:
        return await asyncio.gather(*(shown.exposition.scrape(TEXT, is_gzip=place % 2 == 0) for place in range(8)))

    bodies = asyncio.run(scrape())

    assert {gzip.decompress(body) for body in bodies[::2]} == {*bodies[1::2]} == {wanted}


@pytest.mark.parametrize("targets", [0, 1, len(MANY)])
def test_gzip_is_one_whole_stream(targets: int) -> None:
    """A body in gzip is one stream that a plain client unpacks, with a valid checksum and nothing behind it."""
    exposition = exposition_of(*MANY[:targets])

    body = asyncio.run(exposition.scrape(OPENMETRICS, is_gzip=True))

    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    assert unpacker.decompress(body) == gzip.decompress(body) == exposition.page(OPENMETRICS)
    assert unpacker.eof
    assert unpacker.unused_data == b""


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_the_process_has_its_own_families(form: Format) -> None:
    """prometheus_client's families of the process and of Python follow the exporter's own, in both formats."""
    exposition = Exposition(
        views=list,
        process=lambda: Process(0, reload_successful=True, reloaded_at=0, version="1"),
        instruments=Instruments(),
        now=lambda: NOW,
        stale_after_seconds=lambda: STALE_AFTER,
    )

    page = exposition.page(form).decode()

    assert "\nprocess_resident_memory_bytes " in page
    assert '\npython_gc_collections_total{generation="0"} ' in page
    assert "\npython_info{" in page
    assert page.endswith("# EOF\n") == (form is OPENMETRICS)
    assert page.count("# EOF\n") == (form is OPENMETRICS)


def test_the_global_registry_is_not_used() -> None:
    """Nothing of the exporter is in the registry that prometheus_client shares."""
    exposition_of(TargetView(KEY, BUSY, UP), instruments=instruments_of_key()).page(TEXT)

    assert b"ims_" not in generate_latest(REGISTRY)


def test_no_created_samples() -> None:
    """No counter has a `_created` sample: it would be the start of the process, not of what is counted."""
    page = exposition_of(TargetView(KEY, BUSY, UP), instruments=at_work()).page(OPENMETRICS)

    assert b"_created{" not in page.replace(b"ims_jobs_created", b"")


@pytest.mark.parametrize("form", FORMATS.values() if isinstance(FORMATS, dict) else FORMATS)
def test_without_duration_histograms(form: Format) -> None:
    """Without the histograms of jobs a page has every other series of the whole page, in the same order."""
    whole, without = (
        Exposition(
            views=lambda: [TargetView(KEY, BUSY, UP)],
            process=lambda: PROCESS,
            instruments=instruments_of_key(),
            now=lambda: NOW,
            stale_after_seconds=lambda: STALE_AFTER,
            runtime=CollectorRegistry(),
            duration_histograms=is_shown,
        ).page(form)
        for is_shown in (True, False)
    )
    histograms = {metric.name for metric in JOB_METRICS if metric.kind == "histogram"}
    lines = [line for line in whole.splitlines() if not any(name.encode() in line for name in histograms)]

    assert histograms
    assert without.splitlines() == lines
    assert len(lines) < len(whole.splitlines())
