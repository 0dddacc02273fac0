"""Removes secrets from messages: from what the credentials library quotes, and from what the service repeats."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MASK = "***"
MIN_SECRET_PREFIX = 8
"""Number of characters of a secret's beginning that are masked like the whole secret; no real secret is shorter."""
SIGNATURE = re.compile(r"[0-9A-Fa-f]{33,}")
"""A signature, or the hash that is signed; the ids of jobs and requests have 32 characters."""

QUOTE = re.compile(
    r"(?:\n|\\n|\?|message=|result:|response:|token:|found:|value as|netloc|time data|reference|"
    r"interpolation|Raw value).*",
    re.DOTALL,
)
"""Where the credentials library starts to quote: lines of a file, a signed URL, an answer that holds keys."""
URL = re.compile(r"://(?:(?!\S*@)(?P<host>[\w.-]+(?::\d{1,5})?)(?=[/?#'\",\s]|$))?\S*")
"""A URL; the host is a group of its own unless a user name or password may precede it."""
STS_CODE = re.compile(r'"Code"\s*:\s*"([\w.]+)"')
MAX_MESSAGE_CHARACTERS = 300


def redact_library_message(text: str) -> str:
    """Returns a message of the credentials library without its quotes, except for the error code of STS.

    For example `error from https://sts.host/?Signature=x, result: {"Code": "NoPermission", ...}` becomes
    `error from https://sts.host... NoPermission`.
    """
    plain = QUOTE.sub("...", URL.sub(r"://\g<host>...", text))
    return " ".join((plain[:MAX_MESSAGE_CHARACTERS], *STS_CODE.findall(text)[:1]))


def redact_signatures(text: str) -> str:
    """Returns the text with every signature masked."""
    return SIGNATURE.sub(MASK, text)


def redact_secrets(text: str, secrets: Iterable[str]) -> str:
    """Returns the text with every secret masked: plain or encoded for a URL, complete or cut off.

    For the secret `abc/defghijk` these are all masked: `abc/defghijk`, `abc%2Fdefghijk`, `abc%252fdefghi`.
    """
    for secret in secrets:
        if len(secret) >= MIN_SECRET_PREFIX:
            text = _mask(text, [_character_pattern(character) for character in secret])
    return text


def _mask(text: str, patterns: Sequence[str]) -> str:
    """Masks each occurrence of the secret's prefix, and as much of the rest of the secret as follows it."""
    parts: list[str] = []
    end = 0
    for prefix in re.finditer("".join(patterns[:MIN_SECRET_PREFIX]), text):
        if prefix.start() >= end:
            parts += (text[end : prefix.start()], MASK)
            end = prefix.end()
            rest = iter(patterns[MIN_SECRET_PREFIX:])
            while (pattern := next(rest, "")) and (found := re.compile(pattern).match(text, end)):
                end = found.end()
    return "".join(parts) + text[end:]


def _character_pattern(character: str) -> str:
    """Returns the pattern of a character, plain or percent-encoded once or more often (`/`, `%2F`, `%252F`)."""
    plain = re.escape(character)
    return plain if character.isalnum() else f"(?:{plain}|%(?:25)*(?i:{ord(character):02x}))"
