"""docs/logs.md documents exactly the events and fields that the exporter logs."""

from __future__ import annotations

import ast
import io
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import exporter
from exporter.errors import ThrottledError
from exporter.jobs.snapshot import PollKey
from exporter.logs import configure_logging
from tests.support.logging_state import restored_logging
from tests.support.polled_target import Polled

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(exporter.__file__).parent
DOCUMENT = (SOURCE.parent / "docs" / "logs.md").read_text(encoding="utf-8")
FIRST = {"ts", "level", "event"}
LEVELS = {"debug", "info", "warning", "error"}
POLL_TARGET = set(PollKey("prod", "cn-shanghai", "smart").labels)


def documented() -> dict[str, set[str]]:
    """Returns the documented fields of every event."""
    sections = re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    return {event: set(re.findall(r"`(\w+)`", "".join(first_cells(text)))) for event, text in sections}


def first_cells(section: str) -> list[str]:
    """Returns the first cell of each row of a table."""
    return re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)


def logged() -> dict[str, set[str]]:
    """Returns the fields of every event in the source code, including those bound to the logger."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        bound = {name for call in calls(tree, {"bind"}) for name in names(call)}
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            for call in calls(function, LEVELS):
                if isinstance(call.args[0], ast.Constant):
                    found[str(call.args[0].value)] |= bound | names(call) | spread(call, function)
    return dict(found)


def calls(tree: ast.AST, methods: set[str]) -> Iterator[ast.Call]:
    """Yields the calls of a logger's methods."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in methods
            and re.search(r"log\b|get_logger\(\)", ast.unparse(node.func.value))
        ):
            yield node


def names(call: ast.Call) -> set[str]:
    """Returns the field names that a call spells out, and those of a poll target that it passes as `**key.labels`."""
    given = {"exception" if keyword.arg == "exc_info" else keyword.arg for keyword in call.keywords if keyword.arg}
    spread = (ast.unparse(keyword.value) for keyword in call.keywords if not keyword.arg)
    return given | (POLL_TARGET if any(value.endswith("key.labels") for value in spread) else set())


def spread(call: ast.Call, function: ast.AST) -> set[str]:
    """Returns the names of fields passed as `**fields`: the keys of the dictionaries in the function."""
    if all(keyword.arg for keyword in call.keywords):
        return set()
    keys = [key for node in ast.walk(function) if isinstance(node, ast.Dict) for key in node.keys]
    return {str(key.value) for key in keys if isinstance(key, ast.Constant)}


def test_every_event_and_field_is_documented() -> None:
    """The page documents every event and field in the source code, and no other."""
    assert documented() == logged()


def test_lines_have_the_documented_fields() -> None:
    """The lines of a survey, a failed job and a failed poll have only documented fields."""
    stream = io.StringIO()
    with restored_logging():
        configure_logging("debug", "json", stream)
        target = Polled()
        target.poll()
        target.calls_of(target.survey.run())
        job = target.service.create("a", state="Executing")
        target.poll()
        target.service.fail(job)
        target.poll()
        for error in (ThrottledError("too many", code="Throttling"), RuntimeError("a fault of ours")):
            target.service.refuse(error, len(target.service.calls))
            target.poll()

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]

    assert {"poll", "survey", "job_failed"} <= {line["event"] for line in lines}
    assert {line.get("outcome") for line in lines} >= {"ok", "failed", "started", "complete"}
    for line in lines:
        assert set(line) <= FIRST | documented()[line["event"]]


def test_queries_use_documented_fields() -> None:
    """The queries for Loki and SLS use only documented events and fields."""
    queries = "\n".join(re.findall(r"^```(?:logql|sls)\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL))
    known = documented()

    assert set(re.findall(r'event(?:="|: )(\w+)', queries)) == {"job_failed", "poll"}
    asked = re.findall(r"(?:by \(|GROUP BY )(\w+(?:, \w+)*)", queries)
    fields = {*", ".join(asked).split(", "), *re.findall(r"{{\.(\w+)}}", queries)}
    assert {"job_type", "error_code", "account", "region_id", "hint"} <= fields
    assert fields <= known["job_failed"] | known["poll"]
