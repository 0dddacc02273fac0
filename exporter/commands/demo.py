"""The command `demo`: runs the exporter on the built-in simulated IMS endpoint, over signed HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from exporter.app import run
from exporter.commands.output import print_line
from exporter.commands.startup import on_signals
from exporter.config.load import load_settings
from exporter.config.sources import flags_of
from exporter.errors import ExporterError, SettingsError
from exporter.logs import configure_logging
from exporter.polling.ledger.store import IN_MEMORY
from exporter.simulator.server import DEMO_KEY, Simulator
from exporter.simulator.workload import Workload
from exporter.threads import run_detached

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

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
"""The flags that the demo refuses: it reads no file, and calls only its own simulator."""


def run_demo(arguments: argparse.Namespace) -> bool:
    """Runs the demo until SIGTERM or SIGINT; raises SettingsError for flags that it does not support."""
    flags = flags_of(arguments)
    for name in FIXED:
        if name in flags:
            raise SettingsError(f"--{name}: the demo does not support it, it calls only its own simulator")
    try:
        run_detached(_demo(flags, arguments.speed, arguments.history))
    except* ExporterError as group:
        raise group.exceptions[0] from None
    return True


async def _demo(flags: Mapping[str, object], speed: float, history: int) -> None:
    stop = on_signals("SIGTERM", "SIGINT")
    async with Simulator() as simulator, asyncio.TaskGroup() as group:
        workload = Workload(simulator.account, speed=speed)
        workload.start(history)
        settings = load_settings({**DEFAULTS, **flags, "endpoint": simulator.url}, ENVIRON)
        configure_logging(settings.log_level, settings.log_format)
        work = group.create_task(workload.run())
        try:
            await run(settings, ENVIRON, stop, listening=lambda url: print_line(_greeting(url, simulator.url)))
        finally:
            work.cancel()


def _greeting(url: str, simulator_url: str) -> str:
    url = url.replace("//0.0.0.0:", "//localhost:").replace("//[::]:", "//localhost:")
    return (
        f"\nThe demo is running: a simulated IMS endpoint at {simulator_url}, and the exporter on top of it.\n"
        f"  metrics       {url}/metrics\n"
        f"  status page   {url}/\n"
        "Jobs are created, wait, run, finish and fail; expect the first failures within two minutes. Ctrl+C stops it.\n"
    )
