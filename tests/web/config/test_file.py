"""The web configuration file is loaded as exporter-toolkit does it, with everything that it names."""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import bcrypt
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.errors import SettingsError
from exporter.web.auth import TokenBucket
from exporter.web.config.file import FileReader, WebSecurity, load_web_config
from exporter.web.config.model import HttpServerConfig, RateLimit, TlsServerConfig
from exporter.web.tls import _timestamp
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

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


def load(folder: Path, text: str) -> WebSecurity:
    """Writes this text to a file in the folder, and loads it."""
    path = folder / "web.yml"
    path.write_text(text)
    return load_web_config(str(path))


def test_an_empty_file(folder: Path) -> None:
    """Without keys there is neither TLS nor a password; an empty key equals a missing one."""
    for text in ("", "tls_server_config:\nbasic_auth_users:\n", "http_server_config: {http2: false}\n"):
        assert load(folder, text) == WebSecurity()


def test_every_key(folder: Path) -> None:
    """Every supported key has its effect, and relative paths start at the folder of the file."""
    security = load(
        folder,
        f"{MUTUAL}"
        "  client_allowed_sans: [prometheus.example]\n"
        "  min_version: TLS12\n  max_version: TLS12\n"
        "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n"
        "  prefer_server_cipher_suites: false\n"
        "  curve_preferences: [CurveP384]\n"
        "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    X-XSS-Protection: ''\n"
        f"basic_auth_users:\n  alice: {HASH}\n"
        "rate_limit: {interval: 500ms, burst: 20}\n",
    )

    context = security.context
    assert context is not None
    assert context.verify_mode is ssl.CERT_OPTIONAL
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
    assert [each["name"] for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"] == [
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
    ]
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert security.config.http_server_config.headers == {"X-Frame-Options": "deny"}
    assert security.config.basic_auth_users == {"alice": HASH}
    assert security.config.rate_limit.interval == 0.5
    assert security.warnings == ()


def test_inline_certificates(folder: Path) -> None:
    """Certificate, key and CA can be inline instead of in files of their own."""
    parts = {"cert": "server.crt", "key": "server.key", "client_ca": "ca.crt"}
    lines = [
        f"  {name}: |\n    " + (folder / path).read_text().strip().replace("\n", "\n    ")
        for name, path in parts.items()
    ]
    text = "\n".join(["tls_server_config:", *lines, "  client_auth_type: VerifyClientCertIfGiven"])

    assert load(folder, text).context is not None


def test_a_missing_file(tmp_path: Path) -> None:
    """The error names a missing file and the setting to check."""
    with pytest.raises(SettingsError, match=r"no.yml: cannot be read.*check web_config_file"):
        load_web_config(str(tmp_path / "no.yml"))


def test_warnings(folder: Path) -> None:
    """A key that every user can read, and passwords over plain HTTP, are accepted with a warning."""
    (folder / "server.key").chmod(0o644)

    readable = load(folder, TLS).warnings
    plain = load(folder, f"basic_auth_users: {{alice: {HASH}}}\n").warnings

    assert len(readable) == len(plain) == 1
    assert f"can read the private key in {folder / 'server.key'}" in readable[0]
    assert "plain HTTP" in plain[0]


@pytest.mark.parametrize(
    ("days", "life_days", "warning"),
    [
        (30, 365, ""),
        (13, 365, "expires at"),
        (13, 90, ""),
        (8, 90, "expires at"),
        (0.5, 1, ""),
        (0.05, 1, "expires at"),
        (-1, 90, "expired at"),
        (100, 90, "valid only from"),
    ],
)
def test_validity(folder: Path, days: float, life_days: float, warning: str) -> None:
    """A certificate that has expired, is about to, or is not valid yet, causes a warning, also a CA of clients."""
    ends_at = datetime.now(UTC) + timedelta(days=days)
    authority = Authority(folder, validity=(ends_at - timedelta(days=life_days), ends_at))
    authority.server()
    assert authority.cert.exists()

    found = load(folder, MUTUAL).warnings

    assert [warning in text for text in found] == ([True] * 2 if warning else [])


