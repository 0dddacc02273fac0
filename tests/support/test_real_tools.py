"""The real tools come from the package sources of the machine, and unpacked sets are complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import real_tools

if TYPE_CHECKING:
    from pathlib import Path

DEB822 = """\
Types: deb
# a comment between the fields
URIs: https://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /keys/debian.gpg

Types: deb
Enabled: no
URIs: https://disabled.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://other.example/
Suites: nodistro
Components: main
"""
ONE_LINE = """\
# deb https://commented.example/debian bookworm main
deb-src https://source.example/debian bookworm main
deb [arch=amd64 signed-by=/keys/debian.gpg] https://mirror.example/debian bookworm main contrib
deb https://vendor.example/apt vendor-bookworm main
deb https://plain.example/debian bookworm main
"""


def test_deb822_sources(tmp_path: Path) -> None:
    """Of a deb822 file, only enabled binary sources of the release of the system are used."""
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)

    found = real_tools.sources(tmp_path, "bookworm")

    assert found == [real_tools.Source("https://mirror.example/debian", "/keys/debian.gpg")]


def test_one_line_sources(tmp_path: Path) -> None:
    """Of a one-line file, only binary sources of the release of the system are used, with or without a key."""
    (tmp_path / "sources.list").write_text(ONE_LINE)

    found = real_tools.sources(tmp_path, "bookworm")

    assert found == [
        real_tools.Source("https://mirror.example/debian", "/keys/debian.gpg"),
        real_tools.Source("https://plain.example/debian", ""),
    ]


def test_stanza_keeps_place_and_key() -> None:
    """Another suite comes from the same place and is checked with the same key."""
    source = real_tools.Source("https://mirror.example/debian", "/keys/debian.gpg")

    assert source.stanza("sid") == (
        "Types: deb\nURIs: https://mirror.example/debian\nSuites: sid\nComponents: main\nSigned-By: /keys/debian.gpg\n"
    )


def test_other_systems_use_their_own_suite() -> None:
    """On a system that is not Debian, only its own release is tried."""
    release = {"ID": "other", "VERSION_CODENAME": "noble"}

    assert real_tools.suites_of(release, real_tools.NEWEST) == ("noble",)


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_missing_tool_is_loud(
    ci: str, outcome: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing tool skips the test with the reason, and fails it in CI."""
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(real_tools, "APT", tmp_path)

    with pytest.raises(outcome, match="REAL TOOL MISSING: promtool"):
        real_tools.need("promtool", ("no-such-suite",))


def test_cache_is_used_before_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unpacked set is used from the cache; for an old suite PATH is not searched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(real_tools, "machine", lambda: {"ID": "debian"})
    program = real_tools.cache_folder() / "bookworm_1_2" / "usr" / "bin" / "promtool"
    program.parent.mkdir(parents=True)
    program.touch()

    assert real_tools.find("promtool", real_tools.OLDEST) == program
