"""Work on another thread's loop: items come in order, closing reaches the source, errors reach the caller."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

import pytest

from nbest.errors import EngineError
from nbest.loop_thread import LoopThread, as_finished, gather_all


class Source:
    """Yields 0, 1, 2, ... up to `count`, then fails with `error` or waits for ever."""

    def __init__(self, count: int, error: Exception | None = None, is_endless: bool = False):
        self.count, self.error, self.is_endless = count, error, is_endless
        self.started, self.closed = threading.Event(), threading.Event()
        self.threads: set[str] = set()

    async def run(self) -> AsyncGenerator[int, None]:
        try:
            for number in range(self.count):
                self.threads.add(threading.current_thread().name)
                self.started.set()
                yield number
                await asyncio.sleep(0)
            if self.error is not None:
                raise self.error
            if self.is_endless:
                await asyncio.sleep(3600)
        finally:
            self.closed.set()


async def list_items(thread: LoopThread, source: Source) -> list[int]:
    return [item async for item in thread.iterate(source.run())]


async def test_items_come_in_order_from_the_thread() -> None:
    thread, source = LoopThread("there"), Source(50)
    assert await list_items(thread, source) == list(range(50))
    assert source.threads == {"there"}
    assert source.closed.is_set()
    thread.close()


def test_callers_on_several_loops_in_turn() -> None:
    thread = LoopThread("there")
    for _ in range(3):
        assert asyncio.run(list_items(thread, Source(3))) == [0, 1, 2]
    thread.close()


async def test_an_error_comes_after_the_items_before_it() -> None:
    thread = LoopThread("there")
    items = thread.iterate(Source(2, ValueError("third")).run())
    assert [await anext(items), await anext(items)] == [0, 1]
    with pytest.raises(ValueError, match="third"):
        await anext(items)
    thread.close()


async def test_closing_the_generator_closes_the_source_while_it_works() -> None:
    thread, source = LoopThread("there"), Source(1, is_endless=True)
    async with aclosing(thread.iterate(source.run())) as items:
        assert await anext(items) == 0
        assert not source.closed.is_set()
    assert await asyncio.to_thread(source.closed.wait, 10)
    thread.close()


async def test_cancelling_the_caller_closes_the_source() -> None:
    thread, source = LoopThread("there"), Source(1, is_endless=True)
    task = asyncio.create_task(list_items(thread, source))
    assert await asyncio.to_thread(source.started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(source.closed.wait, 10)
    thread.close()


async def test_closing_the_thread_cancels_who_waits_and_refuses_new_work() -> None:
    thread, source = LoopThread("there"), Source(1, is_endless=True)
    task = asyncio.create_task(list_items(thread, source))
    assert await asyncio.to_thread(source.started.wait, 10)
    await asyncio.to_thread(thread.close)
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(EngineError, match="closed"):
        await list_items(thread, Source(1))
    thread.close()


async def test_results_come_as_they_finish_and_an_error_cancels_the_others() -> None:
    cancelled: list[int] = []

    async def wait(number: int, delay: float) -> int:
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        if number == 2:
            raise ValueError("two")
        return number

    works = [partial(wait, 0, 3600), partial(wait, 1, 0.0), partial(wait, 2, 0.2), partial(wait, 3, 0.05)]
    results = as_finished(works)
    assert [await anext(results), await anext(results)] == [1, 3]
    with pytest.raises(ValueError, match="two"):
        await anext(results)
    assert cancelled == [0]
    with pytest.raises(ValueError, match="two"):
        await gather_all([wait(4, 3600), wait(2, 0)])
    assert cancelled == [0, 4]
