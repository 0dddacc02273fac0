"""The incident catalogue: what happens, which alerts must fire and when, and the promtool tests made from it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.support.repository import ROOT

CATALOGUE = ROOT / "tests" / "rules" / "incidents"
WHERE = 'account="prod",region_id="cn-shanghai",job_kind="smart"'
SCRAPED = 'instance="{pod}:9912",pod="{pod}",namespace="media",job="ims"'
TARGET_LABELS = ("account", "region_id", "job_kind")
NOTATION = re.compile(r"(_|stale|-?[\d.]+)([+-][\d.]+)?(?:x(\d+))?")
ASR = 'job_type="ASR"'

HEALTHY: dict[str, tuple[float, float, bool]] = {
    "up{}": (1, 0, False),
    'ims_exporter_build_info{version="1"}': (1, 0, False),
    "ims_exporter_active{}": (1, 0, False),
    "ims_exporter_shard{}": (0, 0, False),
    "ims_exporter_shards{}": (1, 0, False),
    f"ims_exporter_target_up{{{WHERE}}}": (1, 0, False),
    f"ims_exporter_last_success_timestamp_seconds{{{WHERE}}}": (0, 60, False),
    f"ims_exporter_survey_complete{{{WHERE}}}": (1, 0, False),
    f"ims_exporter_survey_progress_ratio{{{WHERE}}}": (1, 0, False),
    f"ims_exporter_catchup_truncated{{{WHERE}}}": (0, 0, False),
    f'ims_exporter_poll_failures_total{{{WHERE},reason="auth"}}': (0, 0, True),
    f'ims_exporter_poll_failures_total{{{WHERE},reason="forbidden"}}': (0, 0, True),
    f'ims_exporter_api_requests_total{{{WHERE},action="ListSmartJobs",code="OK"}}': (0, 3, True),
}
"""The series of a healthy exporter with one target: first value, growth per minute, and whether a restart resets it."""

OF_PROCESS = {"ims_exporter_build_info", "ims_exporter_active", "ims_exporter_shard", "ims_exporter_shards"}
"""Series of the healthy exporter that have no labels of a target."""

FINISHED, FAILED = (1000, 5, False), (20, 0, False)

BUSY: dict[str, tuple[float, float, bool]] = {
    f'ims_jobs{{{WHERE},{ASR},job_state="Created"}}': (8, 0, False),
    f'ims_jobs{{{WHERE},{ASR},job_state="Executing"}}': (30, 0, False),
    f'ims_jobs_ended_total{{{WHERE},{ASR},job_state="Finished"}}': FINISHED,
    f'ims_jobs_ended_total{{{WHERE},{ASR},job_state="Failed"}}': FAILED,
    f'ims_job_failures_total{{{WHERE},{ASR},error_code="unknown"}}': FAILED,
}
"""Five jobs finish a minute, and none fails."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One kind of incident; times are minutes, `fires` after `starts` and `clears` after `ends`.

    `threshold` is how long the condition must last before it is one at all. `pods` says which exporters ran from
    when to when; `lost_ledger` that each began a ledger of its own. `pages` says that somebody is woken, `page_late`
    why it may take longer than the detection by a warning.
    `series` in promtool's notation replace or complete the healthy ones.
    """

    kind: str
    story: str
    lasts: int
    series: dict[str, str] = field(default_factory=dict)
    starts: int = 0
    ends: int = 0
    threshold: int = 0
    fires: dict[str, int] = field(default_factory=dict)
    clears: int | None = None
    pods: dict[str, list[int]] = field(default_factory=dict)
    busy: bool = True
    lost_ledger: bool = False
    interval: int = 1
    pages: bool = False
    page_late: str = ""

    def first_of(self, names: set[str]) -> int | None:
        """Returns after how many minutes the first of some alerts fires; None if none does."""
        return min((after for name, after in self.fires.items() if name in names), default=None)


def incidents() -> list[Incident]:
    """Returns the catalogue in its order."""
    return [
        Incident(**entry) for path in sorted(CATALOGUE.glob("*.yaml")) for entry in yaml.safe_load(path.read_text())
    ]


def promtool_test(incident: Incident, checks: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns a test of promtool that plays an incident."""
    return {
        "name": incident.kind,
        "interval": f"{incident.interval}m",
        "input_series": [{"series": name, "values": values} for name, values in played(incident).items()],
        "promql_expr_test": checks,
    }


def played(incident: Incident) -> dict[str, str]:
    """Returns every series of an incident and its values."""
    given = {full(name): values for name, values in incident.series.items()}
    pods = incident.pods or {"p-1": [0, incident.lasts]}
    healthy = HEALTHY | (BUSY if incident.busy else {})
    series = {
        full(name, pod): values(incident, shape, *span)
        for pod, span in pods.items()
        for name, shape in healthy.items()
        if full(name, pod) not in given
    } | given
    return noticed(incident, series) | series


