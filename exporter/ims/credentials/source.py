"""The access key of a target: read by the official credentials library, and read again after a rotation."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from alibabacloud_credentials.provider import ProfileCredentialsProvider, RamRoleArnCredentialsProvider

from exporter.errors import CredentialsError
from exporter.ims.credentials.default_chain import DefaultChain, default_files, static_key
from exporter.ims.credentials.redaction import redact_library_message, redact_secrets, redact_signatures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporter.ims.credentials.default_chain import Provider
    from exporter.jobs.target import Credentials

MAX_FETCH_SECONDS = 30.0
"""Maximum time to fetch a key: the library limits each step of an exchange, not the whole of it."""


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
    """Provides the current access key; rebuilds its provider when a watched file changes, and after `forget`."""

    def __init__(self, build: Callable[[], Provider], watched: Sequence[Path] = ()) -> None:
        self._build = build
        self._watched = tuple(watched)
        self._provider: Provider | None = None
        self._seen: tuple[tuple[int, int] | None, ...] = ()
        self._recent: tuple[AccessKey, ...] = ()
        self._lock = asyncio.Lock()

    async def current(self) -> AccessKey:
        """Returns the key to sign with now; raises CredentialsError if there is none."""
        async with self._lock:  # in the library, a second caller would block the event loop while the first awaits STS
            found = await self._fetch()
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
            raise CredentialsError(message, code="NoCredentials")
        key = AccessKey(*parts)
        if key not in self._recent:
            self._recent = (*self._recent[-1:], key)
        return key

    def redact(self, text: str) -> str:
        """Returns a message of the service with signatures and the secrets of the last two keys masked."""
        secrets = (secret for key in self._recent for secret in (key.secret, key.security_token))
        return redact_signatures(redact_secrets(text, secrets))

    async def _fetch(self) -> object:
        stamps = tuple(_stamp(path) for path in self._watched)
        try:
            # The providers of the library read a file once, so a changed file needs a new provider.
            if self._provider is None or stamps != self._seen:
                self._provider, self._seen = self._build(), stamps
            async with asyncio.timeout(MAX_FETCH_SECONDS):
                return await self._provider.get_credentials_async()
        except CredentialsError:
            raise
        except Exception as error:  # noqa: BLE001 - the library raises errors of many kinds
            message = redact_library_message(str(error) or "no answer in time")
            files = f"; files: {', '.join(map(str, self._watched))}" if self._watched else ""
            raise CredentialsError(f"no credentials: {message}{files}", code="NoCredentials") from None

    def forget(self) -> None:
        """Drops the cached provider, so that the next key is fetched again."""
        self._provider = None


def credential_source(choice: Credentials | None, environ: Mapping[str, str]) -> CredentialSource:
    """Returns the source of a target's credentials; None means the default chain."""
    if choice is None:
        return CredentialSource(lambda: DefaultChain(environ), default_files(environ))
    base, watched = _base(choice, environ)
    if not choice.role_arn:
        return CredentialSource(base, watched)

    def assume() -> Provider:
        provider: Provider = RamRoleArnCredentialsProvider(
            credentials_provider=base(),
            role_arn=choice.role_arn,
            role_session_name=choice.role_session_name or "ims-exporter",
            external_id=choice.external_id or None,
            sts_endpoint=choice.sts_endpoint or None,
        )
        return provider

    return CredentialSource(assume, watched)


def _base(choice: Credentials, environ: Mapping[str, str]) -> tuple[Callable[[], Provider], tuple[Path, ...]]:
    if choice.access_key_id_env:
        return (lambda: _from_environment(choice, environ)), ()
    if choice.file:
        path = Path(choice.file).expanduser()
        profile = choice.profile or "default"
        return (lambda: ProfileCredentialsProvider(profile_file=str(path), profile_name=profile)), (path,)
    return (lambda: DefaultChain(environ)), default_files(environ)


def _from_environment(choice: Credentials, environ: Mapping[str, str]) -> Provider:
    given = {"access_key_id_env": choice.access_key_id_env, "access_key_secret_env": choice.access_key_secret_env}
    missing = [f"credentials.{setting}" for setting, name in given.items() if not environ.get(name)]
    if missing:  # names the setting, not the variable: an operator may have put the secret itself there
        one = len(missing) == 1
        named = f"variable{'' if one else 's'} that {' and '.join(missing)} {'names is' if one else 'name are'} not set"
        raise CredentialsError(f"no credentials: the environment {named}", code="NoCredentials")
    key_id, secret = (environ[name] for name in given.values())
    return static_key(key_id, secret, environ.get(choice.security_token_env, ""))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
