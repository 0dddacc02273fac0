"""Leader and standbys: one process polls, the others wait until they may take over.

With `standby: ledger` the leader is the process that holds the ledger's file lock. With `standby: lease` it holds a
Kubernetes Lease as well. A leader that loses its Lease ends; when it is started again, it is a standby.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import socket
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from exporter import __version__
from exporter.errors import LeadershipLostError, LedgerError, LedgerInUseError, SettingsError
from exporter.metrics.counters import Instruments
from exporter.metrics.exposition import Exposition
from exporter.metrics.table import Process
from exporter.polling.ledger.store import IN_MEMORY
from exporter.web.client_errors import HandshakeFailures
from exporter.web.server import base_url, make_standby_app, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from exporter.config.settings import Settings
    from exporter.standby.lease import LeaseLock
    from exporter.standby.ledger_lock import LedgerLock

LOCK_RETRY_SECONDS = 1.0
"""Time between two attempts of a standby to acquire the ledger's lock."""

ATTEMPTS_PER_LEASE = 8
"""Number of times that a Lease is renewed, or a standby tries to acquire it, within the lease duration."""

RELEASE_SECONDS = 2.0
"""Maximum time to release a Lease when the process ends; otherwise it expires."""


class Leadership(Protocol):
    """The right to poll, which one process has at a time."""

    retry_seconds: float
    """Time between two attempts to acquire it."""

    @property
    def holder(self) -> str:
        """Name of the leader; empty if unknown."""
        ...

    @property
    def failures(self) -> int:
        """Number of attempts to acquire or renew it that failed with an error."""
        ...

    @property
    def problem(self) -> str:
        """Error of the last attempt; empty if the attempt was answered."""
        ...

    async def acquire(self) -> bool:
        """Tries to become the leader; returns whether this process is the leader now."""
        ...

    async def hold(self) -> None:
        """Stays the leader until cancelled; raises LeadershipLostError before another process can be the leader."""
        ...

    async def release(self) -> None:
        """Lets another process become the leader; never raises."""
        ...


class LockLeadership:
    """Leadership of the process that holds the ledger's lock."""

    retry_seconds = LOCK_RETRY_SECONDS
    failures = 0
    problem = ""

    def __init__(self, lock: LedgerLock, name: str) -> None:
        self._lock = lock
        self._name = name

    @property
    def holder(self) -> str:
        """Name of the lock's holder."""
        return self._lock.holder

    async def acquire(self) -> bool:
        """Tries to acquire the lock; raises LedgerError if its file cannot be opened."""
        return await asyncio.to_thread(self._lock.acquire, self._name)

    async def hold(self) -> None:
        """Waits until cancelled: a process does not lose a file lock while it runs."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Releases the lock."""
        self._lock.release()


class LeaseLeadership:
    """Leadership of the process that holds the Lease and, with it, the ledger's lock.

    The Lease alone is not enough: a leader that was frozen (SIGSTOP, a paused machine) while its Lease expired still
    has the ledger open when it continues. Only the lock proves that it has closed the ledger.
    """

    def __init__(self, lease: LeaseLock, lock: LedgerLock, name: str, lease_seconds: int) -> None:
        self.retry_seconds = lease_seconds / ATTEMPTS_PER_LEASE
        self._lease = lease
        self._lock = lock
        self._name = name
        self._log = structlog.get_logger()
        self.failures = 0
        self.problem = ""

    @property
    def holder(self) -> str:
        """Identity of the Lease's holder; if that is this process without the lock, the name of the lock's holder."""
        holder = self._lease.holder
        return self._lock.holder if holder == self._name and self._lock.holder else holder

    async def acquire(self) -> bool:
        """Tries to acquire the Lease, then the lock; raises LedgerError if the lock's file cannot be opened."""
        # Half of the lease duration: a slow answer of the API server leaves time to act on it.
        await self._renew(within_seconds=ATTEMPTS_PER_LEASE / 2 * self.retry_seconds)
        if self._lease.seconds_left <= 0:
            return False
        # On a network file system the lock may take longer than the Lease lasts.
        return await asyncio.to_thread(self._lock.acquire, self._name) and self._lease.seconds_left > 0

    async def hold(self) -> None:
        """Renews the Lease; raises LeadershipLostError if another process holds it or it was not renewed in time."""
        while (left := self._lease.seconds_left) > 0:
            await asyncio.sleep(min(self.retry_seconds, left))
            # The limit is the time left: a renewal that hangs must not outlast the Lease.
            await self._renew(within_seconds=self._lease.seconds_left)
        other = self.holder if self.holder != self._name else ""
        reason = f"{other} holds it" if other else "it could not be renewed in time"
        raise LeadershipLostError(f"the lease was lost: {reason}")

    async def release(self) -> None:
        """Releases the lock, then the Lease."""
        self._lock.release()
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._lease.release()
        except Exception as error:  # noqa: BLE001 - it expires anyway
            self._log.warning("lease", outcome="not released", error=_description(error))
        await self._lease.close()

    async def _renew(self, within_seconds: float) -> None:
        try:
            async with asyncio.timeout(within_seconds):
                await self._lease.acquire_or_renew()
        except Exception as error:  # noqa: BLE001 - whatever failed, the next attempt follows
            self.failures += 1
            self.problem = _description(error)
            self._log.warning("lease", outcome="not renewed", error=self.problem)
        else:
            self.problem = ""


