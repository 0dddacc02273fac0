"""What IMS says on the wire, as typed data: parsing that takes missing, null and unknown values as they come.

Source: the API reference of ListSmartJobs and GetSmartHandleJob (version 2020-11-09) and the official Python SDK.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from exporter.errors import (
    ApiError,
    BadRequestError,
    BadResponseError,
    ClockSkewError,
    CredentialsError,
    ForbiddenError,
    NotFoundError,
    ServerError,
    ThrottledError,
    TokenRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_MESSAGE = 300
MOST_READ = 5000
"""So much of an error's message is looked at for secrets; far less is told."""
HTTP_ERRORS = 400
HTTP_FORBIDDEN = 403
HTTP_NOT_FOUND = 404
HTTP_TOO_MANY_REQUESTS = 429
HTTP_SERVER_ERRORS = 500

ERROR_OF_CODE: tuple[tuple[tuple[str, ...], type[ApiError]], ...] = (
    (("Throttling",), ThrottledError),
    (("ServiceUnavailable", "InternalError", "InternalServerError", "SystemBusy"), ServerError),
    (("InvalidTimeStamp",), ClockSkewError),
    (("InvalidAction.NotFound", "InvalidVersion", "InvalidApi"), BadRequestError),
    (("InvalidParameter.NextToken", "InvalidNextToken"), TokenRefusedError),
    (
        (
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "SignatureNonceUsed",
            "InvalidAccessKeyId",
            "InvalidAccessKeySecret",
            "InvalidSecurityToken",
            "MissingSecurityToken",
            "MissingAccessKeyId",
        ),
        CredentialsError,
    ),
    (("NoPermission", "Forbidden", "AccessDenied", "InvalidAction.NoPermission"), ForbiddenError),
)
"""Which class an error code belongs to, by the code's beginning."""


class SmartJob(NamedTuple):  # made by the thousand: a tuple takes a third of the time
    """One item of `SmartJobList`; times are Unix seconds, whatever is not there is None or empty."""

    job_id: str
    job_type: str
    job_state: str
    create_time: int | None
    modified_time: int | None
    title: str = ""
    description: str = ""
    user_id: str = ""
    user_data: str = ""
    editing_config: str = ""
    input_file: str = ""
    keyword: str = ""
    output_bucket: str = ""
    output_object: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of ListSmartJobs; an empty `next_token` ends the list."""

    jobs: tuple[SmartJob, ...]
    next_token: str = ""
    request_id: str = ""
    max_results: int | None = None
    total_count: int | None = None
    server_time: int | None = None
    """The service's clock when it answered (the `Date` header), Unix seconds."""


@dataclass(frozen=True, slots=True)
class SmartHandleJob:
    """One answer of GetSmartHandleJob; error code and message are there for failed jobs only."""

    job_id: str
    state: str
    error_code: str
    error_message: str
    job_type: str
    create_time: int | None
    modified_time: int | None
    title: str = ""
    output: str = ""
    user_data: str = ""
    request_id: str = ""


def parse_page(body: bytes, server_time: int | None = None) -> Page:
    """Reads an answer of ListSmartJobs; raises BadResponseError for anything that is not one."""
    answer = parse_object(body)
    items = answer.get("SmartJobList")
    if items is None and answer.get("RequestId") and not answer.get("Code"):
        items = []  # no job; but any other object would be taken for an account without jobs, and theirs for deleted
    if not isinstance(items, list):
        raise BadResponseError("the answer has no SmartJobList, or it is no list", code="BadResponse")
    return Page(
        jobs=tuple(_job(item) for item in items),
        next_token=_text(answer.get("NextToken")),
        request_id=_text(answer.get("RequestId")),
        max_results=_count(answer.get("MaxResults")),
        total_count=_count(answer.get("TotalCount")),
        server_time=server_time,
    )


