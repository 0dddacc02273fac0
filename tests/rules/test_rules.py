"""The bundled rules load, fire and resolve in the real promtool, and refer only to existing metrics and pages."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from exporter import rules
from exporter.errors import SettingsError
from exporter.jobs.kinds import KINDS
from exporter.metrics.table import METRICS
from exporter.rules.rule import Links
from tests.support.real_tools import NEWEST, OLDEST, need
from tests.support.repository import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.jobs.kinds import JobKind

CASES = sorted((ROOT / "tests" / "rules" / "promtool").glob("*.yaml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
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
each_page = pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
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
    """Runs promtool, and shows its output if it fails."""
    done = subprocess.run(  # noqa: S603 - a tool of our own choice
        [str(need("promtool", suites)), *arguments], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.tools
@each_version
@pytest.mark.parametrize("selector", ["", 'namespace="media",job=~"ims.*"'])
def test_rules_load(suites: tuple[str, ...], selector: str, tmp_path: Path) -> None:
    """Prometheus accepts the rule files without a lint finding, with and without a selector."""
    paths = written(tmp_path, selector)

    promtool(suites, "check", "rules", "--lint=all", "--lint-fatal", *map(str, paths))


@pytest.mark.tools
@each_version
@each_case
def test_rules_fire_and_clear(suites: tuple[str, ...], case: Path, tmp_path: Path) -> None:
    """Each alert fires only when it should, and resolves."""
    written(tmp_path)
    (tmp_path / case.name).write_text(case.read_text())

    promtool(suites, "test", "rules", str(tmp_path / case.name))


@each_alert
def test_annotations(alert: rules.Alert) -> None:
    """Every alert has a constant summary, a description with values, and links; failures name the job ids' page."""
    written_rule = alert.entry(Links("https://r", "https://d", "https://e"))
    notes = written_rule["annotations"]

    assert isinstance(notes, dict)
    assert "{" not in notes["summary"]
    assert "IMS" in notes["summary"], "the keyword of chat robots"
    assert "{{" in notes["description"] or alert.name == "ImsExporterUnknown"
    assert (
        re.findall(r"\$value(?! \| (?:printf \"%.0f\"|humanizePercentage|humanizeDuration) }})", notes["description"])
        == []
    )
    assert notes["runbook_url"] == f"https://r/{alert.name}.md"
    assert notes["dashboard_url"].startswith("https://d/ims-")
    assert notes.get("failures_url", "").startswith("https://e/failures?account=" if "Fail" in alert.name else "")


@each_alert
def test_every_alert_has_a_runbook(alert: rules.Alert) -> None:
    """The page that an alert links to is there and has every part that an operator needs."""
    text = (RUNBOOKS / f"{alert.name}.md").read_text()

    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    diagnosis = text.partition("## Diagnosis")[2].partition("## Mitigation")[0]
    assert headings == [alert.name, "Meaning", "Impact", "Diagnosis", "Mitigation", "Verification"]
    assert "```promql" in diagnosis
    assert "```sh" in diagnosis
    assert "In the console" in diagnosis
    assert "```promql" in text.partition("## Verification")[2]


def test_no_runbook_is_left_over() -> None:
    """Every runbook page belongs to an alert."""
    assert {path.stem for path in RUNBOOKS.glob("Ims*.md")} == {alert.name for alert in ALERTS}


@each_page
def test_runbooks_name_what_exists(page: Path) -> None:
    """Alerts and thresholds that a runbook names are there, and its links lead somewhere."""
    text = page.read_text()
    links = re.findall(r"\]\(([^)#]+)\)", text)
    thresholds = [name.partition(".")[0] for name in re.findall(r"--set (\S+?)=", text)]

    assert set(re.findall(r"\bIms(?:Job|Exporter)\w+", text)) <= {alert.name for alert in ALERTS}
    assert all((RUNBOOKS / link).is_file() for link in links)
    assert all(name in rules.Thresholds.__dataclass_fields__ for name in thresholds)


