"""The YAML file that settings may come from."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from exporter.errors import SettingsError

MOST_BYTES = 2 * 1024 * 1024
MOST_NODES = 100_000
"""So much may stand in a file once every alias is written out; 2,000 targets with all their keys are 60,000."""


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses repeated keys, and aliases that stand for too much."""

    def get_single_node(self) -> yaml.Node | None:
        """Returns the file as nodes, which are no more than can be worked with."""
        node = super().get_single_node()
        if node is not None and _spread(node, {}) > MOST_NODES:
            raise yaml.MarkedYAMLError(problem="the aliases stand for too much", problem_mark=node.start_mark)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - PyYAML's own
        """Makes a value of a node; PyYAML lets through what Python says of a value that is not of its tag."""
        try:
            return super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError):
            raise yaml.MarkedYAMLError(problem="the value is not of its type", problem_mark=node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's own
        """Makes a dict of a mapping in which every key is given once."""
        if isinstance(node, yaml.MappingNode):  # a tag may claim it of anything; PyYAML refuses that itself
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len(keys) != len(set(keys)):
                raise yaml.MarkedYAMLError(problem="a key stands twice in this mapping", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _spread(node: yaml.Node, known: dict[yaml.Node, float]) -> float:
    """Returns how many nodes there are once every alias is written out: without end if one stands in what it names."""
    if node not in known:
        known[node] = math.inf
        inner = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = (part for each in inner for part in (each if isinstance(each, tuple) else (each,)))
        known[node] = 1 + sum(_spread(part, known) for part in parts)
    return known[node]


def read_settings_file(path: str) -> dict[object, object]:
    """Returns the file's mapping, empty for an empty file; raises SettingsError with what is wrong."""
    try:
        found = yaml.load(_text(path), Loader=_Loader)  # noqa: S506 - is safe
    except OSError as error:
        raise SettingsError(f"cannot be read ({error.strerror}); check the path and its permissions") from error
    except UnicodeDecodeError:
        raise SettingsError("is not UTF-8 text") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(f"is not YAML{_where(error)}") from None
    if found is not None and not isinstance(found, dict):
        raise SettingsError("must be a mapping of settings, like `region_id: cn-shanghai`")
    return found or {}


def _text(path: str) -> str:
    with Path(path).expanduser().open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise SettingsError(f"is larger than {MOST_BYTES} bytes")
    return content.decode()


def _where(error: Exception) -> str:
    """Says line and column and what is wrong there, without the words of the file that PyYAML quotes."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    said = re.sub(r"'.*'|\".*\"", "...", problem, flags=re.DOTALL) if problem else ""
    return f"{place}: {said}" if said else place
