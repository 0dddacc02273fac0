"""Which of several processes polls a target, so that each is polled by exactly one."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.jobs.snapshot import PollKey


def owner(key: PollKey, shards: int) -> int:
    """Returns the shard that polls a target, 0 to `shards` - 1.

    The shard whose hash with the target is highest has it (rendezvous hashing): one shard more takes its share evenly
    from the others, and no other target moves.
    """
    return max(
        range(shards),
        key=lambda shard: hashlib.blake2b(f"{key.account}/{key.region_id}#{shard}".encode(), digest_size=8).digest(),
    )


def ordinal(hostname: str) -> int | None:
    """Returns the number at the end of a host's name, as a StatefulSet gives it; None where there is none."""
    found = re.search(r"-([0-9]{1,4})$", hostname)
    return int(found[1]) if found else None
