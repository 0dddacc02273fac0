"""Parses network addresses of the configuration: endpoints to call, and the address to listen on."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
LISTEN_ADDRESS = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^:\[\]]*)):(?P<port>[0-9]{1,5})")


def endpoint_url(text: str) -> str:
    """Returns `scheme://host[:port]` for a bare host (meaning https) or a URL; raises ValueError."""
    parts = _split(text if "://" in text else f"https://{text}")
    if parts.scheme not in {"http", "https"}:
        raise ValueError("the scheme must be https or http")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password")
    if parts.path not in {"", "/"} or "?" in text or "#" in text:
        raise ValueError("must be a host or a URL without path and query")
    host = _host(parts.hostname or "")
    port = _port(parts.netloc.rpartition("]")[2].partition(":"))
    return f"{parts.scheme}://{host}{port}"


def is_loopback(url: str) -> bool:
    """Returns whether an endpoint URL is on this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def listen_pair(text: str) -> tuple[str, int]:
    """Returns host and port of `host:port` or `[v6]:port`; the host of `:port` is empty. Raises ValueError."""
    found = LISTEN_ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError("must be host:port, :port, or [IPv6 address]:port")
    given = found["v6"] or found["host"]
    return _host(given).strip("[]") if given else "", _port_number(found["port"])


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # its message repeats the URL, which may contain a password
        raise ValueError("is not a host or a URL") from None


def _host(text: str) -> str:
    if ":" in text:
        try:
            return f"[{ip_address(text)}]"
        except ValueError:
            raise ValueError("the IPv6 address is not valid") from None
    if HOST_NAME.fullmatch(text) is None:
        raise ValueError("the host name is not valid")
    return text


def _port(after_host: tuple[str, str, str]) -> str:
    _, colon, digits = after_host
    return f":{_port_number(digits)}" if colon else ""


def _port_number(digits: str) -> int:
    if re.fullmatch("[0-9]{1,5}", digits) is None or int(digits) > 65535:  # noqa: PLR2004 - the highest port
        raise ValueError("the port must be a number from 0 to 65535")
    return int(digits)
