"""The V3 signature equals the published vector and the official SDK's."""

from __future__ import annotations

import string

import pytest
from alibabacloud_tea_openapi.utils import Utils as SdkUtils
from darabonba.request import DaraRequest
from hypothesis import given
from hypothesis import strategies as st

from exporter.ims import signature as v3

VECTOR_HEADERS = {
    "host": "ecs.cn-shanghai.aliyuncs.com",
    "x-acs-action": "RunInstances",
    "x-acs-content-sha256": v3.EMPTY_BODY_SHA256,
    "x-acs-date": "2023-10-26T10:22:32Z",
    "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
    "x-acs-version": "2014-05-26",
}
VECTOR_QUERY = (
    ("ImageId", "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"),
    ("RegionId", "cn-shanghai"),
)


def sign(query: str, headers: dict[str, str], secret: str, method: str = "POST") -> str:
    """Returns the signature of a request, computed as the client does."""
    return v3.signature(secret, v3.canonical_request(method, "/", query, headers, v3.EMPTY_BODY_SHA256))


def test_published_vector() -> None:
    """The example in Alibaba Cloud's documentation yields the documented signature."""
    signed = sign(v3.canonical_query(VECTOR_QUERY), VECTOR_HEADERS, "YourAccessKeySecret")

    assert signed == "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"


def test_authorization_names_the_signed_headers_in_order() -> None:
    """The Authorization header has key, signed headers and signature in the documented form."""
    value = v3.authorization("YourAccessKeyId", reversed(VECTOR_HEADERS), "ab")

    assert value == (
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;"
        "x-acs-date;x-acs-signature-nonce;x-acs-version,Signature=ab"
    )


@pytest.mark.property
@given(
    query=st.dictionaries(st.text(string.ascii_letters + string.digits, min_size=1), st.text()),
    nonce=st.text("0123456789abcdef", min_size=1),
    key=st.text("abcXYZ123", min_size=1),
    secret=st.text(min_size=1),
    method=st.sampled_from(["GET", "POST"]),
)
def test_equals_the_official_sdk(query: dict[str, str], nonce: str, key: str, secret: str, method: str) -> None:
    """For any values, the Authorization header equals the official SDK's (which does not encode names)."""
    headers = {**VECTOR_HEADERS, "x-acs-signature-nonce": nonce}
    request = DaraRequest()
    request.method, request.pathname, request.query, request.headers = method, "/", query, headers

    ours = v3.authorization(key, headers, sign(v3.canonical_query(query.items()), headers, secret, method=method))

    theirs = SdkUtils.get_authorization(request, v3.ALGORITHM, v3.EMPTY_BODY_SHA256, key, secret)
    assert ours == theirs


@pytest.mark.property
@given(data=st.data())
def test_any_changed_byte_changes_the_signature(data: st.DataObject) -> None:
    """A change of any character of the signed request, or of the secret, changes the signature."""
    parts = ["POST", "/", v3.canonical_query(VECTOR_QUERY), "ecs.cn-shanghai.aliyuncs.com", "secret"]
    which = data.draw(st.integers(0, len(parts) - 1))
    at = data.draw(st.integers(0, len(parts[which]) - 1))
    changed = list(parts)
    changed[which] = parts[which][:at] + "!" + parts[which][at + 1 :]

    signatures = [
        v3.signature(
            secret,
            v3.canonical_request(method, path, query, {**VECTOR_HEADERS, "host": host}, v3.EMPTY_BODY_SHA256),
        )
        for method, path, query, host, secret in (parts, changed)
    ]

    assert signatures[0] != signatures[1]
