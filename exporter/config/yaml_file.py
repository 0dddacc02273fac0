"""Reads the YAML file of settings, within bounds of size and content."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from exporter.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BYTES = 2 * 1024 * 1024
"""Maximum size of a file."""

MAX_NODES = 200_000
"""Maximum number of YAML nodes with every alias expanded; 20,000 targets with account and region are 100,000."""


TEXT = "tag:yaml.org,2002:str"
NOT_TEXT = {f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "int", "timestamp")}
"""What YAML takes an unquoted scalar for that looks like it."""


class _Loader(yaml.SafeLoader):
    """The safe loader of PyYAML, which also refuses duplicate keys, and aliases that expand to too many nodes."""

    text_mappings: Sequence[tuple[str, ...]] = ()
    """The paths of mappings whose keys and values are text, quoted or not."""

    def get_single_node(self) -> yaml.Node | None:
        """Returns the root node of the file; raises YAMLError for too many nodes."""
        node = super().get_single_node()
        if node is not None and _expanded_size(node, {}) > MAX_NODES:
            raise yaml.MarkedYAMLError(problem="the aliases expand to too many values", problem_mark=node.start_mark)
        for path in self.text_mappings:
            _take_as_text(_at(node, path))
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - PyYAML's own
        """Returns the value of a node; raises YAMLError also where PyYAML raises an error of Python."""
        try:
            return super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError):
            raise yaml.MarkedYAMLError(
                problem="the value does not have its type", problem_mark=node.start_mark
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's own
        """Returns the dict of a mapping; raises YAMLError for duplicate keys."""
        if isinstance(node, yaml.MappingNode):  # PyYAML itself refuses `!!map` for another type
            seen: set[str] = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem="this mapping has a duplicate key", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _at(node: yaml.Node | None, path: tuple[str, ...]) -> yaml.Node | None:
    """Returns the node at a path of keys; None if there is none."""
    for name in path:
        if not isinstance(node, yaml.MappingNode):
            return None
        node = next((value for key, value in node.value if key.value == name), None)
    return node


def _take_as_text(node: yaml.Node | None) -> None:
    """Makes the scalars of a mapping text, except for empty ones: `X-XSS-Protection: 1` has the value "1", not 1."""
    if isinstance(node, yaml.MappingNode):
        for scalar in (each for pair in node.value for each in pair if each.tag in NOT_TEXT):
            scalar.tag = TEXT


def _expanded_size(node: yaml.Node, known: dict[yaml.Node, float]) -> float:
    """Returns the number of nodes with every alias expanded; infinite for an alias inside the node that it names.

    `a: &a [x, x]`, `b: &b [*a, *a]`, `c: [*b, *b]`: a has 3 nodes, b 1 + 2 * 3 = 7, c 1 + 2 * 7 = 15. Each further
    line of the file doubles the number, but takes one addition here, as `known` has the number of each node.
    """
    if node not in known:
        known[node] = math.inf
        inner = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = (part for each in inner for part in (each if isinstance(each, tuple) else (each,)))
        known[node] = 1 + sum(_expanded_size(part, known) for part in parts)
    return known[node]


def read_settings_file(path: str) -> dict[object, object]:
    """Returns the mapping in the file, empty for an empty file; raises SettingsError with the problem."""
    try:
        with Path(path).expanduser().open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"cannot be read ({error.strerror}); check the path and its permissions") from error
    return parse_settings(content)


def parse_settings(content: bytes, text_mappings: Sequence[tuple[str, ...]] = ()) -> dict[object, object]:
    """Returns the mapping in the content of a file, empty for no content; raises SettingsError with the problem.

    In the mappings at the paths of `text_mappings`, keys and values are text, quoted or not.
    """
    if len(content) > MAX_BYTES:
        raise SettingsError(f"is larger than {MAX_BYTES} bytes")
    try:
        loader = _Loader(content.decode())
        loader.text_mappings = text_mappings
        found = loader.get_single_data()
    except UnicodeDecodeError:
        raise SettingsError("is not UTF-8 text") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(f"is not YAML{_where(error)}") from None
    if found is not None and not isinstance(found, dict):
        raise SettingsError("must be a mapping of settings, like `region_id: cn-shanghai`")
    return found or {}


def _where(error: Exception) -> str:
    """Returns line, column and problem, without the parts of the file that PyYAML quotes."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    text = re.sub(r"'.*'|\".*\"", "...", problem, flags=re.DOTALL) if problem else ""
    return f"{place}: {text}" if text else place
