"""Problems of a configuration: each with the name under which the user wrote the value, never with the value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from exporter.errors import SettingsError
from exporter.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

Place = tuple[str | int, ...]
"""The path to a value in a configuration, such as `("targets", 2, "region_id")`."""

PLAIN_TEXTS = {
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
"""Messages that replace those of pydantic, by the type of the error."""

SUBJECT = re.compile("^(Input|List|String|Tuple|Value) should")
"""The subject of pydantic's messages; here the name of the setting is the subject."""

TOGETHER = "together"
"""Type of errors that concern several values; an example of one value is no hint for them."""

CONSEQUENCES = ("default_factory_not_called",)
"""Types of errors that only follow from another error."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem, and the name under which the user wrote the value."""

    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


class Source(Protocol):
    """A source of configuration values."""

    @property
    def values(self) -> Mapping[str, object]:
        """The values that the source has."""
        ...

    def name_of(self, place: Place) -> str:
        """Returns the name under which a user writes the value at this place in this source."""
        ...


@dataclass(frozen=True, slots=True)
class FileValues:
    """The values of a configuration file, which are named by the path of the file and their place in it."""

    path: str
    values: Mapping[str, object]

    def name_of(self, place: Place) -> str:
        """Returns the name of a place, such as `web.yml: tls_server_config.cert_file`."""
        return f"{self.path}: {path_of(place)}"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Replaces a value that a source could not read, with the reason; no setting accepts it."""

    reason: str


def refusal(configuration: str, problems: Sequence[Problem]) -> SettingsError:
    """Returns the error that lists all problems of a configuration, one per line."""
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    return SettingsError("\n".join((f"{configuration} has {count}:", *(f"  {problem}" for problem in problems))))


def path_of(place: Iterable[str | int]) -> str:
    """Returns a place as text, such as `targets[2].region_id`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place).lstrip(".")


def name_in_sources(place: Place, sources: Sequence[Source]) -> str:
    """Returns the name of a place in the source that has the longest part of its path, the first one of equals."""
    best = max(sources, key=lambda source: depth_of(source.values, place))
    return best.name_of(place) if depth_of(best.values, place) else path_of(place)


def depth_of(values: object, place: Place) -> int:
    """Returns how many keys of a place exist in nested values."""
    for steps, key in enumerate(place):
        try:
            values = values[key]  # type: ignore[index] # the error is expected
        except (LookupError, TypeError):
            return steps
    return len(place)


def explain(
    error: ValidationError, sources: Sequence[Source], models: Mapping[str, type[BaseModel]]
) -> Iterator[Problem]:
    """Returns the errors of pydantic as problems; `models` has the class of each nested setting by its name."""
    for found in error.errors(include_url=False, include_context=False):
        if found["type"] not in CONSEQUENCES:
            name = name_in_sources(found["loc"], sources)
            yield from (Problem(name, text) for text in _texts(found, models))


def _texts(found: ErrorDetails, models: Mapping[str, type[BaseModel]]) -> list[str]:
    if isinstance(found["input"], Unreadable):
        return [found["input"].reason]
    place = found["loc"]
    model = models.get(next((key for key in reversed(place[:-1]) if isinstance(key, str)), ""), models[""])
    if found["type"] == "extra_forbidden":
        return [f"no such setting{did_you_mean(str(place[-1]), model.model_fields, or_list=True)}"]
    field = model.model_fields.get(str(place[-1]))
    hint = f"; for example {field.examples[0]}" if field and field.examples and found["type"] != TOGETHER else ""
    text = SUBJECT.sub("must", found["msg"].removeprefix("Value error, ").partition(" after validation")[0])
    return [f"{line}{hint}" for line in PLAIN_TEXTS.get(found["type"], text).splitlines()]
