"""Messages keep what failed and lose every secret."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from exporter.ims.credentials.redaction import redact_library_message, redact_secrets
from tests.support.canaries import Watch, canary

SECRET, TOKEN = canary("secret"), canary("token")
WATCH = Watch(secret=SECRET, token=TOKEN)


@pytest.mark.parametrize("secret", [SECRET, TOKEN])
@pytest.mark.parametrize("form", [str, lambda text: quote(text, safe=""), lambda text: quote(quote(text))])
@pytest.mark.parametrize("length", [8, 13, 20, None])
def test_secrets_are_masked(secret: str, form: type[str], length: int | None) -> None:
    """Every occurrence of a secret is masked, plain or encoded, complete or cut off; the rest of the text stays."""
    said = form(secret)[:length]

    redacted = redact_secrets(f"got {said}, again {said}; end", (SECRET, TOKEN))

    assert re.fullmatch(r"got \*{3}(%\w{0,3})?, again \*{3}(%\w{0,3})?; end", redacted)


def test_short_secrets_mask_nothing() -> None:
    """A secret too short to be real, or an empty one, masks nothing."""
    assert redact_secrets("a message", ("a", "")) == "a message"


@pytest.mark.parametrize(
    "said",
    [
        f"error refreshing credentials from http://host/{TOKEN},  http_code=500, result: {{}}",
        f"error refreshing credentials from http://user:{TOKEN}@host/,  http_code=500, result: {{}}",
        f"error refreshing credentials from http://user:1234/{TOKEN}@host/,  http_code=500, result: {{}}",
        f"failed to refresh OAuth token, status code: 400, response: {TOKEN}",
        f"failed to refresh OAuth token: {TOKEN}",
        f"Port could not be cast to integer value as '{TOKEN}'",
        f"netloc 'user:{TOKEN}@host' contains invalid characters under NFKC normalization",
        f"time data '{TOKEN}' does not match format '%Y'",
        f"Bad value substitution: option 'x' in section 'y' contains an interpolation key '{TOKEN}' which",
        f"failed to execute external command: exit status 1\nstderr: {TOKEN}",
    ],
)
def test_what_the_credentials_library_quotes(said: str) -> None:
    """A message of the credentials library keeps what failed, and loses URLs, answers and values."""
    redacted = redact_library_message(said)

    assert WATCH.found(redacted.encode()) == set()
    assert redacted.endswith("...") or "http_code=500" in redacted


def test_hosts_stay() -> None:
    """The host of a URL stays if it cannot be anything else: the operator needs it."""
    assert (
        redact_library_message("no answer from https://sts.host:443/x, gone")
        == "no answer from https://sts.host:443... gone"
    )
    assert redact_library_message("no answer from http://u:1234@host/x, gone") == "no answer from http://... gone"
