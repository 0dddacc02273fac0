"""The current web configuration: loaded again when one of its files has changed, unless the new one is invalid.

A worked example: a new certificate and its key are written one after the other.

    0 s   `server.crt` is replaced. The next request finds the change; certificate and key do not match. The load fails
          with `web_config_refused`; certificate, key and users stay those loaded before.
    1 s   `server.key` is replaced. The next request finds the change, the load succeeds, `web_config_loaded` is logged.
          New handshakes show the new certificate; open connections are drained.

A load is all or nothing. Each file is read once; the checks and the TLS context use the bytes that were read, not the
files. One assignment makes the result current. A file that changes after it was read differs from its digest, so the
next check finds it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from exporter.errors import SettingsError
from exporter.web.config.file import FileReader, WebSecurity, load_web_config
from exporter.web.config.model import REQUIRED
from exporter.web.tls import validity_warnings

if TYPE_CHECKING:
    from collections.abc import Callable

CHECK_SECONDS = 1.0
"""Minimum time between two checks for changes."""
WARNING_SECONDS = 86400.0
"""Time between two warnings about a certificate that has expired or is about to."""


class WebConfigWatcher:
    """Keeps the web configuration current, by a check for changes at most once a second, when it is used.

    An invalid change is logged once; the last valid configuration stays current.
    """

    def __init__(
        self,
        path: str,
        on_new_tls: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Loads the file, unless the path is empty; raises SettingsError. Calls `on_new_tls` after a change of TLS."""
        self._path = path
        self._files = FileReader()
        self._on_new_tls = on_new_tls
        self._clock = clock
        self._checked_at = self._warned_at = clock()
        self._current = WebSecurity()
        if path:
            self._current = load_web_config(path, self._files)
            self._log_warnings()

    def current(self) -> WebSecurity:
        """Returns the current configuration, after a reload if a file has changed."""
        if self._path and self._clock() - self._checked_at >= CHECK_SECONDS:
            self._checked_at = self._clock()
            if self._files.have_changed():
                self._reload()
            elif self._clock() - self._warned_at >= WARNING_SECONDS:
                self._warn_of_expiry()
        return self._current

    def _reload(self) -> None:
        self._files = FileReader()
        old = self._current
        try:
            new = load_web_config(self._path, self._files)
            refuse_weaker(old, new)
        except SettingsError as error:
            structlog.get_logger().error("web_config_refused", path=self._path, error=str(error))
            return
        self._current = new
        structlog.get_logger().info("web_config_loaded", path=self._path)
        self._log_warnings()
        if (old.config.tls_server_config, old.material) != (new.config.tls_server_config, new.material):
            self._on_new_tls()

    def _warn_of_expiry(self) -> None:
        self._warned_at = self._clock()
        for text in validity_warnings(self._current.material, time.time()):
            structlog.get_logger().warning("web_config_weak", path=self._path, message=text)

    def _log_warnings(self) -> None:
        self._warned_at = self._clock()
        for text in self._current.warnings:
            structlog.get_logger().warning("web_config_weak", path=self._path, message=text)


def refuse_weaker(old: WebSecurity, new: WebSecurity) -> None:
    """Raises SettingsError if the new configuration lacks a protection, as a half-written file does."""
    removed = ", ".join(name for name in protections(old) if name not in protections(new))
    if removed:
        raise SettingsError(f"would remove {removed}, which takes a restart; the last valid file stays in use")


def protections(security: WebSecurity) -> list[str]:
    """Returns the keys of the file that restrict access."""
    tls = security.config.tls_server_config
    is_set = {
        "tls_server_config": tls is not None,
        "client_auth_type": tls is not None and tls.client_auth_type == REQUIRED,
        "client_allowed_sans": tls is not None and bool(tls.client_allowed_sans),
        "basic_auth_users": bool(security.config.basic_auth_users),
    }
    return [name for name, is_present in is_set.items() if is_present]
