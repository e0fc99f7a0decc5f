"""Grade one program on the tests of a problem, whatever their forms: the first test that it fails decides."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from nbest.errors import ConfigError, SandboxError
from nbest.programs.tests import CallTest, CheckTest, CodeTest, ReferenceTest, StatementsTest, StdinTest
from nbest.records import CodeTask
from nbest.verifying.code.assertions import grade_test_code, read_check, read_statements
from nbest.verifying.code.differential import Differential, grade_by_reference
from nbest.verifying.code.equality import ORACLES, choose_oracle
from nbest.verifying.code.functional import grade_calls
from nbest.verifying.code.grades import Grade
from nbest.verifying.code.inputs import restore_inputs
from nbest.verifying.code.running import Runner
from nbest.verifying.code.stdin import grade_stdin


def has_upstream_mode(tests: Sequence[CodeTest]) -> bool:
    """Return whether LiveCodeBench's own runner can run one of these tests."""
    return any(isinstance(test, StdinTest) or (isinstance(test, CallTest) and test.is_json) for test in tests)


async def grade_program(
    runner: Runner, source: str, tests: Sequence[CodeTest], task: CodeTask, is_upstream: bool = False
) -> Grade:
    """Grade a program on all tests, in order.

    None where the sandbox or the tests failed. HumanEval's test code uses the imports and helper functions of
    `task.prefix`. `is_upstream`: as LiveCodeBench's own runner would. Raises ConfigError for limits that the sandbox
    cannot hold.
    """
    try:
        for group in _split(tests):
            grade = await _grade_group(runner, source, group, task, is_upstream)
            if grade.correct is not True:
                return grade
    except ConfigError:
        raise
    except SandboxError as error:
        return Grade(None, f"the sandbox failed: {error}")
    except ValueError as error:
        return Grade(None, f"the tests cannot be run: {error}")
    return Grade(True)


def _split(tests: Sequence[CodeTest]) -> Iterator[list[CodeTest]]:
    """Yield runs of tests that one job or one loop of jobs can take."""

    def key(test: CodeTest) -> tuple[type[CodeTest], str, bool]:
        return (type(test), test.function, test.is_json) if isinstance(test, CallTest) else (type(test), "", False)

    for _, group in groupby(tests, key):
        yield list(group)


async def _grade_group(
    runner: Runner, source: str, tests: Sequence[CodeTest], task: CodeTask, is_upstream: bool
) -> Grade:
    first = tests[0]
    if isinstance(first, StdinTest):
        pairs = [(test.stdin, test.stdout) for test in tests if isinstance(test, StdinTest)]
        return await grade_stdin(runner, source, pairs, is_upstream)
    if isinstance(first, CallTest):
        calls = [(test.arguments, test.returns) for test in tests if isinstance(test, CallTest)]
        return await grade_calls(runner, source, first.function, calls, is_upstream, is_json=first.is_json)
    for test in tests:
        if isinstance(test, StatementsTest):
            code = read_statements(test.statements, test.setup, task.entry_point)
            grade = await grade_test_code(runner, source, code)
        elif isinstance(test, CheckTest):
            grade = await grade_test_code(runner, source, read_check(test.check, test.entry_point, task.prefix))
        elif isinstance(test, ReferenceTest):
            grade = await grade_by_reference(runner, source, read_reference(test))
        else:
            raise ValueError(f"no grader for a {type(test).__name__}")
        if grade.correct is not True:
            return grade
    return Grade(True)


def read_reference(test: ReferenceTest) -> Differential:
    """Return a test of EvalPlus with its inputs as Python values and its oracle. Raises ValueError."""
    oracle = test.oracle or choose_oracle(test.task_id, test.entry_point)
    if oracle not in ORACLES:
        raise ValueError(f"oracle: got {oracle!r}; allowed: {', '.join(name for name in ORACLES if name)}")
    groups = (("base", test.inputs), ("plus", test.plus_inputs))
    input_groups = tuple((name, tuple(restore_inputs(test.task_id, inputs))) for name, inputs in groups)
    return Differential(test.reference, test.entry_point, input_groups, oracle, test.atol)
