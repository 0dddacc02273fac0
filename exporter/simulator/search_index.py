"""The lists of a job store as a search index serves them: late, out of step, out of order, incomplete.

The index is between a `JobStore`, which holds the truth, and whoever serves pages. Each store has its own index:

    store = JobStore(now, kind)
    index = SearchIndex(store, Habits(filtered_lists_late_seconds=60, ties_probability=1), Random(7))
    page = index.page(job_type="ASR", job_state="Failed", offset=0, limit=100)
    page.rows         # list[Job | None]: None is a row that is null, a job with an empty job_id a row without an id
    page.next_offset  # offset of the next page, for the token; None at the end, and on an empty answer
    page.total        # number of jobs in the list, as the index knows it
    index.get(job_id)  # the Job that the call for a single job shows, None for 404; its `state` may be any word

    index.habits = replace(index.habits, stopped=True)  # later changes follow the new habits
    index.habits = OFF                                  # everything is the truth again, at once
    index.seen                                          # how often each habit showed, by name

With the same seed, changes and requests, the answers are the same. A habit that is off draws no random number. Jobs
that the store has when a habit of lists is turned on are in the lists at once. Delays of a job that is created with
times in the past count from the later of the two.
"""

from __future__ import annotations

import heapq
import math
import random as random_module
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from exporter.simulator.habits import OFF, Habits
from exporter.simulator.job_lists import JobLists

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from exporter.simulator.job_lists import Filter
    from exporter.simulator.job_store import Job, JobStore


@dataclass(frozen=True, slots=True)
class ListPage:
    """One answer of a list."""

    rows: list[Job | None]
    next_offset: int | None
    total: int


