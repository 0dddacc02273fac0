"""Reading the query of a page: only known parameters, each once, within their bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

REFRESH = ("on", "off")
LONGEST = 256


class BadQueryError(ValueError):
    """The query is not one of the page's; the message says what would be."""


def parameters(query: Iterable[tuple[str, str]], known: tuple[str, ...]) -> dict[str, str]:
    """Returns the parameters that are not empty; raises BadQueryError for unknown, repeated and overlong ones."""
    found: dict[str, str] = {}
    for name, value in query:
        if name not in (*known, "refresh"):
            raise BadQueryError(f"unknown parameter {name[:LONGEST]!r}: known are {', '.join((*known, 'refresh'))}")
        if name in found:
            raise BadQueryError(f"parameter {name} is given twice: give it once")
        if len(value) > LONGEST:
            raise BadQueryError(f"parameter {name} is longer than {LONGEST} characters")
        found[name] = value
    if found.get("refresh", "") not in (*REFRESH, ""):
        raise BadQueryError(f"parameter refresh is {found['refresh']!r}: it is on or off")
    return {name: value for name, value in found.items() if value}


def number(given: dict[str, str], name: str, default: int, most: int) -> int:
    """Returns a parameter as a number from 1 to `most`; raises BadQueryError."""
    value = given.get(name, str(default))
    if not (value.isascii() and value.isdigit() and len(value) <= len(str(most)) and 1 <= int(value) <= most):
        raise BadQueryError(f"parameter {name} is {value!r}: it is a whole number from 1 to {most}")
    return int(value)
