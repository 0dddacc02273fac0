"""What is fuzzed: where its inputs come from, and what must hold for each of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from hypothesis.strategies import SearchStrategy

CORPUS = Path(__file__).parent / "corpus"
"""The inputs that found something once, a folder for each target."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target; `ready` makes it so, and gives the check that raises AssertionError, or any error, on a finding."""

    name: str
    inputs: SearchStrategy[Any]
    ready: Callable[[], AbstractContextManager[Callable[[Any], None]]]

    def corpus(self) -> list[Path]:
        """Returns the inputs kept for this target."""
        return sorted((CORPUS / self.name).glob("*"))
