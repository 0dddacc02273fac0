"""Licenses of the packages that are installed with the exporter, and `docs/licences.md`."""

from __future__ import annotations

from importlib import metadata
from itertools import groupby

from tools.lock_files import locked

SPDX_IDENTIFIERS = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "The MIT License (MIT)": "MIT",
}
"""SPDX identifiers of the names that some packages use instead."""

NOT_INSTALLED = {
    "httpx2-jsfetch": "BSD-3-Clause",
    "tzdata": "Apache-2.0",
}
"""Licenses of packages for systems that no test runs on (`sys_platform` in the lock), read from their archives."""

PAGE = """# Licenses

Generated from the lock files by `make docs`; do not edit.

The exporter is licensed under the [Apache License 2.0](../LICENSE) and contains no code of other projects. The packages
below are installed with it (`requirements/run.txt`; with the extra `kubernetes`, `requirements/kubernetes.txt`), under
the license that each package declares. All of them may be used and distributed with the exporter. The license of
certifi requires that changes to certifi's own files stay open.

| license | packages |
|---|---|"""

PERMISSIVE = ("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "PSF-2.0")
WEAK_COPYLEFT = {"certifi": "MPL-2.0"}
"""Packages whose license requires only that changes to their own files stay open."""


def licence(name: str) -> str:
    """Returns the SPDX expression that an installed package declares; raises ValueError if it declares none."""
    if name in NOT_INSTALLED:
        return NOT_INSTALLED[name]
    declared = metadata.metadata(name)
    classifiers = [
        value.rpartition(" :: ")[2] for value in declared.get_all("Classifier") or [] if value.startswith("License ::")
    ]
    expressions = declared.get_all("License-Expression") or []
    texts: list[str] = [*expressions, *(declared.get_all("License") or []), *classifiers, ""]
    first = texts[0].strip().partition("\n")[0]
    if not first:
        raise ValueError(f"{name} declares no license")
    return SPDX_IDENTIFIERS.get(first, first)


def document() -> str:
    """Returns the page of all licenses, as Markdown."""
    everything = sorted((licence(pin.name), pin.name) for pin in locked("kubernetes"))
    grouped = groupby(everything, key=lambda pair: pair[0])
    rows = [f"| {spdx} | {', '.join(name for _, name in pairs)} |" for spdx, pairs in grouped]
    return "\n".join([PAGE, *rows, ""])


def is_acceptable(name: str) -> bool:
    """Whether a package may be distributed with the exporter under the Apache License 2.0."""
    parts = licence(name).replace("(", " ").replace(")", " ").replace(" OR ", " AND ").split(" AND ")
    return WEAK_COPYLEFT.get(name) == licence(name) or all(part.strip() in PERMISSIVE for part in parts)
