"""Typed answers of the service; a value that is missing, null or of an unexpected type never fails the decoding.

A page is decoded by msgspec into just the fields that its job kind declares. An answer that msgspec refuses, such as
one with half of a surrogate pair or an item that is no object, is decoded again by Python's own decoder.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec

from exporter.errors import (
    AccountUnusableError,
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
from exporter.jobs.labels import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.jobs.kinds import JobKind
    from exporter.jobs.kinds.kind import DetailsCall, Path

MAX_MESSAGE = 300
"""Maximum number of characters of an error message that are kept."""
MAX_MESSAGE_READ = 5000
"""Maximum number of characters of an error message that are searched for secrets, before it is cut."""
MAX_CODE = 128
"""Maximum number of characters of an error code, a job type and a job state; a longer one is cut."""
MAX_ID = 256
"""Maximum number of characters of a job id; a longer one is no id."""
MAX_TOKEN = 8192
"""Maximum number of characters of a page token, which is sent back in a URL."""
MAX_ROWS = 1000
"""Maximum number of jobs on a page. The exporter asks for 100; the service may ignore that."""
MAX_VALUES = 200_000
"""Maximum number of JSON values in an answer, counted before it is decoded: an empty object costs 3 bytes in the
answer, and 100 in memory."""
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
"""The class of an error code, by the beginning of the code; the first that fits counts."""


ACCOUNT_UNUSABLE = re.compile(
    "arrear|overdue|indebt|notenoughbalance|insufficientbalance|unpaid|notopen|notenabled|notactivated|unopened|"
    "accountstatus",
    re.IGNORECASE,
)
"""In the error codes of an account that owes money or has not activated the service; each service has its own words."""

LATEST_TIME = 253_370_764_800
"""Start of the year 9999, Unix seconds; a later time, or one before 1970, is read as no time."""
NULL = msgspec.Raw(b"null")
TIME_FIELDS = ("created", "ended", "modified")
_TIME = Annotated[datetime, msgspec.Meta(tz=True)] | None
"""A time with its zone; any other value makes the page one to be decoded leniently."""


class ListedJob(NamedTuple):  # created by the thousand: a tuple takes a third of the time of a dataclass
    """One item of a list; times are Unix seconds, a value that the item lacks is None or empty."""

    job_id: str
    job_type: str
    job_state: str
    """A state of `exporter.jobs.states`, or the service's own word where that word is not documented."""
    created_at: int | None
    modified_at: int | None
    ended_at: int | None = None
    error_code: str = ""
    error_message: str = ""
    user_data: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; an empty `next_token` ends the list."""

    jobs: tuple[ListedJob, ...]
    next_token: str = ""
    skipped: tuple[str, ...] = ()
    """Why items could not be read, one reason for each: `no_id` or `not_an_object`."""
    server_time: int | None = None
    """The service's clock when it answered (the `Date` header), Unix seconds."""


@dataclass(frozen=True, slots=True)
class JobDetails:
    """One job as its details call returns it; error code and message are empty unless the job failed."""

    job_state: str
    error_code: str = ""
    error_message: str = ""
    modified_at: int | None = None


class PageDecoder:
    """Decodes the pages of one job kind."""

    def __init__(self, kind: JobKind) -> None:
        self._kind = kind
        self._state_of = dict(kind.states)
        words = {name: getattr(kind.fields, name) for name in kind.fields.__slots__}
        self._names = {name: word for name, word in words.items() if word}
        self._item = msgspec.defstruct(
            "Item",
            [(name, _TIME if name in TIME_FIELDS else str | None, None) for name in self._names],
            rename=self._names,
            # Fields that items of this kind lack are None; a kind without types has one, its own name.
            namespace=dict.fromkeys(words.keys() - self._names.keys())
            | ({} if kind.job_types else {"job_type": kind.name}),
            gc=False,
        )
        self._object = msgspec.json.Decoder(dict[str, msgspec.Raw])
        self._items = msgspec.json.Decoder(list[self._item])  # type: ignore[name-defined] # made at run time

    def decode(self, body: bytes, server_time: int | None = None) -> Page:
        """Returns the page; raises BadResponseError for an answer that is no page of this list, or too large a one."""
        refuse_many_values(body)
        try:
            answer = self._object.decode(body)
            items = self._items.decode(self._raw(answer, self._kind.items))
            token = msgspec.json.decode(self._raw(answer, self._kind.paging.answer_token))
            is_typed = True
        except (msgspec.MsgspecError, ValueError, RecursionError):
            items, token = self._decode_leniently(body)
            is_typed = False
        if len(items) > MAX_ROWS:
            raise BadResponseError(f"the page has more than {MAX_ROWS} jobs", code="PageTooLarge")
        next_token = _text(token, MAX_TOKEN + 1)
        if len(next_token) > MAX_TOKEN:
            raise BadResponseError(f"the page token has more than {MAX_TOKEN} characters", code="PageTooLarge")
        objects = [item for item in items if item is not None]
        jobs = self._jobs(objects) if is_typed else map(self._lenient_job, objects)
        readable = tuple([job for job in jobs if 0 < len(job.job_id) <= MAX_ID])
        skipped = ("not_an_object",) * (len(items) - len(objects)) + ("no_id",) * (len(objects) - len(readable))
        return Page(readable, next_token, skipped, server_time)

    def _raw(self, answer: dict[str, msgspec.Raw], path: Path) -> msgspec.Raw:
        *outer, last = path
        for name in outer:
            answer = self._object.decode(answer.get(name, NULL))
        return answer.get(last, NULL)

    def _decode_leniently(self, body: bytes) -> tuple[list[Any], object]:
        answer = parse_object(body)
        found = _at(answer, self._kind.items)
        if found is None and answer.get("RequestId") and not answer.get("Code"):
            found = []  # only an answer of the service itself may say that there are no jobs
        if not isinstance(found, list):
            raise BadResponseError(f"the answer has no list {'.'.join(self._kind.items)}", code="BadResponse")
        if len(found) > MAX_ROWS:
            return found, None
        items = [self._item_of(item) if isinstance(item, dict) else None for item in found]
        return items, _at(answer, self._kind.paging.answer_token)

    def _item_of(self, item: dict[str, Any]) -> Any:  # noqa: ANN401 - a struct made at run time
        return self._item(**{name: item.get(word) for name, word in self._names.items()})

    def _jobs(self, items: list[Any]) -> Iterator[ListedJob]:
        """Yields the jobs of items that msgspec has found to be of the declared types; this loop runs for most rows."""
        state_of, has_reason = self._state_of, bool(self._kind.fields.error_code)
        for item in items:
            created, modified, state = item.created, item.modified, item.state
            job = ListedJob(
                item.job_id or "",
                (item.job_type or UNKNOWN)[:MAX_CODE],
                state_of.get(state) or (state or UNKNOWN)[:MAX_CODE],
                None if created is None else _seconds(created),
                None if modified is None else _seconds(modified),
                item.ended and _seconds(item.ended),
                user_data=item.user_data or "",  # whoever parses it cuts what is kept of it
            )
            yield _with_reason(job, item) if has_reason else job

    def _lenient_job(self, item: Any) -> ListedJob:  # noqa: ANN401 - a struct made at run time
        state = _text(item.state, MAX_CODE)
        return ListedJob(
            _text(item.job_id, MAX_ID + 1),
            _text(item.job_type, MAX_CODE) or UNKNOWN,
            self._state_of.get(state, state or UNKNOWN),
            parse_time(item.created),
            parse_time(item.modified),
            parse_time(item.ended),
            _text(item.error_code, MAX_CODE),
            _text(item.error_message, MAX_MESSAGE),
            _text(item.user_data, None),  # whoever parses it cuts what is kept of it
        )


