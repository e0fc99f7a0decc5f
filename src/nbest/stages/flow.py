"""Work on many items at once, write results as they finish, report progress: the part that all stages share.

This module does not know what an item is, or how it is processed.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from nbest.errors import UnavailableError
from nbest.interruption import INTERRUPTION
from nbest.progress import OnDone, OnProgress, StageProgress, count_progress, ignore_progress, report_activity
from nbest.storage.lookup import remember_ids
from nbest.storage.run import Run

__all__ = [
    "OnDone",
    "OnProgress",
    "StageProgress",
    "count_progress",
    "ignore_progress",
    "open_run",
    "path_of",
    "report_activity",
    "report_wait",
    "require_trajectories",
    "run_stage",
    "run_to_end",
    "work_through",
]

FLUSH_TRAJECTORIES = 512
FLUSH_SECONDS = 20.0
"""Finished results are written when this many have gathered, or when the oldest has waited this long."""
OPEN_PROBLEMS = 64
"""How many items are worked on at once."""

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def report_wait(stage: str, on_progress: OnProgress) -> Callable[[int], None]:
    """Return a callback that reports how many problems a stage leaves to other processes while it waits for them."""
    return lambda count: on_progress(StageProgress(f"{stage}: waiting for another process", 0, count))


async def work_through(
    items: Iterator[ItemT],
    work: Callable[[ItemT], AsyncGenerator[Sequence[ResultT], None]],
    write: Callable[[list[ResultT]], Awaitable[None]],
    open_items: int | None = None,
) -> None:
    """Keep `open_items` items in work at once (None: `OPEN_PROBLEMS`); write results by `FLUSH_TRAJECTORIES` and
    `FLUSH_SECONDS`, and at the end.

    `work` yields the results of an item as they finish. The first item that fails stops the others, whose generators
    are closed; what was finished before a failure or a cancellation is written before the error goes on.
    """
    with INTERRUPTION.protect_results():
        await _work_through(items, work, write, OPEN_PROBLEMS if open_items is None else open_items)


async def _work_through(
    items: Iterator[ItemT],
    work: Callable[[ItemT], AsyncGenerator[Sequence[ResultT], None]],
    write: Callable[[list[ResultT]], Awaitable[None]],
    limit: int,
) -> None:
    events: asyncio.Queue[Sequence[ResultT] | asyncio.Task[None]] = asyncio.Queue()
    tasks = set[asyncio.Task[None]]()
    results, oldest_time = list[ResultT](), time.monotonic()

    async def finish(item: ItemT) -> None:
        async with aclosing(work(item)) as batches:
            async for batch in batches:
                events.put_nowait(batch)

    try:
        while True:
            for item in islice(items, limit - len(tasks)):
                task = asyncio.create_task(finish(item))
                task.add_done_callback(events.put_nowait)
                tasks.add(task)
            if not tasks:
                return
            event = await _wait_for_event(events, oldest_time + FLUSH_SECONDS if results else None)
            if isinstance(event, asyncio.Task):
                tasks.discard(event)
                event.result()
            elif event:
                oldest_time = oldest_time if results else time.monotonic()
                results.extend(event)
            if len(results) >= FLUSH_TRAJECTORIES or (results and time.monotonic() >= oldest_time + FLUSH_SECONDS):
                part, results = results, []
                await _finish_write(write(part))
    finally:
        for task in tasks:
            task.cancel()
        # Several may have failed at once: the first error is raised, the others are retrieved here and dropped.
        await asyncio.gather(*tasks, return_exceptions=True)
        while not events.empty():
            event = events.get_nowait()
            results.extend([] if isinstance(event, asyncio.Task) else event)
        if results:
            await _finish_write(write(results))


async def _finish_write(write: Awaitable[None]) -> None:
    """Wait for a write, also if this is cancelled in the meantime. Then raises CancelledError when it is done."""
    task = asyncio.ensure_future(write)
    cancellation = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancellation = error
    task.result()
    if cancellation is not None:
        raise cancellation


async def _wait_for_event(events: "asyncio.Queue[ItemT]", deadline: float | None) -> ItemT | None:
    """Return the next event; None if none came before `deadline` on the monotonic clock."""
    try:
        async with asyncio.timeout(None if deadline is None else max(0.0, deadline - time.monotonic())):
            return await events.get()
    except TimeoutError:
        return None


def run_to_end(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a coroutine from code that is not async and return its result; also where an event loop runs (a notebook).

    Raises KeyboardInterrupt if the process was asked to end, which cancels the work (`nbest.interruption`).
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        try:
            return asyncio.run(_run_cancellable(work))
        except asyncio.CancelledError:
            if INTERRUPTION.is_requested:
                raise KeyboardInterrupt from None
            raise
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def run_stage(path: Path, work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run the work of a stage on the run at `path` to its end; then see that single pools of it are found quickly."""
    result = run_to_end(work)
    remember_ids(path.absolute())
    return result


async def _run_cancellable(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def cancel() -> None:
        INTERRUPTION.is_noticed = True
        # After an interrupt in a step of the loop, it was cancelled already and is writing.
        if not task.cancelling():
            task.cancel()

    with INTERRUPTION.cancelled_by(lambda: loop.call_soon_threadsafe(cancel)):
        return await work


def open_run(run: Run | str | Path) -> Run:
    """Return a Run unchanged, or open the run at a path."""
    return run if isinstance(run, Run) else Run.open(run)


def path_of(run: Run | str | Path) -> Path:
    """Return the path of a run as the caller wrote it, for messages."""
    return run.path if isinstance(run, Run) else Path(run)


def require_trajectories(run: Run) -> int:
    """Return how many trajectories the run holds. Raises UnavailableError if there are none."""
    count = len(run.done_trajectories())
    if not count:
        raise UnavailableError(f"{run.path}: no trajectories yet. Run `nbest sample` or `nbest import` first.")
    return count
