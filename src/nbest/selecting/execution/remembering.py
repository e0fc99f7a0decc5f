# pyright: standard
"""A sandbox that remembers what programs did: in memory, and in the folder of a run.

An outcome depends on the job (the program and its inputs), the limits and what programs may import: these are the key.
What isolates a program does not change what it does, so it is no part of the key. A job that ran alone is kept apart:
it says what the same job beside others does not. A job in which the sandbox itself failed is not remembered. The files
are described in `storage/execution_files.py`.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nbest.records import WorkReport
from nbest.sandbox.executions import (
    Calls,
    CheckResult,
    Isolation,
    Job,
    Limits,
    Outcome,
    Return,
    Sandbox,
    Script,
)
from nbest.sandbox.values import encode_value
from nbest.storage.execution_files import KEY_BYTES, ExecutionFiles

SAVE_SECONDS = 20.0
"""How much work is lost at most if the process is killed."""


class RememberingSandbox(Sandbox):
    """Runs each job once. `run` is the folder of a run where outcomes are kept; None keeps them in memory alone.

    Closing it saves the outcomes and closes `sandbox`. The same job asked for twice at once runs once.
    """

    def __init__(self, sandbox: Sandbox, run: Path | None = None):
        self._sandbox = sandbox
        self._files = ExecutionFiles(run)
        self._packages = _write(dict(sandbox.describe().packages))
        self._running: dict[bytes, asyncio.Task[Outcome]] = {}
        self._saved_time = time.monotonic()

    def describe(self) -> Isolation:
        return self._sandbox.describe()

    def report(self) -> WorkReport:
        return self._sandbox.report()

    async def aclose(self) -> None:
        self._files.save()
        await self._sandbox.aclose()

    async def run(self, job: Job, limits: Limits | None = None) -> Outcome:
        return await self._run(job, limits or Limits(), is_alone=False)

    async def run_alone(self, job: Job, limits: Limits | None = None) -> Outcome:
        return await self._run(job, limits or Limits(), is_alone=True)

    async def _run(self, job: Job, limits: Limits, is_alone: bool) -> Outcome:
        key = _make_key(job, limits, f"{self._packages} alone" if is_alone else self._packages)
        outcome = _read_outcome(self._files.find(key))
        if outcome is not None:
            return outcome
        task = self._running.get(key)
        if task is None:
            start = self._sandbox.run_alone if is_alone else self._sandbox.run
            task = asyncio.ensure_future(start(job, limits))
            self._running[key] = task
            task.add_done_callback(lambda done: self._finish(key, done))
        # One of several who wait may be cancelled: the others still get the outcome.
        return await asyncio.shield(task)

    def _finish(self, key: bytes, task: "asyncio.Task[Outcome]") -> None:
        self._running.pop(key, None)
        if task.cancelled() or task.exception() is not None:
            return
        with suppress(ValueError):
            self._files.add(key, json.dumps(asdict(task.result()), ensure_ascii=True))
        if time.monotonic() - self._saved_time >= SAVE_SECONDS:
            self._files.save()
            self._saved_time = time.monotonic()


def _make_key(job: Job, limits: Limits, packages: str) -> bytes:
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    for text in (type(job).__name__, packages, _write(asdict(limits)), job.source, *_list_texts(job)):
        data = text.encode("utf-8", "surrogatepass")
        # With its length, so that no two lists of texts add the same bytes.
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()


def _list_texts(job: Job) -> list[str]:
    """Return everything but the program that decides what the job does."""
    if isinstance(job, Script):
        return [job.stdin]
    if isinstance(job, Calls):
        return [text for call in job.calls for text in (call.function, encode_value(list(call.arguments)))]
    return [job.setup, str(job.is_stopping), _write(list(job.functions)), *job.checks]


def _write(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _read_outcome(text: str | None) -> Outcome | None:
    """Return a remembered outcome; None if there is none, or it is of another version."""
    if text is None:
        return None
    try:
        row: Mapping[str, Any] = json.loads(text)
        returns = tuple(Return(**each) for each in row["returns"])
        checks = tuple(CheckResult(**each) for each in row["checks"])
        return Outcome(**{**row, "returns": returns, "checks": checks})
    except (ValueError, TypeError, KeyError):
        return None
