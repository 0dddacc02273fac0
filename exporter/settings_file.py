"""The YAML file that settings may come from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from exporter.errors import SettingsError


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses a key that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's own
        """Makes a dict of a mapping in which every key is given once."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(keys) != len(set(keys)):
            raise yaml.MarkedYAMLError(problem="a key stands twice in this mapping", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep=deep)


def read_settings_file(path: str) -> dict[object, object]:
    """Returns the file's mapping, empty for an empty file; raises SettingsError with what is wrong."""
    try:
        found = yaml.load(Path(path).expanduser().read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - is safe
    except OSError as error:
        raise SettingsError(f"cannot be read ({error.strerror}); check the path and its permissions") from error
    except UnicodeDecodeError:
        raise SettingsError("is not UTF-8 text") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(f"is not YAML{_where(error)}") from None
    if found is not None and not isinstance(found, dict):
        raise SettingsError("must be a mapping of settings, like `region_id: cn-shanghai`")
    return found or {}


def _where(error: Exception) -> str:
    """Says line and column and what is wrong there, without the words of the file that PyYAML quotes."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    said = re.sub(r"'.*'|\".*\"", "...", problem, flags=re.DOTALL) if problem else ""
    return f"{place}: {said}" if said else place
