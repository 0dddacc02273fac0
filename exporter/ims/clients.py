"""The clients of all targets: one connection pool per endpoint, one rate limit per account, one source per key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.ims.client import ImsClient
from exporter.ims.connections import CallSlots
from exporter.ims.credentials.source import CredentialSource, credential_source
from exporter.ims.http import EndpointPool, endpoint_pool, network_of
from exporter.ims.rate_limit import AccountLimiter
from exporter.jobs.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.jobs.snapshot import PollKey
    from exporter.jobs.target import Credentials, Target


class Clients:
    """Makes the clients of targets, and closes their connections.

    Raises SettingsError if the environment names an unusable proxy, or CA certificates that cannot be read.

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
        self._network = network_of(environ)
        self._sources: dict[Credentials | None, CredentialSource] = {}
        self._pools: dict[str, tuple[EndpointPool, CallSlots]] = {}
        self._limiters: dict[str, AccountLimiter] = {}

    def client(self, target: Target) -> ImsClient:
        """Returns the client of a target."""
        key = target.key
        if target.endpoint not in self._pools:
            self._pools[target.endpoint] = (
                endpoint_pool(target.endpoint, self._timeout_seconds, self._network),
                CallSlots(),
            )
        pool, slots = self._pools[target.endpoint]
        return ImsClient(
            KINDS[key.job_kind],
            pool,
            self._source(target.credentials),
            self._limiter(key.account),
            timeout_seconds=self._timeout_seconds,
            slots=slots,
            proxy=self._network.proxies.for_url(target.endpoint),
            observe=lambda action, code, seconds: self._observe_request(key, action, code, seconds),
        )

    async def aclose(self) -> None:
        """Closes all connections."""
        for pool, _ in self._pools.values():
            await pool.aclose()

    def _source(self, credentials: Credentials | None) -> CredentialSource:
        if credentials not in self._sources:
            self._sources[credentials] = credential_source(credentials, self._environ, self._network)
        return self._sources[credentials]

    def _limiter(self, account: str) -> AccountLimiter:
        if account not in self._limiters:
            self._limiters[account] = AccountLimiter(
                self._max_requests_per_second, lambda seconds: self._observe_wait(account, seconds)
            )
        return self._limiters[account]
