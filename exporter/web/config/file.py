"""The web configuration file read with all that it names, or everything that is wrong with it."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from exporter.config.problems import Problem, Source, explain, path_of
from exporter.config.yaml_file import read_settings_file
from exporter.errors import SettingsError
from exporter.web.config.model import HttpServerConfig, RateLimit, TlsServerConfig, WebConfig
from exporter.web.config.validators import together
from exporter.web.tls import Material, chain_problem, client_ca_problem, server_context

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic import BaseModel

MODELS: Mapping[str, type[BaseModel]] = {
    "": WebConfig,
    "tls_server_config": TlsServerConfig,
    "http_server_config": HttpServerConfig,
    "rate_limit": RateLimit,
}
USERS = "basic_auth_users"
"""Here alone a blank value is kept, and refused: a user without a hash must not go unnoticed."""

OTHERS_MAY_READ = 0o004


@dataclass(frozen=True, slots=True)
class WebSecurity:
    """What a file asks for: its settings, TLS made ready if there is any, and what to warn of."""

    config: WebConfig = field(default_factory=WebConfig)
    context: ssl.SSLContext | None = None
    material: Material = field(default_factory=Material)
    warnings: tuple[str, ...] = ()


class Files:
    """Reads files, and tells later whether one of them would read differently now."""

    def __init__(self) -> None:
        self._seen: dict[Path, bytes] = {}

    def read(self, path: Path) -> bytes:
        """Returns what is in a file; raises OSError."""
        self._seen[path] = b""
        content = path.read_bytes()
        self._seen[path] = hashlib.sha256(content).digest()
        return content

    def have_changed(self) -> bool:
        """Says whether a file that was read has another content now, has vanished or has come."""
        return any(_digest(path) != seen for path, seen in self._seen.items())


def load_web_config(path: str, files: Files | None = None) -> WebSecurity:
    """Returns what a file asks for; raises SettingsError with every problem at once, one a line.

    `files` does the reading, so that the caller can ask it for changes.
    """
    place = Path(path).expanduser()
    files = files or Files()
    given, problems = _given(place, files)
    material, unreadable = _material(given.get("tls_server_config"), place.parent, files)
    problems += [*(_named(path, each) for each in unreadable), *(_named(path, each) for each in together(given))]
    source = Source(given, lambda where: f"{path}: {path_of(where)}")
    try:
        config = WebConfig.model_validate(given)
    except ValidationError as error:
        raise _refused([*problems, *explain(error, [source], MODELS)]) from None
    if problems:
        raise _refused(problems)
    return WebSecurity(config, _context(config, material, path), material, tuple(_warnings(config, place)))


def _given(place: Path, files: Files) -> tuple[dict[str, object], list[Problem]]:
    """Returns what stands in the file; an empty key is as good as none."""
    try:
        files.read(place)
        found = read_settings_file(str(place))
    except OSError as error:
        return {}, [Problem(str(place), f"cannot be read ({error.strerror}); check web_config_file")]
    except SettingsError as error:
        return {}, [Problem(str(place), str(error))]
    sections = {str(key): value for key, value in found.items() if value is not None}
    return {key: value if key == USERS else _without_blanks(value) for key, value in sections.items()}, []


def _without_blanks(value: object) -> object:
    return {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else value


def _material(tls: object, folder: Path, files: Files) -> tuple[Material, list[tuple[tuple[str, ...], str]]]:
    """Reads certificate, key and CA, and says what is wrong with them."""
    if not isinstance(tls, dict):
        return Material(), []
    parts: dict[str, bytes] = {}
    problems: list[tuple[tuple[str, ...], str]] = []
    for name in ("cert", "key", "client_ca"):
        try:
            parts[name] = _part(tls, name, folder, files)
        except (OSError, ValueError) as error:  # the latter for a path that cannot be one
            reason = getattr(error, "strerror", None) or "not a path"
            problems.append((("tls_server_config", f"{name}_file"), f"cannot be read ({reason})"))
    material = Material(**parts)
    if parts.get("cert") and parts.get("key") and (problem := chain_problem(material)):
        problems.append((("tls_server_config",), problem))
    if parts.get("client_ca") and (problem := client_ca_problem(material)):
        problems.append((("tls_server_config", "client_ca"), problem))
    return material, problems


def _part(tls: Mapping[str, object], name: str, folder: Path, files: Files) -> bytes:
    path, inline = tls.get(f"{name}_file"), tls.get(name)
    if path and isinstance(path, str):
        return files.read(folder / path)
    return inline.encode("utf-8", "replace") if isinstance(inline, str) else b""


def _context(config: WebConfig, material: Material, path: str) -> ssl.SSLContext | None:
    if config.tls_server_config is None:
        return None
    try:
        return server_context(config.tls_server_config, material)
    except ssl.SSLError as error:
        said = f"OpenSSL cannot do this ({error.reason})"
        raise _refused([Problem(f"{path}: tls_server_config", said)]) from None


def _warnings(config: WebConfig, place: Path) -> Iterator[str]:
    tls = config.tls_server_config
    if tls is None:
        if config.basic_auth_users:
            yield "passwords come over plain HTTP; add tls_server_config, unless a proxy on this machine does TLS"
        return
    secret = place.parent / tls.key_file if tls.key_file else place
    if secret.stat().st_mode & OTHERS_MAY_READ:
        yield f"every user of this machine can read the private key in {secret}; take the right from others"


def _named(path: str, found: tuple[tuple[str | int, ...], str]) -> Problem:
    return Problem(f"{path}: {path_of(found[0])}", found[1])


def _refused(problems: Sequence[Problem]) -> SettingsError:
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    return SettingsError("\n".join((f"the web configuration has {count}:", *(f"  {each}" for each in problems))))


def _digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except (OSError, ValueError):
        return b""
