"""Joins the attempts of concurrent callers into one running batch, in a thread of its own.

The event loop only hands jobs over and receives completions; every model call happens in the worker thread. An error
in the batch reaches each caller whose attempts were in it, and the next job starts with a fresh batch.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from bestofn.errors import EngineError
from bestofn.records import Completion
from bestofn.samplers.decoding import Attempt, Batch, Job

_LOG = logging.getLogger(__name__)


class Order(NamedTuple):
    """One caller's job, and how to hand it its completions (or the error) in its own event loop."""

    job: Job
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[list[Completion]]"


class Scheduler:
    """Runs `create_batch(rows)` over the jobs given to `draw`. `rows` is halved where memory runs out."""

    def __init__(self, create_batch: Callable[[int], Batch], rows: int):
        self.rows = rows
        self._create_batch = create_batch
        self._wake = threading.Condition()
        self._arrived: list[Order] = []
        self._left: set[Job] = set()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    async def draw(self, job: Job, seeds: Sequence[int]) -> list[Completion]:
        """One completion a seed. Leaving (cancellation) takes the job's rows out of the batch."""
        loop = asyncio.get_running_loop()
        order = Order(job, loop, loop.create_future())
        job.attempts = tuple(Attempt(seed, index, job) for index, seed in enumerate(seeds))
        job.waiting = list(job.attempts)
        with self._wake:
            if self._is_closed:
                raise EngineError("this sampler is closed; create a new one")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="bestofn-sampler", daemon=True)
                self._thread.start()
            self._arrived.append(order)
            self._wake.notify()
        try:
            return await order.future
        except asyncio.CancelledError:
            with self._wake:
                self._left.add(job)
            raise

    def close(self) -> None:
        """Stop the worker thread; callers still waiting get an EngineError. Safe to call twice."""
        with self._wake:
            self._is_closed = True
            self._wake.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    @torch.inference_mode()
    def _run(self) -> None:
        work = _Work(self._create_batch(self.rows))
        while True:
            with self._wake:
                while not (self._arrived or work.orders or self._is_closed):
                    self._wake.wait()
                arrived, self._arrived = self._arrived, []
                left, self._left = self._left, set()
                is_closed = self._is_closed
            work.orders |= {order.job: order for order in arrived}
            if is_closed:
                work.fail(EngineError("the sampler was closed while completions were being drawn"))
                return
            work.leave(left)
            try:
                work.step()
            except torch.OutOfMemoryError as error:
                self._shrink(work, error)
            except Exception as error:  # noqa: BLE001 - handed to every waiting caller as an EngineError
                failure = EngineError(f"the model failed while sampling: {type(error).__name__}: {error}")
                failure.__cause__ = error
                work.fail(failure)
                work.batch = self._create_batch(self.rows)

    def _shrink(self, work: "_Work", error: torch.OutOfMemoryError) -> None:
        """Start all unfinished attempts again in a batch of half the rows; their seeds make them what they were."""
        work.batch = None
        torch.cuda.empty_cache()
        if self.rows == 1:
            work.fail(EngineError(f"out of memory with a single row in the batch: {error}"))
        self.rows = max(1, self.rows // 2)
        _LOG.warning("out of memory: the batch now has %d rows", self.rows)
        work.restart(self._create_batch(self.rows))


class _Work:
    """The worker thread's own state: the batch and the orders that are not finished."""

    def __init__(self, batch: Batch):
        self.batch = batch
        self.orders: dict[Job, Order] = {}
        self.done: dict[Job, dict[int, Completion]] = {}

    def step(self) -> None:
        waiting = [job for job in self.orders if job.waiting]
        free = self.batch.free_rows
        wanted = sum(len(job.waiting) for job in waiting)
        # Joining costs a prefill and a few copies, so it waits until a sixteenth of the batch is free.
        if wanted and free >= min(wanted, max(1, self.batch.rows // 16)):
            self.batch.admit(waiting)
        if self.batch.has_slack:
            self.batch.compact()
        if self.batch.length:
            for attempt, completion in self.batch.step():
                self._deliver(attempt, completion)

    def _deliver(self, attempt: Attempt, completion: Completion) -> None:
        order = self.orders.get(attempt.job)
        if order is None:
            return
        parts = self.done.setdefault(attempt.job, {})
        parts[attempt.index] = completion
        if len(parts) == len(attempt.job.attempts):
            self._forget(attempt.job)
            _call(order, lambda: order.future.set_result([parts[index] for index in range(len(parts))]))

    def _forget(self, job: Job) -> None:
        self.orders.pop(job, None)
        self.done.pop(job, None)

    def leave(self, jobs: set[Job]) -> None:
        if jobs:
            for job in jobs:
                self._forget(job)
            self.batch.drop(jobs)

    def fail(self, error: EngineError) -> None:
        for order in self.orders.values():
            _call(order, lambda order=order: order.future.set_exception(error))
        self.orders, self.done = {}, {}

    def restart(self, batch: Batch) -> None:
        self.batch = batch
        for job in self.orders:
            finished = self.done.get(job, {})
            job.waiting = [attempt for attempt in job.attempts if attempt.index not in finished]
            job.prefix = None


def _call(order: Order, deliver: Callable[[], None]) -> None:
    """Run `deliver` in the caller's event loop, unless the caller has gone."""

    def run() -> None:
        if not order.future.done():
            deliver()

    if not order.loop.is_closed():
        order.loop.call_soon_threadsafe(run)
