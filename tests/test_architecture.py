"""Imports point one way, each outside library is known in as few modules as can be, and no module has a state."""

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

GROUPS: dict[str, tuple[str, ...]] = {
    "words": (
        "__init__",
        "errors",
        "snapshot",
        "target",
        "labels",
        "address",
        "arguments",
        "logs",
        "history",
        "sharding",
        "threads",
    ),
    "service": ("wire", "signature", "default_chain", "credentials", "throttle", "slots", "api"),
    "polling": ("walk", "reconcile", "observe", "ledger", "poller", "survey"),
    "settings": (
        "settings_rules",
        "settings_target",
        "settings",
        "settings_file",
        "settings_problems",
        "settings_environment",
        "settings_flags",
        "configuration",
        "settings_document",
    ),
    "metrics": ("metric", "metrics", "metrics_document", "instruments", "lines", "packing", "exposition"),
    "security": (
        "webconfig_rules",
        "webconfig",
        "web_tls",
        "webconfig_file",
        "web_watch",
        "web_bucket",
        "web_passwords",
        "web_connections",
        "web_handler",
        "web_site",
        "web_gate",
    ),
    "pages": (
        "console",
        "page",
        "page_parts",
        "page_query",
        "status_page",
        "failures",
        "failures_page",
        "targets_page",
        "pages",
        "web",
    ),
    "monitoring": ("rules", "dashboards"),
    "simulator": ("simulator",),
    "commands": (
        "clients",
        "worker",
        "reload",
        "lock",
        "lease",
        "turn",
        "standby",
        "app",
        "check",
        "plan",
        "demo",
        "cli",
        "__main__",
    ),
}
"""Every module or package, by what it belongs to; within a group it imports only those named before it."""

IMPORTED_BY: dict[str, set[str]] = {
    "words": set(),
    "service": {"words"},
    "polling": {"words", "service"},
    "settings": {"words"},
    "metrics": {"words"},
    "security": {"words", "settings"},
    "pages": {"words", "metrics", "security"},
    "monitoring": {"words", "metrics", "settings"},
    "simulator": {"words", "service"},
    "commands": set(GROUPS),
}
"""Which other groups a group may import from, types included."""

OUTSIDE: dict[str, set[str]] = {
    "httpx": {"api"},
    "tenacity": {"api"},
    "aiolimiter": {"throttle"},
    "alibabacloud_credentials": {"default_chain", "credentials"},
    "sqlite3": {"ledger"},
    "prometheus_client": {"exposition"},
    "apscheduler": {"worker"},
    "aiohttp": {"web", "web_connections", "web_gate", "web_handler", "web_site", "pages", "simulator", "standby"},
    "bcrypt": {"web_passwords"},
    "fcntl": {"lock"},
    "lightkube": {"lease"},
    "ssl": {"web_tls", "webconfig_file"},
    "structlog": {
        "logs",
        "app",
        "cli",
        "ledger",
        "poller",
        "reload",
        "standby",
        "survey",
        "turn",
        "web_watch",
        "worker",
    },
    "pydantic": {
        "settings",
        "settings_rules",
        "settings_target",
        "settings_problems",
        "settings_document",
        "configuration",
        "webconfig",
        "webconfig_file",
    },
    "pydantic_settings": {"settings"},
}
"""Where an outside library is known at run time."""

MUTATORS = {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}


def module_of(path: Path) -> str:
    """Returns the module, or the package at the top, that a file belongs to."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(tree: ast.AST) -> Iterator[str]:
    """Yields the full name of everything imported; what is imported from a package stands behind it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> set[str]:
    """Returns the modules of ours that a file imports, those for types included, its own package excluded."""
    parts = (name.split(".") for name in imports(ast.parse(path.read_text())))
    found = {names[1] for names in parts if names[0] == "exporter" and len(names) > 1}
    return (found & {module_of(file) for file in FILES}) - {module_of(path)}


def outside_imports(path: Path) -> set[str]:
    """Returns the libraries that a file imports at run time."""
    return {name.split(".")[0] for name in imports(_AtRunTime().visit(ast.parse(path.read_text())))}


class _AtRunTime(ast.NodeTransformer):
    """Leaves out what is there for types only."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        """Drops `if TYPE_CHECKING`."""
        return None if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node


def test_every_module_has_its_place() -> None:
    """Whoever adds a module says where it belongs."""
    placed = [name for names in GROUPS.values() for name in names]

    assert sorted(placed) == sorted({module_of(path) for path in FILES})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    """A module imports only from the groups below its own, and from the modules before it."""
    module = module_of(path)
    group = next(name for name, modules in GROUPS.items() if module in modules)
    before = GROUPS[group][: GROUPS[group].index(module)]
    below = [name for other in IMPORTED_BY[group] - {group} for name in GROUPS[other]]

    assert own_imports(path) <= {"__init__", *before, *below}


def test_outside_libraries_are_known_in_one_place() -> None:
    """Who wants to change a library has to look at few files."""
    known_in: dict[str, set[str]] = {library: set() for library in OUTSIDE}
    for path in FILES:
        for library in outside_imports(path) & known_in.keys():
            known_in[library].add(module_of(path))

    assert [library for library, modules in known_in.items() if not set() < modules <= OUTSIDE[library]] == []


def test_the_simulator_is_known_to_the_demo_alone() -> None:
    """No part of the exporter proper depends on the simulated service."""
    assert {module_of(path) for path in FILES if "simulator" in own_imports(path)} == {"demo"}


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
    """Yields the names whose items are assigned or deleted, or which are told to change themselves."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name):
            yield node.value.id
        if isinstance(node, ast.Attribute) and node.attr in MUTATORS and isinstance(node.value, ast.Name):
            yield node.value.id
