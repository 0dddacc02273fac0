"""A claim to a Kubernetes Lease: taken, renewed, given back, and given up before anyone else may take it."""

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

HELD_FOR = 2 / 3
"""The part of the lease's time after the last renewal for which its holder goes by it; others wait for all of it."""

CHANGED_MEANWHILE = {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}


class Claim:
    """One process's claim to a lease. Its calls raise whatever the client does; `clock` never goes back.

    Whether a lease of another has run out is told by how long it has not changed, and no clock is compared with
    another machine's. The identity must be no other process's, not even that of one before it in the same pod.
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
        """Who holds the lease, as far as known."""
        self._client = client
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._renewed_at = -float("inf")
        self._seen: tuple[str | None, float] = (None, 0.0)

    @property
    def seconds_left(self) -> float:
        """For how long this process may still go by the lease; zero or less if it does not hold it."""
        return self._renewed_at + HELD_FOR * self._seconds - self._clock()

    async def renew(self) -> bool:
        """Takes the lease if it is free, or renews it if it is ours; says whether that was done.

        Where it is another's by now, nothing is left of ours.
        """
        began = self._clock()
        lease = await self._read()
        if lease is None:
            is_done = await _is_written(self._client.create(self._new()))
        elif self._is_to_be_had(lease):
            is_done = await _is_written(self._client.replace(self._renewed(lease)))
        else:
            is_done = False
            self._renewed_at = -float("inf")
        if is_done:
            self.holder = self._identity
            self._renewed_at = began
        return is_done

    async def release(self) -> None:
        """Lets others take the lease at once, if it is ours."""
        if self.seconds_left <= 0:
            return
        self._renewed_at = -float("inf")
        lease = await self._read()
        if lease is not None and lease.spec is not None and lease.spec.holderIdentity == self._identity:
            lease.spec.holderIdentity = ""
            await _is_written(self._client.replace(lease))

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _read(self) -> Lease | None:
        try:
            return await self._client.get(Lease, name=self._name)
        except ApiError as error:
            if error.status.code == HTTPStatus.NOT_FOUND:
                return None
            raise

    def _is_to_be_had(self, lease: Lease) -> bool:
        spec = lease.spec or LeaseSpec()
        self.holder = spec.holderIdentity or ""
        version = lease.metadata.resourceVersion if lease.metadata else None
        if version != self._seen[0]:
            self._seen = version, self._clock()
        has_run_out = self._clock() > self._seen[1] + (spec.leaseDurationSeconds or 0)
        return self.holder in {"", self._identity} or has_run_out

    def _new(self) -> Lease:
        return self._renewed(Lease(metadata=ObjectMeta(name=self._name, namespace=self._client.namespace)))

    def _renewed(self, lease: Lease) -> Lease:
        spec, now = lease.spec or LeaseSpec(), _now()
        if spec.holderIdentity != self._identity:
            spec.acquireTime = now
            spec.leaseTransitions = (spec.leaseTransitions or 0) + bool(lease.spec)
        spec.holderIdentity, spec.leaseDurationSeconds, spec.renewTime = self._identity, self._seconds, now
        lease.spec = spec
        return lease


def claim_in_cluster(name: str, identity: str, seconds: int) -> Claim:
    """Returns a claim to the lease in the pod's own namespace; raises SettingsError where there is no cluster."""
    try:
        config = KubeConfig.from_env().get()
        client = AsyncClient(config=config, trust_env=False)
    except (ConfigError, OSError, KeyError) as error:
        raise SettingsError(
            f"standby: no Kubernetes API to ask for a lease ({error}): set standby to ledger"
        ) from error
    return Claim(client, name, identity, seconds)


async def _is_written(call: Awaitable[Lease]) -> bool:
    try:
        await call
    except ApiError as error:
        if error.status.code in CHANGED_MEANWHILE:
            return False
        raise
    return True


def _now() -> datetime:
    """Returns the time with the six digits behind the point that Kubernetes insists on: the client cuts off zeros."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond or 1)