def _with_reason(job: ListedJob, item: Any) -> ListedJob:  # noqa: ANN401 - a struct made at run time
    code, message = (item.error_code or "")[:MAX_CODE], (item.error_message or "")[:MAX_MESSAGE]
    return job._replace(error_code=code, error_message=message)


def parse_details(body: bytes, kind: JobKind, details: DetailsCall) -> JobDetails:
    """Returns the answer of a details call; raises BadResponseError for an answer without a state."""
    answer = parse_object(body)
    state = _text(_at(answer, details.state), MAX_CODE)
    if not state:
        raise BadResponseError(f"the answer has no {'.'.join(details.state)}", code="BadResponse")
    return JobDetails(
        job_state=kind.state_of(state),
        error_code=_text(_at(answer, details.error_code), MAX_CODE) if details.error_code else "",
        error_message=_text(_at(answer, details.error_message), MAX_MESSAGE) if details.error_message else "",
        modified_at=parse_time(_at(answer, details.modified)) if details.modified else None,
    )


def parse_error(
    status: int, body: bytes, retry_after: float = 0.0, masked: Callable[[str], str] = lambda text: text
) -> ApiError:
    """Returns the error that an HTTP error answer means; its class decides what the caller does.

    `masked` removes the secrets of the request from the texts of the answer, since services repeat what they were sent.
    """
    try:
        answer = parse_object(body)
    except BadResponseError:
        answer = {}
    code, message, request_id = (
        masked(_text(answer.get(name), MAX_MESSAGE_READ)) for name in ("Code", "Message", "RequestId")
    )
    code, request_id = code[:MAX_CODE], request_id[:MAX_CODE]
    message = message[:MAX_MESSAGE] or f"HTTP status {status} without a message"
    kind = AccountUnusableError if ACCOUNT_UNUSABLE.search(code) else _error_class(status, code)
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
    """Returns a JSON object; raises BadResponseError for anything else."""
    refuse_many_values(body)
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadResponseError("the answer is not JSON", code="BadResponse") from error
    if not isinstance(answer, dict):
        raise BadResponseError("the answer is not a JSON object", code="BadResponse")
    return answer


def refuse_many_values(body: bytes) -> None:
    """Raises BadResponseError if an answer may hold more than `MAX_VALUES` values, by its commas and brackets.

    These also occur in texts, so the number is an upper bound: `{"a": "b,c"}` counts as three.
    """
    may_hold_more = len(body) > MAX_VALUES  # a value takes a character at least
    if may_hold_more and body.count(b",") + body.count(b"{") + body.count(b"[") > MAX_VALUES:
        raise BadResponseError(f"the answer has more than {MAX_VALUES} values", code="PageTooLarge")


def parse_time(value: object) -> int | None:
    """Returns a time such as `2020-12-26T04:11:10Z` in Unix seconds; None for anything else.

    A time without a zone is UTC.
    """
    if not isinstance(value, str) or not value:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return _seconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None


def _seconds(moment: datetime) -> int | None:
    seconds = int(moment.timestamp())
    return seconds if 0 <= seconds < LATEST_TIME else None


def _text(value: object, maximum: int | None) -> str:
    """Returns a text, or a number as a text, cut to a number of characters; half of a surrogate pair is escaped."""
    if isinstance(value, str):
        value = value[:maximum]
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    return "" if value is None or isinstance(value, bool | dict | list) else str(value)[:maximum]


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _at(value: object, path: Path) -> object:
    """Returns the value at a path of nested objects; None where there is none."""
    for name in path:
        value = _object(value).get(name)
    return value
