"""Label values that come from outside, kept few and short."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

UNKNOWN = "unknown"
OTHER = "other"
MAX_LENGTH = 64


class LabelSet:
    """Takes the values of one label: at most `limit` distinct ones, later ones become `other`.

    Values are cut to 64 characters; an empty one is `unknown`. `known` values count towards the limit, but always stay.
    """

    def __init__(self, known: Iterable[str], limit: int) -> None:
        self._known = {UNKNOWN, OTHER, *known}
        self._limit = limit + 2

    def bounded(self, value: str) -> str:
        """Returns the value to use as the label."""
        value = value.strip()[:MAX_LENGTH] or UNKNOWN
        if value not in self._known:
            if len(self._known) >= self._limit:
                return OTHER
            self._known.add(value)
        return value
