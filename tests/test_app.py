"""Many targets are not all polled at the same moment."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise

import pytest

from exporter.app import START_PAUSE_SECONDS, assembled
from exporter.configuration import load_settings
from exporter.worker import make_scheduler


def first_polls(targets: int, interval: float) -> list[float]:
    """Returns when the targets of an exporter are first polled, in seconds."""
    accounts = [{"account": f"account-{number}", "region_id": "cn-shanghai"} for number in range(targets)]
    variables = {"IMS_EXPORTER_TARGETS": json.dumps(accounts)}
    settings = load_settings({"ledger_path": ":memory:", "poll_interval_seconds": interval}, variables)

    async def scenario() -> list[float]:
        async with assembled(settings, {}) as app:
            await app.start(make_scheduler())
            return [worker.timer.next_run_time.timestamp() for worker in app.workers if worker.timer]

    return asyncio.run(scenario())


@pytest.mark.parametrize(("interval", "pause"), [(60.0, START_PAUSE_SECONDS), (0.5, 0.05), (0.1, 0.01)])
def test_first_polls_are_spread(interval: float, pause: float) -> None:
    """Each target is first polled a moment after the one before it, and all of them within an interval."""
    moments = first_polls(10, interval)

    assert len(moments) == 10
    assert all(pause <= later - earlier < pause + 0.05 for earlier, later in pairwise(moments))
