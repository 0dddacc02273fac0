"""The panels and queries of the bundled dashboards, with values for their variables."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.dashboards import dashboard_files

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES = {
    "$__rate_interval": "10s",
    "$__range": "20s",
    "$account": ".*",
    "$region_id": ".*",
    "$job_kind": ".*",
    "$job_type": ".*",
}
"""The values that replace the variables of Grafana."""
CHOICE = re.compile(r"^label_values\((?P<series>.+), (?P<label>\w+)\)$")


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a panel or of a variable, and the kind of request that runs it."""

    name: str
    expr: str
    kind: str
    """`now`, `over time`, `exemplars` or `choice`."""
    label: str = ""

    def filled(self) -> str:
        """Returns the expression with all variables replaced."""
        expr = self.expr
        for name, text in VALUES.items():
            expr = expr.replace(name, text)
        return expr


def boards() -> dict[str, dict[str, Any]]:
    """Returns every bundled dashboard by the name of its file."""
    return {name: json.loads(text) for name, text in dashboard_files().items()}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the panels that show data."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def choices(board: dict[str, Any]) -> Iterator[Query]:
    """Yields the queries of the variables."""
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            found = CHOICE.match(variable["query"]["query"])
            assert found
            yield Query(f"variable {variable['name']}", found["series"], "choice", found["label"])


def queries(board: dict[str, Any]) -> Iterator[Query]:
    """Yields every query of every panel, that of its exemplars too, and those of the variables."""
    yield from choices(board)
    for panel in panels(board):
        for target in panel["targets"]:
            name = f"{panel['title']} {target['refId']}"
            yield Query(name, target["expr"], "now" if target.get("instant") else "over time")
            if target.get("exemplar"):
                yield Query(f"{name} exemplars", target["expr"], "exemplars")
