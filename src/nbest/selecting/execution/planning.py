"""Plan what the programs of a pool are run on: the inputs of tests, and what each test says of the replies.

Rules
    An input is a call with plain values or what a program reads from stdin; the same input occurs once.
    A test of one or more assertions about the value of one call each (`statements.py`), a call with an expected value,
    and a stdin test are decided by replies. Any other test is run as a statement; its calls with plain values are
    inputs too, because they show behaviour.
    A test that a policy wrote and that does not call the function of the task is left out, as is one that cannot be
    read; the notes count them. The same test occurs once, and `weight` is how often it was written.
    With more than `most` inputs, those of public tests go first, then those of the tests that were written most often;
    tests without their inputs are left out.

This module does not know programs, pools or sandboxes. Nothing here is executed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from nbest.errors import DataError
from nbest.plurals import show_count
from nbest.programs.tests import (
    CallTest,
    CheckTest,
    CodeTest,
    ReferenceTest,
    StatementsTest,
    StdinTest,
    collect_tests,
    read_public_tests,
    write_test,
)
from nbest.records import CodeTask
from nbest.sandbox.executions import Call
from nbest.selecting.execution.running import Input, Reply
from nbest.selecting.execution.statements import find_calls, names_entry_point, read_assertion, write_call
from nbest.verifying.code.outputs import find_difference


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a test says of the reply to the input with this number."""

    number: int
    holds: Callable[[Reply], bool]


@dataclass(frozen=True, slots=True)
class ProgramTest:
    """A test: `expectations` of replies, or a `statement` that runs after `setup`; `weight` is how often it occurs."""

    weight: int
    expectations: tuple[Expectation, ...] = ()
    statement: str | None = None
    setup: str = ""

    def holds(self, replies: Sequence[Reply]) -> bool:
        """Return whether all expectations hold; only for a test without a statement."""
        return all(expectation.holds(replies[expectation.number]) for expectation in self.expectations)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: the inputs, the public tests, the tests that a policy wrote, and what was left out."""

    inputs: tuple[Input, ...]
    public: tuple[ProgramTest, ...]
    written: tuple[ProgramTest, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to run."""
        return not (self.inputs or self.public or self.written)


def make_plan(task: CodeTask, public: Sequence[str], written: Sequence[str], most: int) -> Plan:
    """Return what to run for a task, with these tests that it shows and that a policy wrote, and `most` inputs."""
    notes: list[str] = []
    try:
        shown = read_public_tests(replace(task, public_tests=tuple(public)))
    except DataError as error:
        shown = ()
        notes.append(f"the public tests cannot be read: {str(error).splitlines()[0]}")
    read, faults = collect_tests(tuple(written), task.entry_point)
    usable = [test for test in read if _is_about(test, task)]
    if faults:
        notes.append(f"{show_count(len(faults), 'written test')} cannot be read")
    if strange := len(read) - len(usable):
        notes.append(f"{show_count(strange, 'written test')} left out: without a call of {task.entry_point!r}")
    planner = _Planner(task, most)
    public_tests = planner.add(_count(shown))
    # The order of equally frequent tests is that in which they were written.
    written_tests = planner.add(sorted(_count(usable), key=lambda counted: -counted[1]))
    if planner.left_out:
        notes.append(f"{show_count(planner.left_out, 'input')} beyond the first {most} left out")
    return Plan(tuple(planner.inputs), tuple(public_tests), tuple(written_tests), tuple(notes))


