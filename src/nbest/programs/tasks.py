"""What is public of a code problem, and the tests that grade it, from the fields that its source wrote.

`code_task` reads the prompt and `Problem.meta`, never `Problem.tests`. Fields of meta, by the first that is there:

    entry_point       `entry_point`, `func_name` in `metadata` (LiveCodeBench), the function of the starter code
    starter           `starter_code`, `starter`
    prefix            `prefix`, else the question, where it is code that ends in the function of the entry point
    public tests      `public_tests`, `public_test_cases`, else the examples of the question (`examples.py`)
    generated tests   `generated_tests`, `gen_tests`; each as often as `gen_test_counts` says, where it is there

A function of a class in the starter code is written `Class.method`. Runs that were written by earlier versions have the
same fields. This module does not know files or tables.
"""

import json
from collections.abc import Mapping
from typing import Any, cast

from nbest.programs.entry_points import continues_in, qualify
from nbest.programs.examples import find_examples
from nbest.programs.tests import CodeTest, TestFault, collect_tests, read_tests
from nbest.records import CodeTask, Kind, Problem


def code_task(problem: Problem) -> CodeTask | None:
    """Return what is public of a problem of kind `code`; None for other kinds."""
    return make_code_task(problem.kind, problem.prompt, problem.meta)


def make_code_task(kind: Kind, prompt: str, meta: Mapping[str, Any]) -> CodeTask | None:
    """Return `code_task` of a problem from these fields alone. A field of the wrong type counts as absent."""
    if kind != "code":
        return None
    starter = _read_text(meta, "starter_code") or _read_text(meta, "starter")
    entry_point = qualify(_read_text(meta, "entry_point") or _read_function_name(meta), starter)
    question = _read_text(meta, "question") or prompt
    prefix = _read_text(meta, "prefix") or (question if continues_in(question, entry_point) else "")
    public_tests = _read_tests(meta, "public_tests", "public_test_cases")
    return CodeTask(
        entry_point=entry_point,
        prefix=prefix,
        starter=starter,
        public_tests=public_tests or tuple(find_examples(question, entry_point)),
        generated_tests=_repeat(_read_tests(meta, "generated_tests", "gen_tests"), meta.get("gen_test_counts")),
    )


def read_problem_tests(problem: Problem) -> tuple[CodeTest, ...]:
    """Return the tests that grade a problem: `Problem.tests`, which no selector sees.

    Raises DataError, which names the problem and each field that cannot be read.
    """
    task = code_task(problem)
    return read_tests(
        problem.tests,
        f"problem {problem.id!r}: tests",
        entry_point=task.entry_point if task else "",
        setup=read_setup(problem.meta),
    )


def find_test_faults(problem: Problem) -> list[TestFault]:
    """Return what keeps the tests of a problem from being read; see `read_problem_tests`."""
    task = code_task(problem)
    return collect_tests(problem.tests, task.entry_point if task else "", read_setup(problem.meta))[1]


def read_setup(meta: Mapping[str, Any]) -> str:
    """Return the code that runs before the assertions of MBPP: `test_setup_code`, or the lines of `test_imports`."""
    imports = meta.get("test_imports")
    lines = [line for line in cast("list[Any]", imports) if isinstance(line, str)] if isinstance(imports, list) else []
    return _read_text(meta, "test_setup_code") or "\n".join(lines)


def _read_text(meta: Mapping[str, Any], name: str) -> str:
    value = meta.get(name)
    return value if isinstance(value, str) else ""


def _read_function_name(meta: Mapping[str, Any]) -> str:
    """Return `func_name` in LiveCodeBench's column `metadata`, an object or its JSON text."""
    values: Any = meta.get("metadata")
    if isinstance(values, str):
        try:
            values = json.loads(values)
        except (ValueError, RecursionError):
            return ""
    return _read_text(cast("dict[str, Any]", values), "func_name") if isinstance(values, dict) else ""


def _read_tests(meta: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    """Return the tests in the first of these fields that holds any: a text, or a list of texts or of objects."""
    for name in names:
        value = meta.get(name)
        if isinstance(value, str) and value.strip():
            return (value,)
        if isinstance(value, list) and value:
            items = cast("list[Any]", value)
            return tuple(item if isinstance(item, str) else json.dumps(item) for item in items)
    return ()


def _repeat(tests: tuple[str, ...], counts: object) -> tuple[str, ...]:
    """Return each test as often as it was written; once where that is not known."""
    items = cast("list[Any]", counts) if isinstance(counts, list) else []
    if len(items) != len(tests) or not all(isinstance(count, int) and 0 < count < 10_000 for count in items):
        return tests
    return tuple(test for test, count in zip(tests, items, strict=True) for _ in range(count))
