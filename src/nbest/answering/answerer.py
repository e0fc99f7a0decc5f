"""Answers questions on one event loop: loads everything at the first one, bounds how many are in work, feeds events.

This module does not know threads, nor callers on other loops.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TypeAlias

from nbest.answering.events import Event, Result
from nbest.answering.flow import OnEvent, answer_problem
from nbest.answering.keeping import Keeper
from nbest.answering.opening import Session, open_session
from nbest.answering.plan import Plan
from nbest.answering.turns import Turns
from nbest.loop_thread import gather_all
from nbest.records import Message, Problem

OPEN_QUESTIONS = 64
"""How many questions are worked on at once; further ones wait for their turn."""

Work: TypeAlias = tuple[Problem, Sequence[Message]]
"""A question that has been read: the problem, and the messages that ask it."""


class Answerer:
    """Answers questions by one plan. All of it belongs to the loop of its first call."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._open: tuple[Session, Keeper] | None = None
        self._opening = asyncio.Lock()
        self._room = asyncio.Semaphore(OPEN_QUESTIONS)
        self._turns = Turns()

    async def answer(self, work: Work, on_event: OnEvent | None = None) -> Result:
        """Return the answer to one question; `on_event` is called with every event, in order."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._room)
            session, keeper = await self._load()
            if self._plan.run is not None:
                # What a run holds is not drawn again: one that asks the same at this moment waits for it.
                await stack.enter_async_context(self._turns.take(work[0].id))
            return await answer_problem(session, keeper, *work, on_event)

    async def answer_all(self, works: Sequence[Work]) -> list[Result]:
        """Return the answers in order; the first error cancels the other questions."""
        return await gather_all([self.answer(work) for work in works])

    async def aclose(self) -> None:
        """Close what was loaded; nothing where no question came."""
        if self._open is not None:
            (session, _), self._open = self._open, None
            await session.aclose()

    async def _load(self) -> tuple[Session, Keeper]:
        async with self._opening:
            if self._open is None:
                session = await open_session(self._plan)
                try:
                    self._open = (session, await _open_keeper(session))
                except BaseException:
                    await session.aclose()
                    raise
            return self._open


async def _open_keeper(session: Session) -> Keeper:
    from nbest.sampling.policies import origin_of

    description = session.sampler.describe()
    if session.plan.run is None:
        return Keeper(origin_of(description))
    from nbest.answering.run_keeping import open_run_keeper

    return await asyncio.to_thread(open_run_keeper, session.plan.run, session.plan, session.params, description)


class EventFeed:
    """The events of one question, worked on by a task that does not wait for whoever takes them."""

    def __init__(self, answerer: Answerer, work: Work):
        self._answerer, self._work = answerer, work
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._task: asyncio.Task[Result] | None = None

    async def next(self) -> Event | None:
        """Return the next event, None behind the last one. The first call starts the work. Raises what it raises."""
        if self._task is None:
            self._task = asyncio.create_task(self._answerer.answer(self._work, self._events.put_nowait))
            self._task.add_done_callback(lambda _: self._events.put_nowait(None))
        event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)
            self._task.result()
        return event

    def cancel(self) -> None:
        """Cancel what is unfinished. To be called on the loop of the work."""
        if self._task is not None:
            self._task.cancel()

    async def aclose(self) -> None:
        """Cancel what is unfinished, and wait until that is done."""
        self.cancel()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
