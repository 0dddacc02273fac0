"""Canaries: secrets that occur nowhere by accident, and the search for them in any output."""

from __future__ import annotations

import base64
import hashlib
import re

CLUE = 8
"""Number of characters of a secret that count as the secret."""
STEP = 4
"""Distance in characters between the parts that are searched for."""


def canary(name: str) -> str:
    """Returns the secret of this name, always the same: 32 characters, some of which encodings change."""
    letters = base64.b32encode(hashlib.sha256(name.encode()).digest()).decode()
    mixed = "".join(letter.lower() if number % 2 else letter for number, letter in enumerate(letters))
    return f'{mixed[:12]}+/"&{mixed[12:28]}='


class Watch:
    """Searches outputs for secrets, which it knows by name."""

    def __init__(self, **secrets: str) -> None:
        self._needles: dict[str, tuple[set[bytes], set[bytes]]] = {}
        for name, secret in secrets.items():
            self.add(name, secret)

    def new(self, name: str) -> str:
        """Returns a new canary, and searches for it from now on."""
        self.add(name, canary(name))
        return canary(name)

    def plain(self, name: str) -> str:
        """Returns a new canary without special characters, for URLs, and searches for it from now on."""
        secret = re.sub(r"\W", "", canary(name))
        self.add(name, secret)
        return secret

    def add(self, name: str, secret: str) -> None:
        """Searches for a secret that is no canary, such as a hash, from now on."""
        in_any_case, as_it_is = self._needles.setdefault(name, (set(), set()))
        raw = secret.encode()
        in_any_case |= {raw[start : start + CLUE].lower() for start in range(0, len(raw) - CLUE + 1, STEP)}
        in_any_case.add(raw[:CLUE].hex().encode())
        as_it_is |= {_in_base64(raw[:16], before) for before in range(3)}

    def found(self, output: bytes) -> set[str]:
        """Returns the names of the secrets of which a part is in the output.

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
    """Returns the base64 of the bytes behind `before` others, without the characters that depend on those."""
    return base64.b64encode(bytes(before) + raw)[(0, 2, 3)[before] : -4]