class Term(NamedTuple):
    """The time during which this process is the leader."""

    until_over: Callable[[], Awaitable[object]]
    """Returns when the process must stop; raises LeadershipLostError when another process may take over."""
    lease_failures: Callable[[], int] = lambda: 0
    """Returns the number of failed attempts to acquire or renew the Lease, those as a standby included."""


@asynccontextmanager
async def lead(settings: Settings, stop: asyncio.Event) -> AsyncIterator[Term]:
    """Waits until this process is the leader or `stop` is set; yields its term.

    At the end of the block another process may become the leader. Raises ExporterError at the start.
    """
    if settings.standby == "none":
        with exclusive_ledger(settings.ledger_path):
            yield Term(stop.wait)
        return
    leadership = leadership_of(settings)
    try:
        is_leader = await wait_as_standby(leadership, settings, stop)
        holding = asyncio.create_task(leadership.hold() if is_leader else stop.wait())
        try:
            yield Term(lambda: _wait_for_either(stop, holding), lambda: leadership.failures)
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
    finally:
        await leadership.release()


@contextmanager
def exclusive_ledger(ledger_path: str) -> Iterator[None]:
    """Holds the ledger's lock, if there can be one; raises LedgerInUseError if another process holds it."""
    lock = ledger_lock(ledger_path)
    try:
        is_free = lock is None or lock.acquire(process_name())
    except LedgerError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ELOOP:
            raise  # a symbolic link: without a lock, two processes would count the same jobs
        is_free = True  # a folder without write permission, or a file system without locks: the ledger reports that
    if lock is not None and not is_free:
        raise LedgerInUseError(f"the ledger {ledger_path} is in use by {lock.holder}")
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


async def wait_as_standby(leadership: Leadership, settings: Settings, stop: asyncio.Event) -> bool:
    """Serves the standby's endpoints until this process is the leader (True) or `stop` is set (False)."""
    if await leadership.acquire():
        return True
    log = structlog.get_logger()
    failures = HandshakeFailures()
    app = make_standby_app(standby_exposition(settings, leadership, failures), lambda: standby_text(leadership))
    runner, _ = await serve(app, *settings.listen_pair, settings.web_config_file, failures=failures)
    try:
        log.info("standing_by", url=base_url(runner), version=__version__, holder=leadership.holder)
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), leadership.retry_seconds)
            if not stop.is_set() and await leadership.acquire():
                log.info("taking_over")
                return True
    finally:
        await runner.cleanup()
    return False


def leadership_of(settings: Settings) -> Leadership:
    """Returns the leadership that the settings choose; raises SettingsError if it is not possible here."""
    if settings.ledger_path == IN_MEMORY:
        raise SettingsError("standby: needs a ledger in a file, which two processes can share: set ledger_path")
    lock = ledger_lock(settings.ledger_path)
    if lock is None:
        raise SettingsError("standby: this system has no lock that ends with the process")
    if settings.standby == "ledger":
        return LockLeadership(lock, process_name())
    try:
        from exporter.standby.lease import lease_in_cluster  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError("standby: a lease needs the extra `kubernetes`: pip install it") from error
    identity = (
        f"{socket.gethostname()}_{secrets.token_hex(4)}"  # random, as in client-go: a restarted pod is another process
    )
    shard = f"-{settings.shard}" if settings.shards > 1 else ""
    lease = lease_in_cluster(f"{settings.lease_name}{shard}", identity, settings.lease_seconds)
    return LeaseLeadership(lease, lock, identity, settings.lease_seconds)


def ledger_lock(ledger_path: str) -> LedgerLock | None:
    """Returns the lock of a ledger; None for a ledger in memory, and on systems without such locks (Windows)."""
    try:
        from exporter.standby.ledger_lock import LedgerLock  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    return None if ledger_path == IN_MEMORY else LedgerLock(ledger_path)


def process_name() -> str:
    """Returns the name of this process for operators: host name and process id."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def standby_text(leadership: Leadership) -> str:
    """Returns what a standby says about itself: which process is the leader, or why none may be."""
    if leadership.problem:
        last = f"; the last known leader is {leadership.holder}" if leadership.holder else ""
        return f"this exporter stands by and cannot take over ({leadership.problem}){last}"
    return f"this exporter stands by, and takes over when {leadership.holder or 'another process'} ends"


def standby_exposition(settings: Settings, leadership: Leadership, failures: HandshakeFailures) -> Exposition:
    """Returns the metrics of a standby: those of the process, without series of jobs or targets."""
    started = time.time()
    return Exposition(
        views=list,
        process=lambda: Process(
            ledger_size_bytes=0,
            reload_successful=True,
            reloaded_at=started,
            version=__version__,
            tls_handshake_failures=failures.counts,
            is_active=False,
            lease_failures=leadership.failures,
            shard=settings.shard or 0,
            shards=settings.shards,
        ),
        instruments=Instruments(),
        now=time.time,
        stale_after_seconds=lambda: 0.0,
    )


async def _wait_for_either(stop: asyncio.Event, holding: asyncio.Task[object]) -> None:
    """Returns when the event is set; raises the error of the task if that comes first."""
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([stopping, holding], return_when=asyncio.FIRST_COMPLETED)
        if holding.done():
            holding.result()
    finally:
        stopping.cancel()


def _description(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
