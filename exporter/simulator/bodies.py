"""What the control paths are sent, checked: what the service itself could never have is refused.

Undocumented types and states are let through: the service may have such tomorrow. A number or nothing in their place
is none, and would break its answers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

LAST_SECOND = 253402300799
"""The end of the year 9999: later times cannot be written."""
TEXTS = {"job_type", "state", "job_id", "kind", "action", "key_id", "code", "message", "body", "title"}
MAY_BE_EMPTY = {"title", "action", "key_id", "code", "message", "body"}
TIMES = {"created_at", "modified_at"}
NUMBERS = {"offset", "probability", "seconds", "retry_after", *TIMES}
WHOLE_NUMBERS = {"skip", "calls", "count", "status", "size"}
MAY_BE_NULL = {"job_id", "calls", "count", "retry_after", *TIMES}


def checked(body: object, needed: tuple[str, ...], known: tuple[str, ...] = ()) -> dict[str, Any]:
    """Returns a body that is an object with these fields, each of its kind; raises ValueError that says what is not."""
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")  # noqa: TRY004 - what was sent, not a fault of the program
    for name in needed:
        if name not in body:
            raise ValueError(f"{name} is missing")
    for name, value in body.items():
        if name not in (*needed, *known):
            raise ValueError(f"{name}: no such field; there is {', '.join((*needed, *known))}")
        problem = _problem(name, value)
        if problem:
            raise ValueError(f"{name} {problem}")
    return body


def error_of(fields: Mapping[str, Any]) -> tuple[str, str] | None:
    """Returns code and message of a failure, None where there is none; raises ValueError."""
    given = fields.get("error")
    if given is None:
        return None
    if not (isinstance(given, list) and len(given) == 2 and all(isinstance(part, str) for part in given)):  # noqa: PLR2004 - a pair
        raise ValueError('error must be ["Code", "Message"]')
    return given[0], given[1]


def _problem(name: str, value: object) -> str:
    if value is None and name in MAY_BE_NULL:
        return ""
    if name in TEXTS:
        is_good = isinstance(value, str) and (value != "" or name in MAY_BE_EMPTY)
        return "" if is_good else f"must be a text{'' if name in MAY_BE_EMPTY else ' that is not empty'}"
    number = _number(value)
    if name in WHOLE_NUMBERS:
        return "" if number is not None and number == int(number) >= 0 else "must be a whole number, 0 or more"
    return "must be a number" if name in NUMBERS and number is None else ""


def _number(value: object) -> float | None:
    """Returns a finite number that is no further off than the last second, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) and abs(value) <= LAST_SECOND else None
