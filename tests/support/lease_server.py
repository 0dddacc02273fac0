"""A fake of the Leases of a Kubernetes API server: it refuses conflicting writes, and can fail."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import yaml
from aiohttp import web

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

NAMESPACE, TOKEN = "media", "a-token"
MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|\+00:00)")
TIMES = ("acquireTime", "renewTime")

Lease = dict[str, Any]


class LeaseServer:
    """Leases of one namespace; `outage` is empty, `refuse` for 503, `forbid` for 403, or `hang` for no answer."""

    def __init__(self) -> None:
        self.leases: dict[str, Lease] = {}
        self.outage = ""
        self.conflicts = 0
        self._versions = 0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Starts to serve on a port that the system picks."""
        app = web.Application(middlewares=[self._stand_in_the_way])
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
        app.router.add_post(leases, self._create)
        app.router.add_get(f"{leases}/{{name}}", self._get)
        app.router.add_put(f"{leases}/{{name}}", self._replace)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops."""
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Its URL."""
        assert self._runner is not None
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def config(self, folder: Path) -> Path:
        """Returns a kubeconfig for it."""
        named = {
            "clusters": [{"name": "it", "cluster": {"server": self.url}}],
            "users": [{"name": "it", "user": {"token": TOKEN}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": NAMESPACE}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "it", **named}))
        return path

    def holder(self, name: str) -> str:
        """Returns the holder of a lease; empty if there is none."""
        return str(self.leases.get(name, {}).get("spec", {}).get("holderIdentity") or "")

    def steal(self, name: str, holder: str) -> None:
        """Gives a lease to another holder, as `kubectl edit` would."""
        self.leases[name]["spec"]["holderIdentity"] = holder
        self._store(name, self.leases[name])

    @web.middleware
    async def _stand_in_the_way(self, request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401
        if self.outage == "hang":
            await asyncio.Event().wait()
        if self.outage == "forbid":
            return _refused(403, "leases is forbidden")
        if self.outage:
            return _refused(503, "etcd is away")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _refused(401, "who are you")
        answer: web.StreamResponse = await handler(request)
        self.conflicts += answer.status == web.HTTPConflict.status_code
        return answer

    async def _get(self, request: web.Request) -> web.Response:
        lease = self.leases.get(request.match_info["name"])
        return _answer(200, lease) if lease else _refused(404, "no such lease")

    async def _create(self, request: web.Request) -> web.Response:
        lease = await request.json()
        name = lease["metadata"]["name"]
        if name in self.leases:
            return _refused(409, "it exists")
        return self._checked(name, lease)

    async def _replace(self, request: web.Request) -> web.Response:
        lease, name = await request.json(), request.match_info["name"]
        if name not in self.leases:
            return _refused(404, "no such lease")
        if lease["metadata"]["resourceVersion"] != self.leases[name]["metadata"]["resourceVersion"]:
            return _refused(409, "the object has been modified")
        return self._checked(name, lease)

    def _checked(self, name: str, lease: Lease) -> web.Response:
        spec = lease["spec"]
        if not all(MICRO_TIME.fullmatch(spec[each]) for each in TIMES) or spec["leaseDurationSeconds"] < 1:
            return _refused(400, f"not a lease: {spec}")
        self._store(name, lease)
        return _answer(200, lease)

    def _store(self, name: str, lease: Lease) -> None:
        self._versions += 1
        lease["metadata"]["resourceVersion"] = str(self._versions)
        self.leases[name] = lease


def _refused(code: int, message: str) -> web.Response:
    status = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "message": message}
    return _answer(code, status)


def _answer(code: int, answer: Lease) -> web.Response:
    """Returns an answer with the content type of Kubernetes, which names no charset."""
    body = json.dumps(answer).encode()
    return web.Response(status=code, body=body, headers={"Content-Type": "application/json"})
