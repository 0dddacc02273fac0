"""Every request needs what the web configuration requires, except for probes."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from typing import TYPE_CHECKING, TypeVar

import httpx
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from exporter.web.auth import (
    MAX_NETWORKS,
    MAX_WAITING_CHECKS,
    CheckQueue,
    PasswordChecker,
    TokenBucket,
    TooManyChecksError,
    basic_credentials,
    is_same_origin,
    matches,
    network_of,
)
from exporter.web.config.model import RateLimit
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
PROTECTED = ("/metrics", "/", "/failures", "/targets", "/nothing")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Returns a CA that has signed a server's certificate."""
    authority = Authority(tmp_path)
    authority.server()
    assert authority.cert.exists()
    return authority


def with_server(text: str, folder: Path, scenario: Callable[[str], Awaitable[Value]]) -> Value:
    """Runs `scenario` with the URL of a server that has this web configuration; returns its result."""

    async def run() -> Value:
        async with secured(text, folder) as url:
            return await scenario(url)

    return asyncio.run(run())


async def statuses(http: httpx.AsyncClient, url: str, *paths: str) -> list[int]:
    """Returns the status of each path."""
    async with http:
        return [(await http.get(f"{url}{path}")).status_code for path in paths]


def test_passwords(tmp_path: Path) -> None:
    """A valid password opens every path; a wrong one, an unknown user or no password opens the probes only."""

    async def scenario(url: str) -> list[list[int]]:
        valid, wrong, unknown = ("alice", PASSWORD), ("alice", "wrong"), ("mallory", PASSWORD)
        clients = [httpx.AsyncClient(auth=auth, trust_env=False) for auth in (valid, wrong, unknown, None)]
        return [await statuses(each, url, *PROTECTED, *PROBES) for each in clients]

    refused = [401] * len(PROTECTED) + [200] * len(PROBES)

    assert with_server(USERS, tmp_path, scenario) == [
        [200, 200, 200, 200, 404, 200, 200, 200],
        refused,
        refused,
        refused,
    ]


