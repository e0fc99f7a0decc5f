"""An event loop in a thread of its own, for clients and engines that belong to the loop they were first used on.

A sampler that works there may be called from any event loop, from several in turn, and be closed from none.
"""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from nbest.errors import EngineError

ResultT = TypeVar("ResultT")


class LoopThread:
    """Starts with the first work, ends with `close`. `name` is the thread's."""

    def __init__(self, name: str):
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False

    async def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """The result of `work`, done on the thread's loop. Cancelling the caller cancels it. EngineError: closed."""
        return await asyncio.wrap_future(self._hand_over(work))

    def wait(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """As `run`, for callers that are no coroutine: blocks until it is done."""
        return self._hand_over(work).result()

    def _hand_over(self, work: Coroutine[Any, Any, ResultT]) -> "Future[ResultT]":
        with self._lock:
            # Handed over under the lock: behind a `close`, nobody would ever settle it.
            if self._is_closed:
                work.close()
                raise EngineError("this sampler is closed; create a new one")
            return asyncio.run_coroutine_threadsafe(work, self._open())

    def _open(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._serve, args=(self._loop,), name=self._name, daemon=True)
            self._thread.start()
        return self._loop

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()

    def close(self, last: Coroutine[Any, Any, None] | None = None) -> None:
        """Cancels what still runs, does `last` on the loop, ends the thread. Callers that wait are cancelled."""
        with self._lock:
            self._is_closed = True
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            if last is not None:
                last.close()
            return
        asyncio.run_coroutine_threadsafe(_settle(last), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def gather_all(works: Sequence[Coroutine[Any, Any, ResultT]]) -> list[ResultT]:
    """The results in order; the first error gives up the others and goes on."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _settle(last: Coroutine[Any, Any, None] | None) -> None:
    running = asyncio.all_tasks() - {asyncio.current_task()}
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    if last is not None:
        await last
