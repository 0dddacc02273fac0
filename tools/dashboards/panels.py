"""The kinds of panels of the dashboards, one function per kind, with a common style."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as style
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from exporter.jobs.kinds import KINDS
from exporter.rules import RUNBOOK_BASE_URL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Panel: TypeAlias = bargauge.Panel | heatmap.Panel | stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel
Any_ = TypeVar("Any_", bargauge.Panel, heatmap.Panel, stat.Panel, statetimeline.Panel, table.Panel, timeseries.Panel)

FAILURES_PAGE = "${exporter_url}/failures"
TYPE_PAGE = (
    "/d/ims-type?${datasource:queryparam}&${__url_time_range}&var-account=${__data.fields.account}"
    "&var-region_id=${__data.fields.region_id}&var-job_kind=${__data.fields.job_kind}&var-job_type=${__data.fields.job_type}"
)
"""The link from a row of a table to the dashboard of its job type."""
MIN_STEP = "1m"
"""Minimum step of a graph: the default poll interval, because values do not change between polls."""

GREEN, YELLOW, ORANGE, RED = "green", "yellow", "orange", "red"
TYPE_COLORS = ("blue", "orange", "purple", "green", "yellow", "red")
"""Colors of the job types, in the order in which the job kinds declare them; they repeat after the last one."""
JOB_TYPES = tuple(dict.fromkeys(job_type for kind in KINDS.values() for job_type in kind.known_types))
COLORS = {
    **dict(zip(JOB_TYPES, cycle(TYPE_COLORS), strict=False)),
    "Created": "yellow",
    "Executing": "blue",
    "created": "blue",
    "finished": "green",
    "failed": "red",
    "deleted": "purple",
    "p50": "green",
    "p90": "yellow",
    "p99": "orange",
}
"""Colours of series with known names, the same in every panel."""
LABELS_FIRST = ("account", "region_id", "job_kind", "job_type", "instance", "version", "python_version")
"""The order of the label columns of a table."""
WIDTHS = {"region_id": 130, "job_type": 140}
"""Widths of columns with long values, in pixels."""
Steps: TypeAlias = "Mapping[float, str]"
"""Colours by the value from which they apply; green below."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel; `legend` names its series."""

    expr: str
    legend: str = ""
    exemplar: bool = False


@dataclass(frozen=True, slots=True)
class About:
    """Title, description and size of a panel; a row is 24 units wide."""

    title: str
    description: str
    unit: str
    width: int = 8
    height: int = 8
    alerts: tuple[str, ...] = ()
    """The alerts about the same data; the panel links to their runbooks."""
    failures: bool = False
    """Whether the panel links to the /failures page of the exporter."""
    steps: Steps = field(default_factory=dict)


def number(about: About, query: Query, mappings: Sequence[model.ValueMapping] = ()) -> stat.Panel:
    """Returns a panel with the current value of a query; without data it shows `no data`, not an old value."""
    panel = styled(stat.Panel(), about, [_now(query)]).mappings(list(mappings))
    mode = style.BigValueColorMode.BACKGROUND if about.steps or mappings else style.BigValueColorMode.NONE
    panel = panel.graph_mode(style.BigValueGraphMode.NONE).color_mode(mode)
    return panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def graph(
    about: About, *queries: Query, stacked: bool = False, bars: bool = False, names: Sequence[str] = ()
) -> timeseries.Panel:
    """Returns a panel of lines over time, or of stacked areas or bars; steps are dashed lines.

    `names` are the series with colours of their own.
    """
    panel = styled(timeseries.Panel(), about, [_over_time(query) for query in queries]).min(0).interval(MIN_STEP)
    panel = panel.fill_opacity(70 if bars else 30 if stacked else 10).line_width(1)
    panel = panel.show_points(style.VisibilityMode.AUTO)
    panel = panel.tooltip(
        common.VizTooltipOptions().mode(style.TooltipDisplayMode.MULTI).sort(style.SortOrder.DESCENDING)
    )
    panel = panel.legend(
        common.VizLegendOptions()
        .display_mode(style.LegendDisplayMode.LIST)
        .placement(style.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
    )
    if bars:
        panel = panel.draw_style(style.GraphDrawStyle.BARS)
    if stacked or bars:
        panel = panel.stacking(common.StackingConfig().mode(style.StackingMode.NORMAL).group("A"))
    if about.steps:
        dashed = common.GraphThresholdsStyleConfig().mode(style.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds_style(dashed)
    for name in names:
        color = model.FieldColor(model.FieldColorModeId.FIXED, COLORS[name])
        panel = panel.override_by_name(name, [model.DynamicConfigValue("color", color)])
    return panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))


