"""No command prints or writes a secret, by any channel, whatever fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.canaries import Watch
from tests.support.secrets_run import MARK, PATHS, Scene, played, polled

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.process

CODES = {
    "secret": "SignatureDoesNotMatch",
    "signature": "SignatureDoesNotMatch",
    "late": "SignatureDoesNotMatch",
    "token": "InvalidSecurityToken.***",
    "skew": "InvalidTimeStamp.Expired",
    "forbidden": "NoPermission",
    "throttled": "Throttling.User",
    "down": "ServiceUnavailable",
    "strange": "***",
    "unauthorized": "Http401",
    "garbage": "BadResponse",
    "list": "BadResponse",
    "zipped": "DecodingError",
    "redirect": "Http302",
    "status_line": "NetworkError",
    "header_line": "NetworkError",
    "hang": "Timeout",
    "good": "",
    "refused": "ConnectError",
    "tls": "ConnectError",
    "proxied": "ProxyError",
    "chain": "NoCredentials",
    "file": "NoCredentials",
}
"""The error code of the polls of each target."""

FORMS = ("", " open", " json", " zip")
CHANNELS = {
    "run.err",
    "check.out",
    "once.out",
    "once.err",
    "broken once.out",
    "broken once.err",
    "role given.out",
    "role refused.out",
    "file ims-jobs.rules.yaml",
    "file once.db",
    "live run.db-wal",
    *(f"HTTP head {path}{form}" for path in PATHS for form in (*FORMS, " query", " wrong")),
    *(f"HTTP body {path}{form}" for path in PATHS[:5] for form in FORMS),
}
"""Outputs that show the mark, which is no secret: at least one of each kind."""

HAPPENED = {
    "run.err": ("Fatal Python error: Aborted", "Current thread"),
    "broken check.err": ("Traceback (most recent call last)", "RuntimeError: broken on purpose"),
    "broken once.err": ("Traceback (most recent call last)", "RuntimeError: broken on purpose"),
    "check.out": (
        "OIDC (RRSA) failed (AssumeRoleWithOIDC at sts.aliyuncs.com failed (407",
        "of the ECS instance failed (",
        "ALIBABA_CLOUD_CREDENTIALS_URI failed (",
    ),
    "check.err": ("logger=credentials", "unknown_variable"),
    "role given.out": ("InvalidSecurityToken.***",),
    "role refused.out": ("failed (Http403)",),
    "demo.out": ("The demo is running",),
    "plan.out": ("calls for smart jobs of one target",),
    "metrics.out": ("ims_jobs",),
    "--help.out": ("usage: ",),
    "--version.out": ("ims-exporter",),
    "rules.out": ("rules.yaml",),
    "dashboards.out": (".json",),
    "HTTP nonsense": ("400 ",),
    "HTTP body / wrong": ("user name and password are required",),
    "HTTP body reload 0": ("access_key_secrt: no such setting",),
    "HTTP body reload 1": ("is not YAML at line 3",),
    "HTTP body reload 2": ("endpoint: must not contain a user name or password",),
}
"""Texts that prove that a case has happened."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Yields the output of all commands, each run once."""
    with played(tmp_path_factory.mktemp("secrets")) as scene:
        yield scene


def test_nothing_secret(scene: Scene) -> None:
    """No output contains a canary."""
    found = {channel: names for channel, said in scene.seen.items() if (names := scene.watch.found(said))}

    assert found == {}


def test_every_channel_is_seen(scene: Scene) -> None:
    """The mark, which is no secret, is found in every kind of output, so a secret in the same place would be found."""
    watch = Watch(mark=MARK)

    assert {channel for channel in CHANNELS if not watch.found(scene.seen[channel])} == set()


def test_every_fault_has_struck(scene: Scene) -> None:
    """The polls of every target have failed in the intended way."""
    ends = polled(scene)

    assert {name for name, code in CODES.items() if code not in ends[f"{MARK} {name}"]} == set()


def test_everything_has_happened(scene: Scene) -> None:
    """The outputs of commands, tracebacks, dumps and refusals are there."""
    missing = {
        channel: word
        for channel, words in HAPPENED.items()
        for word in words
        if word.encode() not in scene.seen[channel]
    }

    assert missing == {}


def test_the_service_was_told(scene: Scene) -> None:
    """Service, proxy and STS have received or sent their secrets, so there were secrets to print."""
    heads = "".join(scene.service.heads).encode()
    told = scene.watch.found(heads)

    assert {"security token", "proxy password", "URI path", "URI query", "STS token"} <= told
    assert {name for name in told if name.startswith("signature")}
