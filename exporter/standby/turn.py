"""The turn of one of several processes on one ledger: what it takes, keeps, may lose and gives back."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from typing import TYPE_CHECKING, Protocol

import structlog

from exporter.errors import ExporterError, SettingsError

if TYPE_CHECKING:
    from exporter.config.settings import Settings
    from exporter.standby.lease import Claim
    from exporter.standby.lock import LedgerLock

LOCK_SECONDS = 1.0
"""So often a process that stands by tries to take the ledger's lock."""

LEASE_PARTS = 8
"""So often a lease is tried or renewed within its time."""

RELEASE_SECONDS = 2.0
NO_FILE = ":memory:"


class TurnLostError(ExporterError):
    """It is no longer this process's turn: it must end at once, and may stand by again."""

    hint = "started again, it stands by; check that the Kubernetes API can be reached from here"


class Turn(Protocol):
    """What one process has at a time."""

    retry_seconds: float

    @property
    def holder(self) -> str:
        """Who has it, as far as known."""
        ...

    async def take(self) -> bool:
        """Says whether it is had now; not to be had for the moment is no error."""
        ...

    async def keep(self) -> None:
        """Keeps what was taken, until cancelled; raises TurnLostError before anyone else may have it."""
        ...

    async def release(self) -> None:
        """Gives back what there is to give back; never raises."""
        ...


class LockTurn:
    """The turn of whoever holds the ledger's lock."""

    retry_seconds = LOCK_SECONDS

    def __init__(self, lock: LedgerLock, name: str) -> None:
        self._lock = lock
        self._name = name

    @property
    def holder(self) -> str:
        """Who holds the lock."""
        return self._lock.holder

    async def take(self) -> bool:
        """Tries to take the lock; raises LedgerError where its file cannot be had."""
        return await asyncio.to_thread(self._lock.take, self._name)

    async def keep(self) -> None:
        """Waits until cancelled: the system does not take a lock away."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Gives the lock back."""
        self._lock.release()


class LeaseTurn:
    """The turn of whoever holds the lease, and the ledger's lock with it.

    The lock proves that the holder before has closed the ledger, also where that one was frozen when its lease ran
    out.
    """

    def __init__(self, claim: Claim, lock: LedgerLock, name: str, lease_seconds: int) -> None:
        self.retry_seconds = lease_seconds / LEASE_PARTS
        self._claim = claim
        self._lock = lock
        self._name = name
        self._log = structlog.get_logger()

    @property
    def holder(self) -> str:
        """Who holds the lease."""
        return self._claim.holder

    async def take(self) -> bool:
        """Tries to take the lease, then the lock; raises LedgerError where the lock's file cannot be had."""
        await self._renew(4 * self.retry_seconds)
        if self._claim.seconds_left <= 0:
            return False
        return await asyncio.to_thread(self._lock.take, self._name) and self._claim.seconds_left > 0

    async def keep(self) -> None:
        """Renews the lease; raises TurnLostError when another holds it, or when it was not renewed for too long."""
        while (left := self._claim.seconds_left) > 0:
            await asyncio.sleep(min(self.retry_seconds, left))
            await self._renew(self._claim.seconds_left)
        other = self.holder if self.holder != self._name else ""
        reason = f"{other} holds it" if other else "it could not be renewed in time"
        raise TurnLostError(f"the lease was lost: {reason}")

    async def release(self) -> None:
        """Gives back the lock, then the lease."""
        self._lock.release()
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._claim.release()
        except Exception as error:  # noqa: BLE001 - then it runs out by itself
            self._log.warning("lease", outcome="not released", error=_words(error))
        await self._claim.close()

    async def _renew(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._claim.renew()
        except Exception as error:  # noqa: BLE001 - whatever it is, the lease was not renewed, and will be tried again
            self._log.warning("lease", outcome="not renewed", error=_words(error))


def turn_of(settings: Settings) -> Turn:
    """Returns what the processes of one ledger take in turn; raises SettingsError where that cannot be."""
    if settings.ledger_path == NO_FILE:
        raise SettingsError("standby: takes a ledger in a file, which two processes can share: set ledger_path")
    lock = ledger_lock(settings.ledger_path)
    if lock is None:
        raise SettingsError("standby: this system has no lock that ends with the process")
    if settings.standby == "ledger":
        return LockTurn(lock, process_name())
    try:
        from exporter.standby.lease import claim_in_cluster  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError("standby: a lease takes the extra `kubernetes`: pip install it") from error
    name = f"{socket.gethostname()}_{secrets.token_hex(4)}"
    shard = f"-{settings.shard}" if settings.shards > 1 else ""
    claim = claim_in_cluster(f"{settings.lease_name}{shard}", name, settings.lease_seconds)
    return LeaseTurn(claim, lock, name, settings.lease_seconds)


def ledger_lock(ledger_path: str) -> LedgerLock | None:
    """Returns the lock of a ledger; None for one in memory, and where the system has no such lock."""
    try:
        from exporter.standby.lock import LedgerLock  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    return None if ledger_path == NO_FILE else LedgerLock(ledger_path)


def process_name() -> str:
    """Returns how this process is called for people."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
