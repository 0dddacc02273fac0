"""Keys that are unknown, weak, in conflict or not supported are refused, all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.errors import SettingsError
from exporter.web.config.file import load_web_config
from exporter.web.config.model import duration_seconds
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

HASH = "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze"
TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
MUTUAL = f"{TLS}  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder with a CA and a server's certificate and key."""
    authority = Authority(tmp_path)
    authority.server()
    assert authority.cert.exists()
    return tmp_path


def problems(folder: Path, text: str) -> list[str]:
    """Returns the problems of a file with this text, without the path of the file."""
    path = folder / "web.yml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_web_config(str(path))
    return [line.strip().removeprefix(f"{path}: ") for line in str(caught.value).splitlines()[1:]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tls_server_confg: {}\n", "tls_server_confg: no such setting; did you mean tls_server_config?"),
        (f"{TLS}  cert_fil: a\n", "tls_server_config.cert_fil: no such setting; did you mean cert_file?"),
        (f"{TLS}  min_version: TLS10\n", "tls_server_config.min_version: is broken (RFC 8996); use TLS12 or TLS13"),
        (f"{TLS}  min_version: SSL3\n", "tls_server_config.min_version: must be TLS12 or TLS13"),
        (
            f"{TLS}  min_version: TLS13\n  max_version: TLS12\n",
            "tls_server_config.max_version: must not be below min_version",
        ),
        (
            f"{TLS}  client_auth_type: RequireAnyClientCert\n",
            "tls_server_config.client_auth_type: would accept unverified certificates; use RequireAndVerify",
        ),
        (
            f"{TLS}  client_auth_type: RequireAndVerifyClientCert\n",
            "tls_server_config.client_ca_file: is missing, and RequireAndVerifyClientCert needs it to verify ",
        ),
        (
            f"{TLS}  client_ca_file: ca.crt\n",
            "tls_server_config.client_auth_type: is missing; a CA for clients needs RequireAndVerifyClientCert or ",
        ),
        (
            f"{TLS}  client_allowed_sans: [a]\n",
            "tls_server_config.client_allowed_sans: needs client_auth_type RequireAndVerifyClientCert",
        ),
        (
            f"{TLS}  cipher_suites: [TLS_AES_128_GCM_SHA256]\n",
            "tls_server_config.cipher_suites[0]: is a suite of TLS 1.3, which are always enabled; omit it",
        ),
        (
            f"{TLS}  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n",
            "tls_server_config.cipher_suites[0]: is weak; choose from ",
        ),
        (
            f"{TLS}  curve_preferences: [X25519, CurveP256]\n",
            "tls_server_config.curve_preferences: Python's TLS supports one curve only; name one, or omit the list",
        ),
        (f"{TLS}  curve_preferences: [P1]\n", "tls_server_config.curve_preferences: must be one of CurveP256, "),
        (f"{TLS}  cert: abc\n", "tls_server_config.cert: cannot be used together with cert_file"),
        (
            "tls_server_config: {key_file: server.key}\n",
            "tls_server_config.cert_file: is missing, and TLS needs it",
        ),
        (TLS.replace("server.key", "no.key"), "tls_server_config.key_file: cannot be read (No such file or directory)"),
        (TLS.replace("server.key", "server.crt"), "tls_server_config: the key is not in PEM format"),
        (TLS.replace("server.crt", "ca.crt"), "tls_server_config: the key does not belong to the certificate"),
        (MUTUAL.replace("ca.crt", "server.key"), "tls_server_config.client_ca: is not a certificate in PEM format"),
        (
            "http_server_config: {http2: true}\n",
            "http_server_config.http2: HTTP/2 is not supported; set it to false, or omit it",
        ),
        (
            "http_server_config: {headers: {Server: x}}\n",
            "http_server_config.headers: Server: cannot be set; choose from Content-Security-Policy, ",
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: never}}\n",
            "http_server_config.headers: X-Frame-Options: must be deny or sameorigin",
        ),
        (
            'http_server_config: {headers: {X-XSS-Protection: "1\\r\\nA: b"}}\n',
            "http_server_config.headers: X-XSS-Protection: must be one line of printable characters",
        ),
        ("basic_auth_users: {alice: hunter2}\n", "basic_auth_users.alice: must be a bcrypt hash, not a password or "),
        ("basic_auth_users: {alice: }\n", "basic_auth_users.alice: must be a text; put it in quotes"),
        (
            f"basic_auth_users: {{alice: {HASH.replace('$10$', '$05$')}}}\n",
            "basic_auth_users.alice: its cost must be 10 to 16, not 5; make one by `htpasswd -nBC 12 USER`",
        ),
        (
            f"basic_auth_users: {{'al:ice': {HASH}}}\n",
            "basic_auth_users: a user name must be printable, not empty, and without a colon",
        ),
        ("rate_limit: {interval: 1s}\n", "rate_limit.burst: must be 1 or more, or every request would be refused"),
        ("rate_limit: {interval: 5, burst: 1}\n", "rate_limit.interval: must be a duration like 1s, 500ms or 1m30s"),
        (
            f"rate_limit: {{interval: '{'1' * 100_000}', burst: 1}}\n",
            "rate_limit.interval: must be a duration like 1s, 500ms or 1m30s",
        ),
        (f"rate_limit: {{interval: 1s, burst: {10**400}}}\n", "rate_limit.burst: must be less than or equal to "),
        (
            f"basic_auth_users: {{alice: $2b$10${'z' * 53}}}\n",
            "basic_auth_users.alice: must be a bcrypt hash, not a password or ",
        ),
        ("[]\n", "must be a mapping of settings, like `region_id: cn-shanghai`"),
    ],
)
def test_refused_values(text: str, problem: str, folder: Path) -> None:
    """The problem of a value names its key, what is wrong and what to do, and never the value."""
    found = problems(folder, text)

    assert len(found) == 1
    assert found[0].startswith(problem)
    assert "hunter2" not in found[0]


def test_all_problems_at_once(folder: Path) -> None:
    """Unknown keys, invalid values and unreadable files are reported together."""
    found = problems(
        folder,
        "tls_server_config: {cert_file: no.crt, key_file: no.key, min_version: TLS11, colour: red}\n"
        "basic_auth_users: {alice: one, bob: two}\nrate_limit: {interval: 1s}\n",
    )

    places = sorted(line.partition(": ")[0] for line in found)
    assert places == [
        "basic_auth_users.alice",
        "basic_auth_users.bob",
        "rate_limit.burst",
        "tls_server_config.cert_file",
        "tls_server_config.colour",
        "tls_server_config.key_file",
        "tls_server_config.min_version",
    ]


def test_a_short_key_is_refused(folder: Path) -> None:
    """An RSA key of less than 2048 bits is refused."""
    Authority(folder, "weak").server(rsa_bits=1024)

    assert problems(folder, TLS) == ["tls_server_config: the key is too short: RSA needs 2048 bits"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("1m30s", 90), (".5h", 1800), ("0", 0), (0, 0), ("20µs", 2e-5)]
)
def test_durations(text: object, seconds: float) -> None:
    """Durations have the format of Go."""
    assert duration_seconds(text) == pytest.approx(seconds)
