"""All HTML is in the templates, which escape every value and get every value they use."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from jinja2 import UndefinedError

from exporter.jobs.snapshot import TargetView, WaitingJob
from exporter.web.pages.templates import FOLDER, make_environment, url
from tests.support.rendered_page import see
from tests.support.repository import ROOT
from tests.support.scenarios import BUSY, FAILED, KEY, NOW, UP

if TYPE_CHECKING:
    from collections.abc import Iterator

HTML = re.compile(r"</?(a|body|code|dd|div|dl|dt|form|h[1-6]|head|input|label|p|small|span|svg|t[dhr]|table)\b[^<]*>")
FORBIDDEN = {"Markup", "markupsafe", "html", "escape"}
UNESCAPED = re.compile(r"\|\s*safe\b|autoescape|Markup")
STUCK = WaitingJob("late", "ASR", "Executing", int(NOW - 9000))


def texts(tree: ast.AST) -> Iterator[str]:
    """Yields every text of a module that is not a docstring, also the fixed parts of f-strings."""
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            yield node.value


def imported_names(tree: ast.AST) -> set[str]:
    """Returns the names of the modules and objects that a module imports."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {node.module for node in imports if isinstance(node, ast.ImportFrom) and node.module}
    return modules | {alias.name for node in imports for alias in node.names}


def test_no_html_in_python() -> None:
    """No module has a text with HTML, or imports what marks text as HTML or escapes it."""
    found = []
    for path in sorted((ROOT / "exporter").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [(path.name, text) for text in texts(tree) if HTML.search(text)]
        found += [(path.name, name) for name in imported_names(tree) & FORBIDDEN]

    assert found == [("faults.py", "<html><body>502 Bad Gateway</body></html>")]  # which the simulator sends


def test_templates_escape_every_value() -> None:
    """No template marks a value as safe, or turns escaping off."""
    found = {path.name: UNESCAPED.findall(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.html")}

    assert len(found) > 1
    assert not any(found.values())


def test_environment_escapes() -> None:
    """A value becomes text, wherever a template shows it."""
    template = make_environment().from_string('<a title="{{ value }}">{{ value }}</a>')

    assert template.render(value="<b>\"'&") == '<a title="&lt;b&gt;&#34;&#39;&amp;">&lt;b&gt;&#34;&#39;&amp;</a>'


def test_missing_value_is_an_error() -> None:
    """A template that uses a value it did not get raises."""
    with pytest.raises(UndefinedError):
        make_environment().from_string("{% if missing %}{% endif %}").render()


def test_templates_are_compiled_once() -> None:
    """An environment compiles a template on first use, and then keeps it."""
    environment = make_environment()

    for path in FOLDER.glob("*.html"):
        assert environment.get_template(path.name) is environment.get_template(path.name)


@pytest.mark.parametrize("path", ["/", "/failures", "/targets?account=prod&region_id=cn-shanghai"])
def test_cells_are_labelled_by_their_columns(path: str) -> None:
    """Each cell has the name of its column, which a narrow screen shows beside it."""
    page = see(path, TargetView(KEY, replace(BUSY, failed_jobs=(FAILED,), oldest_jobs=(STUCK,)), UP))

    rows: list[list[str]] = []
    for tag, attributes in page.tags:
        if tag == "tr":
            rows.append([])
        elif tag == "td":
            rows[-1].append(attributes["data-label"] or "")

    assert len(rows) > 1
    assert [row for row in rows if not any(line.endswith(" | ".join(row)) for line in page.lines)] == []


def test_url_carries_any_text() -> None:
    """A parameter is quoted; what UTF-8 cannot encode is written as an escape sequence."""
    assert url("/", {}) == "/"
    assert url("/failures", {"account": "a b&c", "job_type": "\ud800"}) == "/failures?account=a+b%26c&job_type=%5Cud800"
