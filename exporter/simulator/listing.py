"""What a ListSmartJobs call asks for, read from its parameters: filters, order and place."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.jobs.kinds import SMART
from exporter.simulator.refusal import RefusedError, invalid_parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.simulator.world import World

JOB_STATES, JOB_TYPES = SMART.job_states, SMART.job_types

MAX_PAGE = 100

_ORDERS = {"": False, "CreationTime:Desc": False, "CreationTime:Asc": True}
_OFFSET_BYTES = 5
_DIGEST_BYTES = 11


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of one list."""

    job_type: str | None
    job_state: str | None
    ascending: bool
    offset: int
    limit: int


def read_listing(parameters: Mapping[str, str], world: World) -> Listing:
    """Returns the page asked for, by NextToken and MaxResults or by PageNo and PageSize; raises RefusedError.

    A type or state that is neither documented nor in the world is refused.
    """
    job_type = parameters.get("JobType") or None
    job_state = parameters.get("JobState") or None
    if job_type and job_type not in JOB_TYPES and not world.knows(job_type=job_type):
        raise invalid_parameter("JobType", job_type)
    if job_state and job_state not in JOB_STATES and not world.knows(job_state=job_state):
        raise invalid_parameter("JobState", job_state)
    order = parameters.get("SortBy", "")
    if order not in _ORDERS:
        raise invalid_parameter("SortBy", order)
    limit = _limit(parameters)
    start = Listing(job_type, job_state, _ORDERS[order], (_number(parameters, "PageNo", 1) - 1) * limit, limit)
    token = parameters.get("NextToken", "")
    return at(start, _offset(token, start)) if token else start


def at(listing: Listing, offset: int) -> Listing:
    """Returns another page of the same list."""
    return Listing(listing.job_type, listing.job_state, listing.ascending, offset, listing.limit)


def token_for(listing: Listing) -> str:
    """Returns the NextToken that leads to this page: an offset inside, good for this list and order only."""
    place = listing.offset.to_bytes(_OFFSET_BYTES, "big")
    return base64.b64encode(place + _digest(place, listing)).decode()


def _offset(token: str, listing: Listing) -> int:
    try:
        raw = base64.b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        raise bad_token() from None
    place = raw[:_OFFSET_BYTES]
    if raw[_OFFSET_BYTES:] != _digest(place, listing):
        raise bad_token()
    return int.from_bytes(place, "big")


def bad_token() -> RefusedError:
    """Returns the refusal of a NextToken that is forged, of another list, or expired."""
    return RefusedError(400, "InvalidParameter.NextToken", "The specified NextToken is not valid or has expired.")


def _digest(place: bytes, listing: Listing) -> bytes:
    about = f"{listing.job_type}|{listing.job_state}|{listing.ascending}|".encode("utf-8", "replace")
    return hashlib.sha256(about + place).digest()[:_DIGEST_BYTES]


def _limit(parameters: Mapping[str, str]) -> int:
    name = "MaxResults" if parameters.get("MaxResults") else "PageSize"
    limit = _number(parameters, name, 10)
    if limit > MAX_PAGE:
        raise invalid_parameter(name, str(limit))
    return limit


def _number(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) <= len("999999999") and int(text) >= 1):
        raise invalid_parameter(name, text)
    return int(text)
