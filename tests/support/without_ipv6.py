"""Runs an exporter in a network of its own, and asks it: `python -m tests.support.without_ipv6 FOLDER` prints JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.support.exporter_process import environment, exporter
from tests.support.real_servers import READY_SECONDS, poll


def main(folder: Path) -> None:
    """Prints where an exporter listens, and what `/livez` and `health` say."""
    address = os.environ["ADDRESS"]
    env = environment(folder, endpoint="http://127.0.0.1:9", listen_address=address)
    with exporter(env, folder / "log") as running:
        listening = poll(READY_SECONDS, lambda: running.events("listening"), f"listening; see {folder / 'log'}")
        code = os.spawnve(os.P_WAIT, sys.executable, [sys.executable, "-m", "exporter", "health"], env)  # noqa: S606 - our own
    sys.stdout.write(json.dumps({"url": listening[0]["url"], "health": code}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
