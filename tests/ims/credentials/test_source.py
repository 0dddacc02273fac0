"""Keys come from the configured source, are read again after a rotation, and never appear in a message."""

from __future__ import annotations

import asyncio
import os
import traceback
from typing import TYPE_CHECKING

import pytest

from exporter.errors import CredentialsError, TimedOutError
from exporter.ims.credentials.source import AccessKey, CredentialSource, credential_source
from exporter.jobs.target import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CANARY = "canary0secret"
NAMED = Credentials(
    access_key_id_env="PROD_ID", access_key_secret_env="PROD_SECRET", security_token_env="PROD_TOKEN", profile="default"
)
GIVEN = {"PROD_ID": "id", "PROD_SECRET": "secret"}


def key_of(choice: Credentials | None, environ: Mapping[str, str]) -> AccessKey:
    """Returns the key that a target with these settings signs with."""
    return asyncio.run(credential_source(choice, environ).current())


def refusal_of(choice: Credentials, environ: Mapping[str, str]) -> CredentialsError:
    """Returns the error of a source without a key."""
    with pytest.raises(CredentialsError) as refused:
        key_of(choice, environ)
    return refused.value


def written(path: Path, text: str) -> Path:
    """Writes a file with this text and a newer time stamp than before; returns its path."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))
    return path


def section(key_id: str, name: str = "default") -> str:
    """Returns a section of a credentials file."""
    return f"[{name}]\ntype = access_key\naccess_key_id = {key_id}\naccess_key_secret = secret-of-{key_id}\n"


def test_named_variables() -> None:
    """A target's own variables provide its key; with a token, a temporary one."""
    assert key_of(NAMED, GIVEN) == AccessKey("id", "secret")
    assert key_of(NAMED, {**GIVEN, "PROD_TOKEN": "token"}) == AccessKey("id", "secret", "token")


def test_whitespace_around_a_key() -> None:
    """Whitespace around a key is ignored, for example the line break at the end of a secret's file."""
    given = {"PROD_ID": "id\n", "PROD_SECRET": " secret\r\n", "PROD_TOKEN": "token\n"}

    assert key_of(NAMED, given) == AccessKey("id", "secret", "token")


@pytest.mark.parametrize("odd", [f"{CANARY}\nx", f"{CANARY}\x00", f"{CANARY}é", f"{CANARY}\udcff"])
@pytest.mark.parametrize("name", ["PROD_ID", "PROD_SECRET", "PROD_TOKEN"])
def test_invalid_characters(name: str, odd: str) -> None:
    """A key with a character that no request can carry is refused, without showing its value."""
    error = refusal_of(NAMED, {**GIVEN, name: odd})

    assert "character" in str(error)
    assert CANARY not in str(error)


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        (
            {"PROD_ID": "", "PROD_TOKEN": CANARY},
            "variables that credentials.access_key_id_env and credentials.access_key_secret_env name are not set",
        ),
        ({"PROD_SECRET": CANARY}, "variable that credentials.access_key_id_env names is not set"),
        ({"PROD_ID": CANARY}, "variable that credentials.access_key_secret_env names is not set"),
    ],
)
def test_missing_variables(environ: dict[str, str], problem: str) -> None:
    """The error names the setting of a missing or empty variable, never its value: it may be a secret."""
    message = str(refusal_of(NAMED, environ))

    assert message == f"no credentials: the environment {problem}"


def test_rotation_of_a_file(tmp_path: Path) -> None:
    """The named profile is read from the file, and read again when the file changes, even after an invalid one."""
    path = written(tmp_path / "credentials.ini", section("other") + section("first", "prod"))
    source = credential_source(Credentials(file=str(path), profile="prod"), {})

    async def scenario() -> list[str]:
        seen = [await source.current(), await source.current()]
        written(path, "[prod]\ntype = nonsense\n")
        with pytest.raises(CredentialsError, match="nonsense"):
            await source.current()
        written(path, section("second", "prod"))
        return [key.secret for key in (*seen, await source.current())]

    assert asyncio.run(scenario()) == ["secret-of-first", "secret-of-first", "secret-of-second"]


@pytest.mark.parametrize(
    "text",
    [
        f"access_key_secret = {CANARY}\n",
        f"[default]\ntype = access_key\naccess_key_id = id\n= {CANARY}\naccess_key_secret\n",
        f"[default]\ntype = access_key\naccess_key_id = id\naccess_key_secret = %{CANARY}\n",
        f"[default]\ntype = access_key\n{CANARY}\n",
        f"[other]\naccess_key_secret = {CANARY}\n",
        "",
    ],
)
def test_broken_files(tmp_path: Path, text: str) -> None:
    """The error names a file without a key, and quotes none of its lines."""
    path = written(tmp_path / "credentials.ini", text)

    error = refusal_of(Credentials(file=str(path), profile="default"), {})

    assert str(path) in str(error)
    assert CANARY not in "".join(traceback.format_exception(error))
    assert error.code == "NoCredentials"


def test_missing_file(tmp_path: Path) -> None:
    """The error names a missing file, and the next call looks for it again."""
    path = tmp_path / "credentials.ini"
    source = credential_source(Credentials(file=str(path), profile="default"), {})

    async def scenario() -> AccessKey:
        with pytest.raises(CredentialsError, match=r"credentials\.ini"):
            await source.current()
        written(path, section("first"))
        return await source.current()

    assert asyncio.run(scenario()).key_id == "first"


def test_forget() -> None:
    """A key is cached until it is forgotten; one that is no longer current cannot be."""
    environ = dict(GIVEN)
    source = credential_source(NAMED, environ)

    async def scenario() -> list[str]:
        before = await source.current()
        environ["PROD_ID"] = "rotated"
        source.forget(AccessKey("another", "key"))
        cached = await source.current()
        source.forget(cached)
        return [key.key_id for key in (before, cached, await source.current())]

    assert asyncio.run(scenario()) == ["id", "id", "rotated"]


def test_a_provider_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that does not answer in time is an error; the poll does not hang."""

    class SilentProvider:
        """Never answers."""

        async def get_credentials_async(self) -> object:
            """Waits forever."""
            return await asyncio.Event().wait()

    monkeypatch.setattr("exporter.ims.credentials.source.MAX_FETCH_SECONDS", 0.01)

    with pytest.raises(TimedOutError, match="no answer in time"):
        asyncio.run(CredentialSource(SilentProvider).current())


def test_no_secret_in_a_repr() -> None:
    """The repr of a key shows only its id."""
    assert repr(AccessKey("id", CANARY, CANARY)) == "AccessKey(key_id='id')"
