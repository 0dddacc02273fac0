"""Canaries: secrets that nobody would write by accident, and the search for them in whatever came out."""

from __future__ import annotations

import base64
import hashlib
import re

CLUE = 8
"""So many characters of a secret count as the secret."""
STEP = 4
"""From each so-manyth character on."""


def canary(name: str) -> str:
    """Returns the secret of this name, always the same: 32 characters, with those that encodings change."""
    letters = base64.b32encode(hashlib.sha256(name.encode()).digest()).decode()
    mixed = "".join(letter.lower() if number % 2 else letter for number, letter in enumerate(letters))
    return f'{mixed[:12]}+/"&{mixed[12:28]}='


class Watch:
    """Knows secrets by name, and finds them."""

    def __init__(self, **secrets: str) -> None:
        self._needles: dict[str, tuple[set[bytes], set[bytes]]] = {}
        for name, secret in secrets.items():
            self.add(name, secret)

    def new(self, name: str) -> str:
        """Returns a canary that is watched from now on."""
        self.add(name, canary(name))
        return canary(name)

    def plain(self, name: str) -> str:
        """Returns a canary that can stand in a URL, and is watched from now on."""
        secret = re.sub(r"\W", "", canary(name))
        self.add(name, secret)
        return secret

    def add(self, name: str, secret: str) -> None:
        """Watches a secret that is somebody else's making, such as a hash."""
        in_any_case, as_it_is = self._needles.setdefault(name, (set(), set()))
        raw = secret.encode()
        in_any_case |= {raw[start : start + CLUE].lower() for start in range(0, len(raw) - CLUE + 1, STEP)}
        in_any_case.add(raw[:CLUE].hex().encode())
        as_it_is |= {_in_base64(raw[:16], before) for before in range(3)}

    def found(self, output: bytes) -> set[str]:
        """Returns the names of the secrets of which a part is in there.

        That is: eight characters in any case, from the beginning or a fourth, or the first ones in base64 or in
        hexadecimal. Encodings for URLs, JSON and HTML leave so many letters between the signs as they are.
        """
        lower = output.lower()
        return {
            name
            for name, (in_any_case, as_it_is) in self._needles.items()
            if any(part in lower for part in in_any_case) or any(part in output for part in as_it_is)
        }


def _in_base64(raw: bytes, before: int) -> bytes:
    """Returns what base64 makes of the bytes after so many others, without the signs that others have a part in."""
    return base64.b64encode(bytes(before) + raw)[(0, 2, 3)[before] : -4]
