"""Work on many items at once: results are written as they finish, whatever ends the work."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from nbest.errors import EngineError
from nbest.stages import StageProgress, flow
from nbest.stages.flow import count_progress, run_to_end, work_through


class Pages:
    """What was written, in pieces."""

    def __init__(self) -> None:
        self.written: list[list[int]] = []

    async def write(self, results: list[int]) -> None:
        await asyncio.sleep(0)
        self.written.append(results)

    @property
    def all(self) -> list[int]:
        return [result for piece in self.written for result in piece]


async def test_results_of_an_unfinished_item_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "FLUSH_TRAJECTORIES", 2)
    pages, is_written = Pages(), asyncio.Event()

    async def work(item: int) -> AsyncGenerator[Sequence[int], None]:
        yield [item]
        yield [item + 1]
        # The third result comes only after the first two are on the disk.
        await asyncio.wait_for(is_written.wait(), 5)
        yield [item + 2]

    async def write(results: list[int]) -> None:
        await pages.write(results)
        is_written.set()

    await work_through(iter([10]), work, write)
    assert pages.written == [[10, 11], [12]]


async def test_what_waits_is_written_in_time_though_nothing_new_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "FLUSH_SECONDS", 0.05)
    is_written = asyncio.Event()

    async def work(item: int) -> AsyncGenerator[Sequence[int], None]:
        yield [item]
        await asyncio.wait_for(is_written.wait(), 5)

    async def write(results: list[int]) -> None:
        assert results == [1]
        is_written.set()

    await work_through(iter([1]), work, write)


async def test_a_failure_stops_the_others_and_keeps_what_was_finished() -> None:
    pages, closed = Pages(), list[int]()

    async def work(item: int) -> AsyncGenerator[Sequence[int], None]:
        try:
            yield [item]
            if item == 3:
                await asyncio.sleep(0.02)
                raise EngineError("gone")
            await asyncio.sleep(30)
            yield [-1]
        finally:
            closed.append(item)

    with pytest.raises(EngineError, match="gone"):
        await work_through(iter(range(5)), work, pages.write)
    assert sorted(pages.all) == [0, 1, 2, 3, 4]
    assert sorted(closed) == [0, 1, 2, 3, 4]


async def test_several_failures_at_once_are_one_error() -> None:
    async def work(item: int) -> AsyncGenerator[Sequence[int], None]:
        await asyncio.sleep(0)
        raise EngineError(f"item {item}")
        yield []

    with pytest.raises(EngineError, match="item"):
        await work_through(iter(range(4)), work, Pages().write)


async def test_a_cancellation_keeps_what_was_finished() -> None:
    pages, has_begun = Pages(), asyncio.Event()

    async def work(item: int) -> AsyncGenerator[Sequence[int], None]:
        yield [item]
        has_begun.set()
        await asyncio.sleep(30)

    task = asyncio.create_task(work_through(iter([7]), work, pages.write))
    await has_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pages.written == [[7]]


async def test_only_so_many_items_are_open() -> None:
    open_items, most = 0, 0

    async def work(item: int) -> AsyncGenerator[Sequence[int], None]:
        nonlocal open_items, most
        open_items += 1
        most = max(most, open_items)
        await asyncio.sleep(0.001)
        open_items -= 1
        yield [item]

    pages = Pages()
    await work_through(iter(range(20)), work, pages.write, open_items=3)
    assert sorted(pages.all) == list(range(20))
    assert most == 3


async def test_a_coroutine_runs_to_its_end_inside_a_running_loop() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 5

    assert run_to_end(work()) == 5


def test_progress_is_added_up() -> None:
    states: list[StageProgress] = []
    on_done = count_progress("sample", 9, states.append)
    on_done(2, 10)
    on_done(3, 5)
    assert states == [
        StageProgress("sample", 0, 9),
        StageProgress("sample", 2, 9, 10),
        StageProgress("sample", 5, 9, 15),
    ]


async def test_a_write_is_finished_however_often_it_is_cancelled() -> None:
    written, has_begun = list[int](), asyncio.Event()

    async def work(item: int) -> AsyncGenerator[Sequence[int], None]:
        yield [item]

    async def write(results: list[int]) -> None:
        has_begun.set()
        await asyncio.sleep(0.2)
        written.extend(results)

    task = asyncio.create_task(work_through(iter([1, 2]), work, write))
    await has_begun.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(written) == [1, 2]
