"""A service that sends back everything that it receives, in every way in which a server can fail."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Answer = Callable[[str], bytes]
    """Returns an answer made from the head of a request; an empty one means no answer."""

SIGNATURE = re.compile(r"Signature=([0-9a-f]{64})")


@dataclass(slots=True)
class HostileService:
    """Serves every way to fail, each on a port of its own."""

    urls: dict[str, str] = field(default_factory=dict)
    signatures: set[str] = field(default_factory=set)
    """The signatures that it has received."""
    heads: list[str] = field(default_factory=list)
    servers: list[asyncio.Server] = field(default_factory=list)

    async def listen(self, answers: Mapping[str, Answer]) -> None:
        """Starts to serve these ways to fail; `urls` has the URL of each."""
        for name, answer in answers.items():
            server = await asyncio.start_server(self._serving(answer), "127.0.0.1", 0)
            self.servers.append(server)
            self.urls[name] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Stops listening."""
        for server in self.servers:
            server.close()

    def _serving(self, answer: Answer) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.heads.append(head)
                self.signatures |= set(SIGNATURE.findall(head))
                said = answer(head)
                writer.write(said)
                if not said:
                    await reader.read()
            except (OSError, asyncio.IncompleteReadError):
                pass  # whoever has called has gone again
            finally:
                writer.close()

        return serve


def http(status: str, body: str, *headers: str) -> bytes:
    """Returns a valid HTTP answer."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body.encode())}", "Connection: close", *headers)
    return "\r\n".join((*lines, "", body)).encode()


def refusal(status: int, code: str, message: str, request_id: str = "r") -> bytes:
    """Returns an error answer of the service."""
    return http(f"{status} No", json.dumps({"Code": code, "Message": message, "RequestId": request_id}))


def proxy(token: str, secret: str) -> Answer:
    """Returns a proxy that refuses CONNECT, and answers plain requests for metadata and credentials itself."""
    key = json.dumps({"AccessKeyId": "AKID", "AccessKeySecret": secret, "SecurityToken": token, "Code": "Failure"})

    def answer(head: str) -> bytes:
        if head.startswith("CONNECT"):
            said = next(line for line in head.splitlines() if line.lower().startswith("proxy-auth"))
            return http(f"407 {said}", head)
        if head.startswith("PUT"):
            return http("200 OK", token)
        return http("200 OK" if "security-credentials" in head else "500 No", key)

    return answer


def echo(head: str) -> str:
    """Returns the signature and the text that was signed, which the service repeats in its errors."""
    names = ("authorization", "x-acs-security-token")
    lines = [line for line in head.splitlines() if line.partition(":")[0].lower() in names]
    return f"the string to sign is: {' '.join(sorted(lines, key=len))}"


def token_of(head: str) -> str:
    """Returns the security token of a request."""
    found = re.search(r"(?im)^x-acs-security-token: (.*?)\r?$", head)
    return found[1] if found else ""


def answers(secret: str) -> dict[str, Answer]:
    """Returns every way to fail, by name; some answers contain the secret."""
    forms = f"AccessKeySecret {secret} {quote(secret, safe='')} {quote(quote(secret, safe=''), safe='')}"
    return {
        "secret": lambda _: refusal(400, "SignatureDoesNotMatch", f"{forms} {secret[:14]}"),
        "signature": lambda head: refusal(403, "SignatureDoesNotMatch", echo(head)),
        "late": lambda head: refusal(400, "SignatureDoesNotMatch", f"{'x' * 280} {token_of(head)}"),
        "token": lambda head: refusal(
            400, f"InvalidSecurityToken.{token_of(head)}", quote(token_of(head)), token_of(head)
        ),
        "skew": lambda head: refusal(400, "InvalidTimeStamp.Expired", echo(head)),
        "forbidden": lambda head: refusal(403, "NoPermission", echo(head)),
        "throttled": lambda head: refusal(400, "Throttling.User", echo(head)),
        "down": lambda head: refusal(503, "ServiceUnavailable", echo(head)),
        "strange": lambda head: refusal(404, token_of(head), echo(head)),
        "unauthorized": lambda head: http("401 Unauthorized", head, "Content-Type: text/html"),
        "garbage": lambda head: http("200 OK", f"<html>{head}</html>"),
        "list": lambda head: http("200 OK", json.dumps([head])),
        "zipped": lambda head: http("200 OK", head, "Content-Encoding: gzip"),
        "redirect": lambda head: http("302 Found", head, f"Location: https://{token_of(head)}@127.0.0.1/"),
        "status_line": lambda head: f"{echo(head)}\r\n\r\n".encode(),
        "header_line": lambda head: f"HTTP/1.1 200 OK\r\n{echo(head).replace(':', '')}\r\n\r\n".encode(),
        "hang": lambda _: b"",
    }
