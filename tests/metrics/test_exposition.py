"""The registry shows what is published at the moment of the scrape, and what the process has counted."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections import UserDict
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY, generate_latest

from exporter.jobs.snapshot import Health, PollKey, TargetView
from exporter.metrics.exposition import LARGE, Collector, Instruments, Registry, make_registry, render, rendered
from exporter.metrics.table import METRICS, REASONS, Process
from tests.support.scenarios import (
    ACCEPT,
    BUSY,
    DOWN,
    FAILED,
    KEY,
    NOW,
    STALE_AFTER,
    UP,
    introduced,
    parsed,
    registry_of,
)

if TYPE_CHECKING:
    from collections.abc import ItemsView

TARGET = {"account": KEY.account, "region_id": KEY.region_id}
ASR_FAILED = TARGET | {"job_type": "ASR", "job_state": "Failed"}


def text(registry: Registry, accept: str = "") -> str:
    """Returns the exposition as text."""
    return render(registry, accept)[0].decode()


def codes(registry: Registry) -> set[str]:
    """Returns the codes of requests that are shown."""
    samples = [sample for family in parsed(registry, "om.txt") for sample in family.samples]
    return {sample.labels["code"] for sample in samples if sample.name == "ims_exporter_api_requests_total"}


def published_never() -> tuple[TargetView, ...]:
    """Stands for what must not be read."""
    raise AssertionError


def process_never() -> Process:
    """Stands for what must not be read."""
    raise AssertionError


def test_registering_does_not_collect() -> None:
    """The collector describes its families, so that registering it reads nothing."""
    collector = Collector(
        views=published_never,
        process=process_never,
        instruments=Instruments(),
        now=lambda: NOW,
        stale_after_seconds=lambda: STALE_AFTER,
    )

    make_registry(collector)

    assert len(list(collector.describe())) == len(METRICS)


def test_a_registry_takes_the_collector_once() -> None:
    """A second collector of the same names is refused."""
    registry = registry_of()

    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(next(iter(registry_of()._collector_to_names)))  # noqa: SLF001 - there is no other way


def test_families_are_grouped_over_targets() -> None:
    """Each metric has one HELP, whatever the number of targets."""
    views = [TargetView(replace(KEY, account=f"a{number}"), BUSY, UP) for number in range(3)]

    shown = text(registry_of(*views))

    assert [line.split()[2] for line in shown.splitlines() if line.startswith("# HELP")] == [
        metric.name for metric in METRICS
    ]


@pytest.mark.parametrize(("age", "is_shown"), [(0.0, True), (STALE_AFTER, True), (STALE_AFTER + 1, False)])
def test_stale_jobs_are_withdrawn(age: float, is_shown: bool) -> None:  # noqa: FBT001 - a case of the table
    """The job series vanish once the poll is older than stale_after_seconds; health stays."""
    registry = registry_of(TargetView(KEY, replace(BUSY, taken_at=NOW - age), DOWN))

    shown = registry.get_sample_value("ims_jobs", ASR_FAILED)

    assert (shown is not None) == is_shown
    assert registry.get_sample_value("ims_exporter_target_up", TARGET) == 0
    assert registry.get_sample_value("ims_exporter_last_success_timestamp_seconds", TARGET) == NOW - 400
    assert registry.get_sample_value("ims_exporter_ledger_jobs", TARGET) == BUSY.ledger_jobs


def test_a_stale_target_hides_no_other() -> None:
    """Only the stale target's jobs are withdrawn."""
    stale = TargetView(replace(KEY, account="stale"), replace(BUSY, taken_at=0), DOWN)

    registry = registry_of(stale, TargetView(KEY, BUSY, UP))

    assert registry.get_sample_value("ims_jobs", ASR_FAILED | {"account": "stale"}) is None
    assert registry.get_sample_value("ims_jobs", ASR_FAILED) == 3


def test_up_waits_for_the_first_attempt() -> None:
    """Before the first poll has ended, a target is neither up nor down."""
    registry = registry_of(TargetView(KEY, None, Health()))

    assert registry.get_sample_value("ims_exporter_target_up", TARGET) is None
    assert registry.get_sample_value("ims_exporter_survey_complete", TARGET) == 0


