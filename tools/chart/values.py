"""The values of the chart, read from `values.yaml`: path, default, description and schema hint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

CHART = Path(__file__).parents[2] / "helm" / "ims-exporter"
TEXT = re.compile(r" *# (?P<mark>-- |@schema )?(?P<text>.*)")
KEY = re.compile(r"(?P<indent> *)(?P<name>\w+):")
INDENT = 2


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the chart."""

    path: tuple[str, ...]
    default: object
    description: str
    hint: str
    """The text after `@schema`; empty if the default value shows the schema."""


def chart_values() -> list[Value]:
    """Returns all values in the order of the file; raises ValueError if a value has no description."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    defaults = yaml.safe_load(text)
    found: list[Value] = []
    parents: list[str] = []
    description, hint = "", ""
    for line in text.splitlines():
        if comment := TEXT.fullmatch(line):
            if comment["mark"] == "@schema ":
                hint = comment["text"]
            elif comment["mark"] or description:
                description = f"{description} {comment['text']}".strip()
        elif key := KEY.match(line):
            parents[len(key["indent"]) // INDENT :] = [key["name"]]
            if description:
                found.append(Value(tuple(parents), _default_of(defaults, parents), description, hint))
            description, hint = "", ""
        elif not line:
            description, hint = "", ""
    if undescribed := _unknown(defaults, {value.path for value in found}):
        raise ValueError(f"values.yaml does not describe {', '.join(undescribed)}")
    return found


def _default_of(defaults: object, path: list[str]) -> object:
    """Returns the default at a path."""
    for key in path:
        defaults = defaults[key] if isinstance(defaults, dict) else None
    return defaults


def _unknown(defaults: object, known: set[tuple[str, ...]], path: tuple[str, ...] = ()) -> list[str]:
    """Returns the paths of the values that are not known and do not consist of known values."""
    if path in known:
        return []
    if not isinstance(defaults, dict) or not defaults:
        return [".".join(path)]
    return [name for key, inner in defaults.items() for name in _unknown(inner, known, (*path, key))]
