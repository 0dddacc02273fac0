"""Runs a simulated IMS endpoint until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from exporter.arguments import Parser, number, whole_number
from exporter.simulator.authentication import Key
from exporter.simulator.habits import OFF, PRESETS
from exporter.simulator.server import DEMO_KEY, Simulator
from exporter.simulator.workload import Workload

MAX_PORT = 65535
DEFAULT_HISTORY = 20_000
HISTORY = f"ended jobs at the start ({DEFAULT_HISTORY}; with --no-workload none)"


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdecimal() and int(port) <= MAX_PORT):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m exporter.simulator", description=__doc__)
    parser.add_argument(
        "--listen", type=_address, default="127.0.0.1:9913", metavar="HOST:PORT", help="port 0 picks one"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same jobs and faults")
    parser.add_argument("--speed", type=number(0.001, 1000), default=1.0, help="above 1: more jobs, shorter lives (1)")
    parser.add_argument("--history", type=whole_number(0, 1_000_000), metavar="N", help=HISTORY)
    parser.add_argument("--no-workload", action="store_true", help="do not create or move jobs")
    parser.add_argument("--total-count", action="store_true", help="lists carry TotalCount")
    parser.add_argument("--habits", choices=PRESETS, help="habits of the lists, as of a search index (none)")
    parser.add_argument("--key-id", default=DEMO_KEY.key_id)
    parser.add_argument("--key-secret", default=DEMO_KEY.secret)
    return parser.arguments(sys.argv[1:] if argv is None else argv)


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    simulator = _simulator(arguments)
    async with simulator, asyncio.TaskGroup() as group:
        workload = Workload(simulator.account, seed=arguments.seed, speed=arguments.speed)
        tasks = []
        if arguments.no_workload:
            workload.add_history(arguments.history or 0)
        else:
            workload.start(DEFAULT_HISTORY if arguments.history is None else arguments.history)
            tasks.append(group.create_task(workload.run()))
        sys.stdout.write(_greeting(simulator, arguments.key_id, arguments.key_secret))
        sys.stdout.flush()
        await stop.wait()
        for task in tasks:
            task.cancel()


def _simulator(arguments: argparse.Namespace) -> Simulator:
    host, port = arguments.listen
    key = Key(arguments.key_id, arguments.key_secret)
    total_count, seed, habits = arguments.total_count, arguments.seed, PRESETS.get(arguments.habits, OFF)
    return Simulator(keys=[key], total_count=total_count, habits=habits, host=host, port=port, seed=seed)


def _greeting(simulator: Simulator, key_id: str, key_secret: str) -> str:
    return (
        f"simulated IMS endpoint: {simulator.url}\n"
        "export IMS_EXPORTER_ACCOUNT=demo\n"
        "export IMS_EXPORTER_REGION_ID=cn-shanghai\n"
        f"export IMS_EXPORTER_ENDPOINT={simulator.url}\n"
        f"export ALIBABA_CLOUD_ACCESS_KEY_ID={key_id}\n"
        f"export ALIBABA_CLOUD_ACCESS_KEY_SECRET={key_secret}\n"
    )


def main(argv: list[str] | None = None) -> None:
    """Serves until a signal; exits with a message if it cannot listen on the address."""
    arguments = _arguments(argv)
    try:
        asyncio.run(_serve(arguments))
    except OSError as error:
        sys.exit(f"cannot listen on {':'.join(map(str, arguments.listen))}: {error}")


if __name__ == "__main__":
    main()