def test_what_changes_is_read_at_every_scrape() -> None:
    """The targets, the process and the limit of age are asked for at each scrape."""
    views = [TargetView(KEY, BUSY, UP)]
    registry = make_registry(
        Collector(
            views=lambda: views,
            process=lambda: Process(len(views), reload_successful=True, reloaded_at=0, version="1"),
            instruments=Instruments(),
            now=lambda: NOW,
            stale_after_seconds=lambda: 60.0 * len(views),
        )
    )
    before = registry.get_sample_value("ims_jobs", ASR_FAILED)

    views.clear()

    assert before == 3
    assert registry.get_sample_value("ims_jobs", ASR_FAILED) is None
    assert registry.get_sample_value("ims_exporter_ledger_size_bytes") == 0


def test_exemplar_is_the_newest_failure() -> None:
    """OpenMetrics shows the newest failed job at the counter of failures; plain text has no exemplars."""
    registry = registry_of(TargetView(KEY, BUSY, UP))

    line = f'# {{job_id="{FAILED.job_id}"}} 1.0 {FAILED.ended_at}\n'
    assert text(registry, ACCEPT["om.txt"]).count(line) == 1
    assert FAILED.job_id not in text(registry, ACCEPT["txt"])


@pytest.mark.parametrize("job_id", ["", "x" * 123, 'a"b', "a b", "a\nb", "é"])
def test_no_exemplar_for_what_does_not_fit(job_id: str) -> None:
    """A job id that an exemplar cannot carry is left out; the count is shown all the same."""
    failure = {"ASR": replace(FAILED, job_id=job_id)}

    registry = registry_of(TargetView(KEY, replace(BUSY, last_failure=failure), UP))

    assert "job_id=" not in text(registry, ACCEPT["om.txt"])
    assert registry.get_sample_value("ims_jobs_ended_total", ASR_FAILED) == 3


def test_longest_exemplar_parses() -> None:
    """The longest job id that is shown stays within the 128 characters of OpenMetrics."""
    failure = {"ASR": replace(FAILED, job_id="x" * 122)}

    registry = registry_of(TargetView(KEY, replace(BUSY, last_failure=failure), UP))

    families = parsed(registry, "om.txt")
    exemplars = [sample.exemplar for family in families for sample in family.samples if sample.exemplar]
    assert [exemplar.labels for exemplar in exemplars] == [{"job_id": "x" * 122}]


