"""A fuzz target: the source of its inputs, and the check that must pass for each of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from hypothesis.strategies import SearchStrategy

CORPUS = Path(__file__).parent / "corpus"
"""Inputs of earlier findings, a folder for each target."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target; `ready` prepares it, and yields the check, which raises an error on a finding."""

    name: str
    inputs: SearchStrategy[Any]
    ready: Callable[[], AbstractContextManager[Callable[[Any], None]]]

    def corpus(self) -> list[Path]:
        """Returns the inputs of the corpus for this target."""
        return sorted((CORPUS / self.name).glob("*"))
