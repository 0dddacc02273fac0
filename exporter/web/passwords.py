"""Passwords held against bcrypt hashes: off the event loop, once for each that is right, at the same cost for all."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import bcrypt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_WAITING = 16
"""So many checks wait for their turn; whoever comes then is told to come back."""

BCRYPT_BYTES = 72
"""What bcrypt looks at; `htpasswd` and Go leave the rest out too."""


class TooManyChecksError(Exception):
    """So many passwords are being checked that one more would only wait."""


def matches(password: bytes, hashed: str) -> bool:
    """Says whether the password is the one that was hashed."""
    return bcrypt.checkpw(password[:BCRYPT_BYTES], hashed.encode())


class Passwords:
    """Checks passwords, one at a time in a thread of its own, and knows again the last right one of each user.

    An unknown user costs what a known one does: the password is held against the hash of some other user, always the
    same one. What is remembered is a keyed digest, good only for the same user, hash and password.
    """

    def __init__(self, check: Callable[[bytes, str], bool] = matches) -> None:
        self._check = check
        self._key = secrets.token_bytes()
        self._known: dict[str, bytes] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bcrypt")
        self._waiting = 0

    async def are_right(self, users: Mapping[str, str], user: str, password: bytes) -> bool:
        """Says whether it is this user's password; raises TooManyChecksError."""
        hashed = users.get(user)
        digest = self._digest(user, hashed or "", password)
        if hmac.compare_digest(self._known.get(user, b""), digest):
            return hashed is not None
        is_right = await self._checked(password, hashed or self._stand_in(users, user))
        if hashed is None or not is_right:
            return False
        self._known[user] = digest
        return True

    async def _checked(self, password: bytes, hashed: str) -> bool:
        if self._waiting >= MAX_WAITING:
            raise TooManyChecksError
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._check, password, hashed)
        finally:
            self._waiting -= 1

    def _stand_in(self, users: Mapping[str, str], user: str) -> str:
        """Picks a hash for an unknown user, so that its cost tells nothing of who is known."""
        number = int.from_bytes(self._digest(user, "", b"")[:8], "big")
        return sorted(users.values())[number % len(users)]

    def _digest(self, user: str, hashed: str, password: bytes) -> bytes:
        parts = (user.encode("utf-8", "surrogateescape"), hashed.encode(), password)
        lengths = b"".join(len(part).to_bytes(8, "big") for part in parts)
        return hmac.digest(self._key, lengths + b"".join(parts), hashlib.sha256)

    def close(self) -> None:
        """Lets the thread end; whoever still waits is told so by a cancelled check."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def basic_credentials(header: str) -> tuple[str, bytes] | None:
    """Returns user and password of an Authorization header; none if it is not one of basic authentication."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (user.decode("utf-8", "surrogateescape"), password) if colon else None
