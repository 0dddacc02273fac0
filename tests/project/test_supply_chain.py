"""Every installed package has a known licence, a reason, an entry in the bill, and no known vulnerability."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from datetime import UTC, date, datetime
from importlib import metadata
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from exporter import __version__
from tests.support.repository import ROOT
from tools import audit, sbom
from tools.audit import advisories, audited, served
from tools.licences import NOT_INSTALLED, is_acceptable
from tools.lock_files import FOLDER, Pin, dependencies, locked, pins

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
KNOWN = advisories(audit.FILE.read_text(encoding="utf-8"))
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LOCK = """\
# a comment
one==1.0 \\
    --hash=sha256:aa
    # via
    #   -c requirements/run.txt
    #   ims-exporter (pyproject.toml)
    #   two
two==1!2.0 ; sys_platform == 'win32' \\
    --hash=sha256:bb
    # via ims-exporter (pyproject.toml:dev)
"""


def direct() -> set[str]:
    """Returns the names of all direct requirements, to run, to build and to test."""
    project = PROJECT["project"]
    extras, groups = project["optional-dependencies"].values(), PROJECT["dependency-groups"].values()
    texts = [*project["dependencies"], *(text for extra in extras for text in extra)]
    texts += [text for group in groups for text in group if isinstance(text, str)]
    return {canonicalize_name(Requirement(text).name) for text in texts}


def test_a_lock_is_read() -> None:
    """A lock gives packages with version and marker, and the packages that require them."""
    first, second = pins(LOCK)

    assert (first, second) == (Pin("one", "1.0"), Pin("two", "1!2.0", 'sys_platform == "win32"'))
    assert second.purl == "pkg:pypi/two@1%212.0"
    assert dependencies(LOCK) == {"ims-exporter": {"one", "two"}, "one": set(), "two": {"one"}}


@pytest.mark.parametrize("name", ["run", "kubernetes", "build", "dev"])
def test_every_locked_package_has_hashes(name: str) -> None:
    """Every pinned package of a lock has a hash, and all of them are read."""
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if "==" in line.partition("#")[0].partition(";")[0]]
    hashed = re.findall(r"^\S+==[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)

    assert len(pins(text)) == len(lines) == len(hashed)
    assert len(lines) >= 3


def test_every_dependency_has_a_reason() -> None:
    """The ADR on dependencies has a row for every direct requirement, and for no other package."""
    text = (ROOT / "docs" / "adr" / "0006-dependencies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w, -]+?)(?: 3)? \|", text, re.MULTILINE)
    named = [name for row in rows for name in row.split(", ") if name not in {"library", "package"}]

    assert len(named) == len(set(named))
    assert set(named) == direct()


def test_licences_allow_it() -> None:
    """The licence of every installed package is compatible with the Apache License 2.0."""
    assert [pin.name for pin in locked("run", "kubernetes") if not is_acceptable(pin.name)] == []


def test_a_licence_that_does_not_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A licence with one part that is not permissive is refused, in any notation."""
    for told in ("GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT OR Apache-2.0) AND AGPL-3.0-only", "Proprietary"):
        monkeypatch.setitem(NOT_INSTALLED, "another", told)
        assert not is_acceptable("another"), told
    monkeypatch.setitem(NOT_INSTALLED, "another", "MPL-2.0")
    assert not is_acceptable("another")
    monkeypatch.setitem(NOT_INSTALLED, "another", "(MIT OR Apache-2.0) AND BSD-3-Clause")
    assert is_acceptable("another")


def test_the_licences_not_read_from_packages_are_those_of_other_systems() -> None:
    """Only licences of packages for other systems are written by hand."""
    assert set(NOT_INSTALLED) == {
        pin.name for pin in locked("run", "kubernetes") if "==" in pin.marker and "sys_platform" in pin.marker
    }


