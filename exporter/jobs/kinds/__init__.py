"""The job kinds: one declaration for each job list of the service."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from exporter.jobs.kinds.kind import JobKind
from exporter.jobs.kinds.smart import SMART

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KINDS", "SMART", "JobKind"]

KINDS: Mapping[str, JobKind] = MappingProxyType({kind.name: kind for kind in (SMART,)})
"""Every job kind by its name."""
