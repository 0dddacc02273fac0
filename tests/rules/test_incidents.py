"""Each incident of the catalogue fires exactly its alerts in the real promtool, to the minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter import rules
from tests.rules.test_rules import each_version, promtool, written
from tests.support.incident_catalogue import Incident, incidents, promtool_test
from tests.support.real_tools import OLDEST
from tests.support.repository import ROOT
from tools.alerts_document import ALERTS, PAGING, document

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tools

DOCUMENT = ROOT / "docs" / "alerts.md"
DETECTED_WITHIN, CLEARED_WITHIN = 5, 10
LONG = 500
"""Incidents that last more minutes have a test of their own."""

BOOK = incidents()
SHORT_ONES = [incident for incident in BOOK if incident.lasts <= LONG]
LONG_ONES = [incident for incident in BOOK if incident.lasts > LONG]
each_incident = pytest.mark.parametrize("incident", BOOK, ids=lambda incident: incident.kind)


def firing(expr: str, minute: int, alerts: set[str]) -> dict[str, Any]:
    """Returns the check that exactly these alerts are in a result."""
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(alerts)]
    return {"expr": f"group by (alertname) ({expr})", "eval_time": f"{minute}m", "exp_samples": samples}


def checks(incident: Incident, late: int) -> list[dict[str, Any]]:
    """Returns what promtool has to find: each alert begins when it should, all are gone, and no other ever fired.

    Prometheus 2 counts the first sample of a range in, and may be a minute `late`; then the last minute counts.
    """
    found = [
        firing(f"count_over_time(ALERTS{{alertstate='firing'}}[{incident.lasts}m])", incident.lasts, {*incident.fires})
    ]
    for name, after in incident.fires.items():
        fires = f"ALERTS{{alertstate='firing',alertname='{name}'}}"
        if not late:
            found.append(firing(fires, incident.starts + after - 1, set()))
        found.append(firing(fires, incident.starts + after + late, {name}))
    if incident.clears is not None:
        any_alert = "ALERTS{alertstate='firing'}"
        last = {"expr": f"count({any_alert}) > bool 0", "eval_time": f"{incident.ends + incident.clears - 1}m"}
        if not late:
            found.append(last | {"exp_samples": [{"labels": "{}", "value": 1}]})
        found.append(firing(any_alert, incident.ends + incident.clears + late, set()))
    return found


def play(played: list[Incident], suites: tuple[str, ...], folder: Path) -> None:
    """Runs incidents in promtool."""
    files = [path.name for path in written(folder)]
    for interval in {incident.interval for incident in played}:
        tests = [
            promtool_test(one, checks(one, late=int(suites == OLDEST))) for one in played if one.interval == interval
        ]
        script = {"rule_files": files, "evaluation_interval": f"{interval}m", "tests": tests}
        (folder / "incidents.yaml").write_text(yaml.safe_dump(script))
        promtool(suites, "test", "rules", str(folder / "incidents.yaml"))


@each_version
def test_incidents(suites: tuple[str, ...], tmp_path: Path) -> None:
    """Every incident fires its alerts at their minutes and no other alert, and all resolve."""
    play(SHORT_ONES, suites, tmp_path)


@each_version
def test_long_incidents(suites: tuple[str, ...], tmp_path: Path) -> None:
    """The same applies to incidents of a day or a month."""
    play(LONG_ONES, suites, tmp_path)


@each_incident
def test_goals(incident: Incident) -> None:
    """An incident is detected within five minutes after its threshold, and resolved within ten minutes."""
    assert not incident.fires or min(incident.fires.values()) <= incident.threshold + DETECTED_WITHIN
    assert (incident.clears is not None) == (bool(incident.fires) and incident.ends < incident.lasts)
    assert (incident.clears or 0) <= CLEARED_WITHIN


@each_incident
def test_only_urgent_incidents_page(incident: Incident) -> None:
    """An incident pages if and only if the catalogue says so."""
    assert bool(PAGING & {*incident.fires}) == incident.pages


@each_incident
def test_pages_come_in_time(incident: Incident) -> None:
    """Critical alerts fire within five minutes, unless the catalogue gives the reason for a later page."""
    paged = incident.first_of(PAGING)

    is_late = paged is not None and paged > incident.threshold + DETECTED_WITHIN
    assert is_late == bool(incident.page_late)


def test_catalogue_is_complete() -> None:
    """There are at least twenty different incidents, and every alert fires in one."""
    assert len({incident.kind for incident in BOOK}) == len(BOOK) >= 20
    assert {name for incident in BOOK for name in incident.fires} == {alert.name for alert in ALERTS}


def test_document_is_fresh() -> None:
    """The page of alerts is what its generator writes."""
    assert DOCUMENT.read_text() == document(), "run: python -m tools.alerts_document > docs/alerts.md"


def test_thresholds_are_documented() -> None:
    """Every threshold and its default are on the page."""
    assert all(f"`{name}" in DOCUMENT.read_text() for name in rules.Thresholds.__dataclass_fields__)
