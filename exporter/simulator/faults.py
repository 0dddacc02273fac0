"""What can go wrong with a call, as data: which calls it strikes, how often, and how."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

KINDS = {
    "throttle": "an error answer, HTTP 400 Throttling.User unless `status` and `code` say otherwise",
    "fail": "an error answer, HTTP 500 InternalError; with `status` 503 ServiceUnavailable",
    "cut": "the true answer, but the connection ends in the middle of the body",
    "garbage": "`body` in place of the answer, with HTTP 200 or `status`",
    "huge": "an answer of `size` bytes",
    "delay": "the true answer, `seconds` late",
    "hang": "no answer ever",
    "reset": "the connection is reset before an answer",
    "duplicate": "every row of a page comes twice",
    "stuck": "the first page comes again and again, each time with a NextToken",
    "expire": "a NextToken is refused as expired",
}
"""The kinds of faults and what the caller sees."""

_LIST_KINDS = frozenset({"duplicate", "stuck", "expire"})
_ERRORS = {
    ("throttle", 0): (400, "Throttling.User", "Request was denied due to user flow control."),
    ("throttle", 429): (429, "Throttling", "Request was denied due to request throttling."),
    ("throttle", 503): (503, "Throttling.Api", "Request was denied due to api flow control."),
    ("fail", 0): (500, "InternalError", "The request processing has failed due to some unknown error."),
    ("fail", 503): (
        503,
        "ServiceUnavailable",
        "The request has failed due to a temporary failure of the server.",
    ),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. An empty `action` or `key_id` means every one.

    Of the calls it matches, the first `skip` pass; of the `calls` that follow (all, if None) each is struck
    with `probability`, until `count` (if not None) have been struck.
    """

    kind: str
    action: str = ""
    key_id: str = ""
    probability: float = 1.0
    skip: int = 0
    calls: int | None = None
    count: int | None = None
    status: int = 0
    code: str = ""
    message: str = ""
    retry_after: float | None = None
    seconds: float = 1.0
    size: int = 64 * 1024 * 1024
    body: str = "<html><body>502 Bad Gateway</body></html>"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of fault {self.kind!r}; there are {', '.join(KINDS)}")

    def matches(self, action: str, key_id: str, *, paging: bool) -> bool:
        """Says whether the fault could strike such a call; `paging` calls carry a NextToken."""
        if self.kind in _LIST_KINDS and action != "ListSmartJobs":
            return False
        if self.kind == "expire" and not paging:
            return False
        return self.action in {"", action} and self.key_id in {"", key_id}

    def error(self) -> tuple[int, str, str]:
        """Returns HTTP status, code and message of an error answer."""
        status, code, message = _ERRORS.get((self.kind, self.status), _ERRORS[self.kind, 0])
        return self.status or status, self.code or code, self.message or message


class Faults:
    """The faults in force, asked once per call; with the same seed and calls, the same faults strike."""

    def __init__(self, seed: int = 0) -> None:
        self.struck: Counter[str] = Counter()
        """Calls struck, by kind."""
        self._random = random.Random(seed)
        self._armed: list[_Armed] = []

    def add(self, fault: Fault) -> None:
        """Puts a fault in force, after those already there; the first that strikes a call is the only one."""
        self._armed.append(_Armed(fault))

    def clear(self) -> None:
        """Ends all faults."""
        self._armed.clear()

    def strike(self, action: str, key_id: str = "", *, paging: bool = False) -> Fault | None:
        """Returns the fault that strikes this call, or None."""
        for armed in self._armed:
            if armed.fault.matches(action, key_id, paging=paging) and armed.strikes(self._random):
                self.struck[armed.fault.kind] += 1
                return armed.fault
        return None


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = 0
    struck: int = 0

    def strikes(self, dice: random.Random) -> bool:
        fault = self.fault
        self.seen += 1
        if self.seen <= fault.skip or (fault.calls is not None and self.seen > fault.skip + fault.calls):
            return False
        if fault.count is not None and self.struck >= fault.count:
            return False
        if dice.random() >= fault.probability:
            return False
        self.struck += 1
        return True
