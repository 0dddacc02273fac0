"""The page `/failures`: the last failed jobs of all targets, filtered, as HTML or JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from exporter.jobs.shards import owner
from exporter.jobs.snapshot import FAILED_JOBS_SHOWN, PollKey
from exporter.web.accept import prefers_json
from exporter.web.pages.formatting import iso_time
from exporter.web.pages.request import PageError, PageResponse, matches_target, parse_choice, parse_number
from exporter.web.pages.templates import render_page, url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jinja2 import Environment

    from exporter.jobs.snapshot import FailedJob, TargetView
    from exporter.web.pages.request import PageRequest

JSON = "application/json"
FILTERS = {
    "account": attrgetter("key.account"),
    "region_id": attrgetter("key.region_id"),
    "job_kind": attrgetter("key.job_kind"),
    "job_type": attrgetter("job.job_type"),
    "error_code": attrgetter("job.error_code"),
}
"""The value of a failure that each filter compares."""
PARAMETERS = (*FILTERS, "limit", "format")
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
"""Maximum number of failures in a response."""

CONSOLE_URL = "https://ice.console.aliyun.com/summary"
"""The front page of the service's console, named in the official SDK. Links to a region or a job are not documented."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed job and its target."""

    key: PollKey
    job: FailedJob

    @property
    def duration_seconds(self) -> int:
        """Time from creation to end."""
        return max(0, self.job.ended_at - self.job.created_at)

    def matches(self, filters: Mapping[str, str]) -> bool:
        """Returns whether the failure has the value of every filter."""
        return all(FILTERS[name](self) == value for name, value in filters.items())

    def as_json(self) -> dict[str, str | int]:
        """Returns the fields that scripts read; they may grow, but never change."""
        return {
            **self.key.labels,
            "job_id": self.job.job_id,
            "job_type": self.job.job_type,
            "created_at": iso_time(self.job.created_at),
            "ended_at": iso_time(self.job.ended_at),
            "duration_seconds": self.duration_seconds,
            "error_code": self.job.error_code,
            "error_message": self.job.error_message,
        }


def respond_failures(request: PageRequest, parameters: Mapping[str, str], environment: Environment) -> PageResponse:
    """Returns the failures that match every filter, newest first; a shard refuses a target of another shard by 404."""
    filters = {name: parameters[name] for name in FILTERS if name in parameters}
    limit = parse_number(parameters, "limit", DEFAULT_LIMIT, MAX_LIMIT)
    preferred = "json" if prefers_json(request.accept) else "html"
    is_json = parse_choice(parameters, "format", ("html", "json"), preferred) == "json"
    refuse_target_of_other_shard(request, filters)
    failures = all_failures(request.views)
    matching = [failure for failure in failures if failure.matches(filters)]
    shown = matching[:limit]
    if is_json:
        return json_response(shown, len(matching), request.now)
    limit_parameter = {} if limit == DEFAULT_LIMIT else {"limit": str(limit)}
    refresh_parameter = {"refresh": "off"} if parameters.get("refresh") == "off" else {}
    return render_page(
        environment,
        "failures.html",
        request,
        parameters,
        failures=shown,
        matching=len(matching),
        is_any=bool(failures),
        filters=filters,
        options={name: _options(failures, name, filters.get(name)) for name in FILTERS},
        hidden_fields={**refresh_parameter, **limit_parameter},
        json_url=url(request.path, {**filters, **limit_parameter, "format": "json"}),
        max_per_target=FAILED_JOBS_SHOWN,
        console_url=CONSOLE_URL,
    )


def json_response(failures: Sequence[Failure], matching: int, now: float) -> PageResponse:
    """Returns the failures as JSON; `matching` is their number before the limit."""
    content = {
        "generated_at": iso_time(now),
        "matching": matching,
        "failures": [failure.as_json() for failure in failures],
    }
    return PageResponse(200, JSON, json.dumps(content, indent=1) + "\n")


def target_failures(view: TargetView) -> list[Failure]:
    """Returns the last failures of a target, newest first."""
    return [Failure(view.key, job) for job in view.snapshot.failed_jobs] if view.snapshot else []


def all_failures(views: Iterable[TargetView]) -> list[Failure]:
    """Returns the last failures of all targets, newest first."""
    failures = [failure for view in views for failure in target_failures(view)]
    failures.sort(key=attrgetter("key.account", "key.region_id", "key.job_kind", "job.job_id"))
    return sorted(failures, key=attrgetter("job.ended_at"), reverse=True)  # the same order within a second


def refuse_target_of_other_shard(request: PageRequest, filters: Mapping[str, str]) -> None:
    """Raises PageError if the filters name an account or region of which this shard has no target.

    For an account and a region, as in the links of alerts, the message names the shard that polls them.
    """
    if not request.settings.shard or not {"account", "region_id"} & filters.keys():
        return
    if not any(matches_target(view.key, filters) for view in request.views):
        others = "ask the other shards"
        if {"account", "region_id"} <= filters.keys():
            shard = owner(PollKey(filters["account"], filters["region_id"], ""), request.settings.shards)
            is_here = request.settings.shard == f"shard {shard} of {request.settings.shards}"
            others = "no shard does" if is_here else f"ask shard {shard}, whose pod has a name that ends in -{shard}"
        raise PageError(404, f"this is {request.settings.shard}, which polls no such target: {others}")


def _options(failures: Sequence[Failure], name: str, chosen: str | None) -> list[str]:
    """Returns the values that a filter offers, the chosen one included even if no failure has it."""
    values = set(map(FILTERS[name], failures))
    return sorted(values | {chosen} if chosen else values)
