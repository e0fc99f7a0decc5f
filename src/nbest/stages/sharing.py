"""Share the work of a stage with other processes on the same run: each problem is worked on by one of them.

A process claims a problem before it works on it, and releases it when the results are written. A problem that another
process has claimed comes last: it is done then, or the other process has ended without finishing it, and this one takes
over. So a command that ends without an error leaves nothing undone, however many of them run.

This module does not know what the work is.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from nbest.stages.flow import work_through
from nbest.storage.claims import Claims
from nbest.storage.done import Done

POLL_SECONDS = 0.25
"""How often a process looks whether another one has finished what it waits for."""

SourceT = TypeVar("SourceT")
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def ignore_wait(count: int) -> None:
    """Do nothing; the default if nobody has to know that a stage waits for another process."""
    del count


@dataclass(frozen=True, slots=True)
class SharedWork(Generic[SourceT, ItemT, ResultT]):
    """The work of a stage, problem by problem.

    `key` names the work, such as `scores/NAME`. `read` yields problem ids with what is needed to plan their work; its
    argument restricts it to some problems (None: all). `plan` returns what is missing according to `done`, None if
    nothing is. `work` yields the results of an item as they finish, and `write` stores results.
    """

    run: Path
    key: str
    done: Done
    read: Callable[[Collection[str] | None], Iterable[tuple[str, SourceT]]]
    plan: Callable[[SourceT, Collection[str]], ItemT | None]
    work: Callable[[ItemT], AsyncGenerator[Sequence[ResultT], None]]
    write: Callable[[list[ResultT]], Awaitable[None]]


async def share_work(
    shared: SharedWork[SourceT, ItemT, ResultT],
    open_items: int | None = None,
    on_wait: Callable[[int], None] = ignore_wait,
) -> None:
    """Do the work that is missing and that no other process does; then wait for those, and do what they left undone.

    `on_wait` is called with the number of problems that others work on, when nothing else is left. `open_items` is as
    in `work_through`.
    """
    with Claims(shared.run) as claims:
        turn = _Turn(shared, claims)
        await turn.do(shared.read(None), open_items)
        waiting = list(turn.busy)
        if waiting:
            on_wait(len(waiting))
        while waiting:
            await asyncio.sleep(POLL_SECONDS)
            free = {problem_id for problem_id in waiting if claims.take(turn.name(problem_id))}
            if free:
                waiting = [problem_id for problem_id in waiting if problem_id not in free]
                shared.done.refresh()
                await turn.do(shared.read(free), open_items)


class _Turn(Generic[SourceT, ItemT, ResultT]):
    """One process at work; `busy` lists the problems that it has found claimed by others."""

    def __init__(self, shared: SharedWork[SourceT, ItemT, ResultT], claims: Claims):
        self.busy: list[str] = []
        self._shared, self._claims = shared, claims
        # A claim is released when all results of its problem are written.
        self._unwritten: Counter[str] = Counter()
        self._finished: set[str] = set()

    def name(self, problem_id: str) -> str:
        return f"{self._shared.key}\x1f{problem_id}"

    async def do(self, sources: Iterable[tuple[str, SourceT]], open_items: int | None) -> None:
        await work_through(self._take(sources), self._work, self._write, open_items)

    def _take(self, sources: Iterable[tuple[str, SourceT]]) -> Iterator[tuple[str, ItemT]]:
        """Yield what is missing, claimed; what is done meanwhile is left out."""
        shared = self._shared
        for problem_id, source in sources:
            if shared.plan(source, shared.done.ids) is not None:
                if not self._claims.take(self.name(problem_id)):
                    self.busy.append(problem_id)
                    continue
                # Another process may have finished it and released its claim.
                shared.done.refresh()
                item = shared.plan(source, shared.done.ids)
                if item is not None:
                    yield problem_id, item
                    continue
            self._claims.release([self.name(problem_id)])

    async def _work(self, item: tuple[str, ItemT]) -> AsyncGenerator[list[tuple[str, ResultT]], None]:
        problem_id, content = item
        async with aclosing(self._shared.work(content)) as batches:
            async for batch in batches:
                self._unwritten[problem_id] += len(batch)
                yield [(problem_id, result) for result in batch]
        self._finished.add(problem_id)
        self._release([problem_id])

    async def _write(self, results: list[tuple[str, ResultT]]) -> None:
        await self._shared.write([result for _, result in results])
        counts = Counter(problem_id for problem_id, _ in results)
        self._unwritten.subtract(counts)
        self._release(counts)

    def _release(self, problem_ids: Iterable[str]) -> None:
        """Release those whose work is finished and written."""
        ids = [name for name in problem_ids if name in self._finished and not self._unwritten[name]]
        self._claims.release(self.name(name) for name in ids)
        for problem_id in ids:
            self._finished.discard(problem_id)
            del self._unwritten[problem_id]
