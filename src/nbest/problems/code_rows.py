"""The tests, public tests and entry point of a row with a code problem.

Tests are kept as their source wrote them; only those of EvalPlus, which come in several columns, are put together. This
module does not know templates or tables of benchmarks beyond the names of columns, and does not unpack tests.
"""

import json
from collections.abc import Sequence
from typing import Any, cast

from nbest.problems.benchmark_table import Benchmark
from nbest.programs.entry_points import find_called_function
from nbest.programs.tasks import code_task, find_test_faults
from nbest.programs.tests import ReferenceTest, collect_tests, is_packed, write_test
from nbest.records import Problem
from nbest.text.json_lines import Fields, describe

ENTRY_POINT = "entry_point"
PUBLIC_TESTS = "public_tests"
"""The field of `Problem.meta` with the tests that the statement of a problem shows."""


def take_tests(fields: Fields, benchmark: Benchmark, question: str) -> tuple[str, ...]:
    """Return the tests of a row: a reference solution with its inputs where the row has them, else its tests."""
    if benchmark.inputs and fields.has(benchmark.inputs):
        return _take_reference_test(fields, benchmark, question)
    return tuple(test for name in benchmark.tests for test in take_test_column(fields, name, required=True))


def take_public_tests(fields: Fields, benchmark: Benchmark) -> tuple[str, ...]:
    """Return the tests that the statement shows; a row may lack them."""
    return tuple(test for name in benchmark.public_tests for test in take_test_column(fields, name))


def take_test_column(fields: Fields, name: str, required: bool = False) -> list[str]:
    """Return the tests in a column: a text, an object, or a list of these. Packed tests are not unpacked."""
    value = fields.values.get(name)
    items = cast("list[Any]", value) if isinstance(value, list) else [value]
    if not any(isinstance(item, dict) for item in items):
        if isinstance(value, list):
            return fields.take_texts(name) or []
        test = fields.take_text(name, required)
        return [] if test is None else [test]
    fields.take(name)
    if not all(isinstance(item, (str, dict)) for item in items):
        fields.add_fault(name, describe(items), "a list of strings and objects")
        return []
    return [item if isinstance(item, str) else json.dumps(item) for item in items]


def name_entry_point(fields: Fields, benchmark: Benchmark, tests: Sequence[str]) -> str:
    """Return the function that assertions call, for rows that do not name it; "" if it is named or unknown."""
    if isinstance(fields.values.get(ENTRY_POINT), str):
        return ""
    reference = fields.values.get(benchmark.reference) if benchmark.reference else None
    assertions = [test for test in tests if test.lstrip().startswith("assert")]
    return find_called_function(assertions, reference if isinstance(reference, str) else "")


def check_tests(fields: Fields, problem: Problem) -> None:
    """Report the tests of a problem that cannot be read. Packed ones are read when they are needed, and not here."""
    task = code_task(problem)
    public_tests = task.public_tests if task else ()
    if any(is_packed(test) for test in (*problem.tests, *public_tests)):
        return
    faults = {"tests": find_test_faults(problem)}
    if task and not set(public_tests) <= set(problem.tests):
        faults[PUBLIC_TESTS] = collect_tests(public_tests, task.entry_point)[1]
    for name, faults_of_field in faults.items():
        for fault in faults_of_field:
            fields.add_fault(f"problem {problem.id!r}: {name}{fault.path}", fault.actual, fault.allowed)


def _take_reference_test(fields: Fields, benchmark: Benchmark, question: str) -> tuple[str, ...]:
    """Return the test of a row of EvalPlus, whose reference solution continues the question."""
    reference = fields.take_text(benchmark.reference, required=True) or ""
    inputs = {name: _take_inputs(fields, name) for name in (benchmark.inputs, benchmark.plus_inputs)}
    atol = fields.take_number("atol") or 0.0
    # Meta keeps the name of the function.
    entry_point = fields.inside({ENTRY_POINT: fields.values.get(ENTRY_POINT)}, "").take_text(ENTRY_POINT, True) or ""
    task_id = next((fields.values[name] for name in benchmark.id if fields.has(name)), "")
    base, plus = inputs.get(benchmark.inputs, ()), inputs.get(benchmark.plus_inputs, ())
    for name in benchmark.tests:
        # What EvalPlus does not grade by would only be in the way.
        fields.take(name)
    test = ReferenceTest(question + reference, entry_point, base, plus, atol=atol, task_id=str(task_id))
    return (write_test(test),)


def _take_inputs(fields: Fields, name: str) -> tuple[tuple[Any, ...], ...]:
    value: Any = fields.take(name) if name else None
    items: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
    if not value:
        # A task without such inputs has null, an empty list or an empty object.
        return ()
    if not all(isinstance(item, list) for item in items):
        fields.add_fault(name, describe(items), "a list with the list of arguments of each call")
        return ()
    return tuple(tuple(cast("list[Any]", item)) for item in items)
