"""Answer questions on one event loop: load everything with the first one, limit how many run at once, feed events.

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
"""The number of questions that are answered at once; further ones wait."""

Work: TypeAlias = tuple[Problem, Sequence[Message]]
"""A question that has been read: the problem, and the messages that ask it."""


class Answerer:
    """Answers questions by one plan, on the event loop of the first call only."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._resources: tuple[Session, Keeper] | None = None
        self._opening = asyncio.Lock()
        self._room = asyncio.Semaphore(OPEN_QUESTIONS)
        self._turns = Turns()

    async def answer(self, work: Work, on_event: OnEvent | None = None) -> Result:
        """Return the answer to one question; `on_event` is called with every event, in order."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._room)
            session, keeper = await self._load()
            if self._plan.run is not None:
                # The run's trajectories are not drawn again: a second call with the same question waits for the first.
                await stack.enter_async_context(self._turns.take(work[0].id))
            return await answer_problem(session, keeper, *work, on_event)

    async def answer_all(self, works: Sequence[Work]) -> list[Result]:
        """Return the answers in order; the first error cancels the other questions."""
        return await gather_all([self.answer(work) for work in works])

    async def aclose(self) -> None:
        """Close everything that was loaded, if there was a question."""
        if self._resources is not None:
            (session, _), self._resources = self._resources, None
            await session.aclose()

    async def _load(self) -> tuple[Session, Keeper]:
        async with self._opening:
            if self._resources is None:
                session = await open_session(self._plan)
                try:
                    self._resources = (session, await _open_keeper(session))
                except BaseException:
                    await session.aclose()
                    raise
            return self._resources


async def _open_keeper(session: Session) -> Keeper:
    from nbest.sampling.policies import origin_of

    description = session.sampler.describe()
    if session.plan.run is None:
        return Keeper(origin_of(description))
    from nbest.answering.run_keeping import open_run_keeper

    arguments = (session.plan.run, session.plan, session.params, description, session.judge)
    return await asyncio.to_thread(open_run_keeper, *arguments)


class EventFeed:
    """The events of one question, which a task produces without waiting for their reader."""

    def __init__(self, answerer: Answerer, work: Work):
        self._answerer, self._work = answerer, work
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._task: asyncio.Task[Result] | None = None

    async def next(self) -> Event | None:
        """Return the next event, None after the last one. The first call starts the work, and its errors are raised
        here."""
        if self._task is None:
            self._task = asyncio.create_task(self._answerer.answer(self._work, self._events.put_nowait))
            self._task.add_done_callback(lambda _: self._events.put_nowait(None))
        event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)
            self._task.result()
        return event

    def cancel(self) -> None:
        """Cancel unfinished work. Call it on the event loop of the work."""
        if self._task is not None:
            self._task.cancel()

    async def aclose(self) -> None:
        """Cancel unfinished work, and wait until it has stopped."""
        self.cancel()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
