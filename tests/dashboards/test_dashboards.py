"""The bundled dashboards are complete, refer only to existing metrics and pages, and have valid queries."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from exporter.commands.cli import main
from exporter.dashboards import dashboard_files
from exporter.metrics.table import METRICS
from exporter.rules import RUNBOOK_BASE_URL
from tests.support.dashboard_queries import boards, panels, queries
from tests.support.real_tools import NEWEST, OLDEST, need
from tests.support.repository import ROOT
from tools.dashboards import promql

BOARDS = boards()
TARGET_VARIABLES = ["datasource", "account", "region_id", "job_kind"]
VARIABLES = {
    "ims-overview": [*TARGET_VARIABLES, "job_type", "exporter_url"],
    "ims-type": [*TARGET_VARIABLES, "job_type", "exporter_url"],
    "ims-exporter": [*TARGET_VARIABLES, "exporter_url"],
}
LABELS = {label for metric in METRICS for label in metric.labels} | {"le", "instance"}
SERIES = {
    f"{metric.name}{suffix}" for metric in METRICS for suffix in (("_bucket",) if metric.kind == "histogram" else ("",))
}
JOBS = 'ims_jobs{account="a",region_id="r",job_kind="smart",job_type="ASR",job_state="Created",'
FAILURES = 'ims_job_failures_total{account="a",region_id="r",job_kind="smart",job_type="ASR",'

each_board = pytest.mark.parametrize("name", sorted(BOARDS))


def test_uids_are_those_that_alerts_link_to() -> None:
    """Each dashboard has the uid that its file is named after, and no other dashboard is there."""
    assert {Path(name).stem: board["uid"] for name, board in BOARDS.items()} == {uid: uid for uid in VARIABLES}


@each_board
def test_variables(name: str) -> None:
    """A dashboard has variables for data source, account, region, job kind and job type, by these names."""
    variables = BOARDS[name]["templating"]["list"]

    assert [variable["name"] for variable in variables] == VARIABLES[BOARDS[name]["uid"]]
    assert all(variable["label"] for variable in variables)


@each_board
def test_target_variables_allow_all_and_several(name: str) -> None:
    """Accounts, regions and job kinds are read from Prometheus; several can be selected, and all are at first."""
    variables = {variable["name"]: variable for variable in BOARDS[name]["templating"]["list"]}

    for label in ("account", "region_id", "job_kind"):
        variable = variables[label]
        assert variable["type"] == "query"
        assert variable["query"]["query"].startswith("label_values(ims_exporter_target_up")
        assert variable["query"]["query"].endswith(f", {label})")
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".*")
        assert variable["current"]["value"] == "$__all"


@each_board
def test_every_query_selects_by_the_variables(name: str) -> None:
    """A query that selects a region selects the job kind too, and what is grouped by region is grouped by kind."""
    for query in queries(BOARDS[name]):
        selectors = re.findall(r"\{([^}]*)\}", query.expr)
        groups = re.findall(r"\b(?:by|on|without) \(([^)]*)\)", query.expr)

        if not query.name.startswith("variable"):
            assert [one for one in selectors if "$region_id" in one and 'job_kind=~"$job_kind"' not in one] == []
        assert [one for one in groups if "region_id" in one and "job_kind" not in one] == []


@each_board
def test_every_panel_explains_itself(name: str) -> None:
    """Every panel has a title of its own, a description, a unit, thresholds and the chosen data source."""
    shown = panels(BOARDS[name])

    for panel in shown:
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert defaults["unit"]
        assert defaults["thresholds"]["steps"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len({panel["title"] for panel in shown}) == len(shown)


@each_board
def test_panels_do_not_overlap(name: str) -> None:
    """No two panels share a place or a number, and none is wider than the page."""
    all_panels = BOARDS[name]["panels"]
    places = [panel["gridPos"] for panel in all_panels]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in all_panels}) == len(all_panels)


@each_board
def test_every_metric_and_label_exists(name: str) -> None:
    """The queries name only metrics that the exporter has, and only labels that these or a scrape's instance have."""
    exprs = [query.expr for query in queries(BOARDS[name])]

    metrics = {found for expr in exprs for found in re.findall(r"\bims_[a-z_]+", expr)}
    grouped = {
        found.strip()
        for expr in exprs
        for names in re.findall(r"\b(?:by|on) \(([^)]*)\)", expr)
        for found in names.split(",")
    }
    matched = {found for expr in exprs for found in re.findall(r'(\w+)(?:=~|!~|!=|=)"', expr)}

    assert metrics <= SERIES
    assert grouped | matched <= LABELS


