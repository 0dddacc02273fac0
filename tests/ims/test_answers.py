"""What the service says is read for what it is worth, and nothing it could say breaks the reading."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from dataclasses import astuple
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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
from exporter.ims.answers import JobDetails, ListedJob, Page, PageDecoder, parse_details, parse_error, parse_time
from exporter.jobs.kinds import SMART

ITEM = {
    "JobId": "20b48fb04483915d4f2cd8ac",
    "Title": "title",
    "Description": "description",
    "UserId": 1084506228,
    "JobType": "ASR",
    "EditingConfig": '{"AudioConfig":{},"InputConfig":""}',
    "UserData": '{"user":"data"}',
    "JobState": "Finished",
    "CreateTime": "2020-12-26T04:11:10Z",
    "ModifiedTime": "2020-12-26T04:11:12Z",
    "InputConfig": {"InputFile": "oss://bucket/example.mp4", "Keyword": "word"},
    "OutputConfig": {"Bucket": "test-bucket", "Object": "test-object"},
}
LIST = {"RequestId": "r", "SmartJobList": [ITEM], "NextToken": "CBB6BC61D08", "MaxResults": "10", "TotalCount": "110"}
DETAILS = {
    "RequestId": "r",
    "JobId": "a",
    "State": "Failed",
    "ErrorCode": "InvalidInput",
    "ErrorMessage": "no such file",
    "Output": "out",
    "UserData": "data",
    "SmartJobInfo": {key: ITEM[key] for key in ("JobType", "Title", "CreateTime", "ModifiedTime")},
}
NO_TIMES: tuple[object, ...] = (
    "",
    None,
    "never",
    "9999-12-31T23:59:59-00:01",
    "1969-12-31T23:59:59Z",
    "2020-13-01T00:00:00Z",
    "2020-12-26T25:11:10Z",
    "0000-00-00",
    7,
    [],
)
EMPTY_JOB = ListedJob("a", "unknown", "unknown", None, None)
parse_page = PageDecoder(SMART).decode
FIELDS = sorted({*ITEM, *LIST, *DETAILS, "Code", "Message"})
TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
"""Texts with halves of surrogate pairs among their characters, as JSON may hold them."""
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
ANY_JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | TEXTS, inner, max_size=6),
    max_leaves=20,
)
BODIES = st.binary(max_size=100) | ANY_JSON.map(lambda value: json.dumps(value).encode())


def body(value: object) -> bytes:
    """Returns a value as it comes over the wire."""
    return json.dumps(value).encode()


def job_of(**fields: object) -> ListedJob:
    """Returns the one job of a page."""
    (job,) = parse_page(body({"SmartJobList": [{"JobId": "a", **fields}]})).jobs
    return job


def read_details(answer: bytes) -> JobDetails:
    """Reads the answer of a details call."""
    assert SMART.details
    return parse_details(answer, SMART, SMART.details)


def details_of(answer: dict[str, Any]) -> JobDetails:
    """Returns the one job of an answer."""
    return read_details(body(answer))


def test_documented_page() -> None:
    """Every field of the documented answer is read."""
    page = parse_page(body(LIST), server_time=7)

    job = ListedJob("20b48fb04483915d4f2cd8ac", "ASR", "Finished", 1608955870, 1608955872, user_data='{"user":"data"}')
    assert page == Page((job,), "CBB6BC61D08", server_time=7)


@pytest.mark.parametrize("jobs", [{}, {"SmartJobList": None, "NextToken": None}, {"SmartJobList": []}])
def test_empty_page(jobs: dict[str, Any]) -> None:
    """A missing, null or empty list is an empty last page."""
    assert parse_page(body({"RequestId": "r", **jobs})) == Page(())


@pytest.mark.parametrize(
    "answer",
    [{}, {"status": "ok"}, {"Code": "InternalError", "Message": "x", "RequestId": "1"}, {"SmartJobList": None}],
)
def test_an_object_of_somebody_else(answer: dict[str, Any]) -> None:
    """Without a list and the service's own mark it is no account without jobs: theirs would count as deleted."""
    with pytest.raises(BadResponseError):
        parse_page(body(answer))


@pytest.mark.parametrize("nothing", [None, "", [], {}, True, [1], {"x": 1}])
def test_fields_that_say_nothing(nothing: object) -> None:
    """A field that is null, empty or of a type that cannot be meant is as good as missing."""
    fields = dict.fromkeys(set(ITEM) - {"JobId"}, nothing)

    assert job_of() == EMPTY_JOB
    assert job_of(**fields) == EMPTY_JOB


def test_numbers_serve_as_texts() -> None:
    """A number where a text is documented is taken as its text."""
    assert (job_of(UserData=5).user_data, job_of(JobState=5).job_state) == ("5", "5")


