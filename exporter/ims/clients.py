"""The clients of the targets: one connection pool for each endpoint, one rate limit for each account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.errors import SettingsError
from exporter.ims.client import ImsClient, endpoint_pool
from exporter.ims.connections import Slots
from exporter.ims.credentials.source import credential_source
from exporter.ims.rate_limit import AccountLimiter

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from exporter.config.settings import Settings
    from exporter.jobs.target import Target
    from exporter.metrics.exposition import Instruments


class Clients:
    """Makes the clients, and closes their connections in the end."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], instruments: Instruments) -> None:
        self._timeout = settings.request_timeout_seconds
        self._per_second = settings.max_requests_per_second
        self._environ = environ
        self._instruments = instruments
        self._pools: dict[str, httpx.AsyncClient] = {}
        self._slots: dict[str, Slots] = {}
        self._limiters: dict[str, AccountLimiter] = {}

    def client(self, target: Target) -> ImsClient:
        """Returns the client of a target; its requests are counted."""
        key = target.key
        self._instruments.introduce(key)
        if target.endpoint not in self._pools:
            self._pools[target.endpoint] = _pool(target.endpoint, self._timeout)
            self._slots[target.endpoint] = Slots()
        return ImsClient(
            self._pools[target.endpoint],
            credential_source(target.credentials, self._environ),
            self._limiter(key.account),
            timeout_seconds=self._timeout,
            slots=self._slots[target.endpoint],
            observe=lambda action, code, seconds: self._instruments.observe_request(key, action, code, seconds),
        )

    async def aclose(self) -> None:
        """Closes all connections."""
        for pool in self._pools.values():
            await pool.aclose()

    def _limiter(self, account: str) -> AccountLimiter:
        if account not in self._limiters:
            self._limiters[account] = AccountLimiter(
                self._per_second, lambda seconds: self._instruments.add_rate_limit_wait(account, seconds)
            )
        return self._limiters[account]


def _pool(endpoint: str, timeout_seconds: float) -> httpx.AsyncClient:
    try:
        return endpoint_pool(endpoint, timeout_seconds)
    except (ValueError, ImportError):  # the message may hold the proxy's password
        message = "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names no proxy that can be used: http:// and https:// can"
        raise SettingsError(message) from None
