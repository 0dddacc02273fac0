"""Published snapshots and their golden text, which `python -m tests.support.scenarios` writes again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from exporter.jobs.kinds import SMART
from exporter.jobs.snapshot import (
    DURATION_BOUNDS,
    FAILED_WINDOWS,
    Durations,
    FailedJob,
    Health,
    PollKey,
    Snapshot,
    TargetView,
)
from exporter.metrics.counters import Instruments
from exporter.metrics.exposition import OPENMETRICS, TEXT, Exposition
from exporter.metrics.table import Process
from tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric as Family

Series: TypeAlias = dict[tuple[str, frozenset[tuple[str, str]]], float]

GOLDEN = ROOT / "tests" / "metrics" / "golden"
FORMATS = {"txt": TEXT, "om.txt": OPENMETRICS}
ACCEPT = {"txt": "text/plain;version=0.0.4", "om.txt": "application/openmetrics-text;version=1.0.0"}
NOW = 1_800_000_000.0
STALE_AFTER = 300.0
KEY = PollKey("prod", "cn-shanghai", "smart")
PROCESS = Process(
    ledger_size_bytes=40960,
    reload_successful=True,
    reloaded_at=1_799_990_000.0,
    version="1.2.3",
    python_version="3.13.1",
)
UP = Health(up=True, last_success_at=NOW - 12, last_attempt_at=NOW - 12, survey_progress=1, survey_complete=True)
DOWN = Health(
    up=False,
    last_success_at=NOW - 400,
    last_attempt_at=NOW - 12,
    last_error="poll of prod/cn-shanghai refused (NoPermission): grant ice:ListSmartJobs to the RAM user",
    last_reason="forbidden",
    survey_progress=0.25,
)
FAILED = FailedJob("88c6ca184c0e47b2", "ASR", 1_799_999_000, 1_799_999_900, "InvalidParameter", "no such file")
EMPTY = Snapshot(
    taken_at=NOW - 12,
    jobs={},
    failed_recent={},
    created={},
    ended={},
    failures={},
    deleted={},
    durations={},
    oldest_open={},
    last_failure={},
    ledger_jobs=0,
)
NO_DURATIONS = Durations((0,) * (len(DURATION_BOUNDS) + 1), 0.0)
ZERO = replace(
    EMPTY,
    jobs={(job_type, state): 0 for job_type in SMART.job_types for state in SMART.job_states},
    failed_recent={(job_type, window): 0 for job_type in SMART.job_types for window, _ in FAILED_WINDOWS},
    created=dict.fromkeys(SMART.job_types, 0),
    ended={(job_type, state): 0 for job_type in SMART.job_types for state in SMART.ended_states},
    deleted=dict.fromkeys(SMART.job_types, 0),
    durations={(job_type, state): NO_DURATIONS for job_type in SMART.job_types for state in SMART.ended_states},
)
BUSY = replace(
    ZERO,
    jobs={**ZERO.jobs, ("ASR", "Executing"): 2, ("ASR", "Finished"): 12345678, ("ASR", "Failed"): 3},
    failed_recent={**ZERO.failed_recent, ("ASR", "1h"): 1, ("ASR", "24h"): 3},
    created={**ZERO.created, "ASR": 17},
    ended={**ZERO.ended, ("ASR", "Finished"): 12, ("ASR", "Failed"): 3},
    failures={("ASR", "InvalidParameter"): 2, ("ASR", "unknown"): 1},
    deleted={**ZERO.deleted, "TextToSpeech": 1},
    durations={
        **ZERO.durations,
        ("ASR", "Finished"): Durations((0, 4, 3, 2, 0, 1, 0, 0, 0, 0, 0, 1, 1), 99999.5),
    },
    oldest_open={("ASR", "Executing"): 1_799_999_990},
    last_failure={"ASR": FAILED},
    ledger_jobs=4,
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Published snapshots at one moment, and the counters of the process."""

    views: tuple[TargetView, ...]
    instruments: Instruments

    def exposition(self) -> Exposition:
        """Returns the exposition that shows it."""
        return exposition_of(*self.views, instruments=self.instruments)


def exposition_of(*views: TargetView, instruments: Instruments | None = None) -> Exposition:
    """Returns an exposition that shows the views at `NOW`, without the metrics of the process itself."""
    return Exposition(
        views=lambda: views,
        process=lambda: PROCESS,
        instruments=instruments or Instruments(),
        now=lambda: NOW,
        stale_after_seconds=lambda: STALE_AFTER,
        runtime=CollectorRegistry(),
    )


def parsed(exposition: Exposition, suffix: str) -> list[Family]:
    """Renders in one of the formats and reads it with that format's own parser."""
    text = exposition.page(FORMATS[suffix]).decode()
    parse = openmetrics.text_string_to_metric_families if suffix == "om.txt" else text_string_to_metric_families
    return list(parse(text))


def series(families: Iterable[Family]) -> Series:
    """Returns the value of every series by its name and labels; none may occur twice."""
    samples = [sample for family in families for sample in family.samples]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


def sample_value(exposition: Exposition, name: str, **labels: str) -> float | None:
    """Returns the value of one sample, or None if it is not shown; the labels of `KEY` need not be given."""
    return series(parsed(exposition, "txt")).get((name, frozenset((KEY.labels | labels).items())))


def at_work() -> Instruments:
    """Returns instruments that have seen a good poll, a failed one and some calls."""
    instruments = Instruments()
    instruments.add_target(KEY)
    instruments.observe_poll(KEY, 0.75, None)
    instruments.observe_poll(KEY, 10.0, "throttled")
    for _ in range(4):
        instruments.observe_request(KEY, "ListSmartJobs", "OK", 0.0625)
    instruments.observe_request(KEY, "ListSmartJobs", "Throttling.User", 0.125)
    instruments.add_rate_limit_wait("prod", 1.5)
    return instruments


def instruments_of_key() -> Instruments:
    """Returns instruments to which the target was added, and which have counted nothing yet."""
    instruments = Instruments()
    instruments.add_target(KEY)
    return instruments


def scenarios() -> dict[str, Scenario]:
    """Returns every scenario by its name."""
    strange = replace(EMPTY, jobs={("Avatar", "Paused"): 1, ("", ""): 2}, created={"Avatar": 1, "": 2})
    nasty = 'a"b\\c\nd# {e}=f,\té 中文\ud800'
    nasty_snapshot = replace(
        EMPTY,
        jobs={(nasty, "Failed"): 1},
        ended={(nasty, "Failed"): 1},
        failures={(nasty, nasty): 1},
        last_failure={nasty: replace(FAILED, job_id='x" y')},
    )
    return {
        "before_first_poll": Scenario((TargetView(KEY),), instruments_of_key()),
        "good_poll": Scenario(
            (TargetView(KEY, BUSY, UP), TargetView(PollKey("b", "r", "smart"), EMPTY, UP)), at_work()
        ),
        "stale": Scenario((TargetView(KEY, replace(BUSY, taken_at=NOW - 301), DOWN),), Instruments()),
        "unknown_types": Scenario((TargetView(KEY, strange, UP),), Instruments()),
        "nasty_labels": Scenario((TargetView(PollKey(nasty, "r", "smart"), nasty_snapshot, UP),), Instruments()),
    }


def write_golden() -> None:
    """Writes the golden text of every scenario in both formats."""
    GOLDEN.mkdir(exist_ok=True)
    for name, scenario in scenarios().items():
        for suffix, form in FORMATS.items():
            (GOLDEN / f"{name}.{suffix}").write_bytes(scenario.exposition().page(form))


if __name__ == "__main__":
    write_golden()
