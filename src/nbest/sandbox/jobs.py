"""Runs one job in one worker: the conversation with its child, or for checks with its two children.

Rules
    Time is measured here. A script has `wall_seconds`; each call and each check has them from the moment the one before
    was answered; a job has `total_seconds`.
    In `Checks` the test code is in one child and the program in another. Calls are passed on as they came, and neither
    child sees anything of the other but plain data.
"""

import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from nbest.plurals import show_count
from nbest.sandbox.driving import Child, WorkerProcess
from nbest.sandbox.executions import Calls, CheckResult, Checks, Job, Limits, Outcome, Return, Script, Status
from nbest.sandbox.values import encode_value

_MOST_SECONDS = 1e6
_NEAR = 0.9
"""The part of its memory from which on a program that somebody killed counts as killed for its memory."""


def run_job(worker: WorkerProcess, job: Job, limits: Limits) -> Outcome:
    """Run a job. Raises SandboxError; the worker is then not to be used again."""
    if isinstance(job, Script):
        return _run_script(worker, job, limits)
    if isinstance(job, Calls):
        return _run_calls(worker, job, limits)
    return _ChecksRun(worker, job, limits).run()


class _Clock:
    """The deadlines of a job of `count` parts."""

    def __init__(self, limits: Limits, count: int):
        self.started = time.monotonic()
        self.total_seconds = limits.total_seconds or limits.wall_seconds * max(1, count)
        self._wall_seconds = limits.wall_seconds
        self._end = self.started + self.total_seconds
        self.deadline = self.restart()

    def restart(self) -> float:
        """Start the time of the next part; returns its deadline."""
        self.deadline = min(time.monotonic() + self._wall_seconds, self._end)
        return self.deadline

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.deadline

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


def _run_script(worker: WorkerProcess, job: Script, limits: Limits) -> Outcome:
    clock = _Clock(limits, 1)
    child = worker.start(limits, clock.total_seconds, job.stdin.encode("utf-8", "surrogateescape"))
    worker.send(child, {"script": job.source})
    _wait(worker, child, clock, lambda: False)
    raised = next((frame["raised"] for frame in child.frames if "raised" in frame), None)
    return _finish(worker, child, clock, limits, as_text(raised))


def _run_calls(worker: WorkerProcess, job: Calls, limits: Limits) -> Outcome:
    clock = _Clock(limits, len(job.calls))
    listed = [[call.function, [encode_value(argument) for argument in call.arguments]] for call in job.calls]
    child = worker.start(limits, clock.total_seconds)
    worker.send(child, {"calls": job.source, "list": listed})
    returns: list[Return] = []
    raised: str | None = None
    last = time.monotonic()
    while len(returns) < len(job.calls) and raised is None:
        if not _wait(worker, child, clock, lambda: bool(child.frames)):
            break
        frame = child.frames.pop(0)
        if "raised" in frame:
            raised = as_text(frame["raised"])
        else:
            # What the program says of its time may be too little; what passed here since the last answer is not.
            now = time.monotonic()
            answer = read_return(frame)
            returns.append(replace(answer, seconds=max(answer.seconds, now - last)))
            last = now
            clock.restart()
    if len(returns) == len(job.calls):
        worker.kill(child)
        return _finish(worker, child, clock, limits, None, tuple(returns), is_done=True)
    _wait(worker, child, clock, lambda: False)
    return _finish(worker, child, clock, limits, raised, tuple(returns), is_done=False)


def _wait(worker: WorkerProcess, child: Child, clock: _Clock, is_ready: Any) -> bool:
    """Wait until `is_ready()`, the child's end or the deadline, at which the child is killed. Returns `is_ready()`."""
    while not is_ready():
        if child.exit is not None or child.fault:
            worker.await_exit(child)
            return is_ready()
        if clock.is_over:
            child.has_timed_out = True
            worker.kill(child)
            worker.await_exit(child)
            return False
        worker.step(clock.deadline)
    return True


