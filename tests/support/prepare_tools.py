"""Fetches the real tools of the tests side by side: `python -m tests.support.prepare_tools`."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import browser, container_image, helm_tool, real_tools, systemd_tool

if TYPE_CHECKING:
    from collections.abc import Callable


def searches() -> dict[str, Callable[[], Path | str]]:
    """Returns the function that finds each tool."""
    return {
        **{tool: lambda tool=tool: real_tools.find_once(tool) for tool in real_tools.TOOLS},  # type: ignore[misc]
        "promtool (oldest)": lambda: real_tools.find_once("promtool", real_tools.OLDEST),
        **{f"helm {major}": lambda major=major: helm_tool.find_once(major) for major in helm_tool.PACKAGES},  # type: ignore[misc]
        "chromium": browser.find_once,
        "systemd-analyze": systemd_tool.find_once,
        "base image": container_image.find_base_once,
    }


def main() -> int:
    """Prints the path of each tool, or why it is missing; returns 1 if one is missing."""
    with ThreadPoolExecutor() as pool:
        running = {name: pool.submit(search) for name, search in searches().items()}
    found = {name: future.result() for name, future in running.items()}
    sys.stdout.writelines(f"{name}: {path}\n" for name, path in found.items())
    return 0 if all(isinstance(path, Path) for path in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
