"""The web configuration in force: read anew when a file has changed, kept when the new one is wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from exporter.errors import SettingsError
from exporter.web.config.file import Files, WebSecurity, load_web_config
from exporter.web.config.validators import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS = 1.0


class WatchedSecurity:
    """What the web configuration file asks for; looks for changes when it is needed, at most once a second.

    A file that is wrong changes nothing: it is logged once, and the last good one stays in force.
    """

    def __init__(
        self,
        path: str,
        on_new_tls: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads the file for the first time, none for no path; raises SettingsError."""
        self._path = path
        self._files = Files()
        self._on_new_tls = on_new_tls
        self._clock = clock
        self._looked_at = clock()
        self._now = WebSecurity()
        if path:
            self._now = load_web_config(path, self._files)
            self._warn()

    def now(self) -> WebSecurity:
        """Returns what is in force."""
        if self._path and self._clock() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = self._clock()
            if self._files.have_changed():
                self._reload()
        return self._now

    def _reload(self) -> None:
        self._files = Files()
        old = self._now
        try:
            new = load_web_config(self._path, self._files)
            refuse_to_open(old, new)
        except SettingsError as error:
            structlog.get_logger().error("web_config_refused", path=self._path, error=str(error))
            return
        self._now = new
        structlog.get_logger().info("web_config_loaded", path=self._path)
        self._warn()
        if (old.config.tls_server_config, old.material) != (new.config.tls_server_config, new.material):
            self._on_new_tls()

    def _warn(self) -> None:
        for text in self._now.warnings:
            structlog.get_logger().warning("web_config_weak", path=self._path, message=text)


def refuse_to_open(old: WebSecurity, new: WebSecurity) -> None:
    """Raises SettingsError if a kind of protection is gone, as it is in a file that is just being written."""
    gone = ", ".join(name for name in protections(old) if name not in protections(new))
    if gone:
        raise SettingsError(f"would take away {gone}, which only a restart may; the last good file stays in force")


def protections(security: WebSecurity) -> list[str]:
    """Returns the keys of the file by which not everybody gets everything."""
    tls = security.config.tls_server_config
    found = {
        "tls_server_config": tls is not None,
        "client_auth_type": tls is not None and tls.client_auth_type == REQUIRED,
        "client_allowed_sans": tls is not None and bool(tls.client_allowed_sans),
        "basic_auth_users": bool(security.config.basic_auth_users),
    }
    return [name for name, is_there in found.items() if is_there]
