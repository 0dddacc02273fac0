"""The proxies of the environment: parsed once, and asked for every URL.

`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` count, in upper and lower case; the lower-case one wins, even if
it is empty. Every client gets its answer from here, and reads no variable itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from exporter.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT_PORTS = {"http": 80, "https": 443}
PROXY = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?:(?P<user>.*)@)?(?P<address>[^@]*)", re.DOTALL)
"""A proxy: all up to the last `@` is the user, because passwords contain `/`, `?` and `#`."""
ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(?P<port>[0-9]{1,5}))?/?")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the environment variable that names it."""

    url: str
    """`scheme://host:port`, without user and password."""
    variable: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"the proxy {self.url} ({self.variable})"


@dataclass(frozen=True, slots=True)
class NoProxy:
    """One entry of NO_PROXY; `network` is set for addresses, else `host` for names."""

    host: str = ""
    network: IPv4Network | IPv6Network | None = None
    port: int | None = None
    """The only port that the entry is for; None means every port."""

    def covers(self, host: str, port: int) -> bool:
        """Returns whether a host, in lower case and without brackets, is called without a proxy."""
        if self.port not in {None, port}:
            return False
        address = _address(host)
        if self.network is not None:
            return address is not None and address in self.network
        return address is None and (host == self.host or host.endswith(f".{self.host}"))


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxy of each scheme, and the hosts that are called without one."""

    http: Proxy | None = None
    https: Proxy | None = None
    exceptions: tuple[NoProxy, ...] = ()
    is_off: bool = False
    """Whether NO_PROXY has `*`."""

    def for_url(self, url: str) -> Proxy | None:
        """Returns the proxy to call a URL by; None means that it is called directly."""
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
        if self.is_off or any(entry.covers(host, port) for entry in self.exceptions):
            return None
        return self.https if parts.scheme == "https" else self.http


def proxies_of(environ: Mapping[str, str]) -> Proxies:
    """Returns the proxies that the variables name; raises SettingsError, without the value, for an unusable one."""
    excluded = _value(environ, "NO_PROXY")[1].replace(",", " ").split()
    return Proxies(
        http=_proxy(environ, "HTTP_PROXY"),
        https=_proxy(environ, "HTTPS_PROXY"),
        exceptions=tuple(_exceptions(excluded)),
        is_off="*" in excluded,
    )


def _value(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """Returns the name of the variable that counts, and its value."""
    given = name.lower() if name.lower() in environ else name
    return given, environ.get(given, "").strip()


def _proxy(environ: Mapping[str, str], name: str) -> Proxy | None:
    for variable, text in (_value(environ, name), _value(environ, "ALL_PROXY")):
        if text:
            return _parsed(variable, text)
    return None


def _parsed(variable: str, text: str) -> Proxy:
    found = PROXY.fullmatch(text)
    address = ADDRESS.fullmatch(found["address"]) if found else None
    scheme = ((found and found["scheme"]) or "http").lower()
    port = int(address["port"] or DEFAULT_PORTS.get(scheme, 0)) if address else 0
    if found is None or address is None or scheme not in DEFAULT_PORTS or not 0 < port < 65536:  # noqa: PLR2004 - ports
        ways = "http://[user:password@]host[:port], or the same with https://"
        raise SettingsError(f"{variable} names no proxy that can be used; supported is {ways}")
    user, _, password = (found["user"] or "").partition(":")
    return Proxy(f"{scheme}://{address['host']}:{port}", variable, unquote(user), unquote(password))


def _exceptions(entries: list[str]) -> Iterator[NoProxy]:
    """Yields the entries of NO_PROXY. One that is no name, address or network matches no host, and is left out."""
    for entry in entries:
        text = entry.lower().strip()
        if network := _network(text if "]:" in text else text.replace("[", "").replace("]", "")):
            yield NoProxy(network=network)
            continue
        host, _, digits = text.rpartition(":") if re.search(r":[0-9]{1,5}$", text) else (text, "", "")
        port = int(digits) if digits else None
        host = host.removeprefix("*").strip("[]").strip(".")
        if network := _network(host):
            yield NoProxy(network=network, port=port)
        elif re.fullmatch(r"[\w.-]+", host):
            yield NoProxy(host=host, port=port)


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
