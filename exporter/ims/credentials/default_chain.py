"""Alibaba Cloud's default chain: the sources of credentials in the order of the official library."""

from __future__ import annotations

import codecs
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from alibabacloud_credentials.provider import (
    CLIProfileCredentialsProvider,
    EcsRamRoleCredentialsProvider,
    OIDCRoleArnCredentialsProvider,
    ProfileCredentialsProvider,
    StaticAKCredentialsProvider,
    StaticSTSCredentialsProvider,
    URLCredentialsProvider,
)

from exporter.errors import ApiError, CredentialsError, TransientError
from exporter.ims.credentials.redaction import redact_library_message

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
NONE = "no credentials: "
"""Beginning of the message of a source without credentials."""


class NoCredentialsError(CredentialsError):
    """No link of the default chain has credentials; `reasons` has one text per link."""

    hint = (
        f"set {KEY_ID} and {KEY_SECRET}, or one of the other sources; `credentials` in the configuration names"
        " sources of your own"
    )

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__(f"no credentials were found: {', '.join(reasons)}", code="NoCredentials")
        self.reasons = reasons


class Provider(Protocol):
    """The part of Alibaba's `ICredentialsProvider` that is used here."""

    async def get_credentials_async(self) -> object:
        """Returns the library's credentials, refreshed if they are about to expire."""


@dataclass(frozen=True, slots=True)
class ChainLink:
    """One source of the chain, and the reason to report if it has no credentials."""

    name: str
    provider: Callable[[], Provider] | None
    """None if the source is not set up."""
    reason: str = ""
    """Empty if the provider's error is the reason."""


class DefaultChain:
    """Asks the links in their order; the first one with credentials is used from then on.

    The library's own chain is not used: each instance starts a thread that never ends, and its error message quotes
    the errors of all links, secrets included.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._links = tuple(chain_links(environ))
        self._chosen: Provider | None = None

    async def get_credentials_async(self) -> object:
        """Returns the library's credentials; raises NoCredentialsError."""
        if self._chosen is not None:
            return await self._chosen.get_credentials_async()
        reasons: list[str] = []
        passing: TransientError | None = None
        for link in self._links:
            try:
                if link.provider is not None:
                    provider = link.provider()
                    found = await provider.get_credentials_async()
                    self._chosen = provider  # from now on it alone refreshes the key: a later failure is its own
                    return found
                reasons.append(link.reason)
            except Exception as error:  # noqa: BLE001 - the library raises errors of many kinds
                if isinstance(error, TransientError) and not link.reason:
                    passing = passing or error
                is_ours = isinstance(error, ApiError)
                message = str(error).removeprefix(NONE) if is_ours else redact_library_message(str(error))
                bom = bom_problem(link.name)
                reasons.append(link.reason or bom or f"{link.name} failed ({message})")
        missing = NoCredentialsError(tuple(reasons))
        if passing is None:
            raise missing
        # A source that is set up does not answer now: that is no lack of credentials.
        failed = type(passing)(str(missing), code=passing.code, retry_after=passing.retry_after)
        failed.hint = passing.hint
        raise failed


def chain_links(environ: Mapping[str, str]) -> Iterator[ChainLink]:
    """Yields the links that these environment variables configure, in the order of the library's own chain."""
    yield _variables(environ)
    yield _oidc(environ)
    yield _cli_profile(environ)
    yield _credentials_file(environ)
    yield _ecs(environ)
    if uri := environ.get(CREDENTIALS_URI):
        yield ChainLink(CREDENTIALS_URI, lambda: URLCredentialsProvider(uri=uri))


