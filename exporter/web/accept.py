"""Headers with quality values: `Accept` and `Accept-Encoding`."""

from __future__ import annotations


def quality_values(header: str) -> dict[str, float]:
    """Returns the quality value of each choice in a header, in lower case; 1 by default, 0 for one that is not valid.

    Example: `gzip;q=0.5, identity` gives `{"gzip": 0.5, "identity": 1.0}`.
    """
    return dict(_quality_value(choice) for choice in header.lower().split(","))


def _quality_value(choice: str) -> tuple[str, float]:
    name, *parameters = (part.replace(" ", "") for part in choice.split(";"))
    given = next((part.removeprefix("q=") for part in parameters if part.startswith("q=")), "1")
    try:
        quality = float(given)
    except ValueError:
        return name, 0.0
    return name, quality if 0 <= quality <= 1 else 0.0