def read_return(frame: Mapping[str, Any]) -> Return:
    """Return what a program says that a call gave; a message that is no answer counts as a call that raised."""
    seconds = read_seconds(frame.get("seconds"))
    text = frame.get("value")
    if isinstance(text, str):
        return Return(text, seconds=seconds)
    return Return(None, as_text(frame.get("error")) or "a message that is no answer", seconds)


def read_seconds(value: Any) -> float:
    """Return a time that somebody else measured; 0 for what is none, as a program writes numbers of any size."""
    return float(value) if isinstance(value, int | float) and 0 <= value <= _MOST_SECONDS else 0.0


def as_text(value: Any) -> str | None:
    """Return a text of a message as it is, and anything else that stands in its place as a short text."""
    return value if isinstance(value, str) or value is None else repr(value)[:200]


def _finish(
    worker: WorkerProcess,
    child: Child,
    clock: _Clock,
    limits: Limits,
    raised: str | None,
    returns: tuple[Return, ...] = (),
    is_done: bool | None = None,
) -> Outcome:
    """Return the outcome of a child that has ended or is ending.

    `is_done`: it answered everything; None for a script, which is done when it ends by itself.
    """
    worker.await_exit(child)
    is_complete = is_done is not False
    status, message = ("finished", "") if is_done and not child.excess else read_end(child, limits, raised, is_complete)
    used = child.exit or {}
    return Outcome(
        status,
        message,
        child.text(child.stdout_file),
        child.text(child.stderr_file),
        returns,
        exit_code=used.get("code"),
        seconds=clock.seconds,
        cpu_seconds=used.get("cpu_seconds", 0.0),
        memory_bytes=used.get("memory_bytes", 0),
    )


class Ending(Protocol):
    """How a process ended. `exit` has its exit code or signal, CPU seconds, memory, and the limit a worker watches."""

    exit: Mapping[str, Any] | None
    excess: str
    has_timed_out: bool
    is_killed: bool
    cpu_limit_seconds: float


def read_end(child: Ending, limits: Limits, raised: str | None, is_complete: bool) -> tuple[Status, str]:
    """Return how a child ended, and a message; the limits come first, because a killed child also has a signal.

    `is_complete`: whether a child that left without a fault has done its work.
    """
    used = child.exit or {}
    if child.excess:
        return "too_much_output", f"more than {show_count(limits.output_bytes, 'byte')} of {child.excess}"
    if used.get("excess") == "files":
        return "too_much_output", f"more than {show_count(limits.disk_bytes, 'byte')} of files"
    if used.get("excess"):
        return "killed", f"too many {used['excess']}"
    if child.has_timed_out:
        return "timed_out", f"no answer within {limits.wall_seconds:g} s"
    number = used.get("signal")
    if number == signal.SIGXCPU or (number == signal.SIGKILL and not child.is_killed and _is_over_cpu(child, used)):
        return "timed_out", f"more than {child.cpu_limit_seconds:g} s of CPU time"
    if number == signal.SIGKILL and not child.is_killed:
        if limits.processes == 1 and used.get("memory_bytes", limits.memory_bytes) < _NEAR * limits.memory_bytes:
            return "killed", (
                "ended by signal SIGKILL, which the program sent to itself or this machine sent for want of memory"
            )
        return "out_of_memory", f"more than {show_count(limits.memory_bytes, 'byte')} of memory"
    if number == signal.SIGXFSZ:
        return "too_much_output", f"a file of more than {show_count(limits.disk_bytes, 'byte')}"
    if number is not None:
        return "killed", f"ended by {_name_signal(number)}"
    if raised is not None:
        is_memory = raised.split(":")[0].strip() == "MemoryError"
        return ("out_of_memory" if is_memory else "raised"), raised
    code = used.get("code")
    if code or not is_complete:
        return "exited", f"it left with exit status {code}" if code else "it ended before it had answered"
    return "finished", ""


def _name_signal(number: int) -> str:
    try:
        return f"signal {signal.Signals(number).name}"
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"


