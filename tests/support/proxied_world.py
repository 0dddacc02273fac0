"""A small cloud in a network of its own: metadata service, STS, IMS and a proxy; runs `check`, and reports the calls.

`python -m tests.support.proxied_world FOLDER` prints JSON: how `check` ended, and the hosts asked for at the proxy.
The proxy variables of the process are those of `check`; `ROLE` in the environment makes it assume a role.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from exporter.simulator.authentication import Key
from exporter.simulator.server import Simulator
from tests.support.fake_sts import fake_sts

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA = "100.100.100.200"
PROXY_PORT = 3128
INSTANCE_KEY = Key("STS.instance", "instance-secret", token="instance-token")
ROLE_KEY = Key("STS.1", "secret-1", token="token-1")


class Proxy:
    """A proxy on loopback, which records the hosts that it is asked for."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.authorizations: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection: a tunnel, or one request in plain HTTP."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        self.authorizations |= {
            line.partition(b": ")[2].decode()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"proxy-authorization")
        }
        address = target if method == "CONNECT" else urlsplit(target).netloc
        self.hosts.append(address)
        host, _, port = address.partition(":")
        try:
            to_reader, to_writer = await asyncio.open_connection(host, int(port or 80))
        except OSError:
            writer.close()
            return
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            request = head.replace(f"http://{address}".encode(), b"", 1)
            lines = [line for line in request.rstrip().split(b"\r\n") if not line.lower().startswith(b"connection:")]
            to_writer.write(b"\r\n".join([*lines, b"Connection: close\r\n\r\n"]))  # each call asks the proxy again
        await asyncio.gather(pump(reader, to_writer), pump(to_reader, writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies one direction of a connection."""
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def metadata(request: web.Request) -> web.Response:
    """Answers as the metadata service of an ECS instance with the role `reader`."""
    name = request.path.rpartition("/")[2]
    key = {
        "Code": "Success",
        "AccessKeyId": INSTANCE_KEY.key_id,
        "AccessKeySecret": INSTANCE_KEY.secret,
        "SecurityToken": INSTANCE_KEY.token,
        "Expiration": "2999-01-01T00:00:00Z",
    }
    texts = {"token": "x", "": "reader", "reader": json.dumps(key)}
    return web.Response(text=texts[name])


async def check(environ: Mapping[str, str]) -> tuple[int, str]:
    """Runs `check`; returns its exit code and output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "exporter",
        "check",
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def main(folder: Path) -> None:
    """Runs the world and one `check` in it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", metadata)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, METADATA, 80).start()
    proxy = Proxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", PROXY_PORT)
    async with Simulator(keys=[INSTANCE_KEY, ROLE_KEY]) as ims, fake_sts(folder) as sts:
        environ = {
            **os.environ,
            "HOME": str(folder),
            "SSL_CERT_FILE": str(sts.certificate),
            "IMS_EXPORTER_REGION_ID": "cn-shanghai",
            "IMS_EXPORTER_ENDPOINT": ims.url,
        }
        if role := environ.pop("ROLE", ""):
            credentials = {"role_arn": role, "sts_endpoint": sts.endpoint}
            environ["IMS_EXPORTER_CREDENTIALS"] = json.dumps(credentials)
        code, output = await check(environ)
        names = {METADATA: "metadata", urlsplit(ims.url).netloc: "IMS", sts.endpoint: "STS"}
        asked = sorted({names.get(host, host) for host in proxy.hosts})
        found = {"code": code, "output": output, "asked": asked, "authorizations": sorted(proxy.authorizations)}
        sys.stdout.write(json.dumps({**found, "sts_calls": len(sts.requests), "ims_calls": sum(ims.calls.values())}))
    server.close()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
