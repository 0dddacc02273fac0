"""The simulator's authenticator takes rightly signed calls of known keys, each once, and no others."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator.answers import RefusedError
from exporter.simulator.authentication import Authenticator, Call, Key, sign_call

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_700_000_000.0
PLAIN = Key("plain", "secret")
TEMPORARY = Key("STS.id", "secret", token="token")
LISTS_ONLY = Key("lists-only", "secret", actions=frozenset({"ListSmartJobs"}))
KEYS = {key.key_id: key for key in (PLAIN, TEMPORARY, LISTS_ONLY)}


def sign(parameters: dict[str, str] | None = None, *, key: Key = PLAIN, **options: Any) -> Call:  # noqa: ANN401 - passed on
    """Returns a call signed now."""
    options = {"nonce": "1", "at": NOW, **options}
    return sign_call(key, "127.0.0.1:1", parameters or {"SortBy": "CreationTime:Asc"}, **options)


def verdict(*calls: Call) -> str:
    """Returns OK or the code with which a authenticator refuses the last of the calls."""
    authenticator = Authenticator(KEYS, lambda: NOW)
    for call in calls[:-1]:
        authenticator.authenticate(call)
    try:
        authenticator.authenticate(calls[-1])
    except RefusedError as refused:
        return refused.code
    return "OK"


def with_headers(call: Call, **headers: str) -> Call:
    """Returns the call with headers changed after signing."""
    return replace(call, headers={**call.headers, **{n.replace("_", "-"): v for n, v in headers.items()}})


@pytest.mark.parametrize("key", KEYS.values(), ids=lambda key: key.key_id)
@pytest.mark.parametrize("minutes", [-15, 0, 15])
def test_good_calls_pass(key: Key, minutes: int) -> None:
    """Plain, temporary and restricted keys may list, by a clock up to 15 minutes off."""
    assert verdict(sign(key=key, at=NOW + 60 * minutes)) == "OK"


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (lambda call: with_headers(call, x_acs_signature_nonce="2"), "SignatureDoesNotMatch"),
        (lambda call: with_headers(call, host="elsewhere"), "SignatureDoesNotMatch"),
        (lambda call: with_headers(call, x_acs_extra="1"), "IncompleteSignature"),
        (lambda call: with_headers(call, authorization=""), "IncompleteSignature"),
        (lambda call: replace(call, query=call.query + "&PageNo=2"), "SignatureDoesNotMatch"),
        (lambda call: replace(call, query=call.query.replace("%3A", ":")), "SignatureDoesNotMatch"),
        (lambda call: replace(call, query=""), "SignatureDoesNotMatch"),
        (lambda call: replace(call, method="POST"), "SignatureDoesNotMatch"),
        (lambda call: replace(call, path="//"), "SignatureDoesNotMatch"),
        (lambda call: replace(call, body=b"x"), "SignatureDoesNotMatch"),
        (
            lambda call: with_headers(replace(call, body=b"x"), x_acs_content_sha256=hashlib.sha256(b"x").hexdigest()),
            "SignatureDoesNotMatch",
        ),
    ],
)
def test_tampering_is_refused(tamper: Callable[[Call], Call], code: str) -> None:
    """A call changed in any part after it was signed is refused."""
    assert verdict(tamper(sign())) == code


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"changed": {"x-acs-version": "2019-01-01"}}, "InvalidVersion"),
        ({"action": "DeleteSmartJob"}, "InvalidAction.NotFound"),
        ({"at": NOW - 901}, "InvalidTimeStamp.Expired"),
        ({"at": NOW + 901}, "InvalidTimeStamp.Expired"),
        ({"changed": {"x-acs-date": "yesterday"}}, "InvalidTimeStamp.Format"),
        ({"key": Key("nobody", "secret")}, "InvalidAccessKeyId.NotFound"),
        ({"key": Key("plain", "wrong")}, "SignatureDoesNotMatch"),
        ({"key": Key("STS.id", "secret", token="old")}, "InvalidSecurityToken.Expired"),
        ({"key": Key("STS.id", "secret")}, "InvalidSecurityToken.Expired"),
        ({"key": Key("plain", "secret", token="x")}, "InvalidSecurityToken.MismatchWithAccessKey"),
        ({"key": LISTS_ONLY, "action": "GetSmartHandleJob"}, "NoPermission"),
        ({"changed": {"host": ""}}, "MissingParameter"),
        ({"changed": {"x-acs-action": ""}}, "MissingParameter"),
        ({"changed": {"x-acs-version": ""}}, "MissingParameter"),
        ({"changed": {"x-acs-date": ""}}, "MissingParameter"),
        ({"changed": {"x-acs-signature-nonce": ""}}, "MissingParameter"),
        ({"changed": {"x-acs-content-sha256": ""}}, "MissingParameter"),
        ({"changed": {"x-acs-content-sha256": "0" * 64}}, "SignatureDoesNotMatch"),
    ],
)
def test_rightly_signed_calls_may_be_refused(options: dict[str, Any], code: str) -> None:
    """A stale date, unknown key, wrong token, missing permission or header each have a code of their own."""
    assert verdict(sign(**options)) == code


def test_signed_headers_must_name_all_that_count() -> None:
    """A signature that leaves out a needed header, or names one that is not there, is incomplete."""
    call = sign()
    authorization = call.headers["authorization"]

    without_host = with_headers(call, authorization=authorization.replace("host;", ""))
    with_absent = with_headers(call, authorization=authorization.replace("host;", "accept;host;"))

    assert (verdict(without_host), verdict(with_absent)) == ("IncompleteSignature", "IncompleteSignature")


@pytest.mark.property
@given(parameters=st.dictionaries(st.text("AZaz~._- %+&=é", min_size=1), st.text(min_size=1).filter(str.isprintable)))
def test_any_parameters_can_be_signed(parameters: dict[str, str]) -> None:
    """Whatever the names and values hold, the canonical form passes, and in any order."""
    call = sign(parameters)

    reordered = "&".join(reversed(call.query.split("&")))

    assert verdict(replace(call, query=reordered)) == "OK"


def test_encoding_does_not_matter_where_the_query_is_decoded() -> None:
    """A authenticator that decodes first takes the same values in other bytes, but no other values."""
    authenticator = Authenticator(KEYS, lambda: NOW, exact_query=False)
    call = sign({"SortBy": "CreationTime:Asc", "Title": "a b"})

    with pytest.raises(RefusedError):
        authenticator.authenticate(replace(call, query="SortBy=CreationTime:Asc&Title=a-b"))

    assert authenticator.authenticate(replace(call, query="Title=a+b&SortBy=CreationTime:Asc")) == PLAIN


def test_a_nonce_passes_once_per_key() -> None:
    """The same nonce is refused a second time, but not to another key; refused calls do not use it up."""
    first, again, other = sign(), sign({"PageNo": "2"}), sign(key=LISTS_ONLY)

    assert verdict(first, again) == "SignatureNonceUsed"
    assert verdict(first, other) == "OK"


def test_a_forged_call_does_not_use_up_the_nonce() -> None:
    """After a forgery was refused the true call with that nonce passes."""
    authenticator = Authenticator(KEYS, lambda: NOW)
    with pytest.raises(RefusedError):
        authenticator.authenticate(replace(sign(), query="PageNo=3"))

    assert authenticator.authenticate(sign()) == PLAIN


def test_memory_of_nonces_is_bounded() -> None:
    """The oldest nonce is forgotten when there are too many, none before."""
    authenticator = Authenticator(KEYS, lambda: NOW, max_nonces=3)
    calls = [sign(nonce=str(number)) for number in range(4)]

    for call in calls[:3]:
        authenticator.authenticate(call)
    with pytest.raises(RefusedError, match="SignatureNonceUsed"):
        authenticator.authenticate(calls[1])
    authenticator.authenticate(calls[3])

    assert authenticator.authenticate(calls[0]) == PLAIN


def test_secrets_are_not_shown() -> None:
    """The representation of a key has neither secret nor token."""
    assert repr(TEMPORARY).count("secret") == repr(TEMPORARY).count("token") == 0
