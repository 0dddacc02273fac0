"""Common parts of the dashboards: variables, links, time range, and the JSON that Grafana loads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from exporter.rules import EXPORTER_BASE_URL, RUNBOOK_BASE_URL
from tools.dashboards.panels import FAILURES_PAGE, link

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grafana_foundation_sdk.cog.builder import Builder

    from tools.dashboards.panels import Panel

TAG = "ims"
ALERTS = "/alerting/list?search=Ims"
TYPES = 'ims_jobs_created_total{account=~"$account",region_id=~"$region_id",job_kind=~"$job_kind"}'
"""The series whose job types can be selected."""
SOURCE = model.DataSourceRef("prometheus", "${datasource}")


def dashboard_json(
    uid: str,
    title: str,
    description: str,
    rows: Mapping[str, Sequence[Panel]],
    variables: Sequence[dashboard.QueryVariable],
) -> str:
    """Returns the JSON of a dashboard with its variables, and its panels in titled rows."""
    board = dashboard.Dashboard(title).uid(uid).description(description).tags([TAG]).editable()
    board = board.time("now-3h", "now").refresh("30s").tooltip(model.DashboardCursorSync.CROSSHAIR)
    board = board.variables([_source(), *variables, _exporter_url()]).links(_links())
    for name, panels in rows.items():
        board = board.with_row(dashboard.Row(name))
        for panel in panels:
            board = board.with_panel(panel)
    return json.dumps(_numbered(board.build()), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def target_variables() -> list[dashboard.QueryVariable]:
    """Returns the variables for accounts, regions and job kinds; initially all are selected."""
    up = "ims_exporter_target_up"
    return [
        _any("account", "Account", up),
        _any("region_id", "Region", f'{up}{{account=~"$account"}}'),
        _any("job_kind", "Job kind", f'{up}{{account=~"$account",region_id=~"$region_id"}}'),
    ]


def types_variable() -> dashboard.QueryVariable:
    """Returns the variable for several job types; initially all are selected."""
    return _any("job_type", "Job type", TYPES)


def type_variable() -> dashboard.QueryVariable:
    """Returns the variable for a single job type."""
    return _choice("job_type", "Job type", TYPES)


def _any(label: str, shown: str, series: str) -> dashboard.QueryVariable:
    everything = model.VariableOption(selected=True, text="All", value="$__all")
    choice = _choice(label, shown, series).multi(multi=True).include_all(include_all=True)
    return choice.all_value(".*").current(everything)


def _choice(label: str, shown: str, series: str) -> dashboard.QueryVariable:
    query = f"label_values({series}, {label})"
    return (
        dashboard.QueryVariable(label)
        .label(shown)
        .query({"query": query, "refId": label})
        .datasource(SOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def _source() -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")


def _exporter_url() -> dashboard.TextBoxVariable:
    """Returns the variable for the URL of the exporter in a browser, for the links to its pages."""
    option = model.VariableOption(selected=True, text=EXPORTER_BASE_URL, value=EXPORTER_BASE_URL)
    return (
        dashboard.TextBoxVariable("exporter_url")
        .label("Exporter")
        .default_value(EXPORTER_BASE_URL)
        .current(option)
        .options([option])
    )


def _links() -> list[Builder[model.DashboardLink]]:
    others = dashboard.DashboardLink("IMS dashboards").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    return [
        others.as_dropdown(as_dropdown=True).keep_time(keep_time=True).include_vars(include_vars=True),
        link("Alerts", ALERTS),
        link("Runbooks", RUNBOOK_BASE_URL),
        link("Failed jobs", FAILURES_PAGE),
    ]


def _numbered(board: model.Dashboard) -> model.Dashboard:
    """Numbers the panels, so that links to single panels stay valid."""
    for number, panel in enumerate(board.panels or [], start=1):
        panel.id_val = number
    return board