def parse_handle_job(body: bytes) -> SmartHandleJob:
    """Reads an answer of GetSmartHandleJob; raises BadResponseError for anything that is not one."""
    answer = parse_object(body)
    info = _object(answer.get("SmartJobInfo"))
    state = _text(answer.get("State"))
    if not state:
        raise BadResponseError("the answer has no State", code="BadResponse")
    return SmartHandleJob(
        job_id=_text(answer.get("JobId")),
        state=state,
        error_code=_text(answer.get("ErrorCode")),
        error_message=_text(answer.get("ErrorMessage")),
        job_type=_text(info.get("JobType")),
        create_time=parse_time(info.get("CreateTime")),
        modified_time=parse_time(info.get("ModifiedTime")),
        title=_text(info.get("Title")),
        output=_text(answer.get("Output")),
        user_data=_text(answer.get("UserData")),
        request_id=_text(answer.get("RequestId")),
    )


def parse_error(
    status: int, body: bytes, retry_after: float = 0.0, masked: Callable[[str], str] = lambda text: text
) -> ApiError:
    """Turns an HTTP error answer into the error whose class says what to do about it.

    `masked` takes out of what the answer says the secrets of the request, which services like to repeat.
    """
    try:
        answer = parse_object(body)
    except BadResponseError:
        answer = {}
    code, message, request_id = (
        masked(_text(answer.get(name))[:MOST_READ]) for name in ("Code", "Message", "RequestId")
    )
    message = message[:MAX_MESSAGE] or f"HTTP status {status} without a message"
    kind = _error_class(status, code)
    return kind(
        f"{code}: {message}" if code else message,
        code=code or f"Http{status}",
        request_id=request_id,
        retry_after=retry_after,
    )


def _error_class(status: int, code: str) -> type[ApiError]:
    for beginnings, kind in ERROR_OF_CODE:
        if code.startswith(beginnings):
            return kind
    if status == HTTP_TOO_MANY_REQUESTS:
        return ThrottledError
    if status >= HTTP_SERVER_ERRORS:
        return ServerError
    if status == HTTP_FORBIDDEN and code:
        return ForbiddenError
    if "NotFound" in code or "NotExist" in code or (status == HTTP_NOT_FOUND and code):
        return NotFoundError
    return BadRequestError if code else BadResponseError


def parse_object(body: bytes) -> dict[str, Any]:
    """Reads a JSON object; raises BadResponseError for anything else."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadResponseError("the answer is not JSON", code="BadResponse") from error
    if not isinstance(answer, dict):
        raise BadResponseError("the answer is not a JSON object", code="BadResponse")
    return answer


def parse_time(value: object) -> int | None:
    """Reads a time such as `2020-12-26T04:11:10Z` (UTC where no zone is given) as Unix seconds, else None."""
    if not isinstance(value, str) or not value:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def _job(item: object) -> SmartJob:
    get = _object(item).get
    job_id = _text(get("JobId"))
    if not job_id:
        raise BadResponseError("a listed job has no JobId", code="BadResponse")
    source, result = _object(get("InputConfig")), _object(get("OutputConfig"))
    return SmartJob(
        job_id,
        _text(get("JobType")) or "unknown",
        _text(get("JobState")) or "unknown",
        parse_time(get("CreateTime")),
        parse_time(get("ModifiedTime")),
        _text(get("Title")),
        _text(get("Description")),
        _text(get("UserId")),
        _text(get("UserData")),
        _text(get("EditingConfig")),
        _text(source.get("InputFile")),
        _text(source.get("Keyword")),
        _text(result.get("Bucket")),
        _text(result.get("Object")),
    )


def _text(value: object) -> str:
    """Reads a text; half a surrogate pair, which JSON may hold, is escaped, as UTF-8 cannot carry it."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    return "" if value is None or isinstance(value, bool | dict | list) else str(value)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int | None:
    """Reads a number that the service may write as a string; surrogate digits and signs are no numbers."""
    text = _text(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None  # noqa: PLR2004 - int64