@pytest.mark.tools
@each_version
def test_runbook_queries_are_valid(suites: tuple[str, ...], tmp_path: Path) -> None:
    """Prometheus can parse every query of every runbook, and every query keeps job kinds apart."""
    texts = [path.read_text() for path in RUNBOOKS.glob("*.md")]
    blocks = [block for text in texts for block in re.findall(r"```promql\n(.*?)```", text, re.DOTALL)]
    lines = sorted({query for block in blocks for query in block.splitlines()})
    rule = {"groups": [{"name": "g", "rules": [{"record": f"q{i}", "expr": line} for i, line in enumerate(lines)]}]}
    (tmp_path / "runbooks.rules.yaml").write_text(yaml.safe_dump(rule))

    promtool(suites, "check", "rules", str(tmp_path / "runbooks.rules.yaml"))
    assert [line for line in lines if re.search(r"\((?!.*job_kind)[^()]*region_id", line)] == []
    assert [line for line in lines if re.search(r"\bby \((?![^()]*job_kind)[^()]*job_type", line)] == []


def test_rules_keep_job_kinds_apart() -> None:
    """Where a rule names the region in a clause, it names the job kind, too."""
    exprs = [rule.expr for group in rules.groups(rules.Thresholds()).values() for rule in group]
    clauses = [found for expr in exprs for found in re.findall(r"\b(?:by|on|without|ignoring) \(([^)]*)\)", expr)]

    assert any("job_kind" in clause for clause in clauses)
    assert [clause for clause in clauses if ("region_id" in clause) != ("job_kind" in clause)] == []


def test_job_types_are_unique() -> None:
    """No two job kinds share a known job type, so a threshold per job type belongs to one kind."""
    known = [job_type for kind in KINDS.values() for job_type in kind.known_types]

    assert len(set(known)) == len(known)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_alert_limits_are_of_known_job_types(kind: JobKind) -> None:
    """A job kind declares thresholds only for its own job types, and the rules use them as defaults."""
    limits = rules.Thresholds()

    assert {limit.job_type for limit in kind.alert_limits} <= {*kind.known_types}
    for limit in kind.alert_limits:
        assert limits.stuck_seconds[limit.job_type] == limit.stuck_seconds
        assert limits.stalled_seconds[limit.job_type] == limit.stalled_seconds


def test_no_recording_is_left_over() -> None:
    """Every recorded series is used by an alert, by a runbook or by another one."""
    exprs = [rule.expr for group in rules.groups(rules.Thresholds()).values() for rule in group]
    texts = exprs + [path.read_text() for path in RUNBOOKS.glob("*.md")]

    assert [name for name in RECORDED if not any(name in text for text in texts)] == []


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        ("failre_ratio=0.2", "failre_ratio: no such threshold; did you mean failure_ratio?"),
        ("failure_ratio=2", "failure_ratio: '2' is not a number from 0 to 1"),
        ("failed_jobs=1.5", "failed_jobs: '1.5' is not a whole number from 1 to 8640000"),
        ("failure_ratio.ASR=0.2", "failure_ratio.ASR: not a threshold per job type; write failure_ratio=0.2"),
        ("stuck_seconds=60", "stuck_seconds: a threshold per job type; write stuck_seconds.ASR=60"),
        ("failure_ratio", "'failure_ratio' is not an assignment: write failure_ratio=0.2"),
    ],
)
def test_wrong_threshold_is_refused(assignment: str, problem: str) -> None:
    """An invalid threshold is rejected with a message that names the fix."""
    with pytest.raises(SettingsError, match=re.escape(problem)):
        rules.changed(rules.Thresholds(), [assignment])


@pytest.mark.tools
def test_thresholds_change_the_rules(tmp_path: Path) -> None:
    """Changed thresholds, also of a new job type, are in the rules, which still load."""
    limits = rules.changed(rules.Thresholds(), ["failure_ratio=0.25", "stuck_seconds.ASR=1800", "stuck_seconds.New=90"])
    files = rules.rule_files(limits)
    paths = rules.write_rules(tmp_path, files)

    promtool(OLDEST, "check", "rules", "--lint=all", "--lint-fatal", *map(str, paths))
    text = "".join(files.values())
    assert "failure_ratio_recent > 0.25" in text
    assert "ASR 30m" in text
    assert 'job_type="New"' in text


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
