"""Sandboxes on this machine: warm workers, one per thread, behind the protocol `Sandbox`."""

import asyncio
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from nbest.errors import ConfigError, SandboxError
from nbest.sandbox import scratch
from nbest.sandbox.cgroups import make_group, take_number
from nbest.sandbox.driving import WorkerProcess, raise_file_limit
from nbest.sandbox.executions import Isolation, Job, Limits, Outcome, Sandbox
from nbest.sandbox.jobs import run_job
from nbest.sandbox.launching import SCRATCH_PREFIX, Backend, Launch, Package
from nbest.sandbox.packages import list_versions
from nbest.sandbox.turnstile import Turnstile

LAYERS: Mapping[Backend, tuple[str, ...]] = {
    "namespaces": ("namespaces", "seccomp", "rlimits"),
    "unprivileged": ("landlock", "seccomp", "rlimits"),
    "none": ("seccomp", "rlimits"),
}


class LocalSandbox(Sandbox):
    """Forks a confined process per program from warm workers; `workers` jobs run at a time.

    A worker that fails is replaced and its job run once more; if that fails, too, SandboxError. A job whose caller is
    cancelled ends with its limits at the latest. The first jobs start the workers.
    """

    def __init__(self, backend: Backend, workers: int, packages: Mapping[str, Package], has_landlock: bool):
        raise_file_limit()
        self._backend: Backend = backend
        self._packages = dict(packages)
        self._has_landlock = has_landlock
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="nbest-sandbox")
        self._own = threading.local()
        self._turnstile = Turnstile()
        self._lock = threading.Lock()
        self._open: list[WorkerProcess] = []
        self._has_groups = False
        # With namespaces, the working directories are in memory, in the worker's own file system.
        self._scratch = "" if backend == "namespaces" else tempfile.mkdtemp(prefix=SCRATCH_PREFIX)
        self._is_closed = False

    async def run(self, job: Job, limits: Limits | None = None) -> Outcome:
        return await self._submit(self._turnstile.run, job, limits or Limits())

    async def run_alone(self, job: Job, limits: Limits | None = None) -> Outcome:
        return await self._submit(self._turnstile.run_alone, job, limits or Limits())

    def describe(self) -> Isolation:
        layers = LAYERS[self._backend]
        if self._backend == "namespaces":
            layers += ("landlock",) * self._has_landlock + ("cgroups",) * self._has_groups
        return Isolation(self._backend, self._backend != "none", layers, list_versions(self._packages))

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """End the workers, and wait for them."""
        with self._lock:
            self._is_closed = True
            workers, self._open = self._open, []
        self._executor.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.abandon()
        self._executor.shutdown(wait=True)
        for worker in workers:
            worker.close()
        if self._scratch:
            scratch.remove(self._scratch)

    async def _submit(
        self, pass_through: Callable[[Callable[[], Outcome]], Outcome], job: Job, limits: Limits
    ) -> Outcome:
        _check_limits(limits, self._backend)
        try:
            future = self._executor.submit(pass_through, lambda: self._run(job, limits))
        except RuntimeError:
            raise SandboxError("the sandbox is closed") from None
        return await asyncio.wrap_future(future)

    def _run(self, job: Job, limits: Limits) -> Outcome:
        for is_last in (False, True):
            worker: WorkerProcess | None = None
            try:
                worker = self._find_worker()
                return run_job(worker, job, limits)
            except SandboxError:
                self._discard(worker)
                if is_last or self._is_closed:
                    raise
            except BaseException:
                self._discard(worker)
                raise
        raise AssertionError

    def _find_worker(self) -> WorkerProcess:
        worker: WorkerProcess | None = getattr(self._own, "worker", None)
        if worker is None:
            with self._lock:
                if self._is_closed:
                    raise SandboxError("the sandbox is closed")
            number = take_number()
            group = make_group(number) if self._backend == "namespaces" else None
            self._has_groups = group is not None
            launch = Launch(self._backend, self._packages, self._has_landlock, group.folders if group else (), number)
            worker = WorkerProcess(launch, group, self._scratch)
            with self._lock:
                is_closed = self._is_closed
                if not is_closed:
                    self._open.append(worker)
            if is_closed:
                # `close` cannot know this one.
                worker.close()
                raise SandboxError("the sandbox is closed")
            self._own.worker = worker
        return worker

    def _discard(self, worker: WorkerProcess | None) -> None:
        self._own.worker = None
        if worker is not None:
            with self._lock, suppress(ValueError):
                self._open.remove(worker)
            worker.close()


def _check_limits(limits: Limits, backend: Backend) -> None:
    faults = [
        f"{name}: got {value:g}; it has to be above 0"
        for name, value in (
            ("wall_seconds", limits.wall_seconds),
            ("total_seconds", 1.0 if limits.total_seconds is None else limits.total_seconds),
            ("memory_bytes", limits.memory_bytes),
            ("processes", limits.processes),
            ("open_files", limits.open_files),
            ("output_bytes", limits.output_bytes),
        )
        if not value > 0
    ]
    if limits.processes > 1 and backend != "namespaces":
        faults.append(
            f"processes: got {limits.processes}; the backend {backend!r} allows 1, because nothing there counts "
            f"them and "
            "ends those that a program leaves behind. Use the backend 'namespaces'"
        )
    if limits.disk_bytes < 0:
        faults.append(f"disk_bytes: got {limits.disk_bytes}; 0 (no files) or more")
    if faults:
        raise ConfigError(faults)


def count_workers() -> int:
    """Return how many jobs run at a time by default: the cores that this process may use."""
    return len(os.sched_getaffinity(0))
