"""Headers with quality values."""

from __future__ import annotations

import pytest

from exporter.web.accept import quality_values


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("gzip", {"gzip": 1.0}),
        ("deflate, GZIP;q=0.5", {"deflate": 1.0, "gzip": 0.5}),
        ("text/html;level=1; q = 0.8,*/*;q=0", {"text/html": 0.8, "*/*": 0.0}),
        ("gzip;q=nonsense", {"gzip": 0.0}),
        ("gzip;q=nan, br;q=inf", {"gzip": 0.0, "br": 0.0}),
        ("", {"": 1.0}),
    ],
)
def test_quality_values(header: str, values: dict[str, float]) -> None:
    """A choice has the quality value it names, 1 without one, and 0 for one that is no number from 0 to 1."""
    assert quality_values(header) == values
