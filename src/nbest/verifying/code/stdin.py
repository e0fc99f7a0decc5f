"""Grade programs that read stdin and print: every test has to pass, and the first that fails ends the work."""

from collections.abc import Sequence

from nbest.sandbox.executions import Script
from nbest.verifying.code.grades import INPUT_CHARACTERS, Grade, name_test, show_value
from nbest.verifying.code.outputs import find_difference
from nbest.verifying.code.packages import grade_missing_package
from nbest.verifying.code.running import Runner
from nbest.verifying.code.upstream import read_output, wrap_script


async def grade_stdin(runner: Runner, source: str, tests: Sequence[tuple[str, str]], is_upstream: bool) -> Grade:
    """Grade a program on pairs of stdin and expected stdout; `is_upstream`: as LiveCodeBench's own runner runs it."""
    for number, (text, expected) in enumerate(tests):
        fault = await _run_test(runner, source, text, expected, is_upstream)
        if isinstance(fault, Grade):
            return fault
        if fault:
            excerpt = show_value(text, INPUT_CHARACTERS)
            return Grade(False, f"{name_test(number, len(tests))}: {fault}; input {excerpt}")
    return Grade(True)


async def _run_test(runner: Runner, source: str, text: str, expected: str, is_upstream: bool) -> str | Grade:
    """Return what is wrong with the program on one test, "" for nothing; a grade where that decides about all tests."""
    mark = ""
    if is_upstream:
        script, mark = wrap_script(source, text)
        run = await runner.run(Script(script), runner.settings.test_seconds)
    else:
        run = await runner.run(Script(source, text), runner.settings.test_seconds)
    if run.slow is not None:
        return f"timed out after {run.seconds[run.slow]:g} s"
    if run.outcome.status != "finished":
        missing = grade_missing_package(run.outcome.message, runner.sandbox.describe())
        return missing or runner.describe_ending(run)
    return find_difference(read_output(run.outcome.stdout, mark) if mark else run.outcome.stdout, expected)
