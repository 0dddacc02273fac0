"""The paths of the pages, and the response to a request for one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.web.pages import failures, targets
from exporter.web.pages.request import PageError, PageResponse, parse_query
from exporter.web.pages.status import respond_status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jinja2 import Environment

    from exporter.web.pages.request import PageRequest

    Route = tuple[Sequence[str], Callable[[PageRequest, Mapping[str, str], Environment], PageResponse]]

ROUTES: Mapping[str, Route] = {
    "/": ((), respond_status),
    "/failures": (failures.PARAMETERS, failures.respond_failures),
    "/targets": (targets.PARAMETERS, targets.respond_targets),
}
"""The known query parameters of each page, and the function that renders it."""


def respond(request: PageRequest, environment: Environment) -> PageResponse:
    """Returns the response to a request for a path of `ROUTES`; a refused one has the reason as plain text."""
    known_parameters, render = ROUTES[request.path]
    try:
        return render(request, parse_query(request.query, known_parameters), environment)
    except PageError as error:
        return PageResponse(error.status, "text/plain", f"{error}\n")
