"""A blocking call that hangs holds up no other call, and not the exit."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from exporter.threads import DetachedExecutor, to_thread_shielded

CALLS = 64
HANGS = """
import asyncio, threading
from exporter.threads import run_detached

async def main():
    asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    return await asyncio.to_thread(lambda: "done")

print(run_detached(main()))
"""


def test_many_hang_and_one_goes_on() -> None:
    """However many calls hang, one more is made at once, and its result or error is handed on."""
    never = threading.Event()

    async def scenario() -> str:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(DetachedExecutor())
        hanging = [loop.run_in_executor(None, never.wait) for _ in range(CALLS)]
        done = await asyncio.wait_for(asyncio.to_thread(lambda: "done"), 10)
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(asyncio.to_thread(lambda: 1 / 0), 10)
        assert not any(call.done() for call in hanging)
        return done

    try:
        assert asyncio.run(scenario()) == "done"
    finally:
        never.set()


@pytest.mark.process
def test_a_hanging_call_does_not_hold_up_the_exit() -> None:
    """A process ends while a call still hangs."""
    ended = subprocess.run(  # noqa: S603 - our own
        (sys.executable, "-c", HANGS), capture_output=True, timeout=20, check=False
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"done\n", b"")


def test_a_call_is_waited_for_even_by_the_cancelled() -> None:
    """Whoever is cancelled during a call goes on only when it has ended."""
    begun, may_end = threading.Event(), threading.Event()
    ends: list[str] = []

    def work() -> None:
        begun.set()
        assert may_end.wait(10)
        ends.append("call")

    async def scenario() -> None:
        task = asyncio.create_task(to_thread_shielded(work))
        assert await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        asyncio.get_running_loop().call_later(0.05, may_end.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        ends.append("task")

    asyncio.run(scenario())

    assert ends == ["call", "task"]
