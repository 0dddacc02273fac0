"""The last failed jobs of all targets, filtered; and their JSON, whose field names stay as they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.web.pages.parts import iso
from exporter.web.pages.query import number, parameters

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporter.jobs.snapshot import FailedJob, PollKey, TargetView

FILTERS = ("account", "region_id", "job_kind", "job_type", "error_code")
LIMIT = 100
MOST = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed job and the target it is of."""

    key: PollKey
    job: FailedJob

    def value(self, name: str) -> str:
        """Returns the value that a filter compares."""
        return str(getattr(self.key if name in self.key.labels else self.job, name))

    @property
    def duration_seconds(self) -> int:
        """From creation to the end."""
        return max(0, self.job.ended_at - self.job.created_at)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which failures are asked for."""

    filters: dict[str, str]
    limit: int


@dataclass(frozen=True, slots=True)
class Found:
    """The failures that match, newest first; `shown` holds no more than were asked for."""

    shown: Sequence[Failure]
    matching: int
    kept: Sequence[Failure]
    """All failures there are, matching or not."""


def wanted(query: Iterable[tuple[str, str]]) -> Wanted:
    """Reads the query of `/failures`; raises BadQueryError."""
    given = parameters(query, (*FILTERS, "limit", "format"))
    return Wanted({name: given[name] for name in FILTERS if name in given}, number(given, "limit", LIMIT, MOST))


def find(views: Iterable[TargetView], which: Wanted) -> Found:
    """Returns the failures that are kept and match every filter, newest first."""
    kept = [Failure(view.key, job) for view in views if view.snapshot for job in view.snapshot.failed_jobs]
    kept.sort(key=lambda failure: (-failure.job.ended_at, str(failure.key), failure.job.job_id))
    matching = [each for each in kept if all(each.value(name) == value for name, value in which.filters.items())]
    return Found(matching[: which.limit], len(matching), kept)


def as_json(found: Found, now: float) -> str:
    """Returns the JSON that scripts read."""
    body = {"generated_at": iso(now), "matching": found.matching, "failures": [_fields(each) for each in found.shown]}
    return json.dumps(body, indent=1) + "\n"


def _fields(failure: Failure) -> dict[str, str | int]:
    job = failure.job
    return {
        "account": failure.key.account,
        "region_id": failure.key.region_id,
        "job_kind": failure.key.job_kind,
        "job_id": job.job_id,
        "job_type": job.job_type,
        "created_at": iso(job.created_at),
        "ended_at": iso(job.ended_at),
        "duration_seconds": failure.duration_seconds,
        "error_code": job.error_code,
        "error_message": job.error_message,
    }
