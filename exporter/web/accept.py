"""Content negotiation: which of the offered formats and encodings a request prefers (RFC 9110, section 12.5)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
OPENMETRICS_VERSION = re.compile(r"[1-9][0-9]*(\.[0-9]+)*")
"""A version of which 1.0.0, the one that is served, is a fair substitute; drafts such as 0.0.1 are not."""


class Choice(NamedTuple):
    """One element of an Accept or Accept-Encoding header, in lower case."""

    name: str
    parameters: dict[str, str]
    quality: float
    """From 0 (refused) to 1; 0 also if it cannot be read."""


def parse_choices(header: str) -> Iterator[Choice]:
    """Yields the elements of an Accept or Accept-Encoding header."""
    for element in header.lower().split(","):
        name, *rest = (part.strip() for part in element.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip(): value.strip().strip('"') for key, _, value in pairs}
        quality = parameters.pop("q", "1")
        yield Choice(name, parameters, float(quality) if QUALITY.fullmatch(quality) else 0.0)


def accepts_gzip(accept_encoding: str) -> bool:
    """Returns whether gzip is named and not less welcome than no encoding at all."""
    qualities = {choice.name: choice.quality for choice in parse_choices(accept_encoding)}
    gzip = qualities.get("gzip", 0.0)
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def prefers_json(accept: str) -> bool:
    """Returns whether JSON is named and more welcome than HTML."""
    qualities = {choice.name: choice.quality for choice in parse_choices(accept)}
    return qualities.get("application/json", 0.0) > qualities.get("text/html", 0.0)


def prefers_openmetrics(accept: str) -> bool:
    """Returns whether OpenMetrics, of version 1 or later, is named and not less welcome than plain text."""
    choices = list(parse_choices(accept))
    openmetrics = [
        choice.quality
        for choice in choices
        if choice.name == "application/openmetrics-text"
        and OPENMETRICS_VERSION.fullmatch(choice.parameters.get("version", "1.0.0"))
    ]
    best = max(openmetrics, default=0.0)
    for name in ("text/plain", "text/*", "*/*"):  # the most specific one counts
        text = [choice.quality for choice in choices if choice.name == name]
        if text:
            return best > 0 and best >= max(text)
    return best > 0
