"""Joins the completions of concurrent callers into one running batch, in a thread of its own.

Event loops only hand over jobs and receive completions; every model call happens in the worker thread. An error in the
batch reaches each caller whose completions were in it, and the next job starts with a new batch. The thread ends after
IDLE_SECONDS without a job, which frees the cache, and starts again with the next job. This module does not know models
and tokens.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple

import torch

from nbest.errors import EngineError
from nbest.records import Completion
from nbest.sampling.decoding import Batch
from nbest.sampling.rows import Job, Request

IDLE_SECONDS = 5.0

_LOG = logging.getLogger(__name__)


class Order(NamedTuple):
    """One caller's job, with the queue and the event loop to which its results go.

    The queue receives each completion with its seed, or the error that ended the batch.
    """

    job: Job
    loop: asyncio.AbstractEventLoop
    queue: "asyncio.Queue[tuple[int, Completion] | EngineError]"

    def deliver(self, result: tuple[int, Completion] | EngineError) -> None:
        try:
            self.loop.call_soon_threadsafe(self.queue.put_nowait, result)
        except RuntimeError:
            _LOG.debug("the caller's event loop is closed; nobody waits for its completions")


class Scheduler:
    """Runs the jobs of `draw` in batches of `create_batch(rows)`. Where memory runs out, `rows` is halved."""

    def __init__(self, create_batch: Callable[[int], Batch], rows: int):
        self.rows = rows
        self._create_batch = create_batch
        self._condition = threading.Condition()
        self._new_orders: list[Order] = []
        self._cancelled: set[Job] = set()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    async def draw(self, job: Job, seeds: Sequence[int]) -> AsyncGenerator[tuple[int, Completion], None]:
        """Yield each completion with its seed as it finishes. Closing the generator takes its rows out of the batch."""
        job.add_requests(seeds)
        order = Order(job, asyncio.get_running_loop(), asyncio.Queue())
        self._submit(order)
        unfinished = len(seeds)
        try:
            while unfinished:
                result = await order.queue.get()
                if isinstance(result, EngineError):
                    unfinished = 0
                    raise result
                unfinished -= 1
                yield result
        finally:
            if unfinished:
                with self._condition:
                    self._cancelled.add(job)

    def _submit(self, order: Order) -> None:
        """Give an order to the worker thread, which is started if it is not running. Raises EngineError if closed."""
        with self._condition:
            if self._is_closed:
                raise EngineError("this sampler is closed; create a new one")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nbest-sampler", daemon=True)
                self._thread.start()
            self._new_orders.append(order)
            self._condition.notify_all()

    def close(self) -> None:
        """Stop the worker thread; callers still waiting get an EngineError. Safe to call twice."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    @torch.inference_mode()
    def _run(self) -> None:
        work = _Work(self)
        while self._receive(work):
            shortage = ""
            try:
                work.step()
            except torch.OutOfMemoryError as error:
                shortage = str(error)
            except Exception as error:  # noqa: BLE001 - handed to every waiting caller
                failure = EngineError(f"the model failed while sampling: {type(error).__name__}: {error}")
                failure.__cause__ = error
                work.fail(failure)
            if shortage:
                # Outside the handler, because its traceback would keep the tensors of the failed pass in memory.
                self._shrink(work, shortage)

    def _receive(self, work: "_Work") -> bool:
        """Wait for jobs and accept them; return False if the thread must end."""
        with self._condition:
            if not (work.orders or self._new_orders or self._is_closed):
                self._condition.wait(IDLE_SECONDS)
            is_idle = not (work.orders or self._new_orders)
            work.accept(self._new_orders)
            work.cancel(self._cancelled)
            self._new_orders, self._cancelled = [], set[Job]()
            if self._is_closed or is_idle:
                work.fail(EngineError("the sampler was closed while it sampled"))
                self._thread = None
                return False
            return True

    def create_batch(self) -> Batch:
        return self._create_batch(self.rows)

    def _shrink(self, work: "_Work", shortage: str) -> None:
        """Start all unfinished completions again in a batch of half the rows; their seeds give the same tokens."""
        if self.rows == 1:
            work.fail(EngineError(f"out of memory with a single row in the batch: {shortage}"))
            return
        work.restart()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.rows //= 2
        _LOG.warning("out of memory: the batch now has %d rows. %s", self.rows, shortage)


class _Work:
    """The worker thread's own state: the batch, and the orders that are not finished.

    `waiting` are jobs with completions that have no row yet; `finished` holds, by job, the positions of completions
    that were delivered.
    """

    def __init__(self, scheduler: Scheduler):
        self.scheduler = scheduler
        self.batch: Batch | None = None
        self.orders: dict[Job, Order] = {}
        self.waiting: list[Job] = []
        self.finished: dict[Job, set[int]] = {}

    def accept(self, orders: Sequence[Order]) -> None:
        for order in orders:
            self.orders[order.job] = order
            self.waiting.append(order.job)

    def cancel(self, jobs: set[Job]) -> None:
        for job in jobs:
            self._forget(job)
        if jobs:
            self.waiting = [job for job in self.waiting if job not in jobs]
            if self.batch is not None:
                self.batch.drop(jobs)

    def step(self) -> None:
        if self.batch is None:
            self.batch = self.scheduler.create_batch()
        batch = self.batch
        waiting = sum(len(job.waiting) for job in self.waiting)
        # Joining costs a prefill and a few copies, so it waits until a sixteenth of the batch is free.
        if waiting and batch.free_rows >= min(waiting, max(1, batch.rows // 16)):
            batch.admit(self.waiting)
            self.waiting = [job for job in self.waiting if job.waiting]
        if batch.has_slack:
            batch.compact()
        if batch.length:
            for request, completion in batch.step():
                self._deliver(request, completion)

    def _deliver(self, request: Request, completion: Completion) -> None:
        job = request.job
        self.orders[job].deliver((request.seed, completion))
        finished = self.finished.setdefault(job, set())
        finished.add(request.position)
        if len(finished) == len(job.requests):
            self._forget(job)

    def _forget(self, job: Job) -> None:
        self.orders.pop(job, None)
        self.finished.pop(job, None)

    def fail(self, error: EngineError) -> None:
        """Deliver the error to every waiting caller; the next job begins with a new batch."""
        for order in self.orders.values():
            order.deliver(error)
        self.batch, self.orders, self.waiting, self.finished = None, {}, [], {}

    def restart(self) -> None:
        """Let all unfinished completions wait for a new batch."""
        self.batch = None
        for job in self.orders:
            finished = self.finished.get(job, set())
            job.waiting = [request for request in job.requests if request.position not in finished]
            job.prefix = None
        self.waiting = list(self.orders)
