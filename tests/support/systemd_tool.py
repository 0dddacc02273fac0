"""The real systemd-analyze, which checks units without a running systemd: on PATH, else installed in CI."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

from tests.support.real_tools import ToolMissingError, apt_install, may_install, path_or_problem, required

PROGRAM = "systemd-analyze"


def need_analyze() -> Path:
    """Returns the program; if it is missing, skips the test, or fails it in CI."""
    return required(find_once())


def find() -> Path:
    """Returns the program; raises ToolMissingError, OSError or SubprocessError."""
    if not shutil.which(PROGRAM) and may_install():
        apt_install("systemd")
    if not (path := shutil.which(PROGRAM)):
        raise ToolMissingError("install systemd")
    return Path(path)


@functools.cache
def find_once() -> Path | str:
    """Returns the program, or what is missing; remembers both."""
    return path_or_problem(find, PROGRAM)
