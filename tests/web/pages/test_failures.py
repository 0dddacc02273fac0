"""The failures page: newest first, filtered, as HTML and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from exporter.jobs.shards import owner
from exporter.jobs.snapshot import FailedJob, PollKey, TargetView
from exporter.web.pages.failures import CONSOLE_URL, FILTERS
from tests.support.rendered_page import PAGE_SETTINGS, get, see
from tests.support.scenarios import BUSY, DOWN, EMPTY, KEY, NOW, UP

EVIL = "<script>alert('x')</script>\"' onload=x"
OLD = FailedJob("a-1", "ASR", 1_799_999_000, 1_799_999_900, "InvalidParameter", "no such file")
NEW = FailedJob("b-2", "TextToSpeech", 1_799_999_950, 1_799_999_990, "unknown", "")
OTHER = FailedJob("c-3", "ASR", 1_799_999_000, 1_799_999_950, "Timeout", "took too long")
VIEWS = (
    TargetView(KEY, replace(BUSY, failed_jobs=(NEW, OLD)), UP),
    TargetView(PollKey("staging", "cn-beijing", "smart"), replace(EMPTY, failed_jobs=(OTHER,)), DOWN),
    TargetView(PollKey("new", "cn-hangzhou", "smart")),
)


def ids(query: str) -> list[str]:
    """Returns the ids of the jobs in the JSON."""
    body = json.loads(get(f"/failures?format=json&{query}", *VIEWS).text)
    return [failure["job_id"] for failure in body["failures"]]


def test_json_is_stable() -> None:
    """The JSON has these fields, times in ISO 8601 UTC, durations in seconds."""
    found = get("/failures?format=json&account=prod&limit=1", *VIEWS)

    assert (found.status, found.content_type) == (200, "application/json")
    assert json.loads(found.text) == {
        "generated_at": "2027-01-15T08:00:00Z",
        "matching": 2,
        "failures": [
            {
                "account": "prod",
                "region_id": "cn-shanghai",
                "job_kind": "smart",
                "job_id": "b-2",
                "job_type": "TextToSpeech",
                "created_at": "2027-01-15T07:59:10Z",
                "ended_at": "2027-01-15T07:59:50Z",
                "duration_seconds": 40,
                "error_code": "unknown",
                "error_message": "",
            }
        ],
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["b-2", "c-3", "a-1"]),
        ("account=staging", ["c-3"]),
        ("region_id=cn-shanghai", ["b-2", "a-1"]),
        ("job_kind=smart", ["b-2", "c-3", "a-1"]),
        ("job_kind=other", []),
        ("job_type=ASR", ["c-3", "a-1"]),
        ("error_code=unknown", ["b-2"]),
        ("job_type=ASR&error_code=Timeout", ["c-3"]),
        ("account=&job_type=&limit=", ["b-2", "c-3", "a-1"]),
        ("account=nobody", []),
        ("limit=2", ["b-2", "c-3"]),
    ],
)
def test_filters(query: str, found: list[str]) -> None:
    """Every filter given must match, an empty one always does; the newest come first."""
    assert ids(query) == found


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/json", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("text/html, application/json;q=0.9", "text/html"),
        ("application/json;q=nonsense", "text/html"),
        ("*/*", "text/html"),
        ("", "text/html"),
    ],
)
def test_accept_chooses_the_form(accept: str, content_type: str) -> None:
    """JSON is sent if Accept prefers it to HTML; the parameter takes precedence over Accept."""
    assert get("/failures", *VIEWS, accept=accept).content_type == content_type
    assert get("/failures?format=html", *VIEWS, accept=accept).content_type == "text/html"


def test_page_shows_every_failure() -> None:
    """A row has job, target, type, both times, error code and message."""
    page = see("/failures", *VIEWS)

    assert "3 of 3, newest first." in page.text
    assert (
        "c-3 | staging cn-beijing smart | ASR | 2027-01-15 07:43:20 | 2027-01-15 07:59:10 50 s ago, after 15 min"
        " | Timeout took too long | Console for job c-3, in a new tab"
    ) in page.lines


def test_every_job_leads_to_the_console() -> None:
    """Each row links the front page of the console, and names the job in the link."""
    seen = see("/failures", *VIEWS)

    assert seen.links().count(CONSOLE_URL) == 3
    assert "Console for job c-3, in a new tab" in seen.text
    assert "The console opens on its front page" in seen.text


def test_filters_offer_what_there_is() -> None:
    """Every filter has a label and offers the values of all failures; the chosen value is selected."""
    seen = see("/failures?job_type=ASR&refresh=off&limit=7", *VIEWS)

    assert [select["name"] for select in seen.of("select")] == list(FILTERS)
    assert len(seen.of("label")) == len(FILTERS)
    assert [option["value"] for option in seen.of("option") if "selected" in option] == ["ASR"]
    assert {"type": "hidden", "name": "refresh", "value": "off"} in seen.of("input")
    assert {"type": "hidden", "name": "limit", "value": "7"} in seen.of("input")
    assert "/failures?job_type=ASR&limit=7&format=json" in seen.links()


def test_no_failures() -> None:
    """The page distinguishes no failures at all from none that match."""
    assert "No failed jobs." in see("/failures").text
    assert "No failed job matches." in see("/failures?account=nobody", *VIEWS).text


def test_target_of_another_shard() -> None:
    """A shard names itself on its pages, and answers 404 for a target of another shard."""
    shard = replace(PAGE_SETTINGS, shard="shard 0 of 3")
    own = get("/failures?account=prod", *VIEWS, settings=shard)
    other = [get(f"/failures?account=nobody{form}", *VIEWS, settings=shard) for form in ("", "&format=json")]
    detail = get("/targets?account=nobody&region_id=cn-x", *VIEWS, settings=shard)

    assert "This is shard 0 of 3: it shows its own targets." in own.text
    assert get("/failures", settings=shard).status == 200  # it may have none
    assert {(each.status, each.text) for each in other} == {
        (404, "this is shard 0 of 3, which polls no such target: ask the other shards\n")
    }
    assert (detail.status, detail.text) == (404, "there is no target nobody/cn-x in shard 0 of 3; see /targets\n")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_shard_of_a_target(number: int) -> None:
    """The link of an alert, which names account and region, leads from any shard to the one that polls the target."""
    shards = 3
    polled_by = owner(PollKey("nobody", "cn-x", "smart"), shards)
    settings = replace(PAGE_SETTINGS, shard=f"shard {number} of {shards}", shards=shards)

    found = get("/failures?account=nobody&region_id=cn-x", *VIEWS, settings=settings)

    where = f"ask shard {polled_by}, whose pod has a name that ends in -{polled_by}"
    wanted = "no shard does" if number == polled_by else where
    assert (found.status, found.text) == (404, f"this is shard {number} of 3, which polls no such target: {wanted}\n")


def test_escapes_what_comes_from_outside() -> None:
    """Ids, types, error codes, messages and chosen filters never become markup."""
    job = FailedJob(EVIL, EVIL, 0, int(NOW), EVIL, EVIL)
    view = TargetView(PollKey(EVIL, EVIL, "smart"), replace(EMPTY, failed_jobs=(job,)), UP)

    seen = see("/failures", view)
    filtered = see("/failures?account=%3Cscript%3E%22%20onload=x", view)

    assert not {"script", "onload="} & (seen.names() | filtered.names())
    assert seen.text.count(EVIL) == 11
