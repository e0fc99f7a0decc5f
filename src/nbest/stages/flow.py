"""What all stages share: work on many items at once, write results as they finish, report progress.

This module does not know what an item is, or what is done with it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from nbest.errors import UnavailableError
from nbest.storage.run import Run

FLUSH_TRAJECTORIES = 512
FLUSH_SECONDS = 20.0
"""Finished results are written when there are so many of them, or when the oldest has waited so long."""
OPEN_PROBLEMS = 64
"""How many items are worked on at once."""

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

OnDone: TypeAlias = Callable[[int, int], None]
"""Called with how many items were written since the last call, and how many tokens they have."""


@dataclass(frozen=True, slots=True)
class StageProgress:
    """How far a stage is. `stage` is its name, or that of the scorer or selector at work.

    `done` of `total` items are written (None = the total is not known yet); these have `tokens` sampled tokens, 0 where
    the stage does not sample.
    """

    stage: str
    done: int
    total: int | None
    tokens: int = 0


OnProgress: TypeAlias = Callable[[StageProgress], None]


def ignore_progress(progress: StageProgress) -> None:
    """Do nothing: the callback of a caller that does not want to know."""
    del progress


def count_progress(stage: str, total: int | None, on_progress: OnProgress) -> OnDone:
    """Return a callback that adds up what is written and reports the sums. Reports the start at once."""
    done, tokens = 0, 0
    on_progress(StageProgress(stage, 0, total))

    def on_done(new_items: int, new_tokens: int) -> None:
        nonlocal done, tokens
        done, tokens = done + new_items, tokens + new_tokens
        on_progress(StageProgress(stage, done, total, tokens))

    return on_done


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
    limit = OPEN_PROBLEMS if open_items is None else open_items
    events: asyncio.Queue[Sequence[ResultT] | asyncio.Task[None]] = asyncio.Queue()
    tasks = set[asyncio.Task[None]]()
    ready, first_waits_since = list[ResultT](), time.monotonic()

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
            event = await _next_event(events, first_waits_since + FLUSH_SECONDS if ready else None)
            if isinstance(event, asyncio.Task):
                tasks.discard(event)
                event.result()
            elif event:
                first_waits_since = first_waits_since if ready else time.monotonic()
                ready.extend(event)
            if len(ready) >= FLUSH_TRAJECTORIES or (ready and time.monotonic() >= first_waits_since + FLUSH_SECONDS):
                full, ready = ready, []
                await write(full)
    finally:
        for task in tasks:
            task.cancel()
        # Several may have failed at once: the first error goes on, the others are taken note of here.
        await asyncio.gather(*tasks, return_exceptions=True)
        while not events.empty():
            event = events.get_nowait()
            ready.extend([] if isinstance(event, asyncio.Task) else event)
        if ready:
            await write(ready)


async def _next_event(events: "asyncio.Queue[ItemT]", deadline: float | None) -> ItemT | None:
    """Return the next event; None where none came before `deadline` on the monotonic clock."""
    try:
        async with asyncio.timeout(None if deadline is None else max(0.0, deadline - time.monotonic())):
            return await events.get()
    except TimeoutError:
        return None


def run_to_end(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a coroutine from code that is not async and return its result; also where an event loop runs (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def open_run(run: Run | str | Path) -> Run:
    """Return `run` as it is, or the run at this path."""
    return run if isinstance(run, Run) else Run.open(run)


def path_of(run: Run | str | Path) -> Path:
    """Return the path of a run as the caller wrote it, for messages."""
    return run.path if isinstance(run, Run) else Path(run)


def require_trajectories(run: Run) -> int:
    """Return how many trajectories the run holds. Raises UnavailableError where there are none."""
    count = len(run.done_trajectories())
    if not count:
        raise UnavailableError(f"{run.path}: no trajectories yet. Run `nbest sample` or `nbest import` first.")
    return count
