"""What is wrong with the settings, in the words of the person who wrote them; no problem repeats a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

    from exporter.config.validators import Place


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and the name under which the user wrote it."""

    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


@dataclass(frozen=True, slots=True)
class Source:
    """Where settings come from: their values, and how a place among them is called there."""

    values: Mapping[str, object]
    name_of: Callable[[Place], str]


def path_of(place: Iterable[str | int]) -> str:
    """Returns a place as `targets[2].region_id`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place).lstrip(".")


def name_in_sources(place: Place, sources: Sequence[Source]) -> str:
    """Names a place by the source that knows most of the way to it, the first of equals."""
    best = max(sources, key=lambda source: _depth(source.values, place))
    return best.name_of(place) if _depth(best.values, place) else path_of(place)


def explain(
    error: ValidationError, sources: Sequence[Source], models: Mapping[str, type[BaseModel]]
) -> Iterator[Problem]:
    """Turns pydantic's findings into problems; `models` are the classes, by the setting they stand in."""
    for found in error.errors(include_url=False, include_input=False, include_context=False):
        if found["type"] != "default_factory_not_called":
            name = name_in_sources(found["loc"], sources)
            yield from (Problem(name, text) for text in _texts(found, models))


def _texts(found: ErrorDetails, models: Mapping[str, type[BaseModel]]) -> list[str]:
    place = found["loc"]
    model = models.get(next((key for key in reversed(place[:-1]) if isinstance(key, str)), ""), models[""])
    if found["type"] == "extra_forbidden":
        return [f"no such setting{did_you_mean(str(place[-1]), model.model_fields, or_list=True)}"]
    field = model.model_fields.get(str(place[-1]))
    hint = f"; for example {field.examples[0]}" if field and field.examples else ""
    return [f"{line}{hint}" for line in _plain(found).splitlines()]


def _plain(found: ErrorDetails) -> str:
    """Returns pydantic's message without its jargon."""
    plain = {
        "missing": "is missing",
        "model_type": "must be a mapping",
        "list_type": "must be a list",
        "tuple_type": "must be a list",
        "string_type": "must be a text; put it in quotes",
        "int_parsing": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_parsing": "must be a number",
        "bool_parsing": "must be on or off",
        "string_pattern_mismatch": "does not have the right form",
    }
    said = found["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return plain.get(found["type"], said)


def _depth(values: object, place: Place) -> int:
    for steps, key in enumerate(place):
        try:
            values = values[key]  # type: ignore[index] # asked whether it can be
        except (LookupError, TypeError):
            return steps
    return len(place)