def ranking(about: About, query: Query, limits: Mapping[str, Steps] | None = None) -> bargauge.Panel:
    """Returns a panel with a bar per series; `limits` are the steps of single series by name."""
    panel = styled(bargauge.Panel(), about, [_now(query)]).min(0)
    panel = panel.orientation(style.VizOrientation.HORIZONTAL).display_mode(style.BarGaugeDisplayMode.BASIC)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).name_placement(
        style.BarGaugeNamePlacement.LEFT
    )
    for name, steps in (limits or {}).items():
        panel = panel.override_by_name(name, [model.DynamicConfigValue("thresholds", _thresholds(steps).build())])
    return panel


def heat(about: About, buckets: str) -> heatmap.Panel:
    """Returns a heatmap of a histogram over time, from the increases of its buckets."""
    query = _over_time(Query(buckets, "{{le}}")).format(PromQueryFormat.HEATMAP)
    panel = styled(heatmap.Panel(), about, [query]).calculate(calculate=False).interval(MIN_STEP)
    panel = panel.y_axis(heatmap.YAxisConfig().unit(about.unit)).cell_gap(1).show_legend()
    panel = panel.color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(32))
    return panel.filter_values(heatmap.FilterValueRange().le(1e-9))


def states(about: About, query: Query, mappings: Sequence[model.ValueMapping]) -> statetimeline.Panel:
    """Returns a panel with the states of each series over time."""
    panel = styled(statetimeline.Panel(), about, [_over_time(query)]).mappings(list(mappings))
    return panel.show_value(style.VisibilityMode.NEVER).row_height(0.8).merge_values(merge_values=True)


def columns(about: About, exprs: Mapping[str, str], units: Mapping[str, str] | None = None) -> table.Panel:
    """Returns a table with a column per label, followed by a column per expression."""
    queries = [_now(Query(expr)).format(PromQueryFormat.TABLE) for expr in exprs.values()]
    panel = styled(table.Panel(), about, queries)
    names = {("Value" if len(exprs) == 1 else f"Value #{_ref(place)}"): name for place, name in enumerate(exprs)}
    panel = panel.with_transformation(model.DataTransformerConfig("merge", options={}))
    order = {name: place for place, name in enumerate((*LABELS_FIRST, *names))}
    shape = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names}
    panel = panel.with_transformation(model.DataTransformerConfig("organize", options=shape))
    for name, unit in (units or {}).items():
        panel = panel.override_by_name(name, [model.DynamicConfigValue("unit", unit)])
    for name, pixels in WIDTHS.items():
        panel = panel.override_by_name(name, [model.DynamicConfigValue("custom.width", pixels)])
    drill_down = model.DynamicConfigValue("links", [{"title": "Job type", "url": TYPE_PAGE}])
    return panel.override_by_name("job_type", [drill_down])


def value_texts(**texts: tuple[str, str]) -> list[model.ValueMapping]:
    """Returns the mapping from values, such as `is_0` for 0, to a text and a colour."""
    options = {
        name.removeprefix("is_"): model.ValueMappingResult(text=text, color=color, index=place)
        for place, (name, (text, color)) in enumerate(texts.items())
    }
    return [model.ValueMap(options)]


def styled(panel: Any_, about: About, queries: Sequence[prometheus.Dataquery]) -> Any_:
    """Adds title, size, data source, links and queries to a panel."""
    panel = panel.title(about.title).description(about.description).unit(about.unit)
    panel = panel.datasource(model.DataSourceRef("prometheus", "${datasource}"))
    panel = panel.span(about.width).height(about.height).thresholds(_thresholds(about.steps)).no_value("no data")
    panel = panel.links([*map(_runbook, about.alerts), *([_failures()] if about.failures else [])])
    for place, query in enumerate(queries):
        panel = panel.with_target(query.ref_id(_ref(place)))
    return panel


def _now(query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expr).legend_format(query.legend).instant()


def _over_time(query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expr).legend_format(query.legend).range().exemplar(query.exemplar)


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    levels = [model.Threshold(None, GREEN), *(model.Threshold(start, color) for start, color in steps.items())]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(levels)


def _runbook(alert: str) -> dashboard.DashboardLink:
    return link(f"Runbook {alert}", f"{RUNBOOK_BASE_URL}/{alert}.md")


def _failures() -> dashboard.DashboardLink:
    return link("Failed jobs", FAILURES_PAGE)


def link(title: str, url: str) -> dashboard.DashboardLink:
    """Returns a link that opens in a new tab."""
    new = dashboard.DashboardLink(title).type(model.DashboardLinkType.LINK).icon("external link").url(url)
    return new.target_blank(target_blank=True)


def _ref(place: int) -> str:
    return "ABCDEFGHIJ"[place]
