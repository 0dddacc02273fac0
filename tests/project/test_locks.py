"""The locks pin every declared dependency by hash, and name no host or folder of the machine that made them."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.repository import ROOT
from tools.lock_files import locked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LOCKS = sorted(ROOT.glob("requirements/*.txt"))
PINNED = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^\s;]+)(?: ;[^\\\n]+)? \\$", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")

each_lock = pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)


def project() -> dict[str, Any]:
    """Returns the content of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def declared(groups: dict[str, list[Any]], group: str) -> list[str]:
    """Returns the requirements of a dependency group and of those that it includes."""
    included = [each["include-group"] for each in groups[group] if isinstance(each, dict)]
    own = [each for each in groups[group] if isinstance(each, str)]
    return [*own, *(each for name in included for each in declared(groups, name))]


def versions_in(name: str) -> dict[str, str]:
    """Returns the version of each package in a lock."""
    return {pin.name: pin.version for pin in locked(name)}


def unlocked(requirements: Iterable[str], lock: str) -> list[str]:
    """Returns the requirements that a lock does not fulfil."""
    versions = versions_in(lock)
    wanted = {canonicalize_name(each.name): each for each in map(Requirement, requirements)}
    return [str(each) for name, each in wanted.items() if name not in versions or versions[name] not in each.specifier]


@each_lock
def test_every_package_has_hashes(lock: Path) -> None:
    """Every line with a package pins its version, and hashes follow."""
    entries = re.split(r"\n(?=[a-z0-9])", lock.read_text(encoding="utf-8"))[1:]

    assert entries
    assert [entry for entry in entries if not PINNED.match(entry) or not HASH.search(entry)] == []


@each_lock
def test_no_place_is_named(lock: Path) -> None:
    """No lock says where packages come from: no address, no index, no folder."""
    text = lock.read_text(encoding="utf-8")
    named = [line for line in text.splitlines() if "://" in line or line.lstrip().startswith(("-i", "-f", "--index"))]

    assert named == []
    assert set(re.findall(r"--[a-z-]+", text)) == {"--hash"}
    assert " /" not in text


def test_what_runs_is_locked() -> None:
    """The lock for running fulfils the dependencies of the project."""
    assert unlocked(project()["project"]["dependencies"], "run") == []


@pytest.mark.parametrize("group", ["build", "dev"])
def test_groups_are_locked(group: str) -> None:
    """Each dependency group is fulfilled by the lock of its name."""
    assert unlocked(declared(project()["dependency-groups"], group), group) == []


def test_what_runs_in_the_image_is_locked() -> None:
    """The lock for Kubernetes fulfils the extra, and equals the lock for running otherwise."""
    with_extra = versions_in("kubernetes")

    assert unlocked(project()["project"]["optional-dependencies"]["kubernetes"], "kubernetes") == []
    assert {name: with_extra.get(name) for name in versions_in("run")} == versions_in("run")


def test_build_backend_is_locked() -> None:
    """The build requirements are locked too."""
    assert unlocked(project()["build-system"]["requires"], "build") == []


def test_locks_agree() -> None:
    """A package has one version in all locks, and the lock for development holds all of the others."""
    dev = versions_in("dev")

    assert {name: dev.get(name) for name in versions_in("kubernetes")} == versions_in("kubernetes")
    assert {name: dev.get(name) for name in versions_in("build")} == versions_in("build")
