"""The page that a list call asks for, read from its parameters by the declaration of the job kind."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from exporter.simulator.answers import RefusedError, invalid_parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.jobs.kinds import JobKind
    from exporter.simulator.job_store import JobStore

DEFAULT_SIZE = 10
MAX_DIGITS = 9
"""Maximum number of digits of a page number or size."""
OFFSET_BYTES = 5
DIGEST_BYTES = 11


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page of one list; a filter that is None lets every job through."""

    job_type: str | None
    job_state: str | None
    ascending: bool
    offset: int
    limit: int

    def at(self, offset: int) -> PageRequest:
        """Returns another page of the same list."""
        return replace(self, offset=offset)

    @property
    def token(self) -> str:
        """The page token that leads here: the offset, and a digest that makes it valid for this list and order only."""
        place = self.offset.to_bytes(OFFSET_BYTES, "big")
        return base64.b64encode(place + self.digest(place)).decode()

    def digest(self, place: bytes) -> bytes:
        """Returns the digest of an offset in this list and order."""
        about = f"{self.job_type}|{self.job_state}|{self.ascending}|".encode("utf-8", "replace")
        return hashlib.sha256(about + place).digest()[:DIGEST_BYTES]


def read_request(kind: JobKind, parameters: Mapping[str, str], store: JobStore) -> PageRequest:
    """Returns the page that the parameters select, by token or by page number; raises RefusedError.

    A type or state is refused if it is neither documented nor that of a job in the store.
    """
    job_type = _filter(parameters, kind.filters.job_type)
    if job_type and job_type not in kind.job_types and not store.has_listed(job_type=job_type):
        raise invalid_parameter(kind.filters.job_type, job_type)
    job_state = _state(kind, parameters, store)
    limit = _limit(kind, parameters)
    number = _number(parameters, kind.paging.number, 1) if kind.paging.number else 1
    first = PageRequest(job_type, job_state, _is_ascending(kind, parameters), (number - 1) * limit, limit)
    token = parameters.get(kind.paging.token, "")
    return first.at(_offset(token, first)) if token else first


def refused_token() -> RefusedError:
    """Returns the error for a page token that is forged, of another list, or expired."""
    return RefusedError(400, "InvalidParameter.NextToken", "The specified NextToken is not valid or has expired.")


def _filter(parameters: Mapping[str, str], name: str) -> str | None:
    """Returns the value of a filter; None where it is not given, or the list has no such filter."""
    return (parameters.get(name) or None) if name else None


def _state(kind: JobKind, parameters: Mapping[str, str], store: JobStore) -> str | None:
    word = _filter(parameters, kind.filters.state)
    if word is None:
        return None
    state = kind.state_of(word)
    is_documented = word in dict(kind.states) and word not in kind.not_filterable
    if not is_documented and (word in kind.not_filterable or not store.has_listed(job_state=state)):
        raise invalid_parameter(kind.filters.state, word)
    return state


def _is_ascending(kind: JobKind, parameters: Mapping[str, str]) -> bool:
    """Whether the oldest job comes first: the value that sorts so is the other one with `Asc` in place of `Desc`."""
    name, newest_first = kind.newest_first
    oldest_first = newest_first.replace("Desc", "Asc").replace("desc", "asc")
    value = parameters.get(name, "")
    if value not in {"", newest_first, oldest_first}:
        raise invalid_parameter(name, value)
    return value == oldest_first


def _offset(token: str, page: PageRequest) -> int:
    try:
        raw = base64.b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        raise refused_token() from None
    place = raw[:OFFSET_BYTES]
    if raw[OFFSET_BYTES:] != page.digest(place):
        raise refused_token()
    return int.from_bytes(place, "big")


def _limit(kind: JobKind, parameters: Mapping[str, str]) -> int:
    paging = kind.paging
    name = paging.number_size if paging.number_size and not parameters.get(paging.size) else paging.size
    limit = _number(parameters, name, DEFAULT_SIZE)
    if limit > paging.max_size:
        raise invalid_parameter(name, str(limit))
    return limit


def _number(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS and int(text) >= 1):
        raise invalid_parameter(name, text)
    return int(text)
