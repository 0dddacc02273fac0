"""The bundled rules load, fire, stay quiet and clear in the real promtool, and all that they name exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from exporter import rules
from exporter.metrics import METRICS
from tests.realtools import NEWEST, OLDEST, need

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("rules/*.yaml"))
RUNBOOKS = HERE.parent / "docs" / "runbooks"
ALERTS = [
    rule for group in rules.groups(rules.Thresholds()).values() for rule in group if isinstance(rule, rules.Alert)
]
RECORDED = {
    rule.record
    for group in rules.groups(rules.Thresholds()).values()
    for rule in group
    if isinstance(rule, rules.Recording)
}
SERIES = {
    f"{metric.name}{suffix}"
    for metric in METRICS
    for suffix in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
}

each_version = pytest.mark.parametrize("suites", [NEWEST, OLDEST], ids=["newest", "oldest"])
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)


def written(folder: Path, selector: str = "") -> list[Path]:
    """Writes the rules as the tests expect them."""
    files = rules.rule_files(
        rules.Thresholds(),
        runbook_base_url="https://runbooks.example/",
        dashboard_base_url="https://grafana.example/d",
        selector=selector,
    )
    return rules.write_rules(folder, files)


def promtool(suites: tuple[str, ...], *arguments: str) -> None:
    """Runs promtool and shows what it says if it is not content."""
    done = subprocess.run(  # noqa: S603 - a tool of our own choice
        [str(need("promtool", suites)), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@each_version
@pytest.mark.parametrize("selector", ["", 'namespace="media",job=~"ims.*"'])
def test_rules_load(suites: tuple[str, ...], selector: str, tmp_path: Path) -> None:
    """Prometheus takes the rule files without a lint finding, with and without a selector."""
    paths = written(tmp_path, selector)

    promtool(suites, "check", "rules", "--lint=all", "--lint-fatal", *map(str, paths))


@each_version
@each_case
def test_rules_fire_and_clear(suites: tuple[str, ...], case: Path, tmp_path: Path) -> None:
    """Each alert fires when it should, never else, and clears."""
    written(tmp_path)
    (tmp_path / case.name).write_text(case.read_text())

    promtool(suites, "test", "rules", str(tmp_path / case.name))


@each_alert
def test_every_alert_is_seen_to_fire_and_clear(alert: rules.Alert) -> None:
    """The cases of an alert begin with one in which it does not fire yet, fires, and has cleared."""
    case = yaml.safe_load((HERE / "rules" / f"{alert.name}.yaml").read_text())

    checks = [check for test in case["tests"] for check in test.get("alert_rule_test", [])]
    fires = [bool(check["exp_alerts"]) for check in checks if check["alertname"] == alert.name]

    assert fires[:3] == [False, True, False]


@each_alert
def test_every_alert_has_a_runbook(alert: rules.Alert) -> None:
    """The page that an alert links to is there and has every part that an operator needs."""
    text = (RUNBOOKS / f"{alert.name}.md").read_text()

    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    assert headings == [alert.name, "Meaning", "Impact", "Check", "Fix", "Confirm"]


def test_no_runbook_is_left_over() -> None:
    """Every runbook page belongs to an alert."""
    assert {path.stem for path in RUNBOOKS.glob("Ims*.md")} == {alert.name for alert in ALERTS}


def test_alert_names_are_unique() -> None:
    """No two alerts share a name, so a runbook is about one of them."""
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


def test_every_metric_exists() -> None:
    """Rules and runbooks name only metrics that the exporter has, or that the rules record."""
    texts = [*rules.rule_files(rules.Thresholds()).values(), *(p.read_text() for p in RUNBOOKS.glob("*.md"))]

    named = {name for text in texts for name in re.findall(r"\bims_[a-z_]+(?::[a-z_]+)?", text)}

    assert named - SERIES - RECORDED == set()


def test_selector_reaches_every_series() -> None:
    """A selector is part of every selected series, so that rules of two deployments do not mix."""
    files = rules.rule_files(rules.Thresholds(), selector='namespace="media"')
    exprs = [r["expr"] for text in files.values() for g in yaml.safe_load(text)["groups"] for r in g["rules"]]

    selected = [found for expr in exprs for found in re.findall(r"\b(?:ims_[a-z_:]+|up)\b(\{[^}]*\})?", expr)]

    assert selected
    assert all('namespace="media"}' in found for found in selected)
