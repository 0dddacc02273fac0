"""A lock by a Kubernetes Lease. Its holder gives up before another process may acquire it.

A worked example with a Lease of 15 seconds, in seconds since the holder sent its last successful renewal:

    0.0   A sends its renewal; from now on A counts down 2/3 of 15 = 10 seconds.
    0.2   The API server stores it under a new resourceVersion.
    1.5   B reads that version for the first time; from now on B counts down 15 seconds.
    2.0   The network between A and the API server fails.
   10.0   A has not renewed: `seconds_left` is 0, the process ends.
   16.5   B has seen no other version for 15 seconds: it acquires the Lease.

B starts to count after A, because it cannot read what is not written yet. So A ends at least 5 seconds before B starts.
Each process uses its own monotonic clock only: the wall clocks of the machines may differ, and the times in the Lease
are for people.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from lightkube import ApiError, AsyncClient, ConfigError, KubeConfig
from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease

from exporter.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HOLDER_SHARE = 2 / 3
"""Share of the lease duration after which its holder gives up; other processes wait for the whole of it."""

OVERTAKEN = {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}
"""Status codes of a write that another write has overtaken."""


class LeaseLock:
    """One process's lock on a Lease; its methods raise the errors of the Kubernetes client.

    `identity` must be unique among all processes, earlier processes of the same pod included. `clock` is monotonic.
    """

    def __init__(
        self,
        client: AsyncClient,
        name: str,
        identity: str,
        seconds: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.holder = ""
        """Identity of the holder as of the last read; empty if unknown."""
        self._client = client
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._renewed_at = -float("inf")
        self._version: str | None = None
        self._version_seen_at = 0.0

    @property
    def seconds_left(self) -> float:
        """Seconds for which this process may still act as the holder; zero or less if it is not."""
        return self._renewed_at + HOLDER_SHARE * self._seconds - self._clock()

    async def acquire_or_renew(self) -> bool:
        """Acquires the Lease if it is free, or renews it if this process holds it; returns whether it did.

        If another process holds it, `seconds_left` is zero or less from now on.
        """
        started = self._clock()
        lease = await self._read()
        if lease is None:
            metadata = ObjectMeta(name=self._name, namespace=self._client.namespace)
            is_held = await _write(self._client.create(self._renewed(Lease(metadata=metadata))))
        elif self._may_acquire(lease):
            is_held = await _write(self._client.replace(self._renewed(lease)))
        else:
            is_held = False
            self._renewed_at = -float("inf")
        if is_held:
            self.holder = self._identity
            self._renewed_at = started
        return is_held

    async def release(self) -> None:
        """Clears the holder of the Lease if it is this process, so that another may acquire it at once."""
        if self.seconds_left <= 0:
            return
        self._renewed_at = -float("inf")
        lease = await self._read()
        if lease is not None and lease.spec is not None and lease.spec.holderIdentity == self._identity:
            lease.spec.holderIdentity = ""
            await _write(self._client.replace(lease))

    async def close(self) -> None:
        """Closes the connections to the API server."""
        await self._client.aclose()

    async def _read(self) -> Lease | None:
        try:
            return await self._client.get(Lease, name=self._name)
        except ApiError as error:
            if error.status.code == HTTPStatus.NOT_FOUND:
                return None
            raise

    def _may_acquire(self, lease: Lease) -> bool:
        """Records holder and version; returns whether the Lease is free, expired, or held by this process."""
        spec = lease.spec or LeaseSpec()
        self.holder = spec.holderIdentity or ""
        version = lease.metadata.resourceVersion if lease.metadata else None
        if version != self._version:
            self._version, self._version_seen_at = version, self._clock()
        has_expired = self._clock() > self._version_seen_at + (spec.leaseDurationSeconds or 0)
        return self.holder in {"", self._identity} or has_expired

    def _renewed(self, lease: Lease) -> Lease:
        spec, now = lease.spec or LeaseSpec(), _now()
        if spec.holderIdentity != self._identity:
            spec.acquireTime = now
            spec.leaseTransitions = (spec.leaseTransitions or 0) + bool(lease.spec)
        spec.holderIdentity, spec.leaseDurationSeconds, spec.renewTime = self._identity, self._seconds, now
        lease.spec = spec
        return lease


def lease_in_cluster(name: str, identity: str, seconds: int) -> LeaseLock:
    """Returns the lock on a Lease in the pod's own namespace; raises SettingsError outside of a cluster."""
    try:
        config = KubeConfig.from_env().get()
        client = AsyncClient(config=config, trust_env=False)
    except (ConfigError, OSError, KeyError) as error:
        raise SettingsError(f"standby: lease needs a Kubernetes API ({error}): set standby to ledger") from error
    return LeaseLock(client, name, identity, seconds)


async def _write(call: Awaitable[Lease]) -> bool:
    """Writes the Lease; returns whether no other write came first."""
    try:
        await call
    except ApiError as error:
        if error.status.code in OVERTAKEN:
            return False
        raise
    return True


def _now() -> datetime:
    """Returns the current time, never with zero microseconds: lightkube would omit the six digits that are required."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond or 1)
