"""Loads the web configuration file with the certificates and keys that it names, or reports all of its problems."""

from __future__ import annotations

import hashlib
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from exporter.config.problems import FileValues, Problem, explain, refusal
from exporter.config.yaml_file import parse_settings
from exporter.errors import SettingsError
from exporter.web.config.model import HttpServerConfig, RateLimit, TlsServerConfig, WebConfig, conflicts
from exporter.web.tls import TlsMaterial, chain_problem, client_ca_problem, server_context, validity_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

    from exporter.config.problems import Place

CONFIGURATION = "the web configuration"
MODELS: Mapping[str, type[BaseModel]] = {
    "": WebConfig,
    "tls_server_config": TlsServerConfig,
    "http_server_config": HttpServerConfig,
    "rate_limit": RateLimit,
}
USERS = "basic_auth_users"
TEXT_MAPPINGS = ((USERS,), ("http_server_config", "headers"))
"""The mappings whose keys and values are text, as in Go, where a number is text where text is expected."""
OTHERS_MAY_READ = 0o004


@dataclass(frozen=True, slots=True)
class WebSecurity:
    """A loaded web configuration: its settings, the TLS context if it has TLS, and warnings for the operator."""

    config: WebConfig = field(default_factory=WebConfig)
    context: ssl.SSLContext | None = None
    material: TlsMaterial = field(default_factory=TlsMaterial)
    warnings: tuple[str, ...] = ()


class FileReader:
    """Reads files, and detects later whether the content of any of them has changed."""

    def __init__(self) -> None:
        self._digests: dict[Path, bytes] = {}

    def read(self, path: Path) -> bytes:
        """Returns the content of a file; raises OSError."""
        self._digests[path] = b""
        content = path.read_bytes()
        self._digests[path] = hashlib.sha256(content).digest()
        return content

    def have_changed(self) -> bool:
        """Returns whether a file has other content now, was deleted, or exists now and did not before."""
        return any(_digest(path) != digest for path, digest in self._digests.items())


def load_web_config(path: str, files: FileReader | None = None) -> WebSecurity:
    """Loads the web configuration; raises SettingsError with all problems, one per line.

    `files` reads all files, so that the caller can ask it for changes.
    """
    config_path = Path(path).expanduser()
    files = files or FileReader()
    given, problems = _read_config(config_path, files)
    material, unusable = _read_material(given.get("tls_server_config"), config_path.parent, files)
    source = FileValues(path, given)
    problems += [Problem(source.name_of(where), text) for where, text in (*unusable, *conflicts(given))]
    try:
        config = WebConfig.model_validate(given)
    except ValidationError as error:
        raise refusal(CONFIGURATION, [*problems, *explain(error, [source], MODELS)]) from None
    if problems:
        raise refusal(CONFIGURATION, problems)
    return WebSecurity(
        config, _context(config, material, path), material, tuple(_warnings(config, config_path, material))
    )


def _read_config(path: Path, files: FileReader) -> tuple[dict[str, object], list[Problem]]:
    """Returns the mapping of the file without its empty keys, and the problems."""
    try:
        found = parse_settings(files.read(path), TEXT_MAPPINGS)
    except OSError as error:
        return {}, [Problem(str(path), f"cannot be read ({error.strerror}); check web_config_file")]
    except SettingsError as error:
        return {}, [Problem(str(path), str(error))]
    sections = {str(key): value for key, value in found.items() if value is not None}
    # The empty keys of users stay, to be refused: a user without a hash must not be ignored silently.
    return {key: value if key == USERS else _without_empty(value) for key, value in sections.items()}, []


def _without_empty(section: object) -> object:
    return {key: each for key, each in section.items() if each is not None} if isinstance(section, dict) else section


def _read_material(tls: object, folder: Path, files: FileReader) -> tuple[TlsMaterial, list[tuple[Place, str]]]:
    """Returns certificate, key and CA, and the place and text of each problem with them."""
    if not isinstance(tls, dict):
        return TlsMaterial(), []
    parts: dict[str, bytes] = {}
    problems: list[tuple[Place, str]] = []
    for name in ("cert", "key", "client_ca"):
        try:
            parts[name] = _read_part(tls, name, folder, files)
        except (OSError, ValueError) as error:  # ValueError: a path with a null byte
            reason = getattr(error, "strerror", None) or "not a path"
            problems.append((("tls_server_config", f"{name}_file"), f"cannot be read ({reason})"))
    material = TlsMaterial(**parts)
    if parts.get("cert") and parts.get("key") and (problem := chain_problem(material)):
        problems.append((("tls_server_config",), problem))
    if parts.get("client_ca") and (problem := client_ca_problem(material)):
        problems.append((("tls_server_config", "client_ca"), problem))
    return material, problems


def _read_part(tls: Mapping[str, object], name: str, folder: Path, files: FileReader) -> bytes:
    path, inline = tls.get(f"{name}_file"), tls.get(name)
    if path and isinstance(path, str):
        return files.read(folder / path)
    return inline.encode("utf-8", "replace") if isinstance(inline, str) else b""


def _context(config: WebConfig, material: TlsMaterial, path: str) -> ssl.SSLContext | None:
    if config.tls_server_config is None:
        return None
    try:
        return server_context(config.tls_server_config, material)
    except ssl.SSLError as error:
        text = f"OpenSSL does not support this ({error.reason})"
        raise refusal(CONFIGURATION, [Problem(f"{path}: tls_server_config", text)]) from None


def _warnings(config: WebConfig, config_path: Path, material: TlsMaterial) -> Iterator[str]:
    tls = config.tls_server_config
    if tls is None:
        if config.basic_auth_users:
            yield "passwords are sent over plain HTTP: add tls_server_config, unless a proxy on this machine does TLS"
        return
    secret = config_path.parent / tls.key_file if tls.key_file else config_path
    if secret.stat().st_mode & OTHERS_MAY_READ:
        yield f"every user of this machine can read the private key in {secret}: remove that permission"
    yield from validity_warnings(material, time.time())


def _digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except (OSError, ValueError):
        return b""
