"""Checks the locked packages for known vulnerabilities: `python -m tools.audit`.

The advisories come from a file, or with `--online` from the OSV database. `uv audit` compares them with the packages.
It reads only its own lock format, so the packages are written to a temporary `uv.lock`; the file of advisories is
served on loopback in the format of OSV.
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

from tools.lock_files import FOLDER, PROJECT, locked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tools.lock_files import Pin

FILE = FOLDER / "advisories.toml"
UV = Path(sys.executable).with_name("uv")
TIMEOUT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Advisory:
    """One vulnerability of a package, and the affected versions."""

    identifier: str
    package: str
    affected: SpecifierSet


def advisories(text: str) -> tuple[Advisory, ...]:
    """Returns the advisories in a TOML file."""
    tables = {name: table for name, table in tomllib.loads(text).items() if isinstance(table, dict)}
    return tuple(
        Advisory(identifier, package, SpecifierSet(affected, prereleases=True))
        for package, table in tables.items()
        for identifier, affected in table.items()
    )


@contextmanager
def served(known: Iterable[Advisory]) -> Iterator[str]:
    """Serves advisories on loopback in the format of the OSV database, and yields the address."""
    by_identifier = {advisory.identifier: advisory for advisory in known}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            self._answer({"results": [{"vulns": _found(query, by_identifier.values())} for query in queries]})

        def do_GET(self) -> None:
            self._answer(_record(by_identifier[self.path.rpartition("/")[2]]))

        def _answer(self, body: object) -> None:
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Logs no requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def audited(packages: Iterable[Pin], database: str = "") -> subprocess.CompletedProcess[str]:
    """Runs `uv audit` on packages, with OSV if `database` is empty; the exit code is 1 if a package is vulnerable."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in _project(tuple(packages)).items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        address = ["--service-url", database] if database else []
        return subprocess.run(  # noqa: S603 - uv from this environment
            [str(UV), "audit", "--preview-features", "audit-command", "--no-config", "--frozen", *address],
            cwd=folder,
            env={**os.environ, **({"NO_PROXY": "127.0.0.1"} if database else {})},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )


def _found(query: dict[str, Any], known: Iterable[Advisory]) -> list[dict[str, str]]:
    name, version = query["package"]["name"], query["version"]
    hits = (advisory for advisory in known if advisory.package == name and version in advisory.affected)
    return [{"id": advisory.identifier, "modified": "1970-01-01T00:00:00Z"} for advisory in hits]


def _record(advisory: Advisory) -> dict[str, Any]:
    """Returns an advisory in the format of OSV, with the fields that `uv audit` reads."""
    summary = f"versions {advisory.affected} of {advisory.package} have {advisory.identifier}"
    return {"id": advisory.identifier, "modified": "1970-01-01T00:00:00Z", "summary": summary, "affected": []}


def _project(packages: tuple[Pin, ...]) -> dict[str, str]:
    """Returns the files of a project that depends on these packages: `pyproject.toml` and a minimal `uv.lock`."""
    header = 'version = 1\nrequires-python = ">=3.11"\n'
    source = 'source = { registry = "empty" }\n'
    tables = [f'[[package]]\nname = "{pin.name}"\nversion = "{pin.version}"\n{source}' for pin in packages]
    required = ", ".join(f'{{ name = "{pin.name}", version = "{pin.version}", {source.strip()} }}' for pin in packages)
    source = 'source = { virtual = "." }'
    root = f'[[package]]\nname = "{PROJECT}"\nversion = "0"\n{source}\ndependencies = [{required}]\n'
    return {
        "uv.lock": "\n".join([header, *tables, root]),
        "pyproject.toml": f'[project]\nname = "{PROJECT}"\nversion = "0"\nrequires-python = ">=3.11"\n',
    }


def main() -> int:
    """Audits all locks; returns 0 without findings, 1 with findings, 2 if the database cannot be reached."""
    packages = locked()
    if "--online" in sys.argv[1:]:
        done = audited(packages)
    else:
        text = FILE.read_text(encoding="utf-8")
        sys.stdout.write(f"{FILE.name} is of {tomllib.loads(text)['as_of']}; for newer advisories use --online\n")
        with served(advisories(text)) as database:
            done = audited(packages, database)
    sys.stdout.write(done.stdout + done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
