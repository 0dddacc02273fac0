"""What the exporter must say of a simulated account's jobs, and what it does say, in the same form."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.simulator.world import World
    from tests.exporterprocess import Exporter, Scrape

Counts = dict[str, dict[Any, float]]
"""Numbers other than zero, by what is counted and by label values."""


class Truth:
    """What has happened in a world since this was made, right after the first poll; deletions are not foreseen."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._created = Counter(world.created_ever)
        self._ended = Counter(world.ended_ever)
        self._failures = _failures(world)

    def now(self) -> Counts:
        """Returns what the exporter must say now."""
        world = self._world
        return {
            "jobs": dict(world.counts()),
            "created": {(job_type,): number for job_type, number in (world.created_ever - self._created).items()},
            "ended": dict(world.ended_ever - self._ended),
            "failures": dict(_failures(world) - self._failures),
            "deleted": {},
        }


def told(scrape: Scrape) -> Counts:
    """Returns what the exporter says."""
    shown = {
        "jobs": scrape.by("ims_smart_jobs", "job_type", "job_state"),
        "created": scrape.by("ims_smart_jobs_created_total", "job_type"),
        "ended": scrape.by("ims_smart_jobs_ended_total", "job_type", "job_state"),
        "failures": scrape.by("ims_smart_job_failures_total", "job_type", "error_code"),
        "deleted": scrape.by("ims_smart_jobs_deleted_total", "job_type"),
    }
    return {name: {key: value for key, value in values.items() if value} for name, values in shown.items()}


def comes_to_tell(running: Exporter, expected: Counts) -> Scrape:
    """Returns a scrape that says what is expected; fails with the difference if none does in time."""
    last: list[Counts] = []

    def is_told(scrape: Scrape) -> bool:
        last[:] = [told(scrape)]
        return last == [expected]

    try:
        return running.wait_for("the counts are the world's", is_told)
    except AssertionError:
        assert last == [expected]
        raise


def _failures(world: World) -> Counter[tuple[str, str]]:
    failed = world.page(job_state="Failed", limit=world.total(job_state="Failed"))
    return Counter((job.job_type, job.error[0] if job.error else "unknown") for job in failed)
