"""The declaration of a job kind: everything that differs between the job lists of the service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from exporter.jobs.states import ENDED_STATES, JOB_STATES, OPEN_STATES

Path: TypeAlias = tuple[str, ...]
"""Names of nested JSON objects, outermost first."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Request parameters that filter a list; empty where the list has no such filter."""

    state: str
    job_type: str = ""


@dataclass(frozen=True, slots=True)
class Paging:
    """Request parameters that select a page, and where an answer holds the token of the next one.

    A list that can also be read by page number names the parameters `number` and `number_size`.
    """

    size: str
    token: str
    answer_token: Path
    max_size: int = 100
    number: str = ""
    number_size: str = ""


@dataclass(frozen=True, slots=True)
class ItemFields:
    """Names of the fields of a list item; empty where the item has no such field."""

    job_id: str
    state: str
    created: str
    job_type: str = ""
    ended: str = ""
    modified: str = ""
    error_code: str = ""
    error_message: str = ""
    user_data: str = ""


@dataclass(frozen=True, slots=True)
class DetailsCall:
    """The call that returns one job, with the reason of a failure; each path leads to a value of the answer."""

    action: str
    method: str
    job_id: str
    """The request parameter that names the job."""
    state: Path
    error_code: Path = ()
    error_message: Path = ()
    modified: Path = ()


@dataclass(frozen=True, slots=True)
class AlertLimits:
    """Default thresholds of the bundled alerts for one job type; all other job types share common defaults."""

    job_type: str
    stuck_seconds: int
    """Maximum age of an open job."""
    stalled_seconds: int
    """Maximum time without a finished job while jobs wait."""


@dataclass(frozen=True, slots=True)
class JobKind:
    """One job list of the service: how it is called, what its answers mean, and what its jobs can be.

    Every list must be in order of creation and must return the newest job first when asked by `newest_first`.
    """

    name: str
    title: str
    """Name of the jobs in texts, in the plural, such as `smart jobs`."""
    action: str
    method: str
    filters: Filters
    newest_first: tuple[str, str]
    """Request parameter and value that sort the list by creation, newest job first."""
    paging: Paging
    items: Path
    fields: ItemFields
    states: tuple[tuple[str, str], ...]
    """Pairs of a state as the service spells it and the exporter's state it means, in the order of a job's life."""
    details: DetailsCall | None = None
    job_types: tuple[str, ...] = ()
    """The documented values of the job type; empty where jobs have no type."""
    not_filterable: tuple[str, ...] = field(default=())
    """States, as the service spells them, that items can have but the filter does not accept."""
    alert_limits: tuple[AlertLimits, ...] = ()
    """Job types whose alert thresholds differ from the common defaults."""

    @property
    def known_types(self) -> tuple[str, ...]:
        """The values of the label `job_type` that are known beforehand: a kind without types has one, its own name."""
        return self.job_types or (self.name,)

    @property
    def job_states(self) -> tuple[str, ...]:
        """The states that its jobs can have, in the order of a job's life."""
        means = {state for _, state in self.states}
        return tuple(state for state in JOB_STATES if state in means)

    @property
    def open_states(self) -> tuple[str, ...]:
        """The states of jobs that have not ended, in the order of a job's life."""
        return tuple(state for state in self.job_states if state in OPEN_STATES)

    @property
    def ended_states(self) -> tuple[str, ...]:
        """The states of jobs that have ended."""
        return tuple(state for state in self.job_states if state in ENDED_STATES)

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions of the service that are called, the list first: each needs a permission."""
        return (self.action, *((self.details.action,) if self.details else ()))

    def state_of(self, word: str) -> str:
        """Returns the state that a word of the service means; a word that is not documented stays as it is."""
        return dict(self.states).get(word, word)

    def filters_of(self, job_state: str) -> tuple[str, ...]:
        """Returns the words that filter the list for a state; a state that is not documented is its own word."""
        words = tuple(word for word, state in self.states if state == job_state)
        return tuple(word for word in words if word not in self.not_filterable) if words else (job_state,)
