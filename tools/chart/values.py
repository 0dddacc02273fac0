"""The values of the chart as `values.yaml` has them: path, default, description, and what the schema must know."""

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
    """A value that can be set."""

    path: tuple[str, ...]
    default: object
    description: str
    hint: str
    """What `@schema` says of it; empty where its default says all."""


def chart_values() -> list[Value]:
    """Returns all values in the order of the file; raises ValueError for one without a description."""
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
                found.append(Value(tuple(parents), default_of(defaults, parents), description, hint))
            description, hint = "", ""
        elif not line:
            description, hint = "", ""
    if undescribed := unknown(defaults, {value.path for value in found}):
        raise ValueError(f"values.yaml does not describe {', '.join(undescribed)}")
    return found


def default_of(defaults: object, path: list[str]) -> object:
    """Returns the default at a path."""
    for key in path:
        defaults = defaults[key] if isinstance(defaults, dict) else None
    return defaults


def unknown(defaults: object, known: set[tuple[str, ...]], path: tuple[str, ...] = ()) -> list[str]:
    """Returns the values that are neither known nor made of known ones."""
    if path in known:
        return []
    if not isinstance(defaults, dict) or not defaults:
        return [".".join(path)]
    return [name for key, inner in defaults.items() for name in unknown(inner, known, (*path, key))]