def _is_over_cpu(child: Ending, used: Any) -> bool:
    return used.get("cpu_seconds", 0.0) >= child.cpu_limit_seconds - 0.5


class _ChecksRun:
    """The conversation between test code and program."""

    def __init__(self, worker: WorkerProcess, job: Checks, limits: Limits):
        self._worker = worker
        self._job = job
        self._limits = limits
        self._clock = _Clock(limits, len(job.checks))
        self._results: list[CheckResult] = []

    def run(self) -> Outcome:
        worker, clock = self._worker, self._clock
        program = worker.start(self._limits, clock.total_seconds)
        worker.send(program, {"serve": self._job.source})
        if not _wait(worker, program, clock, lambda: bool(program.frames)):
            return _finish(worker, program, clock, self._limits, None, is_done=False)
        first = program.frames.pop(0)
        if "ready" not in first:
            _wait(worker, program, clock, lambda: False)
            raised = as_text(first.get("raised")) or "a message that is no answer"
            return _finish(worker, program, clock, self._limits, raised, is_done=False)
        clock.restart()
        tester = worker.start(self._limits, clock.total_seconds)
        worker.send(
            tester,
            {
                "checks": list(self._job.checks),
                "setup": self._job.setup,
                "functions": list(self._job.functions),
                "is_stopping": self._job.is_stopping,
            },
        )
        return self._converse(program, tester)

    def _converse(self, program: Child, tester: Child) -> Outcome:
        """Pass messages until the checks are done or one of both sides ends early."""
        worker, clock = self._worker, self._clock
        has_answered = False
        while not self._are_done():
            if not _wait(worker, tester, clock, lambda: bool(tester.frames)):
                return self._end(program, tester, tester, "", has_answered)
            frame = tester.frames.pop(0)
            if "setup" in frame:
                return self._end(program, tester, tester, as_text(frame["setup"]) or "")
            if "check" in frame:
                self._results.append(read_check(frame))
                has_answered = False
                clock.restart()
            elif "call" in frame:
                worker.send(program, frame)
                if not _wait(worker, program, clock, lambda: bool(program.frames)):
                    worker.kill(tester)
                    worker.await_exit(tester)
                    return self._end(program, tester, program, "")
                worker.send(tester, clean_reply(program.frames.pop(0)))
                has_answered = True
        for child in (tester, program):
            worker.kill(child)
            worker.await_exit(child)
        outcome = _finish(worker, program, clock, self._limits, None, is_done=True)
        return replace(outcome, checks=tuple(self._results))

    def _are_done(self) -> bool:
        has_failed = bool(self._results) and not self._results[-1].has_passed
        return len(self._results) == len(self._job.checks) or (self._job.is_stopping and has_failed)

    def _end(self, program: Child, tester: Child, cause: Child, raised: str, has_answered: bool = False) -> Outcome:
        """Return the outcome of checks that ended early because of one of both sides.

        `has_answered`: the program answered in the check under way, so the test code did what it did because of that.
        """
        other = tester if cause is program else program
        self._worker.kill(other)
        self._worker.await_exit(other)
        outcome = _finish(self._worker, cause, self._clock, self._limits, raised or None, is_done=False)
        origin = "program" if cause is program or has_answered else "checks"
        return replace(outcome, checks=tuple(self._results), origin=origin)


def clean_reply(frame: dict[str, Any]) -> dict[str, str]:
    """Return a program's reply with what a reply may have: a program writes to its channel what it likes."""
    if isinstance(frame.get("value"), str):
        return {"value": frame["value"]}
    error = frame.get("error", frame.get("broken"))
    reply = {"error": as_text(error) or "a message that is no answer"}
    return reply | {name: frame[name] for name in ("kind", "text") if isinstance(frame.get(name), str)}


def read_check(frame: Mapping[str, Any]) -> CheckResult:
    """Return what the message of the test code says about a check."""
    return CheckResult(
        frame.get("passed") is True, as_text(frame.get("error")) or "", read_seconds(frame.get("seconds"))
    )
