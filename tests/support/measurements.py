"""Measurements that a test prints for people, past pytest's capture."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def report(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Prints a line."""
    with capsys.disabled():
        sys.stdout.write(f"\n{text}\n")
