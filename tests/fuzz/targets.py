"""All fuzz targets."""

from __future__ import annotations

from tests.fuzz.http_target import HTTP
from tests.fuzz.https_target import HTTPS
from tests.fuzz.openapi_target import OPENAPI
from tests.fuzz.poll_target import POLLED
from tests.fuzz.settings_target import SETTINGS
from tests.fuzz.web_config_target import WEB_CONFIG
from tests.fuzz.wire_target import WIRE

TARGETS = {target.name: target for target in (WIRE, POLLED, SETTINGS, WEB_CONFIG, HTTP, HTTPS, OPENAPI)}
