"""Accept and Accept-Encoding are read with their q values."""

from __future__ import annotations

import pytest

from exporter.web.accept import accepts_gzip, prefers_json, prefers_openmetrics

PROMETHEUS_2 = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
PROMETHEUS_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;\
version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
TEXT_FIRST = "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.2"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip; q=0", False),
        ("gzip;q=0.000, identity", False),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("gzip;q=much", False),
        ("gzip;q=1.001", False),
        ("x-gzip-like", False),
        ("*", False),
    ],
)
def test_gzip(header: str, expected: bool) -> None:  # noqa: FBT001 - a case of the table
    """Gzip is sent where it is named and not less welcome than no encoding."""
    assert accepts_gzip(header) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,*/*;q=0.8", False),
        ("application/openmetrics-text", True),
        ("Application/OpenMetrics-Text ; Version=1.0.0", True),
        ('application/openmetrics-text; version="1.0.0"', True),
        ("application/openmetrics-text; version=2.0.0", True),
        ("application/openmetrics-text; version=0.0.1", False),
        ("application/openmetrics-text; version=x", False),
        ("application/openmetrics-text; version=", False),
        ("application/openmetrics-text; q=0", False),
        ("application/openmetrics-text; q=0, */*", False),
        ("application/openmetrics-text; q=x", False),
        ("application/openmetrics-text; q=0.5, text/plain", False),
        ("application/openmetrics-text; q=0.5, text/plain; q=0.5", True),
        ("application/openmetrics-text; q=0.5, text/plain; q=0.2, */*", True),
        ("application/openmetrics-text; q=0.5, text/*", False),
        ("application/openmetrics-text; q=0.5, */*", False),
        ("application/openmetrics-text; version=0.0.1, application/openmetrics-text; version=1.0.0; q=0.1", True),
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
        (TEXT_FIRST, False),
    ],
)
def test_openmetrics(header: str, expected: bool) -> None:  # noqa: FBT001 - a case of the table
    """OpenMetrics is sent where version 1 or later is named and not less welcome than plain text."""
    assert prefers_openmetrics(header) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", True),
        ("application/json; q=0", False),
        ("text/html, application/json", False),
        ("text/html; q=0.9, application/json", True),
        ("text/html; q=0.9, application/json; q=0.8", False),
        ("application/json; q=nan", False),
    ],
)
def test_json(header: str, expected: bool) -> None:  # noqa: FBT001 - a case of the table
    """JSON is sent where it is named and more welcome than HTML."""
    assert prefers_json(header) == expected


@pytest.mark.parametrize("header", [",,;;", "=;q", ";q=1", "gzip;q", "\x00", "a;b=c=d;q=0.5;q=", "é, *;q=\u0660"])
def test_any_header_is_read(header: str) -> None:
    """No header is an error."""
    assert not accepts_gzip(header)
    assert not prefers_openmetrics(header)
    assert not prefers_json(header)
