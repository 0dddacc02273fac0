"""Blocking calls in threads that hold up nobody: not each other, and not the exit."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
P = ParamSpec("P")


def run_detached(main: Coroutine[object, object, T]) -> T:
    """Runs a coroutine as `asyncio.run` does, with a `DetachedExecutor`."""
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(DetachedExecutor())
        return runner.run(main)


async def to_its_end(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Makes a blocking call in a thread; whoever is cancelled meanwhile still waits for the end of it."""
    task = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # asked for, so that nobody is told of it
        raise


class DetachedExecutor(ThreadPoolExecutor):
    """Runs each call in a daemon thread of its own.

    As the event loop's default executor it takes the lookups of names, which may hang for as long as the system's
    resolver likes: neither the ledger's calls wait for them, nor does the end of the process.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Starts a call."""
        future: Future[T] = Future()

        def work() -> None:
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - handed on to whoever waits
                future.set_exception(error)
            else:
                future.set_result(result)

        future.set_running_or_notify_cancel()
        Thread(target=work, daemon=True).start()
        return future