class SearchIndex:
    """Answers for a job store with the given habits; `now` is the store's clock unless another one is given."""

    def __init__(
        self,
        store: JobStore,
        habits: Habits = OFF,
        random: random_module.Random | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.store = store
        self.seen: Counter[str] = Counter()
        """How often each habit showed in an answer, by the name of its field; delays of lists are not in it."""
        self._random = random or random_module.Random(0)
        self._now = now or store.now
        self._habits = OFF
        self._stopped_at = 0.0
        self._chances: list[tuple[str, float]] = []
        self._broken: dict[str, str] = {}
        self._copy: _DelayedLists | None = None
        self._single: _DelayedJobs | None = None
        self.habits = habits
        store.watch(self._note)

    @property
    def habits(self) -> Habits:
        """The habits now; what is set holds for the changes and requests that follow."""
        return self._habits

    @habits.setter
    def habits(self, habits: Habits) -> None:
        if self._copy is not None:
            self._copy.catch_up(self._indexed_until())
        if habits.stopped and not self._habits.stopped:
            self._stopped_at = self._indexed_until()
        self._habits = habits
        self._chances = _defect_chances(habits)
        self._broken = {
            **dict.fromkeys(habits.row_without_id_ids, "row_without_id_ids"),
            **dict.fromkeys(habits.null_row_ids, "null_row_ids"),
        }
        if not habits.delays_lists:
            self._copy = None
        elif self._copy is None:
            self._copy = _DelayedLists(self.store.all_jobs())
        if not habits.get_late_seconds:
            self._single = None
        elif self._single is None:
            self._single = _DelayedJobs(self.store.all_jobs())

    def page(
        self,
        *,
        job_type: str | None = None,
        job_state: str | None = None,
        offset: int = 0,
        limit: int = 10,
        ascending: bool = False,
    ) -> ListPage:
        """Returns the rows of a list from `offset` on, newest first unless `ascending`."""
        if self._strikes("empty_probability"):
            return ListPage([], None, 0)
        jobs: Iterable[Job]
        if self._copy is None:
            jobs = self.store.page(
                job_type=job_type, job_state=job_state, offset=offset, limit=limit, ascending=ascending
            )
        else:
            self._copy.catch_up(self._indexed_until())
            ties = self._random if self._strikes("ties_probability") else None
            jobs = self._copy.page((job_type, job_state), offset, limit, ascending=ascending, random=ties)
            if self._habits.fresh_rows:
                jobs = self._fresh(jobs)
        total = self.total(job_type, job_state)
        following = offset + limit
        return ListPage(self._rows(jobs), following if following < total else None, total)

    def total(self, job_type: str | None = None, job_state: str | None = None) -> int:
        """Returns the number of jobs in a list."""
        if self._copy is None:
            return self.store.total(job_type, job_state)
        self._copy.catch_up(self._indexed_until())
        return self._copy.total((job_type, job_state))

    def get(self, job_id: str) -> Job | None:
        """Returns a job as the call for a single job shows it, None where it does not find it."""
        habits, now = self._habits, self._now()
        if self._single is None:
            job = self.store.get(job_id)
        else:
            self._single.catch_up(now)
            job = self._single.get(job_id)
        if job is None:
            return None
        if job_id in habits.get_missing_ids:
            self.seen["get_missing_ids"] += 1
            return None
        truth = self.store.get(job_id) or job
        if now - truth.modified_at < habits.get_missing_after_change_seconds:
            self.seen["get_missing_after_change_seconds"] += 1
            return None
        if self._strikes("get_missing_probability"):
            return None
        job = self._without_late_error(job)
        if job.state in habits.get_words:
            self.seen["get_words"] += 1
            job = replace(job, state=habits.get_words[job.state])
        return job

    def _note(self, before: Job | None, after: Job | None) -> None:
        """Takes in a change of the store: a creation, a move or a deletion."""
        if self._copy is None and self._single is None:
            return
        now = self._now()
        at = now if before or after is None else min(now, max(after.created_at, after.modified_at))
        if self._copy is not None:
            is_stopped = self._indexed_until() < now
            self._copy.note(before, after, now if is_stopped else at, self._habits, self._random)
        if self._single is not None:
            self._single.note(before, after, at + self._habits.get_late_seconds)

    def _indexed_until(self) -> float:
        """Returns the moment up to which the index has taken in changes; those at the start of a stall wait."""
        if self._habits.stopped:
            return math.nextafter(self._stopped_at, -math.inf)
        now = self._now()
        begin = self._habits.stall_start(now)
        return now if begin is None else math.nextafter(begin, -math.inf)

    def _rows(self, jobs: Iterable[Job]) -> list[Job | None]:
        rows: list[Job | None] = []
        can_break, can_lack_error = bool(self._chances or self._broken), bool(self._habits.error_late_seconds)
        for job in jobs:
            defect = self._defect(job) if can_break else ""
            if defect.startswith("null_row"):
                rows.append(None)
            elif defect.startswith("row_without_id"):
                rows.append(replace(job, job_id=""))
            elif not defect:
                rows.append(self._without_late_error(job) if can_lack_error else job)
        return rows

    def _defect(self, job: Job) -> str:
        """Returns the habit that leaves out or breaks the row of a job in this answer, empty for none."""
        name = self._broken.get(job.job_id, "")
        if not name and self._chances:
            chance = self._random.random()
            name = next((name for name, bound in self._chances if chance < bound), "")
        if name:
            self.seen[name] += 1
        return name

    def _fresh(self, jobs: Iterable[Job]) -> Iterator[Job]:
        for listed in jobs:
            job = self.store.get(listed.job_id)
            if job is not None and job.sequence == listed.sequence:
                yield job

    def _without_late_error(self, job: Job) -> Job:
        if job.error is None or self._now() - job.modified_at >= self._habits.error_late_seconds:
            return job
        self.seen["error_late_seconds"] += 1
        return replace(job, error=None)

    def _strikes(self, name: str) -> bool:
        probability: float = getattr(self._habits, name)
        if not probability or self._random.random() >= probability:
            return False
        self.seen[name] += 1
        return True


def _defect_chances(habits: Habits) -> list[tuple[str, float]]:
    """Returns the habits that break rows by chance, each with the bound below which a number from 0 to 1 selects it.

    Each is tried on the rows that the ones before it have let through: with 0.2 and 0.5, the bounds are 0.2 and 0.6.
    """
    bounds: list[tuple[str, float]] = []
    bound = 0.0
    for name in ("left_out_probability", "null_row_probability", "row_without_id_probability"):
        if probability := getattr(habits, name):
            bound += (1 - bound) * probability
            bounds.append((name, bound))
    return bounds


class _Schedule:
    """Actions that are due later. Those of one subject are done in the order in which they were added."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Hashable, Callable[[], object]]] = []
        self._latest: dict[Hashable, float] = {}
        self._added = 0

    def add(self, due: float, subject: Hashable, action: Callable[[], object]) -> None:
        """Adds an action; it waits for earlier ones of the same subject, even if it is due before them."""
        due = max(due, self._latest.get(subject, due))
        self._latest[subject] = due
        self._added += 1
        heapq.heappush(self._waiting, (due, self._added, subject, action))

    def run_until(self, moment: float) -> None:
        """Does the actions that are due by now."""
        waiting, latest = self._waiting, self._latest
        while waiting and waiting[0][0] <= moment:
            due, _, subject, action = heapq.heappop(waiting)
            action()
            if latest.get(subject) == due:
                del latest[subject]


class _DelayedJobs:
    """Jobs as a replica shows them that is behind."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = {job.job_id: job for job in jobs}
        self._schedule = _Schedule()

    def note(self, before: Job | None, after: Job | None, due: float) -> None:
        if after is not None:
            self._schedule.add(due, after.job_id, partial(self._jobs.__setitem__, after.job_id, after))
        elif before is not None:
            self._schedule.add(due, before.job_id, partial(self._jobs.pop, before.job_id, None))

    def catch_up(self, moment: float) -> None:
        self._schedule.run_until(moment)

    def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)


