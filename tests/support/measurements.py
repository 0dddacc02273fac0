"""Measurements of tests, which are printed at the end of the run."""

from __future__ import annotations

from collections.abc import Callable

Measured = Callable[[str], None]
"""What the fixture `measured` gives: notes a line for the end of the run."""

PROPERTY = "measured"
"""The property of a test's report that carries a line, also from a parallel worker."""