@each_board
def test_links_lead_somewhere(name: str) -> None:
    """A dashboard links to the others, the alerts, the runbooks and the failed jobs; panels to runbooks that exist."""
    board = BOARDS[name]
    linked = [link["url"] for panel in panels(board) for link in panel.get("links", [])]
    runbooks = [url.removeprefix(f"{RUNBOOK_BASE_URL}/") for url in linked if url.startswith(RUNBOOK_BASE_URL)]

    assert [link["title"] for link in board["links"]] == ["IMS dashboards", "Alerts", "Runbooks", "Failed jobs"]
    assert board["links"][0]["tags"] == board["tags"]
    assert runbooks
    assert [page for page in runbooks if not (ROOT / "docs" / "runbooks" / page).is_file()] == []
    assert {url for url in linked if not url.startswith(RUNBOOK_BASE_URL)} <= {"${exporter_url}/failures"}


def test_every_alert_is_linked_to() -> None:
    """Every alert has a panel that links to its runbook."""
    linked = {link["url"] for board in BOARDS.values() for panel in panels(board) for link in panel.get("links", [])}

    assert {path.name for path in (ROOT / "docs" / "runbooks").glob("Ims*.md")} <= {
        url.split("/")[-1] for url in linked
    }


def test_command_writes_the_bundled_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command writes every dashboard as it is bundled, and prints where."""
    folder = tmp_path / "new" / "folder"

    with pytest.raises(SystemExit) as ended:
        main(["dashboards", str(folder)])

    assert ended.value.code == 0
    assert {path.name: path.read_text() for path in folder.iterdir()} == dashboard_files()
    assert capsys.readouterr().out.splitlines() == [str(folder / name) for name in dashboard_files()]


def test_runbooks_of_ones_own(tmp_path: Path) -> None:
    """The panels link to the runbooks at the base URL of the command only."""
    with pytest.raises(SystemExit):
        main(["dashboards", str(tmp_path), "--runbook-base-url=https://wiki.example/ims/"])

    texts = "".join(path.read_text() for path in tmp_path.iterdir())
    assert set(re.findall(r'"url": "(https?://[^"]*)/Ims\w+\.md"', texts)) == {"https://wiki.example/ims"}
    assert RUNBOOK_BASE_URL not in texts


def test_command_says_where_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that cannot be created results in a message and exit code 1, not in a traceback."""
    (tmp_path / "file").write_text("")

    with pytest.raises(SystemExit) as ended:
        main(["dashboards", str(tmp_path / "file")])

    assert ended.value.code == 1
    assert "cannot write to" in capsys.readouterr().err


@pytest.mark.tools
@pytest.mark.parametrize("suites", [NEWEST, OLDEST], ids=["newest", "oldest"])
def test_replicas_count_once_and_new_series_count_from_zero(suites: tuple[str, ...], tmp_path: Path) -> None:
    """Two replicas and a redeploy double nothing; the first failure with an error code counts, a gap does not."""
    series = {
        f'{JOBS}instance="x"}}': "3x10",
        f'{JOBS}instance="y",node="n"}}': "3x10",
        f'{FAILURES}error_code="unknown",instance="x"}}': "0x10",
        f'{FAILURES}error_code="Old",instance="x"}}': "7x5 _x5",
        f'{FAILURES}error_code="Old",instance="y"}}': "_x6 8x5",
        f'{FAILURES}error_code="New",instance="x"}}': "_x7 2x3",
    }
    gone = {f'{FAILURES}error_code="{code}",instance="x"}}': "_x8 9x3" for code in ("unknown", "Old")}
    failures = "ims_job_failures_total"
    over_range = promql.total("error_code", promql.increase_with_new_series(failures, "5m"))
    in_step = promql.total("error_code", promql.increase_with_new_series(failures, "5m", known='error_code="unknown"'))
    jobs = promql.total("", promql.value("ims_jobs"))

    rises = {'{error_code="unknown"}': 0, '{error_code="Old"}': 1, '{error_code="New"}': 2}
    cases = [(series, jobs, {"{}": 3}), (series, over_range, rises), (series, in_step, rises), (gone, in_step, {})]
    (tmp_path / "test.yaml").write_text(
        yaml.safe_dump({"rule_files": [], "tests": [promtool_case(*one) for one in cases]})
    )
    done = subprocess.run(  # noqa: S603 - a tool of our own choice
        [str(need("promtool", suites)), "test", "rules", str(tmp_path / "test.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def promtool_case(series: dict[str, str], expr: str, expected: dict[str, int]) -> dict[str, object]:
    """Returns a promtool test: what an expression is after ten minutes of series, all of whose variables are open."""
    for variable in ("$account", "$region_id", "$job_kind", "$job_type"):
        expr = expr.replace(variable, ".*")
    samples = [{"labels": labels, "value": value} for labels, value in expected.items()]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": expr, "eval_time": "10m", "exp_samples": samples}],
    }


@each_board
def test_files_are_plain_json(name: str) -> None:
    """A dashboard has no id that could conflict in Grafana, and no fixed data source."""
    text = dashboard_files()[name]

    assert "id" not in json.loads(text)
    assert set(re.findall(r'"uid": "([^"]*)"', text)) == {"${datasource}", BOARDS[name]["uid"]}
