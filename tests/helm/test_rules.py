"""The chart renders the rules that the command `rules` writes, whatever thresholds and matchers are chosen."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter.dashboards import dashboard_files
from exporter.rules import Thresholds, changed, rule_files
from tests.rules.test_regular_expression import ACCEPTED, REFUSED
from tests.support.dashboard_queries import boards
from tests.support.helm_chart import REGION, VALUE_SETS, helm, of_set, only, refusal, rendered_from
from tests.support.real_tools import NEWEST, OLDEST, need
from tools.chart import rules as chart_rules
from tools.chart.values import CHART

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tools

Groups = list[dict[str, Any]]

URLS = {
    "runbook_base_url": "https://wiki.example/runbooks",
    "dashboard_base_url": "https://grafana.example/d",
    "exporter_base_url": "https://ims.example",
}
IN_VALUES = {
    "runbookBaseUrl": "https://wiki.example/runbooks/",
    "dashboardBaseUrl": "https://grafana.example/d",
    "exporterBaseUrl": "https://ims.example/",
}
SELECTORS = ("", 'namespace="media"', 'namespace=~"a|b",cluster!="x: #{}"')

each_selector = pytest.mark.parametrize("selector", SELECTORS)


def of_chart(folder: Path, thresholds: dict[str, Any], selector: str = "") -> Groups:
    """Returns the groups of rules that the chart renders."""
    rule = {"enabled": True, "thresholds": thresholds, "selector": selector, **IN_VALUES}
    manifests = rendered_from({"config": {"region_id": "cn-shanghai"}, "prometheusRule": rule}, folder)
    found: Groups = only(manifests, "PrometheusRule")["spec"]["groups"]
    return found


def of_command(thresholds: dict[str, Any], selector: str = "") -> Groups:
    """Returns the groups of rules that the command writes with the same options."""
    parts = {
        f"{name}.{key}" if key else name: number
        for name, value in thresholds.items()
        for key, number in (value.items() if isinstance(value, dict) else [("", value)])
    }
    limits = changed(Thresholds(), [f"{place}={number}" for place, number in parts.items()])
    files = rule_files(limits, selector=selector, **URLS)
    return [group for _, text in sorted(files.items()) for group in yaml.safe_load(text)["groups"]]


def all_changed(by: float) -> dict[str, Any]:
    """Returns every threshold changed: whole ones to no whole minutes or hours, or to them, shares within bounds."""
    return {
        name: {key: int(number * by) for key, number in value.items()} | {"NewType": 5400}
        if isinstance(value, dict)
        else int(value * by)
        if isinstance(value, int)
        else value * 1.25
        for name, value in chart_rules.DEFAULTS.items()
    }


@each_selector
def test_default_rules(tmp_path: Path, selector: str) -> None:
    """Without changes the rules are the bundled ones, with the matchers in every selector."""
    assert of_chart(tmp_path, {}, selector) == of_command({}, selector)


@pytest.mark.parametrize("by", [1.01, 3, 24])
def test_every_threshold_can_be_changed(tmp_path: Path, by: float) -> None:
    """Each threshold changes the rules that it changes in the command's files, in the same words."""
    chosen = all_changed(by)

    assert of_chart(tmp_path, chosen) == of_command(chosen)


@pytest.mark.parametrize("name", sorted(chart_rules.DEFAULTS))
def test_each_threshold_has_a_placeholder(name: str) -> None:
    """No threshold is a fixed number in the files of the chart."""
    wanted = f"<<each {name}>>" if name in chart_rules.BY_TYPE else name

    assert any(wanted in text for text in chart_rules.rule_texts().values())


@pytest.mark.parametrize(
    "chosen",
    [
        {name: 0 for name, value in chart_rules.DEFAULTS.items() if name.endswith("for_seconds")},
        {"queue_growth_factor": 2, "failure_ratio": 1, "throttled_ratio": 0},
        {"failure_objective": 0.00001, "failure_ratio": 0.00002, "burn_fast_factor": 1000, "burn_slow_factor": 1.5},
        {"catchup_seconds": 8640000, "data_stale_seconds": 1234567},
    ],
    ids=["no waiting", "whole numbers", "small numbers", "large numbers"],
)
def test_odd_thresholds(tmp_path: Path, chosen: dict[str, Any]) -> None:
    """Numbers that Go and Python format differently have the same text."""
    assert of_chart(tmp_path, chosen) == of_command(chosen)