class _Planner:
    """Collects inputs, each once, and turns tests into expectations of them."""

    def __init__(self, task: CodeTask, most: int):
        self.inputs: list[Input] = []
        self._numbers: dict[str, int] = {}
        self.left_out = 0
        self._task = task
        self._most = most

    def add(self, counted: Iterable[tuple[CodeTest, int]]) -> list[ProgramTest]:
        tests = [self._add_test(test, weight) for test, weight in counted]
        return [test for test in tests if test is not None]

    def _add_test(self, test: CodeTest, weight: int) -> ProgramTest | None:
        match test:
            case StdinTest():
                return self._expect(weight, [(test.stdin, _make_printed(test.stdout))])
            case CallTest():
                call = Call(test.function, test.arguments)
                return self._expect(weight, [(call, _make_returned(test.returns, test.is_json))])
            case StatementsTest():
                return self._add_statements(test, weight)
            case CheckTest():
                return ProgramTest(weight, statement=f"check({test.entry_point})", setup=test.check)
            case ReferenceTest():
                # Its outputs are those of a reference program, which no selector runs: it gives inputs alone.
                for arguments in (*test.inputs, *test.plus_inputs):
                    self._number(Call(test.entry_point, arguments))
                return None

    def _add_statements(self, test: StatementsTest, weight: int) -> ProgramTest | None:
        assertions = [read_assertion(statement, self._task.entry_point) for statement in test.statements]
        pairs = [(each.call, _make_value(each.holds)) for each in assertions if each is not None]
        if len(pairs) == len(assertions) and not test.setup:
            return self._expect(weight, pairs)
        for statement in test.statements:
            for call in find_calls(statement, self._task.entry_point):
                self._number(call)
        return ProgramTest(weight, statement="\n".join(test.statements), setup=test.setup)

    def _expect(self, weight: int, pairs: Sequence[tuple[Input, Callable[[Reply], bool]]]) -> ProgramTest | None:
        numbers = [self._number(each) for each, _ in pairs]
        expectations = [
            Expectation(number, holds) for number, (_, holds) in zip(numbers, pairs, strict=True) if number is not None
        ]
        return ProgramTest(weight, tuple(expectations)) if len(expectations) == len(pairs) else None

    def _number(self, value: Input) -> int | None:
        """Return the number of an input; None if there is no room for a new one, or no way to pass it."""
        try:
            key = value if isinstance(value, str) else write_call(value)
        except ValueError:
            return None
        if key not in self._numbers:
            if len(self.inputs) >= self._most:
                self.left_out += 1
                return None
            self._numbers[key] = len(self.inputs)
            self.inputs.append(value)
        return self._numbers[key]


def _is_about(test: CodeTest, task: CodeTask) -> bool:
    """Return whether a test that a policy wrote calls the function of the task, or its program where it has none."""
    if isinstance(test, StdinTest):
        return not task.entry_point
    if isinstance(test, StatementsTest):
        return any(names_entry_point(statement, task.entry_point) for statement in test.statements)
    return bool(task.entry_point)


def _count(tests: Sequence[CodeTest]) -> list[tuple[CodeTest, int]]:
    """Return each test once, and how often it occurs."""
    counted: dict[str, tuple[CodeTest, int]] = {}
    for test in tests:
        key = _write(test)
        counted[key] = (test, counted.get(key, (test, 0))[1] + 1)
    return list(counted.values())


def _write(test: CodeTest) -> str:
    try:
        return write_test(test)
    except (TypeError, ValueError):
        # Values that JSON does not know, such as sets.
        return repr(test)


def _make_value(holds: Callable[[Any], bool]) -> Callable[[Reply], bool]:
    def check(reply: Reply) -> bool:
        try:
            return reply.has_answered and holds(reply.read_value())
        except ValueError:
            return False

    return check


def _make_returned(expected: Any, is_json: bool) -> Callable[[Reply], bool]:
    """Return a check of a returned value: equality, where a tuple may equal a list of JSON."""

    def holds(value: Any) -> bool:
        try:
            plain: Any = value
            if is_json and isinstance(value, tuple) and isinstance(expected, list):
                plain = list(cast("tuple[Any, ...]", value))
            return bool(plain == expected)
        except (RecursionError, ArithmeticError):
            return False

    return _make_value(holds)


def _make_printed(expected: str) -> Callable[[Reply], bool]:
    return lambda reply: reply.content is not None and not find_difference(reply.content, expected)