@pytest.mark.parametrize("header", ["", "Basic gP8="])
def test_invalid_authorization_headers(header: str, tmp_path: Path) -> None:
    """An invalid Authorization header is answered 401, with the authentication scheme to use."""

    async def scenario(url: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as http:
            return await http.get(f"{url}/metrics", headers={"Authorization": header})

    response = with_server(USERS, tmp_path, scenario)

    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Basic realm=")
    assert "ims_" not in response.text


def test_client_certificates(authority: Authority) -> None:
    """A certificate of the configured CA opens every path; without one, only the probes are open."""

    async def scenario(url: str) -> list[list[int]]:
        clients = [client(authority.cert, authority.client()), client(authority.cert)]
        return [await statuses(each, url, "/metrics", "/livez") for each in clients]

    assert with_server(MUTUAL, authority.folder, scenario) == [[200, 200], [403, 200]]


def test_a_certificate_of_another_ca_fails_in_the_handshake(authority: Authority) -> None:
    """With either auth type, a certificate that does not verify ends the handshake, even for a probe."""
    stranger = Authority(authority.folder, "other").client("stranger")

    async def scenario(url: str) -> bool:
        async with client(authority.cert, stranger) as http:
            with pytest.raises((httpx.TransportError, ssl.SSLError), match="alert unknown ca"):
                await http.get(f"{url}/livez")
        return True

    optional = MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")

    assert with_server(MUTUAL, authority.folder, scenario)
    assert with_server(optional, authority.folder, scenario)


def test_a_server_certificate_is_not_a_client_certificate(authority: Authority) -> None:
    """A certificate that the CA has signed for a server does not authorize a client."""

    async def scenario(url: str) -> bool:
        async with client(authority.cert, authority.server("other")) as http:
            with pytest.raises((httpx.TransportError, ssl.SSLError), match="alert unsupported certificate"):
                await http.get(f"{url}/metrics")
        return True

    assert with_server(MUTUAL, authority.folder, scenario)


def test_verify_if_given(authority: Authority) -> None:
    """VerifyClientCertIfGiven accepts clients with and without a certificate."""
    text = MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")

    async def scenario(url: str) -> list[list[int]]:
        clients = [client(authority.cert, authority.client()), client(authority.cert)]
        return [await statuses(each, url, "/metrics") for each in clients]

    assert with_server(text, authority.folder, scenario) == [[200], [200]]


@pytest.mark.parametrize(
    ("allowed", "status"),
    [("prometheus.example", 200), ("2001:db8::1", 200), ("example", 403), ("client", 403), ("Prometheus.example", 403)],
)
def test_allowed_names(allowed: str, status: int, authority: Authority) -> None:
    """With client_allowed_sans, one of the certificate's names must be in the list exactly; probes need none."""

    async def scenario(url: str) -> list[int]:
        return await statuses(client(authority.cert, authority.client()), url, "/livez", "/metrics")

    text = f"{MUTUAL}  client_allowed_sans: ['nobody', '{allowed}']\n"

    assert with_server(text, authority.folder, scenario) == [200, status]


def test_rate_limit(tmp_path: Path) -> None:
    """Requests beyond the burst are answered 429; probes do not count."""

    async def scenario(url: str) -> list[int]:
        paths = ("/livez", "/metrics", "/metrics", "/metrics", "/livez")
        return await statuses(httpx.AsyncClient(trust_env=False), url, *paths)

    assert with_server("rate_limit: {interval: 1h, burst: 2}\n", tmp_path, scenario) == [200, 200, 200, 429, 200]


def test_token_bucket() -> None:
    """The bucket gains one token per interval, up to the burst; another limit starts full."""
    now = [100.0]
    bucket = TokenBucket(lambda: now[0])
    limit = RateLimit(interval="10s", burst=2)

    first = [bucket.take(limit) for _ in range(3)]
    now[0] += 10
    second = [bucket.take(limit) for _ in range(2)]
    now[0] += 1000
    third = [bucket.take(limit) for _ in range(3)]
    other = bucket.take(RateLimit(interval="1h", burst=1))

    assert (first, second, third) == ([True, True, False], [True, False], [True, True, False])
    assert other
    assert bucket.take(RateLimit())


def test_configured_headers(tmp_path: Path) -> None:
    """The configured headers are on every response, refusals included, and replace the default ones."""
    text = f"{USERS}http_server_config: {{headers: {{X-Frame-Options: deny, Content-Security-Policy: sandbox}}}}\n"

    async def scenario(url: str) -> list[tuple[str, str]]:
        async with httpx.AsyncClient(trust_env=False) as http:
            answers = [await http.get(f"{url}{path}") for path in ("/metrics", "/livez")]
        return [(each.headers["x-frame-options"], each.headers["content-security-policy"]) for each in answers]

    assert with_server(text, tmp_path, scenario) == [("deny", "sandbox")] * 2


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
def test_bodies_and_other_sites(request_line: str, content: bytes, site: str, status: int, tmp_path: Path) -> None:
    """Requests with a body are refused, and so are requests other than GET that another site's page sends."""
    method, path = request_line.split()

    async def scenario(url: str) -> int:
        async with httpx.AsyncClient(trust_env=False) as http:
            headers = {"Sec-Fetch-Site": site}
            return (await http.request(method, f"{url}{path}", content=content, headers=headers)).status_code

    assert with_server("", tmp_path, scenario) == status


@pytest.mark.parametrize(
    ("headers", "is_same"),
    [
        ({"Host": "a:9912"}, True),
        ({"Host": "a:9912", "Origin": "http://a:9912"}, True),
        ({"Host": "A:9912", "Origin": "https://a:9912", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Host": "a", "Origin": "https://a"}, True),
        ({"Host": "a:443", "Origin": "https://a"}, True),
        ({"Host": "[::1]:9912", "Origin": "http://[::1]:9912"}, True),
        ({"Host": "a:80", "Origin": "https://a"}, False),
        ({"Host": "a:9912", "Origin": "http://a"}, False),
        ({"Host": "a:9912", "Origin": "http://b:9912"}, False),
        ({"Host": "a:9912", "Origin": "http://b:9912", "Sec-Fetch-Site": "same-origin"}, False),
        ({"Host": "a:9912", "Origin": "null"}, False),
        ({"Host": "a:9912", "Origin": ""}, False),
        ({"Host": "a:9912", "Origin": "file://"}, False),
        ({"Host": "a:x", "Origin": "http://a:x"}, False),
        ({"Host": "", "Origin": "http://"}, False),
        ({"Origin": "http://a:9912"}, False),
        ([("Host", "a"), ("Host", "b"), ("Origin", "http://a")], False),
        ([("Host", "a"), ("Origin", "http://a"), ("Origin", "http://b")], False),
        ([("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")], False),
        ([("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "none")], False),
        ({"Sec-Fetch-Site": "none, cross-site"}, False),
        ({"Sec-Fetch-Site": ""}, False),
    ],
)
def test_same_origin(headers: dict[str, str] | list[tuple[str, str]], is_same: bool) -> None:  # noqa: FBT001 - a case
    """A request is of another site if its Origin is not its Host, if its browser says so, or if it says both."""
    assert is_same_origin(CIMultiDictProxy(CIMultiDict(headers))) == is_same


def test_wrong_passwords_do_not_lock_out_the_right_one(tmp_path: Path) -> None:
    """After a restart, the right password passes in time while another address sends wrong ones without a pause."""

    async def scenario(url: str) -> tuple[list[int], float, float]:
        over = asyncio.Event()

        async def guess(number: int) -> None:
            transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
            async with httpx.AsyncClient(transport=transport, auth=(f"user{number % 3}", "wrong"), timeout=60) as http:
                while not over.is_set():
                    await http.get(f"{url}/metrics")

        guessers = [asyncio.create_task(guess(number)) for number in range(2 * MAX_WAITING_CHECKS)]
        await asyncio.sleep(1)
        async with httpx.AsyncClient(auth=("alice", PASSWORD), trust_env=False, timeout=60) as http:
            started = time.monotonic()
            found = [(await http.get(f"{url}/livez")).status_code]
            probed = time.monotonic()
            found += [(await http.get(f"{url}/metrics")).status_code for _ in range(5)]
            ended = time.monotonic()
        over.set()
        await asyncio.gather(*guessers)
        return found, probed - started, ended - probed

    found, probe_seconds, scrape_seconds = with_server(USERS, tmp_path, scenario)

    assert found == [200] * 6
    assert probe_seconds < 1
    assert scrape_seconds < 3


def test_a_network_with_failures_waits() -> None:
    """Checks of a network without failures come first; in a full queue, the one with most failures gives way."""
    release = threading.Event()
    checked: list[bytes] = []

    def slow(password: bytes, hashed: str) -> bool:
        release.wait(10)
        checked.append(password)
        return password == b"a" and bool(hashed)

    async def run() -> list[object]:
        passwords = PasswordChecker(slow)
        guesses = [
            asyncio.create_task(passwords.is_valid(HASHES, "alice", b"x", "192.0.2.1"))
            for _ in range(MAX_WAITING_CHECKS + 1)
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        right = asyncio.create_task(passwords.is_valid(HASHES, "alice", b"a", "192.0.2.7"))
        await asyncio.sleep(0)
        release.set()
        assert await right
        found: list[object] = list(await asyncio.gather(*guesses, return_exceptions=True))
        passwords.close()
        return found

    found = asyncio.run(run())

    assert checked.index(b"a") <= 2
    assert sum(isinstance(each, TooManyChecksError) for each in found) >= 1
    assert found.count(False) == len(checked) - 1


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        (None, ""),
    ],
)
def test_network_of(address: str | None, network: str) -> None:
    """Addresses that one client can choose between count as one network."""
    assert network_of(address) == network


def test_the_number_of_networks_is_limited() -> None:
    """Counts of failures are dropped, oldest first, beyond the maximum number of networks."""
    queue = CheckQueue(matches)
    for number in range(2 * MAX_NETWORKS):
        queue.record(str(number), is_valid=False)

    assert len(queue.failures) == MAX_NETWORKS
    queue.close()


HASHES = {"alice": "hash of a", "bob": "hash of b"}


class Checker:
    """A password check that records its calls; `hash of a` is the hash of the password `a`."""

    def __init__(self) -> None:
        self.checks: list[tuple[bytes, str]] = []
        self.threads: set[str] = set()

    def __call__(self, password: bytes, hashed: str) -> bool:
        """Returns whether the hash is that of the password."""
        self.checks.append((password, hashed))
        self.threads.add(threading.current_thread().name)
        return hashed == f"hash of {password.decode()}"


def results(checker: Checker, *checks: tuple[dict[str, str], str, bytes]) -> list[bool]:
    """Checks passwords one after the other, and returns the results."""

    async def run() -> list[bool]:
        passwords = PasswordChecker(checker)
        found = [await passwords.is_valid(*each) for each in checks]
        passwords.close()
        return found

    return asyncio.run(run())


def test_a_valid_password_is_checked_once() -> None:
    """The second scrape with the same password needs no bcrypt."""
    checker = Checker()

    found = results(checker, *[(HASHES, "alice", b"a")] * 5, (HASHES, "bob", b"b"), (HASHES, "alice", b"a"))

    assert found == [True] * 7
    assert len(checker.checks) == 2


def test_checks_run_in_a_thread() -> None:
    """Checks run outside of the event loop, in one thread."""
    checker = Checker()

    results(checker, (HASHES, "alice", b"a"))

    assert checker.threads == {"bcrypt_0"}


def test_a_wrong_password_is_checked_every_time() -> None:
    """A wrong password, or that of another user, is never taken for the remembered one, which stays remembered."""
    checker = Checker()

    found = results(
        checker, (HASHES, "alice", b"a"), (HASHES, "alice", b"x"), (HASHES, "bob", b"a"), (HASHES, "alice", b"a")
    )

    assert found == [True, False, False, True]
    assert len(checker.checks) == 3


def test_a_changed_hash_ends_the_old_password() -> None:
    """After a change of the hash the old password is refused; so is a removed user."""
    checker = Checker()
    changed = {**HASHES, "alice": "hash of n"}

    found = results(
        checker,
        (HASHES, "alice", b"a"),
        (changed, "alice", b"a"),
        (changed, "alice", b"n"),
        ({"bob": "hash of b"}, "alice", b"n"),
    )

    assert found == [True, False, True, False]
    assert len(checker.checks) == 4


def test_unknown_users_cost_the_same() -> None:
    """An unknown user is checked against a real user's hash, always the same, and refused even if it matches."""
    checker = Checker()

    found = results(checker, *[(HASHES, f"unknown{number % 30}", b"a") for number in range(60)])

    assert found == [False] * 60
    assert len(checker.checks) == 60
    assert checker.checks[:30] == checker.checks[30:]
    assert {hashed for _, hashed in checker.checks} == set(HASHES.values())


def test_the_number_of_waiting_checks_is_limited() -> None:
    """Beyond the maximum, one check of the same network is dismissed, while remembered passwords still pass."""
    release = threading.Event()

    def slow(password: bytes, hashed: str) -> bool:
        return bool(password == b"a" and hashed) or not release.wait(10)

    async def flood() -> tuple[bool, list[object]]:
        passwords = PasswordChecker(slow)
        await passwords.is_valid(HASHES, "alice", b"a")
        waiting = [
            asyncio.create_task(passwords.is_valid(HASHES, "alice", b"x%d" % n)) for n in range(MAX_WAITING_CHECKS + 3)
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        known = await passwords.is_valid(HASHES, "alice", b"a")
        release.set()
        found: list[object] = list(await asyncio.gather(*waiting, return_exceptions=True))
        passwords.close()
        return known, found

    known, found = asyncio.run(flood())

    assert known
    assert found.count(False) == MAX_WAITING_CHECKS
    assert sum(isinstance(each, TooManyChecksError) for each in found) == 3


@pytest.mark.parametrize(
    ("password", "is_valid"),
    [(PASSWORD.encode(), True), (b"", False), (b"correct horse\0", False), (b"\xff" * 500, False)],
)
def test_real_hashes(password: bytes, is_valid: bool) -> None:  # noqa: FBT001 - a case of the table
    """Bcrypt accepts the right password only, and no password makes it fail."""
    assert matches(password, HASH) == is_valid


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Basic YWxpY2U6YTpi", ("alice", b"a:b")),
        ("basic  YWxpY2U6", ("alice", b"")),
        ("Basic gDr/", ("\udc80", b"\xff")),
        ("Basic YWxpY2U", None),
        ("Basic YWxp\u00e9", None),
        ("Basic YWxpY2U=", None),
        ("Basic gP8=", None),
        ("Basic !", None),
        ("Basic", None),
        ("basic", None),
        ("Digest YWxpY2U6YTpi", None),
        ("Bearer abc", None),
        ("", None),
    ],
)
def test_basic_credentials(header: str, found: tuple[str, bytes] | None) -> None:
    """User and password are parsed from the header, even if they are not valid UTF-8."""
    assert basic_credentials(header) == found
