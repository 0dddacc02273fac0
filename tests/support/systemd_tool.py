"""The real systemd-analyze, which judges units without a systemd that runs: on PATH, else installed by root in CI."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

from tests.support.real_tools import ToolMissingError, call, given, said

PROGRAM = "systemd-analyze"


def need_analyze() -> Path:
    """Returns the program; where it cannot be had, skips the test, or fails it in CI."""
    return given(_find_once())


def find() -> Path:
    """Returns the program; raises ToolMissingError, OSError or SubprocessError."""
    if not shutil.which(PROGRAM) and os.environ.get("CI") == "true" and shutil.which("apt-get"):
        call(["apt-get", "-q", "update"], Path("/"))
        options = ["-q", "-y", "--no-install-recommends", "-oDPkg::Lock::Timeout=60"]
        call(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *options, "install", "systemd"], Path("/"))
    there = shutil.which(PROGRAM)
    if not there:
        raise ToolMissingError("install systemd")
    return Path(there)


@functools.cache
def _find_once() -> Path | str:
    try:
        return find()
    except (ToolMissingError, OSError, subprocess.SubprocessError) as error:
        return f"REAL TOOL MISSING: no {PROGRAM} ({said(error)})"
