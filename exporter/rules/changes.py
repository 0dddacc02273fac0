"""Changes of the thresholds as people write them: `failure_ratio=0.2`, `stuck_seconds.ASR=1800`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from exporter.errors import SettingsError
from exporter.rules.thresholds import Thresholds
from exporter.settings_problems import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable
    from dataclasses import Field

FIELDS = {one.name: one for one in fields(Thresholds)}


def changed(thresholds: Thresholds, assignments: Iterable[str]) -> Thresholds:
    """Returns the thresholds with the assignments applied in order; raises SettingsError for the first wrong one."""
    for assignment in assignments:
        place, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals:
            raise SettingsError(f"{assignment!r} is no assignment: write failure_ratio=0.2")
        name, _, key = place.partition(".")
        if name not in FIELDS:
            raise SettingsError(f"{name}: no such threshold; {did_you_mean(name, FIELDS)}")
        old, new = getattr(thresholds, name), _number(FIELDS[name], place, text)
        if isinstance(old, Mapping) != bool(key):
            wanted = "name the job type, as in " if not key else "has no parts: write "
            raise SettingsError(f"{place}: {wanted}{name}{'' if key else '.ASR'}={text}")
        change: dict[str, Any] = {name: {**old, key: new} if key else new}
        thresholds = replace(thresholds, **change)
    return thresholds


def listing(thresholds: Thresholds) -> str:
    """Returns two lines for each threshold: its name and value, and what it means."""
    return "\n".join(f"  {', '.join(_values(thresholds, name))}\n      {meaning(name)}" for name in FIELDS)


def meaning(name: str) -> str:
    """Returns what a threshold means."""
    return str(FIELDS[name].metadata["meaning"])


def _values(thresholds: Thresholds, name: str) -> list[str]:
    value = getattr(thresholds, name)
    if isinstance(value, Mapping):
        return [f"{name}.{key}={number}" for key, number in value.items()]
    return [f"{name}={value}"]


def _number(field: Field[object], place: str, text: str) -> float:
    """Reads a number of the kind and within the bounds of its field."""
    is_whole = field.type != "float"
    least, most = field.metadata["least"], field.metadata["most"]
    try:
        value = int(text) if is_whole else float(text)
    except ValueError:
        value = -1
    if not least <= value <= most:
        kind = "whole number" if is_whole else "number"
        raise SettingsError(f"{place}: {text!r} is not a {kind} from {least} to {most}")
    return value