def test_unknown_values_are_data() -> None:
    """A type and a state that nobody documented are kept; unknown fields are passed over."""
    job = job_of(JobType="Hologram", JobState="Paused", Mood="good")

    assert job == ListedJob("a", "Hologram", "Paused", None, None)


@pytest.mark.parametrize("answer", [{"SmartJobList": "x"}, {"SmartJobList": {}}, {"SmartJobList": 0}, [], "x", 1, None])
def test_no_page(answer: object) -> None:
    """What holds no list of jobs where one should be is refused."""
    with pytest.raises(BadResponseError):
        parse_page(body(answer))


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({}, "no_id"),
        ({"JobId": ""}, "no_id"),
        ({"JobId": None}, "no_id"),
        ({"JobId": ["a"]}, "no_id"),
        ("a", "not_an_object"),
        (None, "not_an_object"),
        (1, "not_an_object"),
    ],
)
def test_an_item_that_cannot_be_read(item: object, reason: str) -> None:
    """A job that cannot be named is skipped and counted by reason; the other jobs of its page are read."""
    page = parse_page(body({"SmartJobList": [item, ITEM, item], "NextToken": "more"}))

    assert [job.job_id for job in page.jobs] == [ITEM["JobId"]]
    assert (page.skipped, page.next_token) == ((reason, reason), "more")


def test_a_page_that_can_be_read_skips_nothing() -> None:
    """An ordinary page has no skipped item."""
    assert parse_page(body({"SmartJobList": [ITEM, ITEM]})).skipped == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-12-26T04:11:10Z", 1608955870),
        ("2020-12-26T04:11:10.999Z", 1608955870),
        ("2020-12-26T12:11:10+08:00", 1608955870),
        ("2020-12-26T12:11:10+0800", 1608955870),
        ("2020-12-26T04:11:10", 1608955870),
        ("2020-12-26 04:11:10", 1608955870),
        ("1970-01-01T00:00:00Z", 0),
        *((text, None) for text in NO_TIMES),
    ],
)
def test_times(text: object, expected: int | None) -> None:
    """A time is read to the second, in UTC where no zone is given; nonsense is no time."""
    assert parse_time(text) == expected


def test_documented_details() -> None:
    """Every field of the answer for one job is read."""
    assert details_of(DETAILS) == JobDetails("Failed", "InvalidInput", "no such file", 1608955872)


@pytest.mark.parametrize("nothing", [None, {}, [], "x"])
def test_details_without_particulars(nothing: object) -> None:
    """Of the answer for one job only the state is needed."""
    answer = {"State": "Executing", "SmartJobInfo": nothing, "ErrorCode": None}

    assert details_of(answer) == JobDetails("Executing")
    with pytest.raises(BadResponseError, match="no State"):
        details_of({**DETAILS, "State": nothing if nothing != "x" else ""})


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "Throttling", ThrottledError),
        (400, "Throttling.User", ThrottledError),
        (429, "Throttling.Api", ThrottledError),
        (503, "Throttling", ThrottledError),
        (429, "", ThrottledError),
        (503, "ServiceUnavailable", ServerError),
        (500, "InternalError", ServerError),
        (500, "SomethingNew", ServerError),
        (502, "", ServerError),
        (400, "SignatureDoesNotMatch", CredentialsError),
        (404, "InvalidAccessKeyId.NotFound", CredentialsError),
        (400, "InvalidAccessKeyId.Inactive", CredentialsError),
        (400, "InvalidSecurityToken.Expired", CredentialsError),
        (400, "SignatureNonceUsed", CredentialsError),
        (400, "IncompleteSignature", CredentialsError),
        (400, "InvalidTimeStamp.Expired", ClockSkewError),
        (404, "InvalidAction.NotFound", BadRequestError),
        (403, "NoPermission", ForbiddenError),
        (403, "Forbidden.RAM", ForbiddenError),
        (400, "Forbidden.RAM", ForbiddenError),
        (403, "SomethingNew", ForbiddenError),
        (404, "JobNotFound", NotFoundError),
        (404, "InvalidJobId.NotExist", NotFoundError),
        (400, "InvalidParameter", BadRequestError),
        (400, "InvalidParameter.NextToken", TokenRefusedError),
        (404, "", BadResponseError),
        (403, "", BadResponseError),
    ],
)
def test_error_codes(status: int, code: str, kind: type[ApiError]) -> None:
    """The code, not the HTTP status, says what is to be done; a status alone does so where it can."""
    answer = {"Code": code, "Message": "words", "RequestId": "r", "HostId": "h", "Recommend": "https://elsewhere"}

    error = parse_error(status, body(answer), retry_after=2.0)

    assert type(error) is kind
    assert str(error) == (f"{code}: words" if code else "words")
    assert (error.code, error.request_id, error.retry_after) == (code or f"Http{status}", "r", 2.0)