def test_generalized_time() -> None:
    """The validity of a certificate beyond 2049 has another form, which is read too."""
    assert _timestamp(0x17, b"500101000000Z") == datetime(1950, 1, 1, tzinfo=UTC).timestamp()
    assert _timestamp(0x18, b"20500101000000Z") == datetime(2050, 1, 1, tzinfo=UTC).timestamp()


def test_unquoted_scalars(folder: Path) -> None:
    """Header values and user names are text, whether YAML would take them for something else or not."""
    text = (
        "http_server_config: {headers: {X-XSS-Protection: 1, Strict-Transport-Security: 010, "
        "Content-Security-Policy: 2026-01-01}}\n"
        f"basic_auth_users: {{1: {HASH}, yes: {HASH}, 1.50: {HASH}, 2026-01-01: {HASH}}}\n"
    )

    config = load(folder, text).config

    assert config.http_server_config.headers == {
        "X-XSS-Protection": "1",
        "Strict-Transport-Security": "010",
        "Content-Security-Policy": "2026-01-01",
    }
    assert list(config.basic_auth_users) == ["1", "yes", "1.50", "2026-01-01"]


@pytest.mark.parametrize("interval", ["0", "0s", "0ms", "0h0m0s"])
@pytest.mark.parametrize("burst", ["", ", burst: 0", ", burst: 5"])
def test_no_rate_limit(folder: Path, interval: str, burst: str) -> None:
    """An interval of zero, in any unit, turns the rate limit off, whatever the burst."""
    limit = load(folder, f"rate_limit: {{interval: {interval}{burst}}}\n").config.rate_limit

    assert TokenBucket().take(limit)
    assert limit.interval == 0


def test_secrets_have_no_repr(folder: Path) -> None:
    """The repr shows neither keys nor hashes."""
    shown = repr(load(folder, f"{TLS}basic_auth_users: {{alice: {HASH}}}\n"))

    assert HASH not in shown
    assert "PRIVATE KEY" not in shown


def test_changes_of_content(folder: Path) -> None:
    """A file has changed if its content differs or it was deleted, and not if it has the same content again."""
    (folder / "web.yml").write_text(TLS)
    files = FileReader()
    load_web_config(str(folder / "web.yml"), files)

    seen = [files.have_changed()]
    key = (folder / "server.key").read_bytes()
    (folder / "server.key").unlink()
    seen.append(files.have_changed())
    (folder / "server.key").write_bytes(key)
    seen.append(files.have_changed())

    assert seen == [False, True, False]


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["server.crt", "TLS12", HASH]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def section(model: type[BaseModel]) -> st.SearchStrategy[object]:
    """Returns values of a section: some of its keys with any value, or anything else."""
    return st.dictionaries(st.sampled_from(sorted(model.model_fields)), ANYTHING, max_size=5) | ANYTHING


@pytest.mark.property
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    written=st.fixed_dictionaries(
        {},
        optional={
            "tls_server_config": section(TlsServerConfig),
            "http_server_config": section(HttpServerConfig),
            "rate_limit": section(RateLimit),
            "basic_auth_users": ANYTHING,
        },
    )
)
def test_any_file_loads_or_is_refused(folder: Path, written: dict[str, object]) -> None:
    """Any file loads or raises SettingsError; nothing else happens."""
    with suppress(SettingsError):
        load(folder, yaml.safe_dump(written))


def test_hashes_of_all_tools(folder: Path) -> None:
    """The hashes of htpasswd, Python and Go are accepted."""
    made = bcrypt.hashpw(b"secret", bcrypt.gensalt(10)).decode()

    for prefix in ("$2a", "$2b", "$2y"):
        assert load(folder, f"basic_auth_users: {{alice: {prefix}{made[3:]}}}\n").config.basic_auth_users
