"""Fails if a function is more complex than the limit (radon's cyclomatic complexity)."""

from __future__ import annotations

import sys
from pathlib import Path

from radon.complexity import cc_visit

MAX_COMPLEXITY = 15
FOLDERS = ("benchmarks", "exporter", "tools")
"""Without the tests, whose asserts would count as branches."""


def too_complex(text: str) -> list[tuple[int, str, int]]:
    """Returns line, name and complexity of each function and method of a module above the limit."""
    found = {(block.lineno, block.fullname, block.complexity) for block in cc_visit(text) if block.letter != "C"}
    return sorted(block for block in found if block[2] > MAX_COMPLEXITY)


def main() -> int:
    """Prints each function above the limit; returns 1 if there is one."""
    problems = [
        f"{path}:{line}: {name} has complexity {complexity}, more than {MAX_COMPLEXITY}"
        for folder in FOLDERS
        for path in sorted(Path(folder).rglob("*.py"))
        for line, name, complexity in too_complex(path.read_text(encoding="utf-8"))
    ]
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
