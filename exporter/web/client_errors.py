"""What goes wrong with clients: counted, and logged with limits, because anybody can cause it any number of times."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from exporter.metrics.table import HANDSHAKE_REASONS

if TYPE_CHECKING:
    from collections.abc import Callable

LOG_SECONDS = 60.0
"""Minimum time between two log lines about the same problem."""

HINTS = {
    "plain_http": "the client speaks plain HTTP: use https (in Prometheus: scheme: https)",
    "version": "the client supports no TLS version between min_version and max_version",
    "cipher": "client and server have no cipher suite or curve in common",
    "client_certificate": "the client certificate does not verify: compare it with client_ca_file",
    "server_certificate": "the client does not trust the server's certificate: check its ca_file and server_name",
}
"""What to do about a failed handshake, by reason."""


class LogLimiter:
    """Limits the lines about one problem to one per minute. The keys of the problems must be few."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def admit(self, problem: str) -> int | None:
        """Returns None if the problem is not to be logged now, else how often it was suppressed since its last line."""
        now = self._clock()
        if now - self._logged_at.get(problem, -LOG_SECONDS) < LOG_SECONDS:
            self._suppressed[problem] = self._suppressed.get(problem, 0) + 1
            return None
        self._logged_at[problem] = now
        return self._suppressed.pop(problem, 0)


class HandshakeFailures:
    """Counts failed TLS handshakes by reason, and logs at most one per reason and minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._limiter = LogLimiter(clock)
        self.counts: dict[str, int] = dict.fromkeys(HANDSHAKE_REASONS, 0)
        """Number of failed handshakes by reason."""

    def record(self, reason: str, detail: str, peer: str) -> None:
        """Counts a failed handshake with a client at this address, and logs it within the limit."""
        self.counts[reason] += 1
        suppressed = self._limiter.admit(reason)
        if suppressed is not None:
            fields = {"error": detail, "hint": HINTS.get(reason, "")}
            structlog.get_logger().warning(
                "tls_handshake_failed",
                reason=reason,
                peer=peer,
                **{name: text for name, text in fields.items() if text},
                suppressed=suppressed,
            )


class RequestErrors:
    """Logs errors of the exporter itself in its handlers, at most one per type of error and minute."""

    def __init__(self) -> None:
        self._limiter = LogLimiter()

    def record(self, error: BaseException | None) -> None:
        """Logs an error with its traceback within the limit; nothing of the request."""
        name = type(error).__name__
        suppressed = self._limiter.admit(name)
        if suppressed is not None:
            structlog.get_logger().error("request_failed", error=name, exc_info=error, suppressed=suppressed)
