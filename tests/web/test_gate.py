"""Nobody passes the gate without what the web configuration asks for, but to the probes."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, TypeVar

import httpx
import pytest

from exporter.web.config.model import RateLimit
from exporter.web.tls import subject_alternative_names
from exporter.web.token_bucket import Bucket
from tests.support.certificates import Authority
from tests.support.secured_server import HASH, PASSWORD, client, secured

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

Value = TypeVar("Value")
TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
MUTUAL = f"{TLS}  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"
USERS = f"basic_auth_users: {{alice: {HASH}}}\n"
PROBES = ("/livez", "/readyz", "/healthz")
GUARDED = ("/metrics", "/", "/failures", "/targets", "/nothing")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Returns a CA that has signed a server's certificate."""
    authority = Authority(tmp_path)
    authority.server()
    assert authority.cert.exists()
    return authority


def ask(text: str, folder: Path, asks: Callable[[str], Awaitable[Value]]) -> Value:
    """Returns what `asks` finds at the server behind this web configuration."""

    async def run() -> Value:
        async with secured(text, folder) as url:
            return await asks(url)

    return asyncio.run(run())


async def statuses(asking: httpx.AsyncClient, url: str, *paths: str) -> list[int]:
    """Returns the status of each path."""
    async with asking:
        return [(await asking.get(f"{url}{path}")).status_code for path in paths]


def test_a_password_opens_every_path(tmp_path: Path) -> None:
    """With a right password all is open; without, with a wrong one, or as nobody, nothing but the probes."""

    async def asks(url: str) -> list[list[int]]:
        right, wrong, nobody = ("alice", PASSWORD), ("alice", "wrong"), ("mallory", PASSWORD)
        clients = [httpx.AsyncClient(auth=auth, trust_env=False) for auth in (right, wrong, nobody, None)]
        return [await statuses(each, url, *GUARDED, *PROBES) for each in clients]

    shut = [401] * len(GUARDED) + [200] * len(PROBES)

    assert ask(USERS, tmp_path, asks) == [[200, 200, 200, 200, 404, 200, 200, 200], shut, shut, shut]


