"""The clients of all targets: one connection pool per endpoint, one rate limit per account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.errors import SettingsError
from exporter.ims.client import ImsClient, endpoint_pool
from exporter.ims.connections import CallSlots
from exporter.ims.credentials.source import credential_source
from exporter.ims.rate_limit import AccountLimiter
from exporter.jobs.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from exporter.jobs.snapshot import PollKey
    from exporter.jobs.target import Target


class Clients:
    """Makes the clients of targets, and closes their connections.

    `observe_request` receives target, action, code and seconds of every attempt; `observe_wait` the account and the
    seconds that a call waited for the rate limit.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        timeout_seconds: float,
        max_requests_per_second: float,
        observe_request: Callable[[PollKey, str, str, float], None] = lambda *_: None,
        observe_wait: Callable[[str, float], None] = lambda *_: None,
    ) -> None:
        self._environ = environ
        self._timeout_seconds = timeout_seconds
        self._max_requests_per_second = max_requests_per_second
        self._observe_request = observe_request
        self._observe_wait = observe_wait
        self._pools: dict[str, tuple[httpx.AsyncClient, CallSlots]] = {}
        self._limiters: dict[str, AccountLimiter] = {}

    def client(self, target: Target) -> ImsClient:
        """Returns the client of a target; raises SettingsError if the environment names an unusable proxy."""
        key = target.key
        if target.endpoint not in self._pools:
            self._pools[target.endpoint] = _pool(target.endpoint, self._timeout_seconds), CallSlots()
        pool, slots = self._pools[target.endpoint]
        return ImsClient(
            KINDS[key.job_kind],
            pool,
            credential_source(target.credentials, self._environ),
            self._limiter(key.account),
            timeout_seconds=self._timeout_seconds,
            slots=slots,
            observe=lambda action, code, seconds: self._observe_request(key, action, code, seconds),
        )

    async def aclose(self) -> None:
        """Closes all connections."""
        for pool, _ in self._pools.values():
            await pool.aclose()

    def _limiter(self, account: str) -> AccountLimiter:
        if account not in self._limiters:
            self._limiters[account] = AccountLimiter(
                self._max_requests_per_second, lambda seconds: self._observe_wait(account, seconds)
            )
        return self._limiters[account]


def _pool(endpoint: str, timeout_seconds: float) -> httpx.AsyncClient:
    try:
        return endpoint_pool(endpoint, timeout_seconds)
    except (ValueError, ImportError):  # the message may hold the proxy's password
        message = "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names no proxy that can be used: http:// and https:// can"
        raise SettingsError(message) from None
