"""Target `web-config`: any web configuration file gives what the server can work with, or clean problems."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.web.auth import TokenBucket, matches
from exporter.web.config.file import load_web_config
from tests.fuzz.target import Target
from tests.fuzz.yaml_files import read_well, yaml_files
from tests.support.certificates import Authority
from tests.support.secured_server import HASH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TLS = """\
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_ca_file: ca.crt
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [prometheus.example]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]
  prefer_server_cipher_suites: true
  curve_preferences: [X25519]
"""
OTHERS = f"""\
http_server_config:
  http2: false
  headers:
    Strict-Transport-Security: max-age=1
    X-Frame-Options: deny
    Content-Security-Policy: default-src 'none'
basic_auth_users:
  alice: {HASH}
rate_limit:
  interval: 1m30s
  burst: 20
"""


def use(path: Path) -> None:
    """Loads the file, and uses it as the server does for each request."""
    config = load_web_config(str(path)).config
    bucket = TokenBucket()
    for _ in range(3):
        bucket.take(config.rate_limit)
    assert max(1, round(config.rate_limit.interval))
    for name, value in config.http_server_config.headers.items():
        assert f"{name}: {value}".isprintable()
    for each in config.basic_auth_users.values():
        matches(b"any", f"{each[:4]}04{each[6:]}")  # at the least cost


@contextmanager
def ready() -> Iterator[Callable[[bytes], None]]:
    """Yields the check, in a folder with certificates for the file."""
    with tempfile.TemporaryDirectory() as folder:
        Authority(Path(folder)).server()
        path = Path(folder) / "web.yml"

        def check(text: bytes) -> None:
            path.write_bytes(text)
            read_well(text, lambda: use(path))

        yield check


WEB_CONFIG = Target("web-config", yaml_files((TLS, OTHERS, TLS + OTHERS)), ready)