def test_the_bill_names_everything() -> None:
    """The bill has each locked package once, with version, address and licence, and marks the optional ones."""
    bill = sbom.document(NOW)
    listed = {(each["name"], each["version"], each["purl"]): each for each in bill["components"]}
    required = {pin.name for pin in locked("run")}

    assert len(listed) == len(bill["components"])
    assert set(listed) == {(pin.name, pin.version, pin.purl) for pin in locked("run", "kubernetes")}
    assert {each["name"] for each in listed.values() if each["scope"] == "required"} == required
    assert f"pkg:pypi/aiohttp@{metadata.version('aiohttp')}" in {each["purl"] for each in listed.values()}
    assert all(each["licenses"][0]["expression"] for each in listed.values())


def test_the_bill_is_whole() -> None:
    """The bill is CycloneDX 1.6 of this version; every reference resolves, and every component is reached."""
    bill = sbom.document(NOW)
    own = bill["metadata"]["component"]["bom-ref"]
    references = {own, *(each["bom-ref"] for each in bill["components"])}
    edges = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    reached, left = {own}, [own]
    while left:
        new = set(edges[left.pop()]) - reached
        reached |= new
        left += new

    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert own == f"pkg:pypi/ims-exporter@{__version__}"
    assert bill["metadata"]["timestamp"] == "2026-01-02T03:04:05Z"
    assert set(edges) == references == reached


@pytest.mark.process
def test_nothing_is_known_against_the_locked_packages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make audit` checks every lock, prints the date of its database, and finds nothing."""
    monkeypatch.setattr(sys, "argv", ["audit"])

    code = audit.main()

    said = capsys.readouterr().out
    assert (code, re.findall(r"in (\d+) packages", said)) == (0, [str(len(locked()))]), said
    assert tomllib.loads(audit.FILE.read_text(encoding="utf-8"))["as_of"].isoformat() in said


@pytest.mark.process
def test_what_is_known_fails_the_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make audit` ends with 1 where one locked package has a known vulnerability."""
    (tmp_path / "known.toml").write_text('as_of = 2026-01-01\n[requests]\nCVE-1 = ">0"\n')
    monkeypatch.setattr(audit, "FILE", tmp_path / "known.toml")
    monkeypatch.setattr(sys, "argv", ["audit"])

    assert audit.main() == 1


@pytest.mark.process
def test_every_advisory_finds_its_package() -> None:
    """A lock with an older version fails, with the name of each vulnerability; the fixed version passes."""
    bad = {Pin(each.package, _last_affected(each.affected)) for each in KNOWN}

    with served(KNOWN) as database:
        found = audited(bad, database)
        clean = audited([Pin("requests", "2.33.0"), Pin("h11", "0.16.0")], database)

    assert found.returncode == 1
    assert {each.identifier for each in KNOWN if each.identifier not in found.stdout} == set()
    assert clean.returncode == 0, clean.stdout


@pytest.mark.process
def test_a_database_out_of_reach_is_no_good_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the database cannot be reached, the audit fails."""
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with served(KNOWN) as database:
        gone = database

    assert audited([Pin("requests", "2.0")], gone).returncode == 2


def test_advisories_are_about_what_is_locked() -> None:
    """The database has only packages of the locks, and its date is not in the future."""
    assert {each.package for each in KNOWN} <= {pin.name for pin in locked()}
    assert tomllib.loads(audit.FILE.read_text(encoding="utf-8"))["as_of"] <= date.today()  # noqa: DTZ011 - a day more or less


@pytest.mark.process
def test_the_bill_is_written(tmp_path: Path) -> None:
    """`make sbom` writes the file that a release attests, with the date of reproducible builds."""
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-m", "tools.sbom", str(tmp_path)],
        cwd=ROOT,
        env={"SOURCE_DATE_EPOCH": "0"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    (path,) = tmp_path.iterdir()
    assert done.stdout == f"{path}\n"
    assert path.name == "ims-exporter.cdx.json"
    assert '"timestamp": "1970-01-01T00:00:00Z"' in path.read_text(encoding="utf-8")


def _last_affected(affected: object) -> str:
    """Returns a version just below the one that has the fix."""
    (bound,) = re.findall(r"<([\d.]+)", str(affected))
    parts = [int(part) for part in bound.split(".")]
    place = max(place for place, part in enumerate(parts) if part)
    return ".".join(map(str, [*parts[:place], parts[place] - 1, *(999 for _ in parts[place + 1 :])]))
