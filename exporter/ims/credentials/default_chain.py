"""Alibaba Cloud's default chain: where credentials are looked for, in which order, and what each place said."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from alibabacloud_credentials.provider import (
    CLIProfileCredentialsProvider,
    EcsRamRoleCredentialsProvider,
    OIDCRoleArnCredentialsProvider,
    ProfileCredentialsProvider,
    StaticAKCredentialsProvider,
    StaticSTSCredentialsProvider,
    URLCredentialsProvider,
)

from exporter.errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

KEY_ID, KEY_SECRET = "ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"
TOKEN = "ALIBABA_CLOUD_SECURITY_TOKEN"  # noqa: S105 - the name of a variable
OIDC = ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "ALIBABA_CLOUD_ROLE_ARN")
CREDENTIALS_FILE = "ALIBABA_CLOUD_CREDENTIALS_FILE"
PROFILE = "ALIBABA_CLOUD_PROFILE"
CLI_DISABLED = "ALIBABA_CLOUD_CLI_PROFILE_DISABLED"
ECS_ROLE = "ALIBABA_CLOUD_ECS_METADATA"
ECS_DISABLED = "ALIBABA_CLOUD_ECS_METADATA_DISABLED"
CREDENTIALS_URI = "ALIBABA_CLOUD_CREDENTIALS_URI"

QUOTE = re.compile(
    r"(?:\n|\\n|\?|message=|result:|response:|token:|found:|value as|netloc|time data|reference|"
    r"interpolation|Raw value).*",
    re.DOTALL,
)
"""What the library quotes in its messages: lines of a file, a signed URL, an answer with keys in it."""
URL = re.compile(r"://(?:(?!\S*@)(?P<host>[\w.-]+(?::\d{1,5})?)(?=[/?#'\",\s]|$))?\S*")
"""An address, whose host may be told where nothing else can be taken for it."""
STS_CODE = re.compile(r'"Code"\s*:\s*"([\w.]+)"')
LONGEST_MESSAGE = 300


class NoCredentialsError(CredentialsError):
    """No place of the default chain has credentials; `places` says for each of them why."""

    hint = (
        f"set {KEY_ID} and {KEY_SECRET}, or fill one of the other places; `credentials` in the configuration names"
        " places of your own"
    )

    def __init__(self, places: tuple[str, ...]) -> None:
        super().__init__(f"no credentials were found: {', '.join(places)}", code="NoCredentials")
        self.places = places


class Provider(Protocol):
    """The part of Alibaba's `ICredentialsProvider` that is used here."""

    async def get_credentials_async(self) -> object:
        """Returns the library's credentials, refreshed where they have to be."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where credentials may be, and what to say where there are none; without that, the error tells."""

    name: str
    provider: Callable[[], Provider] | None
    """None where there is nothing to ask."""
    absence: str = ""


class DefaultChain:
    """Asks the places in their order, and from then on the first one that had credentials.

    The library's own chain starts a thread each time it is made, which never ends, and quotes every error in one.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._places = tuple(places(environ))
        self._chosen: Provider | None = None

    async def get_credentials_async(self) -> object:
        """Returns the library's credentials; raises NoCredentialsError."""
        if self._chosen is not None:
            return await self._chosen.get_credentials_async()
        said: list[str] = []
        for place in self._places:
            try:
                if place.provider is not None:
                    provider = place.provider()
                    found = await provider.get_credentials_async()
                    self._chosen = provider
                    return found
                said.append(place.absence)
            except Exception as error:  # noqa: BLE001 - the library raises what it likes
                said.append(place.absence or f"{place.name} failed ({without_quotes(str(error))})")
        raise NoCredentialsError(tuple(said))


def places(environ: Mapping[str, str]) -> Iterator[Place]:
    """Gives the places that these variables lead to, in the order of the library's own chain."""
    yield _variables(environ)
    yield _oidc(environ)
    yield _cli_profile(environ)
    yield _credentials_file(environ)
    yield _ecs(environ)
    if uri := environ.get(CREDENTIALS_URI):
        yield Place(CREDENTIALS_URI, lambda: URLCredentialsProvider(uri=uri))


def default_files(environ: Mapping[str, str]) -> tuple[Path, Path]:
    """Returns the files of the chain: the profiles of the `aliyun` command, and the credentials file."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises where there is none
    named = environ.get(CREDENTIALS_FILE)
    return home / ".aliyun" / "config.json", Path(named) if named else home / ".alibabacloud" / "credentials.ini"


def static_key(key_id: str, secret: str, token: str) -> Provider:
    """Returns the provider of a key that is known, a temporary one where there is a token."""
    provider: Provider = (
        StaticSTSCredentialsProvider(access_key_id=key_id, access_key_secret=secret, security_token=token)
        if token
        else StaticAKCredentialsProvider(access_key_id=key_id, access_key_secret=secret)
    )
    return provider


def without_quotes(text: str) -> str:
    """Returns a message of the library without what it quotes, which may hold secrets, but for the code of STS."""
    plain = QUOTE.sub("...", URL.sub(r"://\g<host>...", text))
    return " ".join((plain[:LONGEST_MESSAGE], *STS_CODE.findall(text)[:1]))


def _variables(environ: Mapping[str, str]) -> Place:
    key_id, secret, token = (environ.get(name, "") for name in (KEY_ID, KEY_SECRET, TOKEN))
    missing = [name for name in (KEY_ID, KEY_SECRET) if not environ.get(name)]
    if missing:
        return Place(KEY_ID, None, f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set")
    return Place(KEY_ID, lambda: static_key(key_id, secret, token))


def _oidc(environ: Mapping[str, str]) -> Place:
    name = "OIDC (RRSA)"
    token_file, provider_arn, role_arn = (environ.get(name, "") for name in OIDC)
    missing = [name for name in OIDC if not environ.get(name)]
    if missing:
        return Place(name, None, f"{name} lacks {' and '.join(missing)}" if token_file else f"{name} is not set up")
    return Place(
        name,
        lambda: OIDCRoleArnCredentialsProvider(
            oidc_token_file_path=token_file, oidc_provider_arn=provider_arn, role_arn=role_arn
        ),
    )


def _cli_profile(environ: Mapping[str, str]) -> Place:
    path, profile = str(default_files(environ)[0]), environ.get(PROFILE)
    if _is_true(environ, CLI_DISABLED):
        return Place(path, None, f"{path} is switched off ({CLI_DISABLED})")
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file() raises where the folder is closed to us
        return Place(path, None, f"there is no {path}")
    return Place(path, lambda: CLIProfileCredentialsProvider(profile_file=path, profile_name=profile))


def _credentials_file(environ: Mapping[str, str]) -> Place:
    path, profile = str(default_files(environ)[1]), environ.get(PROFILE)
    if not os.path.isfile(path):  # noqa: PTH113 - as above
        return Place(path, None, f"there is no {path}")
    return Place(path, lambda: ProfileCredentialsProvider(profile_file=path, profile_name=profile))


def _ecs(environ: Mapping[str, str]) -> Place:
    role = environ.get(ECS_ROLE)
    if _is_true(environ, ECS_DISABLED):
        return Place("ECS", None, f"the RAM role of the ECS instance is switched off ({ECS_DISABLED})")
    return Place(
        f"the RAM role {role} of the ECS instance",
        lambda: EcsRamRoleCredentialsProvider(role_name=role, async_update_enabled=False),
        "" if role else "no RAM role of an ECS instance answers",
    )


def _is_true(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").lower() == "true"
