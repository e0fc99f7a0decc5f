"""`BestOfN`: sync and async calls over one event loop in a thread of its own.

Models, their threads and their connections belong to that loop, so that the same object may be used from a script, a
notebook, several threads and several event loops at once. This module does not know how a question is answered.
"""

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine, Generator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Self, TypeVar

from nbest.answering.answerer import Answerer, EventFeed, Work
from nbest.answering.events import Event, Result
from nbest.answering.plan import JudgeSetting, PolicySetting, SelectorSetting, make_plan
from nbest.answering.questions import Question, read_question
from nbest.errors import ConfigError, EngineError
from nbest.loop_thread import LoopThread
from nbest.records import Kind, SamplingParams

ResultT = TypeVar("ResultT")

CLOSED_MESSAGE = "this BestOfN was closed before the question was answered"


class BestOfN:
    """Samples N trajectories per question, scores them, and selects the one to trust.

    All settings are checked here, and nothing is loaded before the first question. `sampling` is by default the
    package's own config of a bundled policy, else the published settings; the data that the selector's scorers need
    (hidden states, token confidences, self-certainty) are captured automatically. Trajectory i of a question is drawn
    with a seed that depends on `seed`, the question and i alone, as `nbest sample` draws it.

    `run` is a folder that stores trajectories as they finish, and scores and selections (see `run_keeping.py`);
    trajectories that it holds are not drawn again. `Result.usage` adds up the tokens and floating-point operations of
    all trajectories, the prompt counted for each of them, the seconds until the last one finished, and what the
    selector spent.

    Close it, or use it as a context manager, sync or async. Samplers and Selectors that the caller passes in stay open.
    Raises ConfigError that lists every faulty setting.
    """

    def __init__(
        self,
        policy: PolicySetting,
        selector: SelectorSetting = "majority",
        *,
        n: int = 8,
        sampling: SamplingParams | None = None,
        seed: int = 0,
        judge: JudgeSetting | None = None,
        scorer_model: str | None = None,
        run: str | Path | None = None,
    ):
        plan = make_plan(
            policy,
            selector,
            n=n,
            sampling=sampling,
            seed=seed,
            judge=judge,
            scorer_model=scorer_model,
            run=run,
        )
        self._answerer = Answerer(plan)
        self._thread = LoopThread("nbest-answering")
        # Refers to neither this object nor a bound method of it, which would keep it alive.
        self._finalizer = weakref.finalize(self, _close, self._thread, self._answerer)
        _close_at_exit(self)

    def ask(self, question: Question, *, kind: Kind | None = None) -> Result:
        """Return the answer to one question. May be called while an event loop runs in this thread (in a notebook).

        `kind` says how answers are read ("math", "choice" and so on: see `nbest.records.Kind`); None is "math", or the
        kind of a Problem. Raises ConfigError for a faulty question, and whatever the policy, a scorer or the selector
        raises.
        """
        return self._wait(self._answerer.answer(read_question(question, kind)))

    async def aask(self, question: Question, *, kind: Kind | None = None) -> Result:
        """Like `ask`. Cancelling it cancels unfinished draws."""
        return await self._run(self._answerer.answer(read_question(question, kind)))

    def ask_many(self, questions: Sequence[Question], *, kind: Kind | None = None) -> list[Result]:
        """Return the answers to several questions, in order.

        They share the policy's batches, up to 64 at once. All questions are checked before anything is drawn, and the
        first error cancels the others.
        """
        return self._wait(self._answerer.answer_all(_read_all(questions, kind)))

    async def aask_many(self, questions: Sequence[Question], *, kind: Kind | None = None) -> list[Result]:
        """Like `ask_many`. Cancelling it cancels all of them."""
        return await self._run(self._answerer.answer_all(_read_all(questions, kind)))

    def stream(self, question: Question, *, kind: Kind | None = None) -> Generator[Event, None, None]:
        """Yield the events of one question as they happen (see `events.py`).

        The last event is `Selected`, and its `result` is what `ask` returns. The work begins when the first event is
        requested. Closing the iterator cancels unfinished draws.
        """
        return self._take(EventFeed(self._answerer, read_question(question, kind)))

    def astream(self, question: Question, *, kind: Kind | None = None) -> AsyncGenerator[Event, None]:
        """Like `stream`, for `async for`. Wrap it in `contextlib.aclosing` if you may leave the loop early."""
        return self._atake(EventFeed(self._answerer, read_question(question, kind)))

    def close(self) -> None:
        """Cancel unfinished work, close everything that was loaded and end the thread. May be called twice."""
        self._finalizer()

    async def aclose(self) -> None:
        """Like `close`."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _wait(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        self._require_open(work)
        try:
            return self._thread.wait(work)
        except CancelledError:
            raise EngineError(CLOSED_MESSAGE) from None

    async def _run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        self._require_open(work)
        try:
            return await self._thread.run(work)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._finalizer.alive or (task is not None and task.cancelling()):
                raise
            raise EngineError(CLOSED_MESSAGE) from None

    def _require_open(self, work: Coroutine[Any, Any, Any]) -> None:
        if not self._finalizer.alive:
            work.close()
            raise EngineError("this BestOfN is closed; create a new one")

    def _take(self, feed: EventFeed) -> Generator[Event, None, None]:
        try:
            while (event := self._wait(feed.next())) is not None:
                yield event
        finally:
            if self._thread.is_current:
                # Collected as garbage on the very thread that works on it, which cannot wait for itself.
                feed.cancel()
            elif self._finalizer.alive:
                self._thread.wait(feed.aclose())

    async def _atake(self, feed: EventFeed) -> AsyncGenerator[Event, None]:
        try:
            while (event := await self._run(feed.next())) is not None:
                yield event
        finally:
            if self._finalizer.alive:
                await self._thread.run(feed.aclose())


def _read_all(questions: Sequence[Question], kind: Kind | None) -> list[Work]:
    """Read all questions. Raises ConfigError that names the question of every fault."""
    if isinstance(questions, str):
        raise ConfigError("questions: got text; it must be a list of questions. Use `ask` for a single one")
    works: list[Work] = []
    faults: list[str] = []
    for index, question in enumerate(questions):
        try:
            works.append(read_question(question, kind))
        except ConfigError as error:
            faults += [f"questions[{index}]: {fault}" for fault in error.faults]
    if faults:
        raise ConfigError(faults)
    return works


def _close(thread: LoopThread, answerer: Answerer) -> None:
    if thread.is_current:
        # Garbage is collected on any thread, on this one too, which cannot wait for its own end.
        threading.Thread(target=_close, args=(thread, answerer), daemon=True).start()
        return
    thread.close(answerer.aclose())


_INSTANCES: "weakref.WeakSet[BestOfN]" = weakref.WeakSet()


def _close_at_exit(bon: BestOfN) -> None:
    """Have the object closed before the interpreter exits, because a model that still runs in a thread would abort it.

    `atexit` is too late: closing a sampler may need a thread, and by then none can be started.
    """
    _register_at_exit()
    _INSTANCES.add(bon)


@cache
def _register_at_exit() -> None:
    # Callbacks run in reverse order: this one before the executor's own, which is registered by this import.
    import_module("concurrent.futures.thread")
    # Private, and what the standard library's own executors use; there is no public hook at this moment.
    threading._register_atexit(_close_all)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def _close_all() -> None:
    with ExitStack() as stack:
        for bon in list(_INSTANCES):
            stack.callback(bon.close)
