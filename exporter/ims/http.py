"""HTTP as all clients of the exporter use it: explicit proxies, one store of CA certificates, bounded answers.

No client reads an environment variable (`trust_env=False`): `Network` has what they say, parsed once.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx

from exporter.errors import (
    ApiError,
    BadRequestError,
    BadResponseError,
    NetworkError,
    SettingsError,
    TimedOutError,
)
from exporter.ims.connections import MAX_CONNECTIONS
from exporter.ims.proxies import Proxies, Proxy, proxies_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

ERROR_OF_HTTPX: tuple[tuple[type[Exception], type[ApiError], str], ...] = (
    (httpx.TimeoutException, TimedOutError, "Timeout"),
    (TimeoutError, TimedOutError, "Timeout"),
    (httpx.UnsupportedProtocol, BadRequestError, "UnsupportedProtocol"),
    (httpx.LocalProtocolError, BadRequestError, "LocalProtocolError"),
    (httpx.ProxyError, NetworkError, "ProxyError"),
    (httpx.ConnectError, NetworkError, "ConnectError"),
    (httpx.TransportError, NetworkError, "NetworkError"),
    (httpx.DecodingError, BadResponseError, "DecodingError"),
    (httpx.HTTPError, BadResponseError, "HttpError"),
    (httpx.StreamError, NetworkError, "StreamError"),
    (httpx.InvalidURL, BadRequestError, "InvalidUrl"),
)
"""The error of ours that each error of httpx becomes, and its code in the metrics; the first that fits counts."""

QUOTED = re.compile(r"(bytearray\(|\bb['\"]|^[1-5]\d\d ).*", re.DOTALL)
"""What httpx quotes of an answer, or of a proxy's: it may repeat what was sent."""

CA_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
"""The variables that name CA certificates; the first that is set counts."""
MAX_OWN_BYTES = 64 * 1024 * 1024
"""Maximum size of an answer of this exporter: a large exposition."""
UNPACK_STEP = 64 * 1024
UNPACK_GZIP = 16 + zlib.MAX_WBITS


HEADERS = {"user-agent": "ims-exporter", "accept-encoding": "identity"}
"""Headers of every request."""


@dataclass(frozen=True, slots=True)
class Network:
    """How other machines are reached: by which proxy, and by which CA certificates they are verified."""

    proxies: Proxies = field(default_factory=Proxies)
    trust: ssl.SSLContext | None = None
    """The certificates, loaded once for all clients; None means those of certifi, loaded for each client."""

    def client(self, proxy: Proxy | None, timeout: httpx.Timeout, base_url: str = "") -> httpx.AsyncClient:
        """Returns a client: no redirects, explicit timeouts, answers as they are, nothing from the environment."""
        return httpx.AsyncClient(
            transport=self.transport(proxy),
            base_url=base_url,
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
            headers=HEADERS,
        )

    def transport(self, proxy: Proxy | None) -> httpx.AsyncHTTPTransport:
        """Returns the connections that a client of its own, or an `EndpointPool`, sends its requests by."""
        auth = (proxy.user, proxy.password) if proxy and (proxy.user or proxy.password) else None
        return httpx.AsyncHTTPTransport(
            proxy=httpx.Proxy(proxy.url, auth=auth, ssl_context=self.trust_of_proxy(proxy)) if proxy else None,
            verify=self.trust or True,
            trust_env=False,
            limits=httpx.Limits(
                max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS, keepalive_expiry=90
            ),
        )

    def trust_of_proxy(self, proxy: Proxy) -> ssl.SSLContext | None:
        """Returns the certificates that verify a proxy; None for a proxy without TLS, for which httpx takes none."""
        return self.trust if proxy.url.startswith("https://") else None


def network_of(environ: Mapping[str, str]) -> Network:
    """Returns the network that the environment describes; raises SettingsError naming the variable at fault."""
    return Network(proxies_of(environ), trust_store(environ))


