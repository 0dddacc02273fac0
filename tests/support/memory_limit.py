"""A memory limit for one process, as Kubernetes sets it: a control group, of version 1 or 2."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.support.real_tools import required
from tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOTS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))
NAMES = {
    "memory.limit_in_bytes": ("memory.max_usage_in_bytes", "memory.stat"),
    "memory.max": ("memory.peak", "memory.stat"),
}
"""The file of the limit in each version, and those of the highest usage and of the details."""


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """A control group with a limit, which ends a process that exceeds it."""

    folder: Path
    peak_name: str

    def add(self, process: int) -> None:
        """Puts a process under the limit."""
        (self.folder / "cgroup.procs").write_text(str(process))

    @property
    def peak_bytes(self) -> int:
        """The highest usage so far, cached files included."""
        return int((self.folder / self.peak_name).read_text())


def chart_limit_bytes() -> int:
    """Returns the memory limit that the chart sets."""
    values = yaml.safe_load((ROOT / "helm" / "ims-exporter" / "values.yaml").read_text())
    limit = str(values["resources"]["limits"]["memory"])
    assert limit.endswith("Mi")
    return int(limit.removesuffix("Mi")) * 1024 * 1024


@contextmanager
def memory_limit(size: int) -> Iterator[MemoryLimit]:
    """Yields a control group with a limit; skips the test, or fails it under `CI=true`, if there can be none."""
    made = required(_make(size))
    try:
        yield MemoryLimit(made, next(peak for limit, (peak, _) in NAMES.items() if (made / limit).exists()))
    finally:
        made.rmdir()


def _make(size: int) -> Path | str:
    for root in ROOTS:
        folder = root / f"ims-exporter-test-{uuid.uuid4().hex}"
        try:
            folder.mkdir()
        except OSError:
            continue
        limit = next((folder / name for name in NAMES if (folder / name).exists()), None)
        if limit is not None and os.access(limit, os.W_OK):
            limit.write_text(str(size))
            return folder
        folder.rmdir()
    return "no memory limit: it takes root, and a control group for memory (version 1 or 2) that can be written"
