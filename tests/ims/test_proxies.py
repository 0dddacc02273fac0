"""The proxy variables are parsed once, by one set of rules for all clients, and no password of theirs is shown."""

from __future__ import annotations

import pytest

from exporter.errors import SettingsError
from exporter.ims.proxies import Proxy, proxies_of

CANARY = "canary0secret"
BY_NAME = {"HTTPS_PROXY": "http://proxy:3128", "HTTP_PROXY": "http://plain:8080"}


def is_direct(no_proxy: str, url: str) -> bool:
    """Returns whether a URL is called directly with this value of NO_PROXY."""
    return proxies_of({**BY_NAME, "NO_PROXY": no_proxy}).for_url(url) is None


@pytest.mark.parametrize(
    ("environ", "https", "http"),
    [
        ({}, None, None),
        (BY_NAME, "http://proxy:3128", "http://plain:8080"),
        ({"https_proxy": "http://lower:1", "HTTPS_PROXY": "http://upper:1"}, "http://lower:1", None),
        ({"https_proxy": "", "HTTPS_PROXY": "http://upper:1"}, None, None),
        ({"ALL_PROXY": "proxy:3128"}, "http://proxy:3128", "http://proxy:3128"),
        ({"all_proxy": "https://proxy"}, "https://proxy:443", "https://proxy:443"),
        ({"ALL_PROXY": "http://all", "HTTPS_PROXY": "http://one/"}, "http://one:80", "http://all:80"),
        ({"HTTPS_PROXY": "http://[fd00::1]:3128"}, "http://[fd00::1]:3128", None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, None, None),
    ],
)
def test_which_proxy(environ: dict[str, str], https: str | None, http: str | None) -> None:
    """The variable of the scheme counts before ALL_PROXY, the lower-case one before the upper-case one, even empty."""
    proxies = proxies_of(environ)

    found = [proxies.for_url(f"{scheme}://ice.cn-shanghai.aliyuncs.com") for scheme in ("https", "http")]
    assert [proxy and proxy.url for proxy in found] == [https, http]


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("aliyuncs.com", "https://ice.cn-shanghai.aliyuncs.com"),
        (".aliyuncs.com", "https://aliyuncs.com"),
        ("*.aliyuncs.com", "https://ICE.aliyuncs.com"),
        ("other, aliyuncs.com", "https://ice.aliyuncs.com"),
        ("other aliyuncs.com", "https://ice.aliyuncs.com."),
        ("ice.aliyuncs.com:443", "https://ice.aliyuncs.com"),
        ("10.0.0.1", "https://10.0.0.1"),
        ("10.0.0.0/8", "https://10.1.2.3:8443"),
        ("10.1.2.3/8", "https://10.0.0.1"),
        ("127.0.0.0/8", "http://127.0.0.1:1"),
        ("::1", "http://[::1]:1"),
        ("[::1]", "http://[::1]:1"),
        ("[::1]:80", "http://[::1]"),
        ("fd00::/8", "https://[fd00::1]"),
        ("[fd00::]/8", "https://[fd00::1]"),
        ("10.0.0.0/8", "https://[::ffff:10.0.0.1]"),
        ("10.0.0.1:443", "https://10.0.0.1"),
    ],
)
def test_called_directly(no_proxy: str, url: str) -> None:
    """Names with what is below them, addresses and networks of both versions, each perhaps with a port."""
    assert is_direct(no_proxy, url)


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("", "https://10.0.0.1"),
        ("aliyuncs.com", "https://notaliyuncs.com"),
        ("ice.aliyuncs.com:80", "https://ice.aliyuncs.com"),
        ("10.0.0.0/8", "https://11.0.0.1"),
        ("fd00::/8", "https://[fe80::1]"),
        ("10.0.0.1:80", "https://10.0.0.1"),
        ("0.1", "https://10.0.0.1"),
        ("fd00::/999,10.0.0.0/99,:,[,/,http://x,*x", "https://[fd00::1]"),
    ],
)
def test_called_by_the_proxy(no_proxy: str, url: str) -> None:
    """What no entry covers goes by the proxy; an entry that is nothing known covers nothing, and stops no start."""
    assert not is_direct(no_proxy, url)


@pytest.mark.parametrize("password", [f"{CANARY}#a", f"{CANARY}/a", f"{CANARY}?a", f"{CANARY}@a", f"{CANARY}:a"])
def test_password(password: str) -> None:
    """A password may hold any character, percent-encoded or not, and appears in no text."""
    proxy = proxies_of({"HTTPS_PROXY": f"http://user:{password}@proxy:3128"}).https
    encoded = proxies_of({"HTTPS_PROXY": "http://a%40b:c%2Fd@proxy:3128/"}).https

    assert proxy == Proxy("http://proxy:3128", "HTTPS_PROXY", "user", password)
    assert f"{proxy!r} {proxy}" == (
        "Proxy(url='http://proxy:3128', variable='HTTPS_PROXY') the proxy http://proxy:3128 (HTTPS_PROXY)"
    )
    assert encoded == Proxy("http://proxy:3128", "HTTPS_PROXY", "a@b", "c/d")


@pytest.mark.parametrize(
    "value",
    [
        f"socks5://user:{CANARY}@proxy:1",
        f"http://user:{CANARY}@",
        f"http://user:{CANARY}",
        f"http://{CANARY}:0",
        f"http://{CANARY}:99999",
        f"http://{CANARY}/path/x",
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy", "ALL_PROXY"])
def test_unusable(name: str, value: str) -> None:
    """The error of an unusable proxy names the variable, and does not show its value."""
    with pytest.raises(SettingsError, match=f"{name} names no proxy that can be used") as refused:
        proxies_of({name: value})

    assert CANARY not in str(refused.value)
