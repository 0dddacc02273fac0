"""Blocking calls in threads: a call that hangs delays neither other calls nor the exit of the process."""

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


async def to_thread_shielded(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a blocking call in a thread; if the caller is cancelled, the cancellation waits until the call has ended."""
    task = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # marks the exception as retrieved, so that asyncio does not log it
        raise


class DetachedExecutor(ThreadPoolExecutor):
    """Runs each call in its own daemon thread.

    As the default executor of the event loop it also runs DNS lookups, which can hang for as long as the resolver
    of the system does. With a bounded pool, calls of the ledger and the exit of the process would wait for them.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Starts the call in a new thread and returns its future."""
        future: Future[T] = Future()

        def work() -> None:
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - passed on to the caller
                future.set_exception(error)
            else:
                future.set_result(result)

        future.set_running_or_notify_cancel()
        Thread(target=work, daemon=True).start()
        return future