def noticed(incident: Incident, series: dict[str, str]) -> dict[str, str]:
    """Returns what exporters would show as `ims_jobs_failed_noticed`: what their counters grew by in five minutes.

    An exporter with the ledger of an earlier one has noticed what failed in between. What a counter starts with is
    history, unless its target was there before it.
    """
    counters = {name: expanded(text) for name, text in series.items() if is_failed(name)}
    seen = {
        tuple(labels_of(name)[label] for label in (*TARGET_LABELS, "pod", "job")): first(expanded(text))
        for name, text in series.items()
        if name.startswith("ims_exporter_target_up{")
    }
    shown = {}
    for name, counts in counters.items():
        labels = labels_of(name)
        start = first(counts)
        history = earlier(name, counters, start)
        known_from = seen.get(tuple(labels[label] for label in (*TARGET_LABELS, "pod", "job")), start)
        before = 0.0 if known_from < start else None
        news: list[int] = []
        for count in (*history, *counts[len(history) :]):
            news.append(0 if count is None or before is None else max(0, math.floor(count) - math.floor(before)))
            before = before if count is None else count
        steps = max(1, 5 // incident.interval)
        labels = {**labels, "window": "5m"}
        inner = ",".join(f'{label}="{labels[label]}"' for label in sorted(labels) if label != "job_state")
        shown[f"ims_jobs_failed_noticed{{{inner}}}"] = " ".join(
            "stale" if count is None else f"{sum(news[max(0, at - steps + 1) : at + 1])}"
            for at, count in enumerate(counts)
        )
    return shown


def earlier(name: str, counters: dict[str, list[float | None]], start: int) -> list[float | None]:
    """Returns the values of the same counter of an exporter that was gone before this one came, if any."""
    found: list[float | None] = []
    for other, counts in counters.items():
        if core(other) == core(name) and other != name and last(counts) < start:
            found += [None] * (first(counts) - len(found)) + counts[max(len(found), first(counts)) : last(counts) + 1]
    return found


def is_failed(name: str) -> bool:
    """Returns whether a series counts failed jobs."""
    return name.startswith("ims_jobs_ended_total{") and 'job_state="Failed"' in name


def labels_of(name: str) -> dict[str, str]:
    """Returns the labels of a series."""
    return dict(re.findall(r'(\w+)="([^"]*)"', name))


def core(name: str) -> dict[str, str]:
    """Returns the labels of a series without those of its scrape."""
    return {label: value for label, value in labels_of(name).items() if label not in {"instance", "pod", "job"}}


def first(counts: list[float | None]) -> int:
    """Returns when a series begins."""
    return next((at for at, count in enumerate(counts) if count is not None), len(counts))


def last(counts: list[float | None]) -> int:
    """Returns when a series has its last value."""
    return max((at for at, count in enumerate(counts) if count is not None), default=-1)


def expanded(text: str) -> list[float | None]:
    """Returns the values of a series in promtool's notation, None for what is missing."""
    found: list[float | None] = []
    for token in text.split():
        value, growth, times = NOTATION.fullmatch(token).groups()  # type: ignore[union-attr] # the catalogue is ours
        if value in {"_", "stale"}:
            found += [None] * int(times or 1)
        else:
            found += [float(value) + float(growth or 0) * step for step in range(int(times or 0) + 1)]
    return found


def full(name: str, pod: str = "p-1") -> str:
    """Returns a series with the labels of its target and of its scrape that it does not name itself."""
    metric, _, inner = name.rstrip("}").partition("{")
    labels = [part for part in inner.split(",") if part]
    named = {label.partition("=")[0] for label in labels}
    wanted = WHERE.split(",") if metric.startswith(("ims_job", "ims_exporter_")) and metric not in OF_PROCESS else []
    pod = next((label.split('"')[1] for label in labels if label.startswith("pod=")), pod)
    more = [*wanted, *SCRAPED.format(pod=pod).split(",")]
    labels += [one for one in more if one.partition("=")[0] not in named]
    return f"{metric}{{{','.join(sorted(labels))}}}"


def values(incident: Incident, shape: tuple[float, float, bool], start: int, end: int) -> str:
    """Returns the values of a healthy series from start to end, then none."""
    first, growth, anew = shape
    if incident.lost_ledger and start and shape in (FINISHED, FAILED):
        first, anew = 0, True
    first += 0 if anew else growth * start
    steps = (end - start) // incident.interval
    before = f"_x{start // incident.interval} " if start else ""
    gone = " stale" if end < incident.lasts else ""
    return f"{before}{first}+{growth * incident.interval}x{steps}{gone}"
