"""The command `health`: asks the running exporter whether it is well, at the address that its settings give."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from exporter.arguments import whole_number
from exporter.commands.output import print_line
from exporter.config.address import listen_pair
from exporter.config.problems import name_in_sources, refusal
from exporter.config.sources import CONFIG, CONFIG_VARIABLE, EnvironmentSource, FileSource, FlagSource, flags_of
from exporter.errors import ApiError, SettingsError
from exporter.ims.http import ask_here
from exporter.web.config.file import load_web_config

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from exporter.arguments import Parser

DEFAULT_ADDRESS = "0.0.0.0:9912"
TIMEOUT_SECONDS = 4.0
"""Maximum time for one request: less than the timeout of a HEALTHCHECK, so that the reason is still printed."""
RETRY_SECONDS = 1.0
UNAUTHORIZED = 401
OK = "ok"
"""What /readyz of an exporter that polls says; a standby says that it is one."""

LOOPBACKS = {"": ("127.0.0.1", "[::1]"), "::": ("127.0.0.1", "[::1]"), "0.0.0.0": ("127.0.0.1",)}  # noqa: S104 - of this machine
"""The hosts to ask where the exporter listens on every address."""
COMMAND = "ims-exporter"


def add_health_flags(parser: Parser) -> None:
    """Adds the flags of `health`."""
    parser.add_argument("--ready", action="store_true", help="ask /readyz, then /metrics")
    parser.add_argument("--wait", type=whole_number(0, 3600), default=0, metavar="SECONDS", help="ask until it is well")
    parser.add_argument("--url", default="", metavar="URL", help="ask this base URL, whatever the settings are")
    pods = whole_number(0, 1000)
    parser.add_argument(
        "--pods", type=pods, default=0, metavar="N", help="ask N exporters at the addresses of the host of --url"
    )
    parser.add_argument(
        "--active", type=pods, default=1, metavar="N", help="with --pods: N of them must poll, the others stand by (1)"
    )
    pid = whole_number(1, 2**31)
    parser.add_argument("--pid", type=pid, metavar="PID", help="use the flags of this process")


def health_command(arguments: argparse.Namespace, parse: Callable[[Sequence[str]], argparse.Namespace]) -> bool:
    """Prints what the exporter answers; False if it is not well. Raises SettingsError if its address is not known.

    Needs no target and no valid setting but the address and the web configuration: the exporter may run on settings
    that were edited since. `parse` parses the command line of the process that `--pid` names.
    """
    flags = {**(flags_of(parse(flags_of_process(arguments.pid))) if arguments.pid else {}), **flags_of(arguments)}
    urls = [arguments.url.rstrip("/")] if arguments.url else base_urls(flags, os.environ)
    deadline = time.monotonic() + arguments.wait
    while True:
        asked = (
            _ask_pods(urls[0], arguments.pods, arguments.active)
            if arguments.pods
            else _ask(urls, is_ready=arguments.ready)
        )
        is_well, text = asyncio.run(asked)
        if is_well or time.monotonic() > deadline:
            print_line(text)
            return is_well
        time.sleep(RETRY_SECONDS)


def base_urls(flags: Mapping[str, object], environ: Mapping[str, str]) -> list[str]:
    """Returns the URLs at which an exporter with these settings may be reached; raises SettingsError."""
    file = FileSource(str(flags.get(CONFIG) or environ.get(CONFIG_VARIABLE, "")))
    sources = (FlagSource(flags), EnvironmentSource(environ), file)
    if file.problems:
        raise refusal("the configuration", file.problems)
    given = {
        name: next((str(source.values[name]) for source in sources if source.values.get(name)), "")
        for name in ("listen_address", "web_config_file")
    }
    name = name_in_sources(("listen_address",), sources)
    try:
        host, port = listen_pair(given["listen_address"] or DEFAULT_ADDRESS)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None
    if port == 0:
        raise SettingsError(f"{name}: port 0 is any free port; give the URL by --url")
    hosts = LOOPBACKS.get(host, (f"[{host}]" if ":" in host else host,))
    return [f"{scheme}://{each}:{port}" for each in hosts for scheme in _schemes(given["web_config_file"])]


def flags_of_process(pid: int) -> list[str]:
    """Returns the arguments of an exporter that runs on this machine; none if the process is no exporter."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError as error:
        raise SettingsError(f"--pid: the command line of process {pid} cannot be read: {error.strerror}") from None
    for index, word in enumerate(words):
        if Path(word).name == COMMAND or words[index - 1 : index + 1] == ["-m", "exporter"]:
            return words[index + 1 :]
    return []


def _schemes(web_config_file: str) -> tuple[str, ...]:
    if not web_config_file:
        return ("http",)
    try:
        return ("http",) if load_web_config(web_config_file).context is None else ("https",)
    except SettingsError:  # the exporter runs on what the file had before
        return ("https", "http")


def urls_of_pods(url: str) -> list[str]:
    """Returns the URL of each address of the host of a URL; none if the name does not resolve."""
    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    # A pod of a dual-stack cluster has an address of each family: those of the first family are all pods.
    hosts = sorted({str(address[0]) for family, _, _, _, address in found if family == found[0][0]})
    return [f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{parts.port}" for host in hosts]


async def _ask_pods(url: str, pods: int, active: int) -> tuple[bool, str]:
    """Asks every pod; returns whether all are ready and the expected number polls, and one line per pod."""
    urls = await asyncio.to_thread(urls_of_pods, url)
    if len(urls) != pods:
        return False, f"{url}: the host has {len(urls)} address(es), {pods} expected"
    answers = [await _ask([one], is_ready=True) for one in urls]
    text = "\n".join(line for _, line in answers)
    if not all(is_well for is_well, _ in answers):
        return False, text
    said = [(await ask_here(f"{one}/readyz", TIMEOUT_SECONDS))[1].strip() for one in urls]
    polling = sum(line == OK for line in said)
    if polling != active:
        text = "\n".join(f"{one}/readyz: {line}" for one, line in zip(urls, said, strict=True))
        return False, f"{polling} of {pods} exporter(s) poll, {active} expected:\n{text}"
    return True, text


async def _ask(urls: Sequence[str], *, is_ready: bool) -> tuple[bool, str]:
    """Asks the first URL that answers; returns whether the exporter is well, and what it says."""
    failures: list[str] = []
    for url in urls:
        path = "/readyz" if is_ready else "/livez"
        try:
            status, text = await ask_here(f"{url}{path}", TIMEOUT_SECONDS)
            if is_ready and status == 200:  # noqa: PLR2004 - OK
                path = "/metrics"
                status, text = await ask_here(f"{url}{path}", TIMEOUT_SECONDS)
                is_well = status == UNAUTHORIZED or "\nims_exporter_build_info{" in text
                return is_well, f"{url} is {'ready' if is_well else 'not well'}: {path} answers {status}"
        except ApiError as error:
            failures.append(f"{url}{path}: {error}")
            continue
        return status == 200, f"{url}{path}: {status} {text[:500].strip()}"  # noqa: PLR2004 - OK
    return False, "\n".join(failures)
