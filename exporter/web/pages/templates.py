"""The Jinja2 templates of the pages: all HTML is in `templates/`, and every value is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from exporter.web.pages.formatting import date_time, duration, iso_time, precise_duration, thousands
from exporter.web.pages.request import PageResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.web.pages.request import PageRequest

FOLDER = Path(__file__).parent / "templates"
STYLE = (FOLDER / "style.css").read_text(encoding="utf-8")
"""The style sheet, exactly as in a page between <style> and </style>."""

HTML = "text/html"
FILTERS = (date_time, duration, iso_time, precise_duration, thousands)


def make_environment() -> Environment:
    """Returns the templates; each is compiled on first use, and raises UndefinedError for a value it does not get."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters.update({function.__name__: function for function in FILTERS})
    return environment


def render_page(
    environment: Environment,
    template: str,
    request: PageRequest,
    parameters: Mapping[str, str],
    **values: object,
) -> PageResponse:
    """Returns a page; the template gets `values`, and what the frame of every page needs.

    `url(path, **parameters)` in a template links to another page; a refresh that is off stays off there.
    """
    is_refreshing = parameters.get("refresh") != "off"
    refresh_off = {"refresh": "off"}
    others = {name: value for name, value in parameters.items() if name != "refresh"}
    text = environment.get_template(template).render(
        path=request.path,
        now=request.now,
        settings=request.settings,
        endpoints=request.endpoints,
        is_refreshing=is_refreshing,
        refresh_seconds=max(1, round(request.settings.refresh_seconds)),
        switch_refresh_url=url(request.path, {**others, **refresh_off} if is_refreshing else others),
        url=lambda path, **query: url(path, query if is_refreshing else {**query, **refresh_off}),
        **values,
    )
    return PageResponse(200, HTML, text)


def url(path: str, query: Mapping[str, str]) -> str:
    """Returns path and query; what UTF-8 cannot encode is written as an escape sequence."""
    return f"{path}?{urlencode(query, errors='backslashreplace')}" if query else path
