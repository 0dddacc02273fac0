"""The web configuration file: TLS, users and limits, in the format of Prometheus' exporter-toolkit."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from exporter.web.config.validators import (
    NO_CERTIFICATE,
    bcrypt_hash,
    cipher_suite,
    curves,
    duration_seconds,
    no_http2,
    response_headers,
    tls_version,
    user_names,
    verified_auth_type,
)

STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)
TlsVersion = Annotated[str, AfterValidator(tls_version)]


class TlsServerConfig(BaseModel):
    """How TLS is spoken; paths are relative to the file's own folder."""

    model_config = STRICT

    cert_file: str = Field(default="", examples=["server.crt"])
    key_file: str = Field(default="", examples=["server.key"])
    client_ca_file: str = Field(default="", examples=["clients.crt"])
    cert: str = ""
    key: str = Field(default="", repr=False)
    client_ca: str = ""
    client_auth_type: Annotated[str, AfterValidator(verified_auth_type)] = NO_CERTIFICATE
    client_allowed_sans: tuple[str, ...] = ()
    min_version: TlsVersion = "TLS12"
    max_version: TlsVersion = "TLS13"
    cipher_suites: tuple[Annotated[str, AfterValidator(cipher_suite)], ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: Annotated[tuple[str, ...], AfterValidator(curves)] = ()


class HttpServerConfig(BaseModel):
    """What HTTP is spoken, and headers that answers carry."""

    model_config = STRICT

    http2: Annotated[bool, AfterValidator(no_http2)] = False
    headers: Annotated[dict[str, str], AfterValidator(response_headers)] = {}


class RateLimit(BaseModel):
    """A token bucket for all requests; an interval of 0 seconds means none."""

    model_config = STRICT

    interval: Annotated[float, BeforeValidator(duration_seconds)] = 0.0
    burst: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0


class WebConfig(BaseModel):
    """A whole file."""

    model_config = STRICT

    tls_server_config: TlsServerConfig | None = None
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: Annotated[
        dict[str, Annotated[str, AfterValidator(bcrypt_hash)]], AfterValidator(user_names), Field(repr=False)
    ] = {}
    rate_limit: RateLimit = RateLimit()
