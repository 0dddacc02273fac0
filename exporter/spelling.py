"""Suggestions for misspelt names."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def closest(name: str, known: Iterable[str]) -> str:
    """Returns the known name that is most like the given one, ignoring case; empty if none is close."""
    by_lower_case = {choice.lower(): choice for choice in known}
    close = get_close_matches(name.lower(), by_lower_case, n=1)
    return by_lower_case[close[0]] if close else ""


def did_you_mean(name: str, known: Iterable[str], *, or_list: bool = False) -> str:
    """Returns `; did you mean NAME?` for the closest known name.

    If none is close, returns an empty string, or with `or_list` the list of all known names.
    """
    choices = sorted(known)
    if meant := closest(name, choices):
        return f"; did you mean {meant}?"
    return f"; known here: {', '.join(choices)}" if or_list else ""