def default_files(environ: Mapping[str, str]) -> tuple[Path, Path]:
    """Returns the two files of the chain: the profiles of the `aliyun` command, and the credentials file."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises if there is no home
    named = environ.get(CREDENTIALS_FILE)
    return home / ".aliyun" / "config.json", Path(named) if named else home / ".alibabacloud" / "credentials.ini"


def static_key(key_id: str, secret: str, token: str) -> Provider:
    """Returns the provider of a fixed key; with a token, of a temporary one."""
    provider: Provider = (
        StaticSTSCredentialsProvider(access_key_id=key_id, access_key_secret=secret, security_token=token)
        if token
        else StaticAKCredentialsProvider(access_key_id=key_id, access_key_secret=secret)
    )
    return provider


def _variables(environ: Mapping[str, str]) -> ChainLink:
    key_id, secret, token = (environ.get(name, "") for name in (KEY_ID, KEY_SECRET, TOKEN))
    missing = [name for name in (KEY_ID, KEY_SECRET) if not environ.get(name)]
    if missing:
        return ChainLink(KEY_ID, None, f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set")
    return ChainLink(KEY_ID, lambda: static_key(key_id, secret, token))


def _oidc(environ: Mapping[str, str]) -> ChainLink:
    name = "OIDC (RRSA)"
    token_file, provider_arn, role_arn = (environ.get(name, "") for name in OIDC)
    missing = [name for name in OIDC if not environ.get(name)]
    if missing:
        return ChainLink(name, None, f"{name} lacks {' and '.join(missing)}" if token_file else f"{name} is not set up")
    return ChainLink(
        name,
        lambda: OIDCRoleArnCredentialsProvider(
            oidc_token_file_path=token_file, oidc_provider_arn=provider_arn, role_arn=role_arn
        ),
    )


def _cli_profile(environ: Mapping[str, str]) -> ChainLink:
    path, profile = str(default_files(environ)[0]), environ.get(PROFILE)
    if _is_true(environ, CLI_DISABLED):
        return ChainLink(path, None, f"{path} is switched off ({CLI_DISABLED})")
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file() raises if the folder is not readable
        return ChainLink(path, None, f"there is no {path}")
    return ChainLink(path, lambda: CliProfile(profile_file=path, profile_name=profile))


def _credentials_file(environ: Mapping[str, str]) -> ChainLink:
    path, profile = str(default_files(environ)[1]), environ.get(PROFILE)
    if not os.path.isfile(path):  # noqa: PTH113 - as above
        return ChainLink(path, None, f"there is no {path}")
    return ChainLink(path, lambda: IniProfile(profile_file=path, profile_name=profile))


def _ecs(environ: Mapping[str, str]) -> ChainLink:
    role = environ.get(ECS_ROLE, "")
    if _is_true(environ, ECS_DISABLED):
        return ChainLink("ECS", None, f"the RAM role of the ECS instance is switched off ({ECS_DISABLED})")
    return ChainLink(
        f"the RAM role {role} of the ECS instance",
        lambda: EcsRole(role),
        "" if role else "no RAM role of an ECS instance answers",
    )


class EcsRole(EcsRamRoleCredentialsProvider):  # type: ignore[misc] # the library is untyped
    """The RAM role of the ECS instance; an empty name means the one that the instance has.

    The library starts a thread for each provider unless it is forbidden, and takes an empty name for a name.
    """

    def __init__(self, role_name: str | None) -> None:
        super().__init__(role_name=role_name or None, async_update_enabled=False)
        self._role_name = role_name or None


class IniProfile(ProfileCredentialsProvider):  # type: ignore[misc] # the library is untyped
    """A section of a credentials file."""

    def _get_credentials_provider(self, section: dict[str, str]) -> object:
        if section.get("type") == "ecs_ram_role":
            return EcsRole(section.get("role_name"))
        return super()._get_credentials_provider(section)


class CliProfile(CLIProfileCredentialsProvider):  # type: ignore[misc] # the library is untyped
    """A profile of the `aliyun` command."""

    def _get_credentials_provider(self, config: dict[str, Any], profile_name: str) -> object:
        for profile in config.get("profiles", []):
            if profile.get("name") == profile_name and profile.get("mode") == "EcsRamRole":
                return EcsRole(profile.get("ram_role_name"))
        return super()._get_credentials_provider(config, profile_name)


def bom_problem(path: str) -> str:
    """Returns that a file begins with a byte order mark, which the library takes for text; empty if it does not."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - the name of a link may be no path
            has_bom = file.read(3) == codecs.BOM_UTF8
    except (OSError, ValueError):
        return ""
    return f"{path} begins with a byte order mark (BOM): save it as UTF-8 without one" if has_bom else ""


def _is_true(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").lower() == "true"
