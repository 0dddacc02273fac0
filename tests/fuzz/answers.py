"""Answers of the service as bytes, valid and odd ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from exporter.jobs.kinds import SMART
from tests.fuzz.mutation import mutated, spoiled
from tests.ims.test_answers import ANY_JSON, DETAILS, ITEM, LIST

RAW = {
    f"@raw {number}@": text
    for number, text in enumerate(
        (
            "NaN",
            "-Infinity",
            "1e999",
            "1" * 5000,
            "9" * 400,
            "-0.0",
            '"\\ud800"',
            '"\\u0000"',
            "[" * 400 + "]" * 400,
            "[" * 40_000,
            '{"a":' * 200 + "1" + "}" * 200,
            '{"JobId":"a","JobId":"b","JobState":"Failed"}',
            '{"JobType":"ASR","JobType":null,"":""}',
        )
    )
}
"""Texts that no JSON encoder writes, by the placeholder that they replace."""
TIMES: tuple[object, ...] = (
    "0001-01-01T00:00:00+23:59",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "9999-12-31T23:59:59Z",
    "0000-00-00T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "2023-11-14T24:00:00Z",
    "2023-11-14T22:13:60Z",
    "2023-11-14T22:13:20.999999999Z",
    "2023-11-14T22:13:20+08:00:30.5",
    "20231114T221320Z",
    "2023-W46-2",
    "2023-11-14",
    "2023-11-14 22:13",
    "Tue, 14 Nov 2023 22:13:20 GMT",
    "\u0662\u0660\u0662\u0663-11-14T22:13:20Z",
    " 2023-11-14T22:13:20Z\n",
    "now",
    1_700_000_000,
    1_700_000_000_000,
    1.7e9,
)
ODD: st.SearchStrategy[Any] = (
    st.sampled_from(
        (None, True, False, 0, -1, 2**31, 2**63, -(2**63) - 1, 10**300, 1.5, "", " ", [], {}, [[]], [None], {"": {}})
    )
    | st.sampled_from(TIMES)
    | st.sampled_from([standing_in for standing_in, raw in RAW.items() if raw.startswith('"')])
    | st.sampled_from(sorted(RAW))
    | st.sampled_from(
        ("a", "b", *SMART.job_states, *SMART.job_types, "unknown", "other", "x" * 5000, 'a"b\\c\nd', "\u2028\U0001f600")
    )
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | ANY_JSON
)
START = 1_700_000_000
MOMENTS = (st.integers(-300, 300) | st.integers(-7200, 300)).map(
    lambda after: datetime.fromtimestamp(START + after, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
)
FIELDS = {
    "JobId": st.sampled_from("abcdef"),
    "JobType": st.sampled_from((*SMART.job_types, "Hologram")),
    "JobState": st.sampled_from((*SMART.job_states, "Paused")),
    "CreateTime": MOMENTS,
    "ModifiedTime": MOMENTS,
}


def one_in_five_odd(good: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Draws a valid value four times of five."""
    return st.integers(0, 4).flatmap(lambda way: good if way else ODD)


JOBS = st.fixed_dictionaries(FIELDS)
ODD_JOBS = st.fixed_dictionaries({name: one_in_five_odd(good) for name, good in FIELDS.items()})
PAGES = st.builds(
    lambda jobs, token: {"RequestId": "r", "SmartJobList": jobs, "NextToken": token},
    st.lists(JOBS | ODD_JOBS, max_size=6),
    st.sampled_from(("", "", "", "t", "u")),
)
ONE_JOB = st.builds(lambda state: {**DETAILS, "State": state}, st.sampled_from((*SMART.job_states, "Paused")))
ERRORS = st.builds(
    lambda code: {"Code": code, "Message": "words", "RequestId": "r"},
    st.sampled_from(
        ("Throttling.User", "InternalError", "NoPermission", "JobNotFound", "InvalidTimeStamp.Expired", "X")
    ),
)
GOOD = PAGES | ONE_JOB
DOCUMENTED = st.sampled_from((LIST, {**LIST, "SmartJobList": [ITEM] * 100}, DETAILS))
WORDS = tuple(
    word.encode()
    for word in (
        '"',
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "\\u",
        "\\ud800",
        "0",
        "-",
        "1e9",
        "\ufeff",
        '"JobId":',
        "\x00",
    )
)


def written(document: object) -> bytes:
    """Returns a document as it comes over the wire."""
    text = json.dumps(document)
    for standing_in, raw in RAW.items():
        text = text.replace(f'"{standing_in}"', raw)
    return text.encode()


HUGE = st.sampled_from((0, 101, 3000)).map(lambda rows: written({"SmartJobList": [ITEM] * rows, "RequestId": "r"}))
BODIES = (
    mutated(spoiled(GOOD | DOCUMENTED | ERRORS, ODD).map(written), WORDS)
    | spoiled(GOOD | DOCUMENTED | ERRORS, ODD).map(written)
    | ANY_JSON.map(written)
    | st.binary(max_size=200)
    | HUGE
)
"""Any answer."""
