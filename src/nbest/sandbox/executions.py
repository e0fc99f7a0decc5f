"""What a sandbox is asked to run and what it answers: three forms of a job, one outcome.

A job runs a Python program that nobody trusts. What decides about a program is never in the program's own process:
`Script` returns what it printed, `Calls` returns the values of its functions as plain data, and `Checks` runs test code
in a second process that calls the program's functions by message. Whoever compares the answers is outside, so a program
cannot forge a pass; it can only print and return.

This module does not know how a job is isolated, nor what a right answer is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from nbest.protocols import Managed
from nbest.sandbox.values import decode_value

Status: TypeAlias = Literal["finished", "raised", "exited", "timed_out", "out_of_memory", "too_much_output", "killed"]
"""How a program ended.

`finished`: it ran to its end. `raised`: an exception reached the top (also a syntax error, and a function that is not
there). `exited`: it called exit with a status that is not 0, or left before it had answered. `timed_out`,
`out_of_memory` and `too_much_output`: a limit. `killed`: a signal, such as a segmentation fault, or too
many threads.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one job.

    `wall_seconds` is for a script, for each call and for each check, `total_seconds` for all of a job (None:
    `wall_seconds` times their number). CPU time is limited to the same total. `memory_bytes` limits the address space
    of each process, `processes` their number (more than 1 needs a backend that can count them; threads are not counted,
    and there may be 64 in all), `output_bytes` each of stdout, stderr and the returned values. With
    `disk_bytes` = 0 no file can be written at all; otherwise the working directory of the program takes that much.
    """

    wall_seconds: float = 10.0
    total_seconds: float | None = None
    memory_bytes: int = 2 << 30
    processes: int = 1
    open_files: int = 64
    output_bytes: int = 16 << 20
    disk_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Script:
    """Run `source` as `__main__` with `stdin`; the outcome has stdout and stderr."""

    source: str
    stdin: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `function` is a name of the program, or `Class.method` (a new instance without arguments per call).

    Arguments are plain data (see `nbest.sandbox.values`); they are copied for each call.
    """

    function: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Calls:
    """Run `source` once, then make the calls in order in the same process; the outcome has one `Return` per call made.

    A call that raises does not end the job; a call over its time, or a process that dies, does.
    """

    source: str
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Checks:
    """Run the statements `checks` against the program, in a process that is not the program's.

    `setup` runs before them in their process. `functions` are the names of the program that setup and checks call (a
    class is called as a function: its instances are opaque and can be passed back). Arguments and returned values
    cross as plain data, so no object of the program can pretend to be equal to anything. An exception of the program is
    raised again in the checks if it is a built-in one. Each check gives one `CheckResult`; with `is_stopping` the first
    one that fails ends the job.
    """

    source: str
    checks: tuple[str, ...]
    functions: tuple[str, ...]
    setup: str = ""
    is_stopping: bool = True


Job: TypeAlias = Script | Calls | Checks


@dataclass(frozen=True, slots=True)
class Return:
    """What one call gave: `text` is its value as `encode_value` writes it, None if it raised (`error` says what)."""

    text: str | None
    error: str = ""
    seconds: float = 0.0

    @property
    def value(self) -> Any:
        """The value; raises ValueError if there is none."""
        if self.text is None:
            raise ValueError(f"the call raised: {self.error}")
        return decode_value(self.text)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Whether a check passed; `error` says what it raised. `seconds` of wall-clock time."""

    has_passed: bool
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job. `message` says how the program ended, "" if it finished.

    `returns` (of Calls) and `checks` (of Checks) are shorter than the job where it ended early: the next one is the one
    that was under way, and `status` says why it did not answer. `origin` is "checks" where the test code itself ended
    early (its setup raised, it ran out of time before the program had answered anything in that check): that says
    nothing about the program. `seconds` of wall-clock time, `cpu_seconds` of the program's process, `memory_bytes` its
    largest resident size.
    """

    status: Status
    message: str = ""
    stdout: str = ""
    stderr: str = ""
    returns: tuple[Return, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    origin: Literal["program", "checks"] = "program"
    exit_code: int | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Isolation:
    """What a manifest keeps of a sandbox: the backend, what isolates, and what programs may import.

    `packages` holds versions by name, `python` among them. `is_isolated` is False only for the backend that isolates
    nothing.
    """

    backend: str
    is_isolated: bool
    layers: tuple[str, ...] = ()
    packages: dict[str, str] = field(default_factory=dict[str, str])


@runtime_checkable
class Sandbox(Managed, Protocol):
    """Runs jobs, several at a time where it can; concurrent calls queue."""

    async def run(self, job: Job, limits: Limits | None = None) -> Outcome:
        """Run one job (None: `Limits()`).

        Raises SandboxError if the sandbox itself failed: that says nothing about the program. Raises ConfigError for
        limits that this sandbox cannot hold.
        """
        ...

    async def run_alone(self, job: Job, limits: Limits | None = None) -> Outcome:
        """Run one job while no other job of this sandbox runs: for a program that was close to its time limit."""
        ...

    def describe(self) -> Isolation:
        """Return what isolates the programs."""
        ...


SandboxFactory: TypeAlias = Callable[[], Sandbox]
"""Opens the sandbox of a command when it is first needed."""
