"""Known vulnerabilities of locked packages: `python -m tools.audit` asks a file, with `--online` the OSV database.

Both are asked by `uv audit`, which takes a lock of its own kind: one is written for it, in a folder that goes again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.specifiers import SpecifierSet

from tests.support.lock_files import FOLDER, OURS, locked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.lock_files import Pin

FILE = FOLDER / "advisories.toml"
UV = Path(sys.executable).with_name("uv")
LONGEST_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Advisory:
    """A vulnerability, and the versions of a package that have it."""

    identifier: str
    package: str
    affected: SpecifierSet


def advisories(text: str) -> tuple[Advisory, ...]:
    """Returns what a file of advisories holds."""
    tables = {name: table for name, table in tomllib.loads(text).items() if isinstance(table, dict)}
    return tuple(
        Advisory(identifier, package, SpecifierSet(affected))
        for package, table in tables.items()
        for identifier, affected in table.items()
    )


@contextmanager
def served(known: Iterable[Advisory]) -> Iterator[str]:
    """Serves advisories on loopback as the OSV database does, and gives the address."""
    by_identifier = {each.identifier: each for each in known}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            self._answer({"results": [{"vulns": _found(query, by_identifier.values())} for query in asked]})

        def do_GET(self) -> None:
            self._answer(_record(by_identifier[self.path.rpartition("/")[2]]))

        def _answer(self, body: object) -> None:
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Says nothing of each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def audited(packages: Iterable[Pin], database: str = "") -> subprocess.CompletedProcess[str]:
    """Returns what `uv audit` says of packages, and 1 where it knows of something; without an address it asks OSV."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in _project(tuple(packages)).items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        address = ["--service-url", database] if database else []
        return subprocess.run(  # noqa: S603 - a tool of our own choice
            [str(UV), "audit", "--preview-features", "audit-command", "--no-config", "--frozen", *address],
            cwd=folder,
            env={**os.environ, **({"NO_PROXY": "127.0.0.1"} if database else {})},
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )


def _found(query: dict[str, Any], known: Iterable[Advisory]) -> list[dict[str, str]]:
    name, version = query["package"]["name"], query["version"]
    hits = [each for each in known if each.package == name and each.affected.contains(version, prereleases=True)]
    return [{"id": each.identifier, "modified": "1970-01-01T00:00:00Z"} for each in hits]


def _record(advisory: Advisory) -> dict[str, Any]:
    """Returns an advisory in the form of OSV, as far as the tool reads it."""
    summary = f"versions {advisory.affected} of {advisory.package} have {advisory.identifier}"
    return {"id": advisory.identifier, "modified": "1970-01-01T00:00:00Z", "summary": summary, "affected": []}


def _project(packages: tuple[Pin, ...]) -> dict[str, str]:
    """Returns a project that needs these packages, and its lock; what is not asked for in either is left out."""
    head = 'version = 1\nrequires-python = ">=3.11"\n'
    source = 'source = { registry = "empty" }\n'
    each = [f'[[package]]\nname = "{pin.name}"\nversion = "{pin.version}"\n{source}' for pin in packages]
    needed = ", ".join(f'{{ name = "{pin.name}", version = "{pin.version}", {source.strip()} }}' for pin in packages)
    own = f'[[package]]\nname = "{OURS}"\nversion = "0"\nsource = {{ virtual = "." }}\ndependencies = [{needed}]\n'
    return {
        "uv.lock": "\n".join([head, *each, own]),
        "pyproject.toml": f'[project]\nname = "{OURS}"\nversion = "0"\nrequires-python = ">=3.11"\n',
    }


def main() -> int:
    """Audits all locks; returns 0 where nothing is known, 1 where something is, 2 where it could not be asked."""
    packages = locked()
    if "--online" in sys.argv[1:]:
        done = audited(packages)
    else:
        text = FILE.read_text(encoding="utf-8")
        sys.stdout.write(f"{FILE.name} is of {tomllib.loads(text)['as_of']}; what came later takes --online\n")
        with served(advisories(text)) as database:
            done = audited(packages, database)
    sys.stdout.write(done.stdout + done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
