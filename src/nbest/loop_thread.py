"""An event loop in a thread of its own, for clients and engines that belong to the loop they were first used on.

A sampler that works there may be called from any event loop, from several in turn, and be closed from none.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from nbest.errors import EngineError

ResultT = TypeVar("ResultT")
ItemT = TypeVar("ItemT")


class LoopThread:
    """A thread with an event loop. It starts with the first work and ends with `close`; `name` is the thread's."""

    def __init__(self, name: str):
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False

    async def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Return the result of `work`, done on the thread's loop. Cancelling the caller cancels it.

        Raises EngineError if the thread is closed.
        """
        return await asyncio.wrap_future(self._hand_over(work))

    async def iterate(self, source: AsyncGenerator[ItemT, None]) -> AsyncGenerator[ItemT, None]:
        """Yield what `source` yields on the thread's loop, in order.

        Closing this generator closes `source` there, even while it works on its next item. Raises what `source` raises,
        and EngineError if the thread is closed.
        """
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[tuple[bool, Any]] = asyncio.Queue()

        def put(is_item: bool, value: Any) -> None:
            loop.call_soon_threadsafe(items.put_nowait, (is_item, value))

        async def pump() -> None:
            async with aclosing(source):
                async for item in source:
                    put(True, item)

        def finish(future: "Future[None]") -> None:
            error = asyncio.CancelledError() if future.cancelled() else future.exception()
            # Nobody waits any more where the caller's loop has been closed.
            with suppress(RuntimeError):
                put(False, error)

        future = self._hand_over(pump())
        future.add_done_callback(finish)
        is_over = False
        try:
            while True:
                is_item, value = await items.get()
                if is_item:
                    yield value
                    continue
                is_over = True
                if value is not None:
                    raise value
                return
        finally:
            if not is_over:
                future.cancel()

    def wait(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Do `work` on the thread's loop, block until it is done, and return its result.

        Whatever interrupts the caller (Ctrl-C) cancels the work. Raises EngineError if the thread is closed, or
        if this is called on the thread itself, which would wait for itself.
        """
        if self.is_current:
            work.close()
            raise EngineError("a blocking call cannot be made from its own event loop; await the async one instead")
        future = self._hand_over(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this thread."""
        return self._thread is threading.current_thread()

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
        """Cancel what still runs, do `last` on the loop, and end the thread. Callers that wait are cancelled."""
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


async def as_finished(works: Sequence[Callable[[], Coroutine[Any, Any, ResultT]]]) -> AsyncGenerator[ResultT, None]:
    """Start all `works` and yield their results in the order in which they finish.

    The first error, and closing the generator, cancel the others.
    """
    tasks = [asyncio.create_task(start()) for start in works]
    try:
        for task in asyncio.as_completed(tasks):
            yield await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def gather_all(works: Sequence[Coroutine[Any, Any, ResultT]]) -> list[ResultT]:
    """Return the results in order. The first error cancels the others and is raised."""
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
