"""HTTP requests as bytes, valid and odd ones, single and pipelined."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.fuzz.mutation import mutated

CANARY = b"<fuzz x='\">"
PATHS = (
    "/",
    "/failures",
    "/targets",
    "/metrics",
    "/livez",
    "/readyz",
    "/healthz",
    "/-/reload",
    "*",
    "//",
    "/x",
    "/%66ailures",
    "/failures/",
    "/%2e%2e/",
    "/%00",
    "/%",
    "/%ff",
    "/\u00e9",
    "http://a/failures",
    "a:1",
    "/;x",
    "/failures%3Fx",
    "/../targets",
    "/" + "a" * 9000,
)
NAMES = ("account", "region_id", "job_type", "error_code", "limit", "format", "refresh", "x", "")
VALUES = (
    "",
    "prod",
    "<u>",
    "b",
    "ASR",
    "1",
    "0",
    "1000",
    "1001",
    "-1",
    "1e3",
    "%31",
    "\u0661",
    "html",
    "json",
    "on",
    "off",
    "a" * 300,
    "%00",
    "%ff",
    "%ED%A0%80",
    "%u0041",
    "+",
    "%0d%0aX:y",
    "&",
    "=",
    ";",
    "<fuzz x='\">",
    "%3Cfuzz x='\">",
    "%3Cfuzz%20x='%22%3E",
)
METHODS = (
    "GET",
    "GET",
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PATCH",
    "get",
    "PRI",
    "X" * 40,
    "",
)
VERSIONS = ("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/1.10", "http/1.1", "")
HEADERS = (
    "Host: a",
    "Host:",
    "Host: <fuzz x='\">",
    "Host: a\r\nHost: b",
    "Connection: close",
    "Connection: upgrade\r\nUpgrade: websocket",
    "Content-Length: 0",
    "Content-Length: 5",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Content-Length: 5, 5",
    "Content-Length: 1_0",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 3",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: x",
    "Content-Encoding: gzip",
    "Expect: 100-continue",
    "Expect: x",
    "Expect: \udcff",
    "Expect: 100-continue\r\nExpect: \udc80",
    "Authorization: Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==",
    "Authorization: Basic YWxpY2U6d3Jvbmc=",
    "Authorization: Basic \udcff",
    "Authorization: Digest x",
    "Origin: http://a",
    "Origin: http://[",
    "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site",
    "Accept: application/json",
    "Accept: application/json;q=nan, text/html;q=inf",
    "Accept: ;;q=,=",
    "Accept: */*;q=-1",
    "Accept: application/openmetrics-text;version=1.0.0",
    "Accept: application/openmetrics-text;version=\u0661.x;escaping=",
    "Accept: application/openmetrics-text;version=;escaping=allow-utf-8",
    "Accept: text/plain;version=1.0.0;escaping=x",
    "Accept: text/plain;version=0.0.4.5;q=0",
    "Accept-Encoding: gzip",
    "Accept-Encoding: gzip;q=x",
    "Accept-Encoding: gzip;q=0.0",
    "Authorization: Basic \u00e9",
    "Sec-Fetch-Site: cross-site",
    "Range: bytes=0-",
    "If-None-Match: *",
    'Cookie: a="',
    " folded: x",
    "X: \x00",
    "X: " + "y" * 9000,
    "X : y",
    ": y",
    "\u00e9: y",
    "\r\n".join(["A: b"] * 70),
    "Content-Type: multipart/form-data; boundary=",
    "If-Modified-Since: x",
    "Origin: null",
    'X-Forwarded-For: "',
    "Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13",
)
BODIES = (
    "",
    "",
    "",
    "hello",
    "5\r\nhello\r\n0\r\n\r\n",
    "5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n",
    "ffffffffffffffff\r\n",
    "-1\r\n",
    "x\r\n",
    "0\r\n",
)
WORDS = (
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b":",
    b"\x00",
    b"\xff",
    b"\t",
    b"%",
    b"?",
    b"#",
    b"HTTP/1.1",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    CANARY,
)


def _line(method: str, path: str, query: list[tuple[str, str]], version: str) -> str:
    asked = "&".join(f"{name}={value}" for name, value in query)
    return f"{method} {path}{'?' if asked else ''}{asked} {version}"


def _request(line: str, headers: list[str], body: str) -> bytes:
    return "\r\n".join((line, *headers, "", body)).encode("utf-8", "surrogateescape")


LINES = st.builds(
    _line,
    st.sampled_from(METHODS),
    st.sampled_from(PATHS),
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES) | st.text(max_size=5)), max_size=4),
    st.sampled_from(VERSIONS),
)
PROPER_LINES = st.builds(
    _line,
    st.sampled_from(("GET", "GET", "HEAD", "POST")),
    st.sampled_from(PATHS[:8]),
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES[:22])), max_size=3, unique_by=lambda pair: pair[0]
    ),
    st.just("HTTP/1.1"),
)
ASKING = [each for each in HEADERS if each.startswith(("Accept", "Sec-Fetch", "Cookie", "Range"))]
REQUESTS = st.builds(_request, LINES, st.lists(st.sampled_from(HEADERS), max_size=4), st.sampled_from(BODIES))
PROPER = st.builds(_request, PROPER_LINES, st.sampled_from(ASKING).map(lambda header: ["Host: a", header]), st.just(""))
SEVERAL = st.lists(PROPER | REQUESTS, min_size=1, max_size=3).map(b"".join)
INPUTS = SEVERAL | mutated(SEVERAL, WORDS) | st.binary(max_size=80)
"""Any input of a client on one connection."""
