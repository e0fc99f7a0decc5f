"""Grade programs by their reference solution: the same inputs have to give the same values (HumanEval+, MBPP+)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nbest.plurals import show_count
from nbest.sandbox.executions import Call, Calls, Return
from nbest.verifying.code.equality import matches
from nbest.verifying.code.functional import read_return
from nbest.verifying.code.grades import INPUT_CHARACTERS, Grade, name_test, show_value
from nbest.verifying.code.references import Expected, FailedReference, find_expected
from nbest.verifying.code.running import Run, Runner

_QUICK_BYTES = 1 << 20
_BYTES_PER_SECOND = 8_000_000.0


@dataclass(frozen=True, slots=True)
class Differential:
    """A reference solution, with the inputs on which a program has to agree with it.

    `groups` holds named groups of inputs (`base`, `plus`), which run one after another, each in a process of its own.
    `oracle` is a key of `nbest.verifying.code.equality.ORACLES`.
    """

    reference: str
    entry_point: str
    groups: tuple[tuple[str, tuple[tuple[Any, ...], ...]], ...]
    oracle: str = ""
    tolerance: float = 0.0


async def grade_by_reference(runner: Runner, source: str, test: Differential) -> Grade:
    """Grade a program; None where the reference solution itself failed, and without an input.

    The first input that differs decides. Inputs on which the reference reaches a limit are left
    out, and the note counts them.
    """
    if not any(inputs for _, inputs in test.groups):
        return Grade(None, "the test has no inputs")
    missing = total = 0
    for name, inputs in test.groups:
        if not inputs:
            continue
        try:
            expected = await find_expected(runner, test.reference, test.entry_point, inputs)
        except FailedReference as error:
            return Grade(None, f"{error}, so there is nothing to compare with")
        grade = await _grade_group(runner, source, test, name, inputs, expected)
        if grade.correct is not True:
            return grade
        missing, total = missing + expected.missing, total + len(inputs)
    note = f"{missing} of {show_count(total, 'input')} left out, on which the reference reaches a limit"
    return Grade(True, note if missing else "")


async def _grade_group(
    runner: Runner,
    source: str,
    test: Differential,
    name: str,
    inputs: Sequence[tuple[Any, ...]],
    expected: Expected,
) -> Grade:
    settings = runner.settings
    pairs = [
        (arguments, text, seconds)
        for arguments, text, seconds in zip(inputs, expected.values, expected.seconds, strict=True)
        if text is not None
    ]
    times = [seconds + _estimate_transfer(text) for _, text, seconds in pairs]
    limits = [max(settings.least_seconds, settings.reference_factor * seconds) for seconds in times]
    own_seconds = settings.reference_factor * sum(times)
    total = max(min(settings.total_seconds, sum(limits)), own_seconds, max(limits))
    calls = tuple(Call(test.entry_point, arguments) for arguments, _, _ in pairs)
    output_bytes = 2 * sum(len(text) for _, text, _ in pairs)
    run = await runner.run(Calls(source, calls), limits, total, output_bytes)
    for number, (arguments, text, _) in enumerate(pairs):
        fault = _find_fault(runner, run, number, arguments, text, test)
        if isinstance(fault, Grade):
            return fault
        if fault:
            excerpt = show_value(list(arguments), INPUT_CHARACTERS)
            return Grade(False, f"{name} {name_test(number, len(pairs))}: {fault}; arguments {excerpt}")
    return Grade(True)


def _estimate_transfer(text: str) -> float:
    """Return about how many seconds it takes to write and read a large value, which the time of a call includes."""
    return max(0, len(text) - _QUICK_BYTES) / _BYTES_PER_SECOND


def _find_fault(
    runner: Runner, run: Run, number: int, arguments: Sequence[Any], expected: str, test: Differential
) -> str | Grade:
    """Return what is wrong with one call, "" for nothing; a grade where that decides about all calls."""
    returns = run.outcome.returns
    if run.slow is None and number < len(returns) and returns[number].text == expected:
        return ""
    value, fault = read_return(runner, run, number)
    if fault:
        return fault
    reference_value = Return(expected).value
    if matches(test.oracle, arguments, value, reference_value, test.tolerance):
        return ""
    return f"got {show_value(value)}, expected {show_value(reference_value)}"