@pytest.mark.parametrize("answer", [b"", b"<html>502 Bad Gateway</html>", b"[]", b"null", b"{}"])
def test_errors_of_somebody_else(answer: bytes) -> None:
    """An error page that is not the service's is told by its status, and never quoted."""
    assert str(parse_error(502, answer)) == "HTTP status 502 without a message"
    assert isinstance(parse_error(404, answer), BadResponseError)


def test_long_error_messages_are_cut() -> None:
    """A message of any length ends up as a line."""
    error = parse_error(400, body({"Code": "X", "Message": "m" * 10_000}))

    assert len(str(error)) == 303


@pytest.mark.property
@given(BODIES)
@example(b"[" * 100_000)
@example(b'{"State":' * 100_000)
@example(b'{"TotalCount": ' + b"1" * 5000 + b"}")
@example(b'\xef\xbb\xbf{"State": "Failed"}')
@example(b"\xff\xfe")
def test_nothing_breaks_the_reading(answer: bytes) -> None:
    """Whatever comes is a page, a job, or a BadResponseError; an error answer is always an ApiError."""
    for parse in (parse_page, read_details):
        with suppress(BadResponseError):
            parse(answer)
    assert isinstance(parse_error(400, answer), ApiError)


@pytest.mark.property
@given(TEXTS)
@example("cut \ud83d")
def test_every_text_read_can_be_stored_and_shown(text: str) -> None:
    """JSON may hold halves of characters, which no file and no page can: they are replaced."""
    job = job_of(JobType=text, UserData=text)
    details = details_of({**DETAILS, "ErrorMessage": text})
    error = parse_error(400, body({"Code": text, "Message": text}))

    for read in (*job, *astuple(details), str(error), error.code):
        str(read).encode()


LARGE = "x" * 1_000_000


def test_texts_are_cut_where_they_are_read() -> None:
    """A text of any length that is kept, logged or shown is cut once; the data of the user is parsed first."""
    item = {**ITEM, "JobType": LARGE, "JobState": LARGE, "UserData": LARGE}
    page = PageDecoder(SMART).decode(body({"SmartJobList": [item]}))
    details = details_of({**DETAILS, "State": LARGE, "ErrorCode": LARGE, "ErrorMessage": LARGE})
    error = parse_error(400, body({"Code": LARGE, "Message": LARGE, "RequestId": LARGE}))

    assert [len(text) for text in (page.jobs[0].job_type, page.jobs[0].job_state)] == [128, 128]
    assert len(page.jobs[0].user_data) == len(LARGE)
    assert [len(text) for text in (details.job_state, details.error_code, details.error_message)] == [128, 128, 300]
    assert [len(text) for text in (error.code, str(error), error.request_id)] == [128, 430, 128]


@pytest.mark.parametrize(
    "answer",
    [
        body({"SmartJobList": [{"JobId": str(number)} for number in range(1001)]}),
        b'{"SmartJobList": [' + b"{}," * 500_000 + b"{}]}",
        b'{"SmartJobList": [' + b"[]," * 500_000 + b"[]]}",
        b'{"SmartJobList": [' + b"1," * 500_000 + b"1]}",
        b'{"SmartJobList": [' + b"1," * 5_000 + b"1]}",
        b'{"SmartJobList": [], "NextToken": "' + b"x" * 10_000 + b'"}',
        b'{"SmartJobList": [], "Other": [' + b'{"a":1},' * 500_000 + b"{}]}",
    ],
    ids=["rows", "empty objects", "empty lists", "numbers", "few numbers", "token", "elsewhere"],
)
def test_pages_that_are_too_large(answer: bytes) -> None:
    """A page of more jobs, values or token than any page has is refused before it costs memory."""
    tracemalloc.start()
    try:
        with pytest.raises(BadResponseError) as caught:
            PageDecoder(SMART).decode(answer)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert caught.value.code == "PageTooLarge"
    assert peak < 4_000_000


def test_a_page_of_1000_jobs() -> None:
    """A service may ignore the size asked for, and send up to 1,000 jobs."""
    page = PageDecoder(SMART).decode(body({"SmartJobList": [{**ITEM, "JobId": str(number)} for number in range(1000)]}))

    assert len(page.jobs) == 1000


@pytest.mark.parametrize(
    "code",
    [
        "Forbidden.Arrears",
        "Arrearage",
        "AccountOverdue",
        "InvalidAccountStatus.NotEnoughBalance",
        "UserNotOpen",
        "Forbidden.ServiceNotOpened",
        "ServiceNotEnabled",
    ],
)
@pytest.mark.parametrize("status", [400, 403])
def test_an_account_that_may_not_use_the_service(status: int, code: str) -> None:
    """Arrears and a service that is not activated are no missing permission, and the hint says what to do."""
    error = parse_error(status, body({"Code": code, "Message": "words", "RequestId": "r"}))

    assert type(error) is AccountUnusableError
    assert error.reason == "forbidden"
    assert "pay what is overdue, and activate" in error.hint
