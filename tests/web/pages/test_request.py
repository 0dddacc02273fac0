"""The query of a page: known parameters, once each, within their limits."""

from __future__ import annotations

import pytest

from exporter.web.pages.failures import FILTERS
from tests.support.rendered_page import get


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("limit=0", "parameter limit is '0': it must be a whole number from 1 to 1000"),
        ("limit=1001", "parameter limit is '1001': it must be a whole number from 1 to 1000"),
        ("limit=x", "parameter limit is 'x': it must be a whole number from 1 to 1000"),
        ("limit=%C2%B2", "parameter limit is '²': it must be a whole number from 1 to 1000"),
        ("format=xml", "parameter format is 'xml': it must be html or json"),
        ("refresh=no", "parameter refresh is 'no': it must be on or off"),
        ("account=a&account=b", "parameter account is given twice: give it once"),
        ("account=" + "a" * 257, "parameter account is longer than 256 characters"),
        (
            "region=x",
            f"unknown parameter 'region': known are {', '.join(FILTERS)}, limit, format, refresh",
        ),
    ],
)
def test_bad_parameters_are_refused(query: str, problem: str) -> None:
    """A bad parameter gets 400 and a message that says what is allowed."""
    found = get(f"/failures?{query}")

    assert (found.status, found.content_type, found.text) == (400, "text/plain", f"{problem}\n")


def test_empty_parameters_are_ignored() -> None:
    """A parameter without a value, as a form sends it, has no effect."""
    assert get("/failures?account=&limit=&format=&refresh=").status == 200


def test_pages_have_their_own_parameters() -> None:
    """A page refuses the parameters of another page."""
    problem = "unknown parameter 'limit': known are refresh\n"

    assert (get("/?limit=1").status, get("/?limit=1").text) == (400, problem)
