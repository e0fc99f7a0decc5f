"""Grade programs whose function is called with arguments: every call has to return what its test expects.

The values are compared here, outside the program's process, with `==`. Where the expected values come from JSON, which
has no tuples, a tuple counts as a list, at the top level only (LiveCodeBench's rule).
"""

from collections.abc import Sequence
from typing import Any, cast

from nbest.sandbox.executions import Call, Calls, Outcome
from nbest.verifying.code.grades import INPUT_CHARACTERS, Grade, name_test, show_value
from nbest.verifying.code.packages import grade_missing_package
from nbest.verifying.code.running import Run, Runner
from nbest.verifying.code.upstream import METHOD, wrap_function, wrap_method


async def grade_calls(
    runner: Runner,
    source: str,
    entry_point: str,
    tests: Sequence[tuple[tuple[Any, ...], Any]],
    is_upstream: bool = False,
    *,
    is_json: bool = True,
) -> Grade:
    """Grade a program on pairs of arguments and expected value.

    A method (`Solution.name`) runs behind the imports that LeetCode makes for its users, and a program without that
    class may define the function itself. `is_upstream`: all calls share one instance, as in LiveCodeBench's own runner.
    With `is_json` the expected values come from JSON, which has no tuples.
    """
    name = entry_point.rpartition(".")[2]
    if is_upstream and is_json:
        source, name = wrap_function(source, name), METHOD
    elif "." in entry_point:
        source, name = wrap_method(source, entry_point)
    calls = tuple(Call(name, arguments) for arguments, _ in tests)
    run = await runner.run(Calls(source, calls), runner.settings.test_seconds)
    for number, (arguments, expected) in enumerate(tests):
        fault = find_fault(runner, run, number, expected, is_json)
        if isinstance(fault, Grade):
            return fault
        if fault:
            excerpt = show_value(list(arguments), INPUT_CHARACTERS)
            return Grade(False, f"{name_test(number, len(tests))}: {fault}; arguments {excerpt}")
    return Grade(True)


def find_fault(runner: Runner, run: Run, number: int, expected: Any, is_json: bool) -> str | Grade:
    """Return what is wrong with one call, "" for nothing; a grade where that decides about all calls."""
    value, fault = read_return(runner, run, number)
    if fault:
        return fault
    if is_json and isinstance(value, tuple):
        value = list(cast("tuple[Any, ...]", value))
    return "" if are_equal(value, expected) else f"got {show_value(value)}, expected {show_value(expected)}"


def read_return(runner: Runner, run: Run, number: int) -> tuple[Any, str | Grade]:
    """Return the value of one call, and why there is none ("" if there is)."""
    outcome: Outcome = run.outcome
    if run.slow is not None and number >= run.slow:
        return None, f"timed out after {run.seconds[run.slow]:g} s"
    if number >= len(outcome.returns):
        message = outcome.message
    else:
        answer = outcome.returns[number]
        if answer.text is not None:
            try:
                return answer.value, ""
            except ValueError as error:
                return None, f"returned what is no value: {error}"
        message = answer.error
    missing = grade_missing_package(message, runner.sandbox.describe())
    if missing is not None:
        return None, missing
    if number >= len(outcome.returns):
        return None, runner.describe_ending(run, number)
    return None, f"raised {show_message(message)}"


def show_message(message: str) -> str:
    """Return the message of an exception, shortened."""
    message = message.strip()
    return message if len(message) <= 2 * INPUT_CHARACTERS else message[: 2 * INPUT_CHARACTERS] + "..."


def are_equal(value: Any, expected: Any) -> bool:
    """Return whether two values are equal as Python sees them; False where they cannot be compared."""
    try:
        return bool(value == expected)
    except (TypeError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return False