def test_the_global_registry_stays_untouched() -> None:
    """Nothing of ours is in the registry that prometheus_client shares."""
    text(registry_of(TargetView(KEY, BUSY, UP), instruments=introduced()))

    assert b"ims_" not in generate_latest(REGISTRY)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html,*/*;q=0.8", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text; version=0.0.1", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text; version=x", "text/plain; version=0.0.4; charset=utf-8"),
        (
            ACCEPT["om.txt"],
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=values;q=0.6,text/plain;version=0.0.4;q=0.3",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
        ),
    ],
)
def test_negotiation(accept: str, content_type: str) -> None:
    """Any Accept header gets a format it takes, plain text if in doubt; names are never garbled."""
    body, shown = render(registry_of(TargetView(KEY, BUSY, UP)), accept)

    assert shown == content_type
    assert b"\nims_jobs{" in body
    assert body.endswith(b"# EOF\n") == content_type.startswith("application/openmetrics")


def test_introduced_series_start_at_zero() -> None:
    """All series that can be known beforehand are there before anything happens."""
    registry = registry_of(instruments=introduced())

    ok = TARGET | {"action": "ListSmartJobs", "code": "OK"}
    assert registry.get_sample_value("ims_exporter_polls_total", TARGET) == 0
    assert registry.get_sample_value("ims_exporter_api_requests_total", ok) == 0
    assert registry.get_sample_value("ims_exporter_rate_limit_wait_seconds_total", {"account": "prod"}) == 0
    for reason in REASONS:
        value = registry.get_sample_value("ims_exporter_poll_failures_total", TARGET | {"reason": reason})
        assert value == 0


def test_polls_are_attempts() -> None:
    """Every poll that ended counts, the failed ones by their reason too; a new reason is `other`."""
    instruments = introduced()

    instruments.observe_poll(KEY, 1.0, None)
    instruments.observe_poll(KEY, 2.0, "timeout")
    instruments.observe_poll(KEY, 3.0, "surprise")

    registry = registry_of(instruments=instruments)
    failures = [
        registry.get_sample_value("ims_exporter_poll_failures_total", TARGET | {"reason": reason})
        for reason in ("timeout", "other", "auth")
    ]
    assert registry.get_sample_value("ims_exporter_polls_total", TARGET) == 3
    assert registry.get_sample_value("ims_exporter_poll_duration_seconds_sum", TARGET) == 6
    assert failures == [1, 1, 0]


def test_introducing_again_changes_nothing() -> None:
    """A target that is introduced twice keeps its counts."""
    instruments = introduced()
    instruments.observe_poll(KEY, 1.0, None)

    instruments.introduce(KEY)

    assert registry_of(instruments=instruments).get_sample_value("ims_exporter_polls_total", TARGET) == 1


@pytest.mark.parametrize("code", ["", "a b", 'x"', "x" * 65, "中", "a\n", "\ud800"])
def test_strange_codes_are_other(code: str) -> None:
    """An error code is shown only if it is a short plain word."""
    instruments = introduced()

    instruments.observe_request(KEY, "ListSmartJobs", code, 0.1)

    assert codes(registry_of(instruments=instruments)) == {"OK", "other"}


def test_codes_are_bounded() -> None:
    """A target shows 40 codes at most, `OK` among them, and `other` for all that follow."""
    instruments = introduced()

    for number in range(100):
        instruments.observe_request(KEY, "ListSmartJobs", f"Code.{number}", 0.1)

    assert codes(registry_of(instruments=instruments)) == {"OK", "other", *(f"Code.{n}" for n in range(39))}


def test_forgotten_targets_vanish_for_good() -> None:
    """A forgotten target leaves no series, not even for a call that was still under way."""
    instruments = introduced()
    other = PollKey("prod", "cn-beijing", "smart")
    instruments.introduce(other)

    instruments.forget(KEY)
    instruments.observe_request(KEY, "ListSmartJobs", "OK", 0.1)
    instruments.observe_poll(KEY, 0.1, None)
    instruments.add_rate_limit_wait("prod", 2.0)

    shown = text(registry_of(instruments=instruments))
    assert "cn-shanghai" not in shown
    assert 'ims_exporter_rate_limit_wait_seconds_total{account="prod"} 2.0' in shown
    instruments.forget(other)
    instruments.add_rate_limit_wait("prod", 2.0)
    assert "prod" not in text(registry_of(instruments=instruments))


def test_no_created_samples() -> None:
    """The instruments show no `_created` series, which nobody asked for."""
    shown = text(registry_of(instruments=introduced()), ACCEPT["om.txt"])

    assert "_created{" not in shown


class Watched(UserDict[tuple[str, str], int]):
    """Counts that remember who read them."""

    def __init__(self, readers: set[threading.Thread]) -> None:
        super().__init__({("ASR", "Failed"): 1})
        self._readers = readers

    def items(self) -> ItemsView[tuple[str, str], int]:
        """Notes the thread."""
        self._readers.add(threading.current_thread())
        return super().items()


@pytest.mark.parametrize("targets", [1, LARGE])
@pytest.mark.parametrize("is_packed", [True, False])
def test_many_targets_are_rendered_beside_the_loop(targets: int, *, is_packed: bool) -> None:
    """A scrape of many targets is written in a thread, one of few at once; the text is the same."""
    readers: set[threading.Thread] = set()
    snapshot = replace(BUSY, jobs=Watched(readers))
    registry = registry_of(*(TargetView(replace(KEY, account=f"a{number}"), snapshot, UP) for number in range(targets)))

    body, _ = asyncio.run(rendered(registry, "", is_packed=is_packed))

    assert (threading.current_thread() in readers) == (targets < LARGE)
    assert (gzip.decompress(body) if is_packed else body) == generate_latest(registry)


def test_scrapes_at_the_same_time_do_not_disturb_each_other() -> None:
    """Scrapes in several threads each give the whole page."""
    registry = registry_of(*(TargetView(replace(KEY, account=f"a{number}"), BUSY, UP) for number in range(LARGE)))
    wanted = generate_latest(registry)

    async def scrape() -> list[tuple[bytes, str]]:
        return await asyncio.gather(*(rendered(registry, "", is_packed=place % 2 == 0) for place in range(8)))

    bodies = [body for body, _ in asyncio.run(scrape())]

    assert {gzip.decompress(body) for body in bodies[::2]} == {*bodies[1::2]} == {wanted}
