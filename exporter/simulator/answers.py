"""The answers of the simulated service as JSON, encoded by the declaration of the job kind."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exporter.jobs.states import ENDED_STATES, FAILED
from exporter.simulator.job_store import wire_time
from exporter.simulator.profiles import extra_details, extra_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.jobs.kinds import JobKind
    from exporter.jobs.kinds.kind import DetailsCall, Path
    from exporter.simulator.job_store import Job


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `code` is the error code, or OK."""

    status: int
    body: bytes
    code: str = "OK"
    headers: dict[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """The service answers the call with an HTTP status, an error code and a message."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


def invalid_parameter(name: str, value: str) -> RefusedError:
    """Returns the error for a parameter with an invalid value."""
    return RefusedError(400, "InvalidParameter", f"The specified parameter {name} is not valid: {value[:64]}.")


def list_answer(kind: JobKind, jobs: Iterable[Job | None], limit: int, next_token: str, total: int | None) -> Answer:
    """Returns one page of a job list; the token is empty on the last page, TotalCount is there only if given.

    None is a row that is null; a job whose id is empty is a row without an id.
    """
    content: dict[str, Any] = {}
    *parents, token_name = kind.paging.answer_token
    _put(content, kind.items, [job and _item(kind, job) for job in jobs])
    _put(content, (*parents, token_name), next_token)
    _put(content, (*parents, kind.paging.size), str(limit))
    if total is not None:
        _put(content, (*parents, "TotalCount"), str(total))
    return _answer(200, content)


def details_answer(kind: JobKind, details: DetailsCall, job: Job) -> Answer:
    """Returns the answer of the details call of a kind; an error is there for a job that failed, by whatever word."""
    content = extra_details(kind, job)
    _put(content, (details.job_id,), job.job_id)
    _put(content, details.state, word_of(kind, job.state))
    _put(content, details.modified, wire_time(job.modified_at))
    if job.error and (job.state == FAILED or job.state not in kind.job_states):
        _put(content, details.error_code, job.error[0])
        _put(content, details.error_message, job.error[1])
    return _answer(200, content)


def error_answer(refused: RefusedError, host: str) -> Answer:
    """Returns the error as the service writes it."""
    content: dict[str, Any] = {
        "HostId": host,
        "Code": refused.code,
        "Message": refused.message,
        "Recommend": f"https://api.aliyun.com/troubleshoot?q={refused.code}&product=ICE",
    }
    headers = {} if refused.retry_after is None else {"Retry-After": f"{refused.retry_after:g}"}
    return _answer(refused.status, content, refused.code, headers)


def word_of(kind: JobKind, state: str) -> str:
    """Returns the first word that a kind has for a state; a state that is not documented is its own word."""
    return next((word for word, means in kind.states if means == state), state)


def _item(kind: JobKind, job: Job) -> dict[str, Any]:
    """Returns a list item: the declared fields, and some that the exporter ignores."""
    names = kind.fields
    has_ended, error = job.state in ENDED_STATES, job.error if job.state == FAILED else None
    values = {
        names.job_id: job.job_id,
        names.job_type: job.job_type,
        names.state: word_of(kind, job.state),
        names.created: wire_time(job.created_at),
        names.modified: wire_time(job.modified_at),
        names.ended: wire_time(job.modified_at) if has_ended else "",
        names.error_code: error[0] if error else "",
        names.error_message: error[1] if error else "",
        names.user_data: '{"user":"data"}',
    }
    if not job.job_id:
        del values[names.job_id]
    return {**extra_fields(kind, job), **{name: value for name, value in values.items() if name}}


def _put(content: dict[str, Any], path: Path, value: object) -> None:
    """Sets the value at a path of nested objects; an empty path sets nothing."""
    for name in path[:-1]:
        content = content.setdefault(name, {})
    if path:
        content[path[-1]] = value


def _answer(status: int, content: dict[str, Any], code: str = "OK", headers: dict[str, str] | None = None) -> Answer:
    request_id = str(uuid.uuid4()).upper()
    body = json.dumps({"RequestId": request_id, **content}).encode()
    return Answer(status, body, code, {"x-acs-request-id": request_id, **(headers or {})})
