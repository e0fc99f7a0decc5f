# pyright: standard
"""Run one program on many inputs, and write down what it did as text: equal behaviour has equal texts.

Rules
    The behaviour on an input is the returned value (`canonical_text`: values that are equal in Python have equal
    texts), or what was printed without the white space at the ends of lines and of the whole; else the type of the
    exception; else how the program ended (`timed_out`, `killed`, ...).
    All calls of one program are made in one process. Where a call ends the process, the program starts again behind it,
    `MOST_STARTS` times at most: the inputs that are left then count as the last one that was tried. So a program that
    never ends costs its time a few times, and not once per input.
    A program that fails before it can be called behaves so on every input.
    A job that ran out of time without having had the processor for a tenth of it runs once more, alone: a busy machine
    is not the program's behaviour.

This module does not know pools, tests or selectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from nbest.loop_thread import gather_all
from nbest.sandbox.executions import Call, Calls, Checks, Job, Limits, Outcome, Return, Sandbox, Script
from nbest.sandbox.values import canonical_text, decode_value
from nbest.verifying.code.upstream import wrap_method

MOST_STARTS = 3
"""How often a program is started for the inputs of one question."""

TOTAL_FACTOR = 5
"""All inputs of one start may take this many times the limit of one input."""

LEAST_PROCESSOR_SHARE = 0.1
"""A job that ran out of time counts if it had the processor for this share of it."""

Input: TypeAlias = Call | str
"""What a program runs on: a call of one of its functions, or what it reads from stdin."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a program did on one input.

    `behaviour` is the text that is compared. `content` is what it answered: a value as `encode_value` writes it, or
    what it printed; None if it answered nothing.
    """

    behaviour: str
    content: str | None = None

    @property
    def has_answered(self) -> bool:
        """Whether the program returned a value, or ran to its end."""
        return self.content is not None

    def read_value(self) -> Any:
        """Return the returned value. Raises ValueError if there is none."""
        if self.content is None:
            raise ValueError(f"no value: {self.behaviour}")
        return decode_value(self.content)


class ProgramRunner:
    """Runs programs in a sandbox with a limit of `seconds` per input."""

    def __init__(self, sandbox: Sandbox, seconds: float):
        self._sandbox = sandbox
        self._limits = Limits(wall_seconds=seconds, total_seconds=seconds * TOTAL_FACTOR)

    async def run(self, source: str, inputs: Sequence[Input]) -> list[Reply]:
        """Return what the program did on each input, in order. Raises SandboxError."""
        calls = [each for each in inputs if isinstance(each, Call)]
        texts = [each for each in inputs if isinstance(each, str)]
        replies = iter(await self._call(source, calls))
        outcomes = iter(await gather_all([self._start(Script(source, text)) for text in texts]))
        return [next(replies) if isinstance(each, Call) else _read_script(next(outcomes)) for each in inputs]

    async def check(self, source: str, statements: Sequence[str], functions: tuple[str, ...], setup: str) -> list[bool]:
        """Return whether each statement passes. Raises SandboxError.

        A statement that ends the process fails, and the next ones are run in a new one, as calls are.
        """
        passed: list[bool] = []
        for _ in range(MOST_STARTS):
            rest = tuple(statements[len(passed) :])
            if not rest:
                break
            job = Checks(source, rest, functions, setup, is_stopping=False)
            outcome = await self._start(job)
            passed += [check.has_passed for check in outcome.checks]
            if len(passed) < len(statements):
                if not outcome.checks and outcome.status in ("finished", "raised"):
                    break
                passed.append(False)
        return passed + [False] * (len(statements) - len(passed))

    async def _start(self, job: Job) -> Outcome:
        outcome = await self._sandbox.run(job, self._limits)
        if outcome.status == "timed_out" and outcome.cpu_seconds < LEAST_PROCESSOR_SHARE * outcome.seconds:
            return await self._sandbox.run_alone(job, self._limits)
        return outcome

    async def _call(self, source: str, calls: Sequence[Call]) -> list[Reply]:
        replies: list[Reply] = []
        last = Reply("")
        for _ in range(MOST_STARTS):
            rest = tuple(calls[len(replies) :])
            if not rest:
                break
            outcome = await self._start(_make_calls(source, rest))
            replies += map(_read_return, outcome.returns)
            if len(replies) == len(calls):
                break
            last = Reply(_describe_end(outcome))
            if outcome.status in ("finished", "raised"):
                # A call that raises does not end the job: the program itself failed, before it could be called.
                break
            replies.append(last)
        return replies + [last] * (len(calls) - len(replies))


def _make_calls(source: str, calls: Sequence[Call]) -> Calls:
    """Return the job of these calls. A method runs as graders run it: see `wrap_method`."""
    names: dict[str, str] = {}
    wrapped = source
    for method in {call.function for call in calls if "." in call.function}:
        wrapped, names[method] = wrap_method(source, method)
    return Calls(wrapped, tuple(Call(names.get(call.function, call.function), call.arguments) for call in calls))


def _read_return(returned: Return) -> Reply:
    if returned.text is None:
        return Reply(f"raised {_read_type(returned.error)}")
    try:
        return Reply(f"returned {canonical_text(returned.text)}", returned.text)
    except (ValueError, TypeError, RecursionError):
        return Reply("returned what is no value")


def _read_script(outcome: Outcome) -> Reply:
    if outcome.status != "finished":
        return Reply(_describe_end(outcome))
    return Reply(f"printed {strip_lines(outcome.stdout)}", outcome.stdout)


def strip_lines(text: str) -> str:
    """Return a text without the white space at the ends of its lines and of the whole."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _describe_end(outcome: Outcome) -> str:
    return f"raised {_read_type(outcome.message)}" if outcome.status == "raised" else outcome.status


def _read_type(message: str) -> str:
    """Return the type at the start of the message of an exception, such as `ValueError: ...`."""
    return message.partition(":")[0].strip() or "an exception"
