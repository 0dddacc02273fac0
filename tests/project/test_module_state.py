"""No module of the exporter holds state: nothing assigned at its top level is changed later."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import exporter

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(exporter.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MUTATORS = {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_has_a_state(path: Path) -> None:
    """Nothing assigned at the top of a module is changed afterwards."""
    tree = ast.parse(path.read_text())
    names = {target.id for node in tree.body for target in _targets(node) if isinstance(target, ast.Name)}

    assert not [node.names for node in ast.walk(tree) if isinstance(node, ast.Global)]
    assert not sorted(names & set(_changed(tree)))


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def _changed(tree: ast.AST) -> Iterator[str]:
    """Yields the names whose items are assigned or deleted, or whose mutating methods are called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name):
            yield node.value.id
        if isinstance(node, ast.Attribute) and node.attr in MUTATORS and isinstance(node.value, ast.Name):
            yield node.value.id