@pytest.mark.parametrize("header", ["", "Basic", "Basic !", "Basic YWxpY2U=", "Bearer abc", "Basic gP8=", "basic"])
def test_garbage_is_no_password(header: str, tmp_path: Path) -> None:
    """Whatever stands in Authorization, the answer is 401, and says which way to come in."""

    async def asks(url: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as asking:
            return await asking.get(f"{url}/metrics", headers={"Authorization": header})

    response = ask(USERS, tmp_path, asks)

    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Basic realm=")
    assert "ims_" not in response.text


def test_a_client_certificate_opens_every_path(authority: Authority) -> None:
    """With a certificate of the right CA all is open; without one, nothing but the probes."""

    async def asks(url: str) -> list[list[int]]:
        clients = [client(authority.cert, authority.client()), client(authority.cert)]
        return [await statuses(each, url, "/metrics", "/livez") for each in clients]

    assert ask(MUTUAL, authority.folder, asks) == [[200, 200], [403, 200]]


def test_a_certificate_of_another_ca_ends_in_the_handshake(authority: Authority) -> None:
    """A certificate that cannot be verified is refused before HTTP, where certificates are asked for at all."""
    stranger = Authority(authority.folder, "other").client("stranger")

    async def asks(url: str) -> bool:
        async with client(authority.cert, stranger) as asking:
            with pytest.raises(httpx.TransportError):
                await asking.get(f"{url}/livez")
        return True

    optional = MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")

    assert ask(MUTUAL, authority.folder, asks)
    assert ask(optional, authority.folder, asks)


def test_a_server_certificate_is_none_for_a_client(authority: Authority) -> None:
    """What the same CA has signed for servers does not let a client in."""

    async def asks(url: str) -> bool:
        async with client(authority.cert, authority.server("other")) as asking:
            with pytest.raises(httpx.TransportError):
                await asking.get(f"{url}/metrics")
        return True

    assert ask(MUTUAL, authority.folder, asks)


def test_verified_if_given(authority: Authority) -> None:
    """VerifyClientCertIfGiven asks for a certificate, and takes clients without one."""
    text = MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")

    async def asks(url: str) -> list[list[int]]:
        clients = [client(authority.cert, authority.client()), client(authority.cert)]
        return [await statuses(each, url, "/metrics") for each in clients]

    assert ask(text, authority.folder, asks) == [[200], [200]]


@pytest.mark.parametrize(
    ("allowed", "status"),
    [("prometheus.example", 200), ("2001:db8::1", 200), ("example", 403), ("client", 403), ("Prometheus.example", 403)],
)
def test_allowed_names(allowed: str, status: int, authority: Authority) -> None:
    """With client_allowed_sans one of the certificate's names must be in the list, exactly; probes need none."""

    async def asks(url: str) -> list[int]:
        return await statuses(client(authority.cert, authority.client()), url, "/livez", "/metrics")

    text = f"{MUTUAL}  client_allowed_sans: ['nobody', '{allowed}']\n"

    assert ask(text, authority.folder, asks) == [200, status]


def test_names_of_all_kinds() -> None:
    """DNS, e-mail, address and URI count as names, the subject does not; addresses are told in their short form."""
    names = (
        ("DNS", "a.example"),
        ("email", "b@example"),
        ("URI", "spiffe://c"),
        ("IP Address", "2001:DB8:0:0:0:0:0:1"),
        ("IP Address", "<invalid>"),
        ("DirName", "d"),
    )

    found = subject_alternative_names({"subject": ((("commonName", "e"),),), "subjectAltName": names})

    assert found == {"a.example", "b@example", "spiffe://c", "2001:db8::1"}
    assert subject_alternative_names(None) == set()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_least_version(version: ssl.TLSVersion, authority: Authority) -> None:
    """min_version shuts out older TLS."""

    async def asks(url: str) -> bool:
        context = ssl.create_default_context(cafile=str(authority.cert))
        context.maximum_version = version
        async with httpx.AsyncClient(verify=context, trust_env=False) as asking:
            try:
                return (await asking.get(f"{url}/livez")).status_code == 200
            except httpx.TransportError:
                return False

    assert ask(f"{TLS}  min_version: TLS13\n", authority.folder, asks) == (version is ssl.TLSVersion.TLSv1_3)


def test_rate_limit(tmp_path: Path) -> None:
    """Beyond the burst requests are answered 429 with a time to wait; probes are not counted."""

    async def asks(url: str) -> list[int]:
        paths = ("/livez", "/metrics", "/metrics", "/metrics", "/livez")
        return await statuses(httpx.AsyncClient(trust_env=False), url, *paths)

    assert ask("rate_limit: {interval: 1h, burst: 2}\n", tmp_path, asks) == [200, 200, 200, 429, 200]


def test_bucket_fills_up() -> None:
    """One token comes back in each interval, up to the burst; another limit starts full."""
    now = [100.0]
    bucket = Bucket(lambda: now[0])
    limit = RateLimit(interval="10s", burst=2)

    first = [bucket.takes(limit) for _ in range(3)]
    now[0] += 10
    second = [bucket.takes(limit) for _ in range(2)]
    now[0] += 1000
    third = [bucket.takes(limit) for _ in range(3)]
    other = bucket.takes(RateLimit(interval="1h", burst=1))

    assert (first, second, third) == ([True, True, False], [True, False], [True, True, False])
    assert other
    assert bucket.takes(RateLimit())


def test_configured_headers(tmp_path: Path) -> None:
    """Headers of the file are on every answer, refusals included, in place of our own."""
    text = f"{USERS}http_server_config: {{headers: {{X-Frame-Options: deny, Content-Security-Policy: sandbox}}}}\n"

    async def asks(url: str) -> list[tuple[str, str]]:
        async with httpx.AsyncClient(trust_env=False) as asking:
            answers = [await asking.get(f"{url}{path}") for path in ("/metrics", "/livez")]
        return [(each.headers["x-frame-options"], each.headers["content-security-policy"]) for each in answers]

    assert ask(text, tmp_path, asks) == [("deny", "sandbox")] * 2


@pytest.mark.parametrize(
    ("request_line", "content", "site", "status"),
    [
        ("POST /metrics", b"x", "none", 413),
        ("GET /metrics", b"x", "none", 413),
        ("POST /livez", b"x", "none", 413),
        ("POST /metrics", b"", "cross-site", 403),
        ("POST /metrics", b"", "same-site", 403),
        ("POST /metrics", b"", "same-origin", 405),
        ("GET /metrics", b"", "cross-site", 200),
    ],
)
def test_nothing_is_sent_here(request_line: str, content: bytes, site: str, status: int, tmp_path: Path) -> None:
    """No request may have a body, and none that could change something may come from another site's page."""
    method, path = request_line.split()

    async def asks(url: str) -> int:
        async with httpx.AsyncClient(trust_env=False) as asking:
            headers = {"Sec-Fetch-Site": site}
            return (await asking.request(method, f"{url}{path}", content=content, headers=headers)).status_code

    assert ask("", tmp_path, asks) == status
