"""Credentials of a target through Alibaba's own library, with rotation picked up while running."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from alibabacloud_credentials.provider import ProfileCredentialsProvider, RamRoleArnCredentialsProvider

from exporter.errors import CredentialsError
from exporter.ims.credentials.default_chain import DefaultChain, default_files, static_key, without_quotes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporter.ims.credentials.default_chain import Provider
    from exporter.jobs.target import Credentials

LONGEST_SECONDS = 30.0
"""So long a key may take: the library waits seconds for each step of an answer, and not for the whole of it."""

MASK = "***"
LEAST_CLUE = 8
"""So many characters of a secret's beginning are masked as the whole of it; no real one is shorter."""
SIGNATURE = re.compile(r"[0-9A-Fa-f]{33,}")
"""A signature, or what is signed; the ids of jobs and requests are shorter."""


def _tame(record: logging.LogRecord) -> bool:
    record.msg, record.args, record.exc_info = without_quotes(record.getMessage()), (), None
    return True


# The library attaches a handler of its own when it is imported; what it says goes our logging's way instead.
logging.getLogger("credentials").handlers.clear()
logging.getLogger("credentials").addFilter(_tame)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """What a request is signed with."""

    key_id: str
    secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)

    def __reduce__(self) -> NoReturn:
        """Refuses to be written anywhere."""
        raise TypeError("an access key cannot be pickled")


def masked(text: str, key: AccessKey) -> str:
    """Returns the text without the key's secret and token, as they are or encoded for a URL, whole or cut off."""
    for secret in (key.secret, key.security_token):
        if len(secret) >= LEAST_CLUE:
            text = _without(text, [_written(sign) for sign in secret])
    return text


def _without(text: str, signs: Sequence[str]) -> str:
    parts: list[str] = []
    end = 0
    for clue in re.finditer("".join(signs[:LEAST_CLUE]), text):
        if clue.start() >= end:
            parts += (text[end : clue.start()], MASK)
            end = clue.end()
            rest = iter(signs[LEAST_CLUE:])
            while (sign := next(rest, "")) and (found := re.compile(sign).match(text, end)):
                end = found.end()
    return "".join(parts) + text[end:]


def _written(sign: str) -> str:
    """Returns the pattern of a sign and of how it may be written in a URL, once or more often encoded."""
    plain = re.escape(sign)
    return plain if sign.isalnum() else f"(?:{plain}|%(?:25)*(?i:{ord(sign):02x}))"


class CredentialSource:
    """Gives the current access key; builds its provider anew when a watched file changes or after `forget`."""

    def __init__(self, build: Callable[[], Provider], watched: Sequence[Path] = ()) -> None:
        self._build = build
        self._watched = tuple(watched)
        self._provider: Provider | None = None
        self._seen: tuple[tuple[int, int] | None, ...] = ()
        self._given: tuple[AccessKey, ...] = ()
        self._turn = asyncio.Lock()

    async def current(self) -> AccessKey:
        """Returns the key to sign with now; raises CredentialsError where none is to be had."""
        async with self._turn:  # the library lets a second caller block the loop while the first one waits for STS
            found = await self._found()
        parts = [
            (part or "").strip()
            for part in (
                found.get_access_key_id(),  # type: ignore[attr-defined] # the library is untyped
                found.get_access_key_secret(),  # type: ignore[attr-defined] # the library is untyped
                found.get_security_token(),  # type: ignore[attr-defined] # the library is untyped
            )
        ]
        if not all(part.isascii() and part.isprintable() for part in parts):
            message = "the access key id, its secret or its token has a character in it that none can have"
            raise CredentialsError(message, code="NoCredentials")
        key = AccessKey(*parts)
        if key not in self._given:
            self._given = (*self._given[-1:], key)
        return key

    def masked(self, text: str) -> str:
        """Returns what the service has said without signatures, and without what is secret of the last two keys."""
        for key in self._given:
            text = masked(text, key)
        return SIGNATURE.sub(MASK, text)

    async def _found(self) -> object:
        stamps = tuple(_stamp(path) for path in self._watched)
        try:
            if self._provider is None or stamps != self._seen:
                self._provider, self._seen = self._build(), stamps
            async with asyncio.timeout(LONGEST_SECONDS):
                return await self._provider.get_credentials_async()
        except CredentialsError:
            raise
        except Exception as error:  # noqa: BLE001 - the library raises what it likes
            said = without_quotes(str(error) or "no answer in time")
            files = f"; files: {', '.join(map(str, self._watched))}" if self._watched else ""
            raise CredentialsError(f"no credentials: {said}{files}", code="NoCredentials") from None

    def forget(self) -> None:
        """Drops what is cached, so that the next key is a fresh one."""
        self._provider = None


def credential_source(choice: Credentials | None, environ: Mapping[str, str]) -> CredentialSource:
    """Returns the source that a target's settings ask for."""
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
    if missing:  # the setting is named, not the variable: a secret may stand in its place
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
