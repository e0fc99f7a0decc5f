"""Worker processes with a hard time limit per request.

A worker is `python -m MODULE`, started at the first request and then kept running. It reads one JSON list of requests
per line and writes one JSON object per request, in order. If a request exceeds the time limit its worker is killed:
only this request fails, the rest of its batch goes to a new worker. Nothing here needs the main thread, signals or an
event loop, so it can be used from plain functions, threads and coroutines.

It uses `subprocess` instead of `multiprocessing`, whose spawned children import the caller's main script again.
This module does not know what the requests mean.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from nbest.errors import EngineError
from nbest.interruption import INTERRUPTION

Request = Sequence[Any]

_START_SECONDS = 120.0
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to one request. `value` is None if the request failed; `note` then gives the reason."""

    value: Any = None
    note: str = ""


class _Process:
    """One running worker and the bytes it has written so far."""

    def __init__(self, module: str, settings: Mapping[str, Any]):
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, json.dumps(dict(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            # Ctrl-C reaches all processes of a terminal's session: a worker that it ends would look like a fault.
            start_new_session=True,
        )
        self._module = module
        self._buffer = b""

    def wait_until_ready(self) -> None:
        """Wait for the worker to start. Raises EngineError if it ends before that."""
        if self.receive(_START_SECONDS) is None:
            code = self.kill()
            raise EngineError(
                f"the worker process {self._module} did not start (exit status {code}). Run "
                f"`{sys.executable} -m {self._module} '{{}}'` to see its message."
            )

    def send(self, requests: Sequence[Request]) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # the worker has died: `receive` sees the end of its output and records it
            self.process.stdin.write(json.dumps(list(requests)).encode() + b"\n")
            self.process.stdin.flush()

    def receive(self, seconds: float) -> dict[str, Any] | None:
        """Return the next reply; None at the end of the worker's output.

        Raises TimeoutError if none arrives in time.
        """
        assert self.process.stdout is not None
        pipe = self.process.stdout.fileno()
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            data = os.read(pipe, 1 << 16)
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def kill(self) -> int:
        """End the process and return its exit status."""
        self.process.kill()
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # requests that a dead worker never read
                    pipe.close()
        return code


class WorkerPool:
    """Up to `workers` processes of one module.

    Use it as a context manager or call `close`; otherwise it is closed when the interpreter exits.
    """

    def __init__(self, module: str, settings: Mapping[str, Any], workers: int = 1, limit_seconds: float = 5.0):
        if workers < 1 or limit_seconds <= 0:
            raise ValueError(f"workers and limit_seconds must be positive; got {workers} and {limit_seconds}")
        self.module, self.settings, self.limit_seconds = module, dict(settings), limit_seconds
        self._slots: list[_Process | None] = [None] * workers
        self._locks = [threading.Lock() for _ in range(workers)]
        self._closed, self._owner = False, os.getpid()
        _open_pools.add(self)

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """Return one reply per request, in order. Blocks; several threads may call it at once."""
        replies: list[Reply | None] = [None] * len(requests)
        batches = deque(
            list(range(start, min(start + _BATCH, len(requests)))) for start in range(0, len(requests), _BATCH)
        )
        threads = [
            threading.Thread(target=self._drain_in_thread, args=(slot, batches, requests, replies), daemon=True)
            for slot in range(1, min(len(self._slots), len(batches)))
        ]
        for thread in threads:
            thread.start()
        self._drain(None, batches, requests, replies)
        for thread in threads:
            thread.join()
        return [reply or Reply(None, "the worker pool was closed") for reply in replies]

    def _drain_in_thread(self, *work: Any) -> None:
        try:
            self._drain(*work)
        except EngineError:
            # The caller's own thread raises it; of a closed pool it need not be printed twice.
            if not self._closed:
                raise

    def _drain(
        self, slot: int | None, batches: deque[list[int]], requests: Sequence[Request], replies: list[Reply | None]
    ) -> None:
        slot = self._free_slot() if slot is None else slot
        with self._locks[slot]:
            while True:
                try:
                    batch = batches.popleft()
                except IndexError:
                    return
                self._serve(slot, batch, requests, replies)

    def _free_slot(self) -> int:
        for slot, lock in enumerate(self._locks):
            if not lock.locked():
                return slot
        return 0

    def _serve(self, slot: int, batch: list[int], requests: Sequence[Request], replies: list[Reply | None]) -> None:
        waiting = deque(batch)
        while waiting:
            self._require_open()
            try:
                worker = self._find_worker(slot)
                self._require_open()
                self._serve_waiting(worker, slot, waiting, requests, replies)
            except BaseException as error:
                # After an interrupt between a request and its reply, the next request would get that reply.
                self._discard(slot)
                if isinstance(error, EngineError):
                    self._require_open()
                raise

    def _require_open(self) -> None:
        if self._closed:
            raise EngineError("this worker pool is closed; create a new one")

    def _find_worker(self, slot: int) -> _Process:
        """Return the worker of a slot, which is started where there is none."""
        worker = self._slots[slot]
        if worker is None:
            worker = self._slots[slot] = _Process(self.module, self.settings)
            # Looked at after the slot is filled: a `close` before that could not end this process.
            if not self._closed:
                worker.wait_until_ready()
        return worker

    def _serve_waiting(
        self,
        worker: _Process,
        slot: int,
        waiting: deque[int],
        requests: Sequence[Request],
        replies: list[Reply | None],
    ) -> None:
        """Fill in the replies of one worker to the requests that wait, until it fails at one of them."""
        worker.send([requests[index] for index in waiting])
        while waiting:
            try:
                message = worker.receive(self.limit_seconds)
            except TimeoutError:
                replies[waiting.popleft()] = Reply(None, f"timed out after {self.limit_seconds:g} s")
                self._discard(slot)
                return
            if message is None:
                code = self._discard(slot)
                if self._closed:
                    return
                replies[waiting.popleft()] = Reply(None, _describe(code))
                return
            replies[waiting.popleft()] = Reply(message.get("value"), message.get("note", ""))

    def _discard(self, slot: int) -> int:
        worker, self._slots[slot] = self._slots[slot], None
        return worker.kill() if worker is not None else 0

    @property
    def process_ids(self) -> list[int]:
        return [worker.process.pid for worker in self._slots if worker is not None]

    def kill(self) -> None:
        """End the processes at once. Requests that run in other threads raise EngineError, as do later ones."""
        self._closed = True
        for worker in self._slots:
            if worker is not None:
                worker.process.kill()

    def close(self) -> None:
        """End the processes; a request that runs in another thread raises EngineError."""
        if os.getpid() != self._owner:
            return  # a forked child must not end the workers of its parent
        self._closed = True
        for slot, lock in enumerate(self._locks):
            worker = self._slots[slot]
            if worker is not None:
                worker.process.kill()  # a thread that waits for it sees the end of its output and releases the lock
            with lock:
                self._discard(slot)

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _describe(code: int) -> str:
    if code == -signal.SIGPROF:
        return "timed out: the processor time of the request was used up"
    return f"the worker process ended ({f'signal {-code}' if code < 0 else f'exit status {code}'})"


_open_pools: "weakref.WeakSet[WorkerPool]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for pool in list(_open_pools):
        pool.close()


def _kill_all() -> None:
    """End the processes without waiting for whoever waits for them."""
    for pool in list(_open_pools):
        pool.kill()


INTERRUPTION.call_at_end(_kill_all)
