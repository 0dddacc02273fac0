"""The licence of an installed package as one SPDX expression, from whichever of the three places tells it."""

from __future__ import annotations

from importlib import metadata
from itertools import groupby

from tests.support.lock_files import locked

SPOKEN = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "The MIT License (MIT)": "MIT",
}
"""How packages say it that do not use the identifier."""

NOT_INSTALLED = {
    "httpx2-jsfetch": "BSD-3-Clause",
    "tzdata": "Apache-2.0",
}
"""Packages for systems that no test runs on (`sys_platform` in the lock); read in their archives."""

PAGE = """# Licences

Generated from the locks by `make docs`; do not edit.

The exporter is under the [Apache License 2.0](../LICENSE). It brings nobody else's code; these packages are installed
with it (`requirements/run.txt`, and with the extra `kubernetes` those of `requirements/kubernetes.txt`), each under
the licence that it tells of itself. All let themselves be used and passed on beside the exporter; certifi's asks that
changes to its own files stay open.

| licence | packages |
|---|---|"""

PERMISSIVE = ("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "PSF-2.0")
WEAK = {"certifi": "MPL-2.0"}
"""Ask for their own files to stay open, and for nothing of what is beside them."""


def licence(name: str) -> str:
    """Returns the SPDX expression; raises where a package tells none."""
    if name in NOT_INSTALLED:
        return NOT_INSTALLED[name]
    told = metadata.metadata(name)
    classified = [
        value.rpartition(" :: ")[2] for value in told.get_all("Classifier") or [] if value.startswith("License ::")
    ]
    texts: list[str] = [*(told.get_all("License-Expression") or []), *(told.get_all("License") or []), *classified, ""]
    first = texts[0].strip().partition("\n")[0]
    if not first:
        raise ValueError(f"{name} does not tell its licence")
    return SPOKEN.get(first, first)


def document() -> str:
    """Returns the page of all licences, as Markdown."""
    everything = sorted((licence(pin.name), pin.name) for pin in locked("kubernetes"))
    grouped = groupby(everything, key=lambda pair: pair[0])
    rows = [f"| {spdx} | {', '.join(name for _, name in pairs)} |" for spdx, pairs in grouped]
    return "\n".join([PAGE, *rows, ""])


def is_acceptable(name: str) -> bool:
    """Tells whether a package may come with this one, under its Apache License 2.0."""
    parts = licence(name).replace("(", " ").replace(")", " ").replace(" OR ", " AND ").split(" AND ")
    return WEAK.get(name) == licence(name) or all(part.strip() in PERMISSIVE for part in parts)