@pytest.mark.parametrize("suites", [NEWEST, OLDEST], ids=["newest", "oldest"])
@each_selector
def test_promtool_takes_the_rules(tmp_path: Path, selector: str, suites: tuple[str, ...]) -> None:
    """The newest and the oldest promtool take what the chart renders."""
    groups = of_chart(tmp_path, {"stuck_seconds": {"NewType": 90}}, selector)
    (tmp_path / "chart.rules.yaml").write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")

    done = subprocess.run(  # noqa: S603 - a tool of our own choice
        [str(need("promtool", suites)), "check", "rules", str(tmp_path / "chart.rules.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {sum(len(group['rules']) for group in groups)} rules found" in done.stdout


def test_alerts_can_be_left_out_and_labelled() -> None:
    """Disabled alerts are gone, the others have the labels and annotations that the values add, and their own."""
    groups = only(of_set("monitored"), "PrometheusRule")["spec"]["groups"]
    alerts = {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}
    values = yaml.safe_load(VALUE_SETS["monitored"].read_text(encoding="utf-8"))["prometheusRule"]
    known = {rule["alert"] for group in of_command({}) for rule in group["rules"] if "alert" in rule}

    assert set(alerts) == known - set(values["disabled"])
    assert all(alert["labels"].items() > values["alertLabels"].items() for alert in alerts.values())
    assert all(alert["annotations"].items() > values["alertAnnotations"].items() for alert in alerts.values())
    assert {alert["labels"]["severity"] for alert in alerts.values()} == {"critical", "warning", "info"}


def test_links_lead_somewhere(tmp_path: Path) -> None:
    """Without addresses, alerts link to no dashboard, and to the service of the release."""
    values = {"config": {"region_id": "cn-shanghai"}, "prometheusRule": {"enabled": True}}
    groups = only(rendered_from(values, tmp_path), "PrometheusRule")["spec"]["groups"]
    notes = [rule["annotations"] for group in groups for rule in group["rules"] if "alert" in rule]

    assert not any("dashboard_url" in each for each in notes)
    assert {each["failures_url"].partition("?")[0] for each in notes if "failures_url" in each} == {
        "http://ims-ims-exporter.media.svc:9912/failures"
    }


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("thresholds.failure_ration=0.2", "'failure_ration' not allowed"),
        ("thresholds.failure_ratio=2", "maximum: got 2, want 1"),
        ("thresholds.stuck_seconds.ASR=soon", "got string, want integer"),
        ("disabled={ImsFoo}", "value must be one of 'ImsExporterAbsent'"),
        ("selector=media", "does not match pattern"),
        ('selector=pod="x"', "not every series that the rules read has the label pod"),
        ("runbookBaseUrl=wiki", "does not match pattern"),
    ],
)
def test_wrong_values_are_refused(value: str, said: str) -> None:
    """An invalid threshold, alert, selector or URL is rejected, and the message names it."""
    assert said in refusal(*REGION, "--set", f"prometheusRule.{value}")


def test_files_are_those_that_are_generated() -> None:
    """The chart holds the generated rules and dashboards, and no file of an older version."""
    assert {path.name for path in (CHART / "files" / "rules").iterdir()} == set(chart_rules.rule_texts())
    assert {path.name for path in (CHART / "files" / "dashboards").iterdir()} == set(boards())


def test_a_way_to_use_thresholds_that_the_chart_does_not_know() -> None:
    """A rule that calculates with thresholds in an unsupported way is an error."""
    numbers = chart_rules.unique_numbers()

    with pytest.raises(ValueError, match="in a way that the chart does not support"):
        chart_rules.with_placeholders(f"up > {numbers['catchup_seconds'] * numbers['stuck_for_seconds']}")


def test_dashboards_are_the_bundled_ones() -> None:
    """The ConfigMaps for the sidecar contain the bundled dashboards, the base URL of the runbooks, and the label."""
    maps = [
        each for each in of_set("monitored") if each["kind"] == "ConfigMap" and "-dashboard" in each["metadata"]["name"]
    ]
    texts = {name: text for each in maps for name, text in each["data"].items()}

    assert texts == dashboard_files(URLS["runbook_base_url"])
    assert all(each["metadata"]["labels"]["grafana_dashboard"] == "1" for each in maps)


@pytest.mark.parametrize(
    ("patterns", "are_accepted"), [(ACCEPTED[::4], True), (REFUSED[::5], False), (["(?<n>a)", ")|("], False)]
)
def test_regular_expressions(tmp_path: Path, patterns: list[str], are_accepted: bool) -> None:  # noqa: FBT001 - a case
    """The chart accepts the regular expressions that the command accepts, and refuses the others by name."""
    path = tmp_path / "values.yaml"
    for pattern in (pattern for pattern in patterns if '"' not in pattern):
        selector = "namespace=~" + json.dumps(pattern, ensure_ascii=False)
        rule = {"enabled": True, "selector": selector}
        path.write_text(yaml.safe_dump({"config": {"region_id": "cn-shanghai"}, "prometheusRule": rule}))

        done = helm("template", "--values", str(path))

        assert (done.returncode == 0) == are_accepted, (pattern, done.stderr)
        assert are_accepted or "is not a regular expression that all versions of Prometheus accept" in done.stderr
