"""The command `demo`: the real exporter on top of the built-in simulated IMS endpoint, over signed HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from exporter.app import run
from exporter.config.load import load_settings
from exporter.errors import SettingsError
from exporter.logs import configure_logging
from exporter.polling.ledger.store import IN_MEMORY
from exporter.simulator.server import DEMO_KEY, Simulator
from exporter.simulator.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULTS = {
    "account": "demo",
    "region_id": "cn-shanghai",
    "poll_interval_seconds": "5",
    "max_requests_per_second": "100",
    "ledger_path": IN_MEMORY,
}
ENVIRON = {
    "DEMO_KEY_ID": DEMO_KEY.key_id,
    "DEMO_KEY_SECRET": DEMO_KEY.secret,
    "IMS_EXPORTER_CREDENTIALS": json.dumps(
        {"access_key_id_env": "DEMO_KEY_ID", "access_key_secret_env": "DEMO_KEY_SECRET"}
    ),
}
FIXED = ("config", "endpoint")
"""Settings that cannot be given here: the demo reads no file, and calls nothing but its own simulator."""


async def demo(
    flags: Mapping[str, object],
    *,
    speed: float,
    history: int,
    stop: asyncio.Event,
    say: Callable[[str], None],
) -> None:
    """Runs simulator and exporter until `stop` is set; nothing leaves this machine, nothing is kept."""
    for name in FIXED:
        if name in flags:
            raise SettingsError(f"--{name}: the demo takes none, it calls nothing but its own simulator")
    async with Simulator() as simulator, asyncio.TaskGroup() as group:
        workload = Workload(simulator.account, speed=speed)
        workload.start(history)
        settings = load_settings({**DEFAULTS, **flags, "endpoint": simulator.url}, ENVIRON)
        configure_logging(settings.log_level, settings.log_format)
        work = group.create_task(workload.run())
        try:
            await run(settings, ENVIRON, stop, listening=lambda url: say(_greeting(url, simulator.url)))
        finally:
            work.cancel()


def _greeting(url: str, simulator_url: str) -> str:
    url = url.replace("//0.0.0.0:", "//localhost:").replace("//[::]:", "//localhost:")
    return (
        f"\nThe demo is running: a simulated IMS endpoint at {simulator_url}, and the exporter on top of it.\n"
        f"  metrics       {url}/metrics\n"
        f"  status page   {url}/\n"
        "Jobs are born, queue, run, end and fail; the first failures come within two minutes. Ctrl+C stops it.\n"
    )
