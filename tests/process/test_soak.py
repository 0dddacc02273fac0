"""A service that fails in every way for days loses no end, doubles none, and takes no memory."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.process.soak import LEDGER_FAULTS, soak_in_process
from tests.support.faulty_transport import FAULTS, OWN_KINDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.measurements import Measured

pytestmark = pytest.mark.process

FAULTED_CALLS = 1500
MOST_MEMORY_MIB = 4.0
MOST_DISK_BYTES = 8 * 2**20


def test_a_short_soak(tmp_path: Path, measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,500 faulted calls: every end counted once, counts exact, memory, ledger and page no larger than before.

    `make soak` makes 100,000.
    """
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "1048576")  # else glibc keeps the memory of the first huge answer
    seed = secrets.randbits(32)

    soak = soak_in_process(str(tmp_path), FAULTED_CALLS, seed)

    measured(f"soak: seed {seed}\n{soak.text}")
    record = soak.record
    assert soak.is_good, record.tracebacks
    assert soak.ends > 300
    assert {fault.kind for fault in FAULTS} | set(OWN_KINDS) == soak.struck
    assert set(record.ledger_faults) == set(LEDGER_FAULTS)
    assert record.polls["ok"] > record.polls.total() / 2 > record.polls["ledger"] > 0
    assert record.memory[-1] - record.memory[0] < MOST_MEMORY_MIB
    assert max(record.ledger_sizes) < MOST_DISK_BYTES
    assert max(record.page_sizes) < 1.2 * record.page_sizes[0]