def trust_store(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Returns the CA certificates that a variable names, or those of certifi; raises SettingsError."""
    variable = next((name for name in CA_VARIABLES if environ.get(name)), "")
    if not variable:
        return httpx.create_ssl_context(trust_env=False)
    path = Path(environ[variable])
    try:
        is_folder = path.is_dir()
        if is_folder and not any(path.iterdir()):
            raise SettingsError(f"{variable}: the folder {path} has no CA certificates, as c_rehash names them")
        if variable == "SSL_CERT_DIR" and not is_folder:
            raise SettingsError(f"{variable}: {path} is no folder")
        return ssl.create_default_context(cafile=None if is_folder else path, capath=path if is_folder else None)
    except ssl.SSLError:
        raise SettingsError(f"{variable}: the file {path} holds no CA certificate in PEM format") from None
    except OSError as error:
        raise SettingsError(f"{variable}: the CA certificates at {path} cannot be read: {error.strerror}") from None


class EndpointPool:
    """The connections to one endpoint.

    It hands requests to httpx's transport itself: the client above that would look for cookies, redirects and
    authentication in every answer, which takes an eighth of the time of a call.
    """

    def __init__(self, endpoint: str, timeout_seconds: float, transport: httpx.AsyncBaseTransport) -> None:
        self._url = httpx.URL(endpoint)
        self._transport = transport
        self._extensions = {"timeout": httpx.Timeout(timeout_seconds).as_dict()}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._transport.aclose()

    def request(self, method: str, query: str, headers: httpx.Headers) -> httpx.Request:
        """Returns a request of the endpoint with an encoded query."""
        url = self._url.copy_with(raw_path=self._url.raw_path + f"?{query}".encode())
        return httpx.Request(method, url, headers=headers, extensions=self._extensions)

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Returns the answer as soon as its headers are there; its body is to be read, and the answer to be closed."""
        return await self._transport.handle_async_request(request)


def endpoint_pool(endpoint: str, timeout_seconds: float, network: Network = Network()) -> EndpointPool:
    """Returns the connection pool of one endpoint."""
    return EndpointPool(endpoint, timeout_seconds, network.transport(network.proxies.for_url(endpoint)))


@contextmanager
def translated(proxy: Proxy | None = None) -> Iterator[None]:
    """Turns every error of httpx into one of ours, which says by which proxy the call went."""
    try:
        yield
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, TimeoutError) as error:
        for kind, ours, code in ERROR_OF_HTTPX:
            if isinstance(error, kind):
                raise by_proxy(ours(QUOTED.sub(r"\1...", str(error)) or code, code=code), proxy) from None
        raise


def by_proxy(error: ApiError, proxy: Proxy | None) -> ApiError:
    """Returns an error that no answer of the service caused; its message and hint name the proxy, if there was one."""
    if proxy is None:
        return error
    error.args = (f"{error}, by {proxy}",)
    error.hint = f"check that {proxy} answers and allows this host, or name the host in NO_PROXY"
    return error


async def ask_here(url: str, timeout_seconds: float) -> tuple[int, str]:
    """Returns status and text of an answer of this exporter; raises ApiError.

    The certificate is not verified: it names the host that scrapers use, and nothing secret is sent.
    """
    client = httpx.AsyncClient(verify=False, trust_env=False, timeout=timeout_seconds)  # noqa: S501 - see above
    with translated():
        async with asyncio.timeout(timeout_seconds), client, client.stream("GET", url) as answer:
            return answer.status_code, (await read_body(answer, MAX_OWN_BYTES)).decode(errors="replace")


async def read_body(response: httpx.Response, maximum_bytes: int) -> bytes:
    """Returns the body of an answer, unpacked once at most; raises BadResponseError beyond a number of bytes.

    The body is bounded before it is unpacked and while it is: `Content-Encoding: gzip, gzip` is refused, because
    2 KB can hold 2 GB by that.
    """
    body = bytearray()
    try:
        # Not `aiter_bytes`, which unpacks every layer, each whole chunk at once.
        async for chunk in _raw(response):
            body += chunk
            if len(body) > maximum_bytes:
                raise too_large(maximum_bytes)
        return _unpacked(body, ",".join(response.headers.get_list("content-encoding")).strip().lower(), maximum_bytes)
    finally:
        body.clear()  # else the traceback of an error, which is kept for a while, would keep it


def _unpacked(body: bytearray, encoding: str, maximum_bytes: int) -> bytes:
    if encoding in {"", "identity"}:
        return bytes(body)
    if encoding not in {"gzip", "x-gzip"}:
        raise BadResponseError("the answer is encoded, though that was not asked for", code="BadEncoding")
    unpacker = zlib.decompressobj(UNPACK_GZIP)
    unpacked = bytearray()
    try:
        # In small steps: what is left of the packed body is copied at each one, and what is unpacked is bounded.
        for start in range(0, len(body), UNPACK_STEP):
            step = bytes(body[start : start + UNPACK_STEP])
            while step:
                unpacked += unpacker.decompress(step, UNPACK_STEP)
                step = unpacker.unconsumed_tail
                if len(unpacked) > maximum_bytes:
                    raise too_large(maximum_bytes)
        return bytes(unpacked)
    except zlib.error:
        raise BadResponseError("the answer is not the gzip that it claims to be", code="DecodingError") from None
    finally:
        unpacked.clear()


async def _raw(response: httpx.Response) -> AsyncIterator[bytes]:
    if not isinstance(response.stream, httpx.AsyncByteStream):
        raise TypeError("the answer was not asked for by an asynchronous client")
    async for chunk in response.stream:
        yield chunk


def too_large(maximum_bytes: int) -> BadResponseError:
    """Returns the error of an answer of more than this number of bytes."""
    return BadResponseError(f"the answer is larger than {maximum_bytes} bytes", code="BodyTooLarge")
