"""A real Chromium for the tests: found on PATH, else installed from the machine's package sources by root."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES = ("chromium", "fonts-dejavu-core")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
INSTALL_SECONDS = 600


def need_chromium() -> str:
    """Returns the program; where it or its driver cannot be had, skips the test, or fails it under `CI=true`."""
    found, problem = _chromium() if find_spec("playwright") else ("", "the Python package playwright is not installed")
    if found:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"REAL TOOL MISSING: {problem}")
    pytest.skip(f"REAL TOOL MISSING: {problem}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Runs a headless Chromium."""
    program = need_chromium()
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - there only where browser tests can run

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@functools.cache
def _chromium() -> tuple[str, str]:
    """Returns the program, or an empty text and what is in the way; looks only once."""
    if there := _on_path():
        return there, ""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return "", f"none of {', '.join(NAMES)} is on PATH: install chromium"
    try:
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", *PACKAGES)
    except (OSError, subprocess.SubprocessError) as error:
        return "", f"chromium is not on PATH and could not be installed ({error})"
    return _on_path(), "the package chromium brought no program of that name"


def _on_path() -> str:
    return next((path for name in NAMES if (path := shutil.which(name))), "")


def _apt(*arguments: str) -> None:
    subprocess.run(  # noqa: S603 - fixed programs, no shell
        ["apt-get", "-q", *arguments],  # noqa: S607 - wherever the system has it
        check=True,
        capture_output=True,
        timeout=INSTALL_SECONDS,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
