"""The simulator serves a job list from its declaration alone: parameters, nesting, names and words of the service."""

from __future__ import annotations

import json

import pytest

from exporter.ims.answers import PageDecoder
from exporter.jobs.kinds import KINDS, JobKind
from exporter.jobs.kinds.kind import DetailsCall, Filters, ItemFields, Paging
from exporter.jobs.states import CANCELLED, CREATED, EXECUTING, FAILED, FINISHED
from exporter.simulator.answers import RefusedError, details_answer, list_answer
from exporter.simulator.job_store import JobStore
from exporter.simulator.lists import read_request

NOW = 1_700_000_000
NESTED = JobKind(
    name="nested",
    title="nested jobs",
    action="ListNestedJobs",
    method="POST",
    filters=Filters(state="Status"),
    newest_first=("OrderBy", "CreateTimeDesc"),
    paging=Paging(size="PageSize", token="NextPageToken", answer_token=("JobList", "NextPageToken"), max_size=50),
    items=("JobList", "Jobs"),
    fields=ItemFields(
        job_id="Id",
        state="Status",
        created="CreateTime",
        ended="FinishTime",
        error_code="Code",
        error_message="Message",
    ),
    states=(("Init", CREATED), ("Running", EXECUTING), ("Success", FINISHED), ("Fail", FAILED), ("Gone", CANCELLED)),
    details=DetailsCall("GetNestedJob", "POST", "JobId", ("Job", "Status"), ("Job", "Code"), ("Job", "Message")),
    not_filterable=("Gone",),
)
"""A kind that differs from smart jobs in every field of a declaration."""

each_kind = pytest.mark.parametrize("kind", [*KINDS.values(), NESTED], ids=lambda kind: kind.name)


def filled(kind: JobKind) -> JobStore:
    """Returns jobs in every state of a kind, one second after another."""
    store = JobStore(lambda: NOW, kind)
    for age, state in enumerate(reversed(kind.job_states)):
        error = ("Code", "Message") if state == FAILED else None
        store.create(kind.known_types[0], state=state, created_at=NOW - age, modified_at=NOW, error=error)
    return store


@each_kind
def test_the_client_reads_what_the_store_holds(kind: JobKind) -> None:
    """Every job of a page comes back with its id, state, times and error, and so does the token of the next page."""
    jobs = filled(kind).page(limit=100)

    page = PageDecoder(kind).decode(list_answer(kind, jobs, 100, "token", None).body)

    assert page.next_token == "token"
    assert [(job.job_id, job.job_state, job.created_at) for job in page.jobs] == [
        (job.job_id, job.state, job.created_at) for job in jobs
    ]
    assert all(
        bool(job.ended_at) == (bool(kind.fields.ended) and job.job_state in kind.ended_states) for job in page.jobs
    )
    assert all(bool(job.error_code) == (bool(kind.fields.error_code) and job.job_state == FAILED) for job in page.jobs)


@each_kind
def test_pages_lead_through_a_filtered_list(kind: JobKind) -> None:
    """State filter, page size and token are read by their declared names."""
    store = filled(kind)
    store.create(kind.known_types[0], state=FINISHED)
    word = kind.filters_of(FINISHED)[0]
    parameters = dict([kind.newest_first, (kind.filters.state, word), (kind.paging.size, "1")])

    first = read_request(kind, parameters, store)
    second = read_request(kind, {**parameters, kind.paging.token: first.at(1).token}, store)

    assert (first.job_state, first.ascending, first.offset, first.limit) == (FINISHED, False, 0, 1)
    assert second == first.at(1)


@each_kind
def test_the_details_of_a_failed_job_have_its_error(kind: JobKind) -> None:
    """State and error stand where the declaration says, the error for a failed job only."""
    assert kind.details is not None
    store = filled(kind)
    (failed,), (finished,) = store.page(job_state=FAILED), store.page(job_state=FINISHED)

    answers = [json.loads(details_answer(kind, kind.details, job).body) for job in (failed, finished)]

    assert [kind.state_of(str(at(answer, kind.details.state))) for answer in answers] == [FAILED, FINISHED]
    assert [at(answer, kind.details.error_code) for answer in answers] == ["Code", None]


def at(answer: dict[str, object], path: tuple[str, ...]) -> object:
    """Returns the value at a path; None if there is none."""
    value: object = answer
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


@pytest.mark.parametrize(
    ("name", "value"), [("Status", "Gone"), ("Status", "Nonsense"), ("OrderBy", "Title"), ("PageSize", "51")]
)
def test_what_the_declaration_does_not_allow_is_refused(name: str, value: str) -> None:
    """A state that cannot be filtered, an unknown state or order, and a page that is too large are refused."""
    with pytest.raises(RefusedError, match=f"InvalidParameter: The specified parameter {name} is not valid: {value}"):
        read_request(NESTED, {name: value}, filled(NESTED))
