"""The exporter as it runs and serves, asked in every way, with configurations broken under its feet, and aborted."""

from __future__ import annotations

import base64
import gzip
import http.client
import re
import signal
import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

import bcrypt

from tests.support.certificates import Authority
from tests.support.realservers import poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.secretscene import Scene

PATIENCE_SECONDS = 100.0
DEVELOPING = ("-X", "dev")
"""Python's checks for developers: asyncio tells more, warnings are told, and what dies dumps its threads."""
LISTENS = re.compile(r'"event": "listening", "url": "https?://127\.0\.0\.1:([1-9]\d*)"')
PATHS = ("/", "/targets", "/failures", "/failures?format=json", "/metrics", "/livez", "/readyz", "/nowhere")
ACCEPTS = {"": "", " open": "application/openmetrics-text", " json": "application/json", " zip": "gzip"}


class Visitor:
    """Asks the exporter by TLS, and keeps what it answers, headers and all."""

    def __init__(self, scene: Scene, port: int, ca: Path, password: str) -> None:
        self._scene = scene
        self._port = port
        self._context = ssl.create_default_context(cafile=str(ca))
        self._right = basic("alice", password)
        self._wrong = basic("alice", scene.watch.new("password of a scrape"))
        self._query = f"query={scene.watch.new('query')[:12]}"
        self._header = scene.watch.new("header of a request")

    def ask(self, name: str, path: str, method: str = "GET", **headers: str) -> int:
        """Returns the status of an answer, which is kept by this name."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self._port, context=self._context, timeout=PATIENCE_SECONDS
        )
        try:
            sent = {"Authorization": self._right, "X-Token": self._header, **headers}
            connection.request(method, path, headers=sent)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        packed = answer.headers.get("Content-Encoding") == "gzip"
        head = f"{answer.status} {answer.reason}\n{answer.headers}".encode()
        self._scene.seen[f"HTTP head {name}"] = head
        self._scene.seen[f"HTTP body {name}"] = gzip.decompress(body) if packed else body
        return answer.status

    def look_around(self) -> None:
        """Asks for every page in every form, with right and wrong passwords, and with queries that nobody knows."""
        for path in PATHS:
            for form, accept in ACCEPTS.items():
                self.ask(f"{path}{form}", path, **{"Accept-Encoding" if accept == "gzip" else "Accept": accept})
            joined = f"{path}{'&' if '?' in path else '?'}{self._query}"
            self.ask(f"{path} query", joined)
            self.ask(f"{path} wrong", joined, Authorization=self._wrong)

    def talk_nonsense(self) -> None:
        """Sends what is no HTTP."""
        with (
            socket.create_connection(("127.0.0.1", self._port), PATIENCE_SECONDS) as plain,
            self._context.wrap_socket(plain, server_hostname="127.0.0.1") as tls,
        ):
            tls.sendall(f"GET /{self._header} {self._wrong}\r\nAuthorization {self._wrong}\r\n\r\n".encode())
            self._scene.seen["HTTP nonsense"] = tls.recv(65536)


def basic(user: str, password: str) -> str:
    """Returns the Authorization header of a user."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@contextmanager
def served(scene: Scene) -> Iterator[None]:
    """Runs the exporter, and when the block is left asks it for everything, and lets it be killed by its own doing."""
    watch = scene.watch
    password = watch.new("web password")
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(10)).decode()
    watch.add("web hash", hashed[7:])
    authority = Authority(scene.folder / "given")
    server = authority.server()
    watch.add("TLS key", "".join(server.key.read_text().splitlines()[1:3]))
    web = scene.written("web.yml", web_config(hashed))
    config = (
        "--config",
        str(scene.config),
        "--web-config-file",
        str(web),
        "--ledger-path",
        str(scene.files / "run.db"),
    )
    flags = ("--log-format", "json", "--web-enable-lifecycle", "on", "--listen-address", "127.0.0.1:0")
    scene.start("run", *DEVELOPING, "-m", "exporter", "run", *config, *flags)
    yield
    port, number = listening(scene, "run"), scene.config.read_text().count("- account:")
    poll(PATIENCE_SECONDS, lambda: len(polled(scene)) == number, "every target is polled")
    poll(PATIENCE_SECONDS, lambda: scene.events("run", "job_failed"), "a job fails")
    visitor = Visitor(scene, port, authority.cert, password)
    visitor.look_around()
    visitor.talk_nonsense()
    break_configurations(scene, visitor, web)
    for path in scene.files.glob("run.db*"):
        scene.seen[f"live {path.name}"] = path.read_bytes()
    scene.processes["run"].send_signal(signal.SIGABRT)


def stop_demo(scene: Scene) -> None:
    """Lets the demo end when it serves."""
    listening(scene, "demo")
    scene.processes["demo"].terminate()


def listening(scene: Scene, name: str) -> int:
    """Returns the port on which a process listens, when it does."""
    found = poll(PATIENCE_SECONDS, lambda: LISTENS.search(scene.log(name)), f"{name} listens")
    assert found is not None
    return int(found[1])


def web_config(hashed: str) -> str:
    """Returns a web configuration with TLS and one user; the mark is in a header."""
    return (
        "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
        f"basic_auth_users:\n  alice: '{hashed}'\n"
        "http_server_config: {headers: {X-XSS-Protection: seen-here}}\n"
    )


def polled(scene: Scene) -> dict[str, set[object]]:
    """Returns how the polls of each target have ended: with which code, none for a good one."""
    ends: dict[str, set[object]] = {}
    for line in scene.events("run", "poll"):
        ends.setdefault(str(line["account"]), set()).add(line.get("code", ""))
    return ends


def break_configurations(scene: Scene, visitor: Visitor, web: Path) -> None:
    """Writes secrets where they do not belong, and waits until each of these files is refused."""
    secret = scene.watch.new("secret in a wrong place")
    good = scene.config.read_text()
    wrong = (
        f"access_key_secrt: {secret!r}\n",
        f"region_id: cn-a\n{secret}\nx: y\n",
        f"region_id: cn-a\nendpoint: https://user:{scene.watch.plain('userinfo')}@host\n",
        f"region_id: cn-a\nendpoint: https://user:{secret}@host\n",
        f"region_id: cn-a\ncredentials: {{access_key_secret_env: {secret!r}, secret: {secret!r}}}\n",
        f"region_id: {secret!r}\nlookback_days: {secret!r}\nlog_level: {secret!r}\nlisten_address: {secret!r}\n",
        f"targets: [{secret[:12]}]\naccount: {secret!r}\nallow_plain_http: {secret!r}\n",
    )
    for number, text in enumerate(wrong):
        scene.config.write_text(text)
        assert visitor.ask(f"reload {number}", "/-/reload", "POST") == 400
        scene.processes["run"].send_signal(signal.SIGHUP)
        poll(PATIENCE_SECONDS, lambda: len(refused(scene)) == 2 * number + 2, "the reload is refused")  # noqa: B023 - at once
    scene.config.write_text(good)
    assert visitor.ask("reload", "/-/reload", "POST") == 200
    web.write_text(f"basic_auth_users: {{alice: {secret!r}}}\nbasic_auth_user: {secret!r}\n")
    poll(
        PATIENCE_SECONDS,
        lambda: visitor.ask("web", "/livez") and scene.events("run", "web_config_refused"),
        "the web configuration is refused",
    )


def refused(scene: Scene) -> list[dict[str, object]]:
    """Returns the reloads that were refused."""
    return [line for line in scene.events("run", "reload") if line["outcome"] == "refused"]
