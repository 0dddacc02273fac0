"""A real Chromium for the tests: found on PATH, else installed from the package sources of the machine by root."""

from __future__ import annotations

import functools
import os
import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.real_tools import ToolMissingError, apt_install, path_or_problem, required

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES = ("chromium", "fonts-dejavu-core")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Runs a headless Chromium; if it is missing, skips the test, or fails it in CI."""
    program = required(find_once())
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where browser tests can run

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def find() -> Path:
    """Returns the program; raises ToolMissingError, OSError or SubprocessError."""
    if not find_spec("playwright"):
        raise ToolMissingError("the Python package playwright is not installed")
    if not _on_path() and shutil.which("apt-get") and os.geteuid() == 0:
        apt_install(*PACKAGES)
    if not (path := _on_path()):
        raise ToolMissingError(f"none of {', '.join(NAMES)} is on PATH: install chromium")
    return Path(path)


@functools.cache
def find_once() -> Path | str:
    """Returns the program, or what is missing; remembers both."""
    return path_or_problem(find, "chromium")


def _on_path() -> str:
    return next((path for name in NAMES if (path := shutil.which(name))), "")