@dataclass(slots=True)
class _View:
    """What one kind of list shows: the list of all, or the filtered ones."""

    is_filtered: bool
    rows: dict[int, Job]
    """Jobs as the rows show them, by their number of arrival."""
    kept: dict[tuple[Filter, int], Job] = field(default_factory=dict)
    """Jobs as they were, for the rows of lists that they have left but are still in."""

    def keys(self, job: Job) -> tuple[Filter, ...]:
        """Returns the lists of this view that a job belongs in."""
        if not self.is_filtered:
            return ((None, None),)
        return (job.job_type, None), (None, job.state), (job.job_type, job.state)


class _Detour(NamedTuple):
    """Seconds that a move takes between the lists."""

    overlap: float
    gap: float
    state_gap: float


class _DelayedLists:
    """A copy of a store's lists in which each change shows later, and not everywhere at once.

    Example: with filtered lists late by 60 seconds and a gap of 10, a job that ends at second 0 leaves the list of
    Executing at 60 and enters the list of Finished at 70. The list of all never loses it by `state_gap_seconds`, and
    for 10 seconds from 0 on by `gap_seconds`.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._lists = JobLists()
        self._schedule = _Schedule()
        self._appears: dict[int, float] = {}
        """When new jobs enter the lists; what happens to them before shows then."""
        found = {job.sequence: job for job in jobs}
        self._views = _View(is_filtered=False, rows=found), _View(is_filtered=True, rows=dict(found))
        for view in self._views:
            for job in sorted(found.values(), key=lambda job: job.order):
                for key in view.keys(job):
                    self._lists.add(key, job.order)

    def catch_up(self, moment: float) -> None:
        """Shows the changes that are due at a moment."""
        self._schedule.run_until(moment)

    def total(self, key: Filter) -> int:
        return self._lists.total(key)

    def page(
        self, key: Filter, offset: int, limit: int, *, ascending: bool, random: random_module.Random | None
    ) -> Iterator[Job]:
        view = self._views[key != (None, None)]
        for _, sequence, _ in self._lists.page(key, offset, limit, ascending=ascending, random=random):
            job = (view.kept and view.kept.get((key, sequence))) or view.rows.get(sequence)
            if job:
                yield job

    def note(
        self, before: Job | None, after: Job | None, at: float, habits: Habits, random: random_module.Random
    ) -> None:
        """Schedules what a change at a moment does to the lists."""

        def drawn(seconds: float) -> float:
            return random.uniform(0, seconds) if seconds and habits.varied else seconds

        job = after or before
        if job is None:
            return
        if before is None and habits.new_jobs_late_seconds:
            self._appears[job.sequence] = at + drawn(habits.new_jobs_late_seconds)
        appears = self._appears.get(job.sequence, at)
        detour = _Detour(*map(drawn, (habits.overlap_seconds, habits.gap_seconds, habits.state_gap_seconds)))
        if detour.overlap and (detour.gap or detour.state_gap):
            detour = detour._replace(overlap=0.0) if random.getrandbits(1) else _Detour(detour.overlap, 0.0, 0.0)
        stale = drawn(habits.stale_rows_seconds)
        for view in self._views:
            late = habits.filtered_lists_late_seconds if view.is_filtered else habits.unfiltered_list_late_seconds
            due = max(at + drawn(late), appears)
            if before is None:
                self._create(view, job, due)
            elif after is None:
                self._delete(view, job, due)
            else:
                self._move(view, before, after, due, detour)
                self._schedule.add(
                    due + stale, (view.is_filtered, job.sequence), partial(view.rows.__setitem__, job.sequence, after)
                )

    def _create(self, view: _View, job: Job, due: float) -> None:
        view.rows[job.sequence] = job
        for key in view.keys(job):
            self._enter(key, job, due)

    def _move(self, view: _View, before: Job, after: Job, due: float, detour: _Detour) -> None:
        if before.state == after.state:
            return
        old, new = view.keys(before), view.keys(after)
        for key in old:
            if key not in new:
                if detour.overlap:
                    view.kept[key, before.sequence] = before
                self._leave(view, key, before, due + detour.overlap)
            elif detour.gap:
                self._leave(view, key, before, due)
        for key in new:
            if key not in old:
                self._enter(key, after, due + max(detour.gap, detour.state_gap))
            elif detour.gap:
                self._enter(key, after, due + detour.gap)

    def _delete(self, view: _View, job: Job, due: float) -> None:
        for key in view.keys(job):
            self._leave(view, key, job, due)
        self._schedule.add(due, (view.is_filtered, job.sequence), partial(self._forget, view, job.sequence))

    def _enter(self, key: Filter, job: Job, due: float) -> None:
        self._schedule.add(due, (key, job.sequence), partial(self._lists.add, key, job.order))

    def _leave(self, view: _View, key: Filter, job: Job, due: float) -> None:
        self._schedule.add(due, (key, job.sequence), partial(self._left, view, key, job))

    def _left(self, view: _View, key: Filter, job: Job) -> None:
        self._lists.remove(key, job.order)
        view.kept.pop((key, job.sequence), None)

    def _forget(self, view: _View, sequence: int) -> None:
        view.rows.pop(sequence, None)
        self._appears.pop(sequence, None)
