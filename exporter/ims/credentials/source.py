"""The access key of a target: read by the official credentials library, and read again after a rotation."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import structlog
from alibabacloud_credentials.provider import RamRoleArnCredentialsProvider

from exporter.errors import ApiError, CredentialsError, TimedOutError
from exporter.ims.credentials.default_chain import DefaultChain, IniProfile, bom_problem, default_files, static_key
from exporter.ims.credentials.redaction import redact_library_message, redact_secrets, redact_signatures
from exporter.ims.credentials.transport import NO_CREDENTIALS, exchanging
from exporter.ims.http import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporter.ims.credentials.default_chain import Provider
    from exporter.jobs.target import Credentials

MAX_FETCH_SECONDS = 30.0
"""Maximum time to fetch a key: the library limits each step of an exchange, not the whole of it."""
RENEW_SECONDS = 15 * 60.0
"""Time before its end from which on a key is renewed, as in the library, which no longer uses it then."""
RETRY_SECONDS = 30.0
"""Time from a failed renewal to the next one, while the last key is valid."""


def _redact_record(record: logging.LogRecord) -> bool:
    record.msg, record.args, record.exc_info = redact_library_message(record.getMessage()), (), None
    return True


# At its import the library adds a handler that writes to stderr; its messages go through our logging instead.
logging.getLogger("credentials").handlers.clear()
logging.getLogger("credentials").addFilter(_redact_record)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """The key that signs a request; a security token marks a temporary key."""

    key_id: str
    secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)

    def __reduce__(self) -> NoReturn:
        """Refuses to be pickled, so that no secret is written to disk or sent to another process."""
        raise TypeError("an access key cannot be pickled")


class CredentialSource:
    """Provides the current access key; targets with the same credentials share one source, and so one STS session.

    A temporary key is renewed 15 minutes before it expires, or at half of a shorter life. If that fails, the key
    remains in use until it expires, and the renewal is tried again every 30 seconds. Rebuilds its provider when a
    watched file changes, and after `forget`.
    """

    def __init__(
        self,
        build: Callable[[], Provider],
        watched: Sequence[Path] = (),
        network: Network = Network(),  # noqa: B008 - frozen
        now: Callable[[], float] = time.time,
    ) -> None:
        self._build = build
        self._watched = tuple(watched)
        self._network = network
        self._now = now
        self._provider: Provider | None = None
        self._seen: tuple[tuple[int, int] | None, ...] = ()
        self._key: AccessKey | None = None
        self._expires_at: float | None = None
        """None if the key does not expire, or it is not known when."""
        self._renew_at = 0.0
        self._error: ApiError | None = None
        self._failures = 0
        self._recent: tuple[AccessKey, ...] = ()
        self._lock = asyncio.Lock()

    async def current(self) -> AccessKey:
        """Returns the key to sign with now.

        Raises CredentialsError if there is none, and TransientError if there may be one soon.
        """
        failures = self._failures
        async with self._lock:  # in the library, a second caller would block the event loop while the first awaits STS
            if self._error and self._failures > failures:
                raise self._error  # of the fetch that this caller waited for: a host that hangs costs all of them once
            stamps = tuple(_stamp(path) for path in self._watched)
            if self._provider is None or stamps != self._seen:
                # The providers of the library read a file once, so a changed file needs a new provider.
                self._key, self._provider, self._seen = None, None, stamps
            if self._key is None or self._expires_at is None or self._now() >= self._renew_at:
                await self._renew()
            if self._key is None:
                raise CredentialsError("no credentials", code=NO_CREDENTIALS)
            return self._key

    async def _renew(self) -> None:
        """Gets the next key; if that fails, raises the error unless the last key is still valid."""
        with exchanging(self._network) as exchange:
            try:
                found = await self._fetch()
            except ApiError as error:
                if self._key is None or self._expires_at is None or self._now() >= self._expires_at:
                    self._error, self._failures = error, self._failures + 1
                    raise
                structlog.get_logger().warning(
                    "credentials_not_renewed",
                    error=str(error),
                    valid_seconds=round(self._expires_at - self._now()),
                    hint=error.hint,
                )
                self._renew_at = min(self._now() + RETRY_SECONDS, self._expires_at)
                return
        key = _access_key(found)
        if exchange.expires_at is not None or key != self._key:
            self._expires_at = exchange.expires_at
        self._key = key
        if self._expires_at is not None:
            left = self._expires_at - self._now()
            if exchange.failure and left <= 0:  # the library extends the life of a key that it cannot renew
                raise exchange.failure
            is_new = exchange.expires_at is not None and not exchange.failure
            self._renew_at = self._now() + (max(left - RENEW_SECONDS, left / 2) if is_new else RETRY_SECONDS)
        if key not in self._recent:
            self._recent = (*self._recent[-1:], key)

    def redact(self, text: str) -> str:
        """Returns a message of the service with signatures and the secrets of the last two keys masked."""
        secrets = (secret for key in self._recent for secret in (key.secret, key.security_token))
        return redact_signatures(redact_secrets(text, secrets))

    async def _fetch(self) -> object:
        try:
            if self._provider is None:
                self._provider = self._build()
            async with asyncio.timeout(MAX_FETCH_SECONDS):
                return await self._provider.get_credentials_async()
        except ApiError:
            raise
        except TimeoutError:
            error = TimedOutError("no credentials: no answer in time", code=NO_CREDENTIALS)
            error.hint = "check the network path to the source of the credentials"
            raise error from None
        except Exception as error:  # noqa: BLE001 - the library raises errors of many kinds
            bom = next(filter(None, (bom_problem(str(path)) for path in self._watched)), "")
            message = bom or redact_library_message(str(error) or type(error).__name__)
            files = f"; files: {', '.join(map(str, self._watched))}" if self._watched else ""
            raise CredentialsError(f"no credentials: {message}{files}", code=NO_CREDENTIALS) from None

    def forget(self, key: AccessKey) -> None:
        """Drops a key that the service refuses, so that the next one is fetched; does nothing if it is not current."""
        if self._key == key:
            self._key, self._provider = None, None


def _access_key(found: object) -> AccessKey:
    """Returns a key of the library; raises CredentialsError if no request can carry it."""
    parts = [
        (part or "").strip()
        for part in (
            found.get_access_key_id(),  # type: ignore[attr-defined] # the library is untyped
            found.get_access_key_secret(),  # type: ignore[attr-defined] # the library is untyped
            found.get_security_token(),  # type: ignore[attr-defined] # the library is untyped
        )
    ]
    if not all(part.isascii() and part.isprintable() for part in parts):
        message = "the access key id, its secret or its token contains a character that no request can carry"
        raise CredentialsError(message, code=NO_CREDENTIALS)
    return AccessKey(*parts)


def credential_source(
    choice: Credentials | None,
    environ: Mapping[str, str],
    network: Network = Network(),  # noqa: B008 - frozen
    now: Callable[[], float] = time.time,
) -> CredentialSource:
    """Returns the source of a target's credentials; None means the default chain."""
    if choice is None:
        return CredentialSource(lambda: DefaultChain(environ), default_files(environ), network, now)
    base, watched = _base(choice, environ)
    if not choice.role_arn:
        return CredentialSource(base, watched, network, now)

    def assume() -> Provider:
        provider: Provider = RamRoleArnCredentialsProvider(
            credentials_provider=base(),
            role_arn=choice.role_arn,
            role_session_name=choice.role_session_name or "ims-exporter",
            external_id=choice.external_id or None,
            sts_endpoint=choice.sts_endpoint or None,
        )
        return provider

    return CredentialSource(assume, watched, network, now)


def _base(choice: Credentials, environ: Mapping[str, str]) -> tuple[Callable[[], Provider], tuple[Path, ...]]:
    if choice.access_key_id_env:
        return (lambda: _from_environment(choice, environ)), ()
    if choice.file:
        path = Path(choice.file).expanduser()
        profile = choice.profile or "default"
        return (lambda: IniProfile(profile_file=str(path), profile_name=profile)), (path,)
    return (lambda: DefaultChain(environ)), default_files(environ)


def _from_environment(choice: Credentials, environ: Mapping[str, str]) -> Provider:
    given = {"access_key_id_env": choice.access_key_id_env, "access_key_secret_env": choice.access_key_secret_env}
    missing = [f"credentials.{setting}" for setting, name in given.items() if not environ.get(name)]
    if missing:  # names the setting, not the variable: an operator may have put the secret itself there
        one = len(missing) == 1
        named = f"variable{'' if one else 's'} that {' and '.join(missing)} {'names is' if one else 'name are'} not set"
        raise CredentialsError(f"no credentials: the environment {named}", code=NO_CREDENTIALS)
    key_id, secret = (environ[name] for name in given.values())
    return static_key(key_id, secret, environ.get(choice.security_token_env, ""))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
