"""Every command of the exporter as a process, with canaries for all secrets, and all of its output."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import bcrypt
import yaml

from exporter.simulator.authentication import Key
from exporter.simulator.server import Simulator
from tests.support.canaries import Watch
from tests.support.certificates import Authority
from tests.support.dead_endpoint import dead_endpoint
from tests.support.fake_sts import fake_sts
from tests.support.hostile_service import HostileService, answers, proxy
from tests.support.real_servers import poll
from tests.support.repository import ROOT
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.fake_sts import FakeSts
    from tests.support.simulator_thread import SimulatorThread

MARK = "seen-here"
"""The account of every target starts with it, so that an output without it is known to show nothing."""
NOT_INHERITED = re.compile(r"(?i)IMS_EXPORTER_|ALIBABA_CLOUD_|.*_PROXY$")
NAMES = {"access_key_id_env": "A_KEY_ID", "access_key_secret_env": "A_KEY_SECRET", "security_token_env": "A_KEY_TOKEN"}
SIGNED = 16
"""Number of digits of a signature that count as the signature."""
BREAK = """
import sys, exporter.ims.signature
def broken(key_id, headers, signed):
    raise RuntimeError("broken on purpose")
exporter.ims.signature.authorization = broken
from exporter.commands.cli import main
main(sys.argv[1:])
"""
"""A program that fails in the function that has the signature."""


@dataclass(slots=True)
class Scene:
    """The input of the processes, and their output by channel."""

    folder: Path
    watch: Watch = field(default_factory=Watch)
    service: HostileService = field(default_factory=HostileService)
    seen: dict[str, bytes] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def files(self) -> Path:
        """The folder that the processes write to."""
        return self.folder / "files"

    @property
    def config(self) -> Path:
        """The configuration with a target for each way to fail."""
        return self.folder / "given" / "settings.yml"

    def written(self, name: str, text: str) -> Path:
        """Writes an input file with this text, and returns its path."""
        path = self.folder / "given" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start(self, name: str, *arguments: str, **variables: str) -> None:
        """Starts Python; its output goes to `NAME.out` and `NAME.err`."""
        env = {**self.env, **variables}
        with (self.folder / f"{name}.out").open("wb") as out, (self.folder / f"{name}.err").open("wb") as err:
            process = subprocess.Popen(  # noqa: S603 - our own
                (sys.executable, *arguments), stdout=out, stderr=err, env=env, cwd=ROOT
            )
        resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
        self.processes[name] = process

    def command(self, name: str, *arguments: str, **variables: str) -> None:
        """Starts a command."""
        self.start(name, "-m", "exporter", *arguments, **variables)

    def log(self, name: str) -> str:
        """Returns what a process has written to stderr so far."""
        return (self.folder / f"{name}.err").read_text("utf-8", "replace")

    def events(self, name: str, event: str) -> list[dict[str, object]]:
        """Returns the lines logged in JSON of an event."""
        lines = [line for line in self.log(name).rpartition("\n")[0].splitlines() if line.startswith("{")]
        return [found for found in map(json.loads, lines) if found["event"] == event]

    def wait(self) -> None:
        """Waits for the end of all processes, and records their output."""
        for name, process in self.processes.items():
            process.wait(PATIENCE_SECONDS)
            for channel in ("out", "err"):
                self.seen[f"{name}.{channel}"] = (self.folder / f"{name}.{channel}").read_bytes()
        for path in self.files.rglob("*"):
            if path.is_file():
                self.seen[f"file {path.name}"] = path.read_bytes()

    def end(self) -> None:
        """Kills what still runs."""
        for process in self.processes.values():
            process.kill()
            process.wait()


@contextmanager
def played(folder: Path) -> Iterator[Scene]:
    """Yields a scene after all processes have ended."""
    scene = Scene(folder)
    watch = scene.watch
    key = Key("AKID", watch.new("access key secret"), watch.new("security token"))
    simulator = Simulator(keys=[key])
    ways = {**answers(key.secret), "proxy": proxy(watch.new("metadata token"), watch.new("secret in an answer"))}
    with ExitStack() as stack:
        here = stack.enter_context(running_simulators(simulator))
        here.run(scene.service.listen(ways))
        stack.callback(lambda: here.run(scene.service.close()))
        dead = stack.enter_context(dead_endpoint())
        stack.callback(scene.end)
        _set_up(scene, simulator.url, dead, key)
        with served(scene):  # the others run meanwhile
            _start_commands(scene)
            _start_roles(scene, stack, here)
            poll(PATIENCE_SECONDS, lambda: "" in polled(scene).get(f"{MARK} good", ()), "a first good poll")
            here.do(lambda: simulator.jobs.create("ASR", state="Failed", error=("E.Code", "words")))
        stop_demo(scene)
        scene.wait()
        for number, signed in enumerate(sorted(scene.service.signatures)):
            watch.add(f"signature {number}", signed[:SIGNED])
        yield scene


def settings_text(*targets: Mapping[str, object], timeout_seconds: float = 1.0) -> str:
    """Returns a configuration with these targets."""
    common = {"request_timeout_seconds": timeout_seconds, "poll_interval_seconds": 2.0}
    return yaml.safe_dump({**common, "targets": [*targets]}, sort_keys=False)


def _set_up(scene: Scene, good: str, dead: str, key: Key) -> None:
    """Writes a configuration with a target for each way to fail, and smaller ones."""
    urls = scene.service.urls
    broken = scene.written("keys.ini", f"[default]\ntype = access_key\n{scene.watch.new('named file')}\n")
    ends: dict[str, dict[str, object]] = {name: {"endpoint": url} for name, url in urls.items() if name != "proxy"}
    ends |= {
        "good": {"endpoint": good},
        "refused": {"endpoint": dead},
        "tls": {"endpoint": good.replace("http:", "https:")},
        "proxied": {"endpoint": "https://ims.invalid"},
        "chain": {"endpoint": good, "credentials": None},
        "file": {"endpoint": good, "credentials": {"file": str(broken)}},
    }
    targets = {
        name: {"account": f"{MARK} {name}", "region_id": "cn-shanghai", "credentials": NAMES, **end}
        for name, end in ends.items()
    }
    scene.written("settings.yml", settings_text(*targets.values()))
    scene.written("few.yml", settings_text(targets["signature"], targets["chain"], targets["good"]))
    scene.written("one.yml", settings_text(targets["good"]))
    scene.env = _environment(scene, A_KEY_ID=key.key_id, A_KEY_SECRET=key.secret, A_KEY_TOKEN=key.token)
    scene.files.mkdir()


def _environment(scene: Scene, **variables: str) -> dict[str, str]:
    """Returns an environment with canaries in every place in which keys are searched, and no usable key."""
    watch = scene.watch
    scene.written(".aliyun/config.json", f'{{"current": "x", "profiles": [{{"sts": "{watch.new("profile")}')
    scene.written(".alibabacloud/credentials.ini", f"[default]\n{watch.new('credentials file')}\n")
    oidc = scene.written("oidc", watch.new("OIDC token"))
    address = scene.service.urls["proxy"].removeprefix("http://")
    by_proxy = f"http://user:{watch.plain('proxy password')}@{address}"
    uri = f"http://user:{watch.plain('URI password')}@{address}/{watch.plain('URI path')}?x={watch.plain('URI query')}"
    return {
        **{name: value for name, value in os.environ.items() if not NOT_INHERITED.match(name)},
        "HOME": str(oidc.parent),
        "NO_PROXY": "127.0.0.1",
        "HTTP_PROXY": by_proxy,
        "HTTPS_PROXY": by_proxy,
        "DEBUG": "sdk",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": watch.new("secret without id"),
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(oidc),
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/x",
        "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/x",
        "ALIBABA_CLOUD_ECS_METADATA": "reader",
        "ALIBABA_CLOUD_CREDENTIALS_URI": uri,
        "IMS_EXPORTER_ACCESS_KEY_SECRT": watch.new("unknown variable"),
        "IMS_EXPORTER_LOG_LEVEL": "debug",
        **variables,
    }


def _start_commands(scene: Scene) -> None:
    """Starts every command but `run`."""
    few, one = (str(scene.config.with_name(name)) for name in ("few.yml", "one.yml"))
    scene.start("check", *DEVELOPING, "-m", "exporter", "--config", str(scene.config), "check")
    scene.command("once", "once", "--config", few, "--ledger-path", str(scene.files / "once.db"))
    for name in ("check", "once"):
        scene.start(f"broken {name}", *DEVELOPING, "-c", BREAK, name, "--config", one, "--ledger-path", ":memory:")
    scene.command("plan", "plan", "--config", str(scene.config))
    demo = ("--history", "0", "--log-format", "json", "--listen-address", "127.0.0.1:0")
    scene.command("demo", "demo", "--log-level", "debug", *demo)
    scene.command("rules", "rules", str(scene.files / "rules"), "--selector", f'seen="{MARK}"')
    scene.command("dashboards", "dashboards", str(scene.files / "dashboards"))
    for command in ("metrics", "--help", "--version"):
        scene.command(command, command)


def _start_roles(scene: Scene, stack: ExitStack, here: SimulatorThread) -> None:
    """Starts two checks of a role: STS returns a key that the service refuses, or refuses with a key in the answer."""
    key = {"AccessKeySecret": scene.watch.new("STS secret"), "SecurityToken": scene.watch.new("STS token")}
    given = json.dumps({"Credentials": {"AccessKeyId": "STS", "Expiration": "2999-01-01T00:00:00Z", **key}})
    for name, status in (("role given", 200), ("role refused", 403)):
        folder = scene.config.with_name(name)
        folder.mkdir()
        sts = stack.enter_context(_sts(here, folder))
        sts.refusal = (status, given)
        role = {**NAMES, "role_arn": "acs:ram::1:role/reader", "sts_endpoint": sts.endpoint}
        target = {"account": MARK, "region_id": "cn-a", "endpoint": scene.service.urls["token"], "credentials": role}
        config = scene.written(f"{name}.yml", settings_text(target, timeout_seconds=20.0))
        variables = {"HTTP_PROXY": "", "HTTPS_PROXY": "", "SSL_CERT_FILE": str(sts.certificate)}
        scene.command(name, "check", "--config", str(config), **variables)


@contextmanager
def _sts(here: SimulatorThread, folder: Path) -> Iterator[FakeSts]:
    """Runs a fake STS."""
    manager = fake_sts(folder)
    sts = here.run(manager.__aenter__())
    try:
        yield sts
    finally:
        here.run(manager.__aexit__(None, None, None))


PATIENCE_SECONDS = 300.0
DEVELOPING = ("-X", "dev")
"""Development mode of Python: asyncio logs more, warnings are shown, and a crash dumps all threads."""
LISTENS = re.compile(r'"event": "listening", "url": "https?://127\.0\.0\.1:([1-9]\d*)"')
PATHS = ("/", "/targets", "/failures", "/failures?format=json", "/metrics", "/livez", "/readyz", "/nowhere")
ACCEPTS = {"": "", " open": "application/openmetrics-text", " json": "application/json", " zip": "gzip"}


class Visitor:
    """Sends requests to the exporter by TLS, and records the answers with their headers."""

    def __init__(self, scene: Scene, port: int, ca: Path, password: str) -> None:
        self._scene = scene
        self._port = port
        self._context = ssl.create_default_context(cafile=str(ca))
        self._right = basic("alice", password)
        self._wrong = basic("alice", scene.watch.new("password of a scrape"))
        self._query = f"query={scene.watch.new('query')[:12]}"
        self._header = scene.watch.new("header of a request")

    def ask(self, name: str, path: str, method: str = "GET", **headers: str) -> int:
        """Returns the status of an answer, and records the answer by this name."""
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
        """Requests every page in every format, with right and wrong passwords, and with unknown queries."""
        for path in PATHS:
            for form, accept in ACCEPTS.items():
                self.ask(f"{path}{form}", path, **{"Accept-Encoding" if accept == "gzip" else "Accept": accept})
            joined = f"{path}{'&' if '?' in path else '?'}{self._query}"
            self.ask(f"{path} query", joined)
            self.ask(f"{path} wrong", joined, Authorization=self._wrong)

    def talk_nonsense(self) -> None:
        """Sends bytes that are not HTTP."""
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
    """Runs the exporter; at the end of the block sends it every kind of request, then aborts it."""
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
    """Stops the demo once it serves."""
    listening(scene, "demo")
    scene.processes["demo"].terminate()


def listening(scene: Scene, name: str) -> int:
    """Waits until a process listens, and returns its port."""
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
    """Returns the error codes of the polls of each target; an empty code is a good poll."""
    ends: dict[str, set[object]] = {}
    for line in scene.events("run", "poll"):
        ends.setdefault(str(line["account"]), set()).add(line.get("code", ""))
    return ends


def break_configurations(scene: Scene, visitor: Visitor, web: Path) -> None:
    """Writes secrets to wrong places of the configuration, and waits until each file is refused."""
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
