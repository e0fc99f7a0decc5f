"""Reads a table of problems by itself: guesses from the names of its columns which hold question, answer and id.

A table with a column of tests has code problems: these have no answer, and the columns of HumanEval, EvalPlus, MBPP and
LiveCodeBench are known. A guess that is not certain is an error that names the columns. This module does not read the
problems.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbest.errors import DataError
from nbest.problems.benchmark_table import Benchmark, templates
from nbest.problems.code_rows import ENTRY_POINT
from nbest.problems.rows import read_rows
from nbest.text.json_lines import Fault

ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet")
"""The endings by which a source of problems is known to be a file of them."""
QUESTIONS = ("question", "problem", "prompt", "query")
ANSWERS = ("answer", "target", "expected_answer", "final_answer", "ground_truth", "reference_answer")
TESTS = ("tests", "test", "test_list", "public_test_cases", "private_test_cases")
PUBLIC_TESTS = ("public_tests", "public_test_cases")
INPUTS, PLUS_INPUTS, REFERENCE, STARTER = "base_input", "plus_input", "canonical_solution", "starter_code"
"""Columns of code problems: tests of which all count, those that the statement shows, those of EvalPlus, and starter
code."""
CODE_QUESTIONS = (*QUESTIONS, "question_content", "text")
IDS = ("id", "problem_id", "question_id", "unique_id", "task_id")
"""The names of columns that are recognised, in any case. Of several names of ids the first one counts."""


STARTER_TEMPLATE = "livecodebench_starter"
"""The template of rows with starter code, which their question does not show."""


def is_problem_file(source: str) -> bool:
    """Return whether a source of problems is a table of problems, by its ending."""
    return source.lower().endswith(ENDINGS)


def describe_guess(file: Path) -> str:
    """Return a sentence that says which column of a table is read as what. Raises as `guess_benchmark`."""
    benchmark = guess_benchmark(file)
    ids = f"the id from {benchmark.id[0]!r}" if benchmark.id else "the position as the id"
    question = f"{file}: the question is read from {benchmark.question[0]!r}"
    if benchmark.kind != "code":
        return f"{question}, the answer from {benchmark.answer[0]!r}, {ids}"
    tests = f"the tests from {_show_columns(_list_test_columns(benchmark))}"
    public = f", of which {_show_columns(benchmark.public_tests)} is public" if benchmark.public_tests else ""
    starter = f", the starter code from {benchmark.starter!r}" if benchmark.starter else ""
    return f"{question}, {tests}{public}{starter}, {ids}; the problems are of kind 'code'"


def _list_test_columns(benchmark: Benchmark) -> tuple[str, ...]:
    """Return the columns that the tests are read from."""
    if benchmark.inputs:
        return tuple(name for name in (benchmark.reference, benchmark.inputs, benchmark.plus_inputs) if name)
    return benchmark.tests


def _show_columns(names: Sequence[str]) -> str:
    return " and ".join(repr(name) for name in names)


def guess_benchmark(file: Path) -> Benchmark:
    """Return how the problems of a table are read, from the names of all its columns.

    Raises DataError if no column, or more than one, may hold the question or the answer, or if there is no row.
    """
    columns: dict[str, None] = {}
    faults: list[str] = []
    for row in read_rows(file):
        if isinstance(row, Fault):
            faults.append(str(row))
        else:
            columns |= dict.fromkeys(row.values)
    if not columns:
        raise DataError("\n".join(faults[:20]) or f"{file}: it has no problems. Write one per line")
    names = list(columns)
    messages = list[str]()
    code = _guess_code(names)
    question = _find_column(names, CODE_QUESTIONS if code else QUESTIONS, f"{file}: question", messages)
    answer = () if code else (_find_column(names, ANSWERS, f"{file}: answer", messages),)
    if messages:
        raise DataError("\n".join(messages))
    ids = [name for known in IDS for name in names if name.lower() == known]
    stem = file.name[: -len(next(end for end in ENDINGS if file.name.lower().endswith(end)))]
    return Benchmark(
        name=stem,
        title=stem,
        question=(question,),
        answer=answer,
        id=tuple(ids[:1]),
        file=file,
        is_own=True,
        **code,
    )


def _guess_code(names: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a benchmark for code problems; empty if no column holds tests.

    Beside a column of answers, tests alone do not make a problem one of code: the table has to name functions too.
    """
    tests = _select_columns(names, TESTS)
    reference, inputs, plus_inputs, starter = (
        next(iter(_select_columns(names, (known,))), "") for known in (REFERENCE, INPUTS, PLUS_INPUTS, STARTER)
    )
    has_inputs = bool(reference and inputs)
    is_stated = bool(_select_columns(names, (ENTRY_POINT, STARTER))) or has_inputs
    if not (tests or has_inputs) or (_select_columns(names, ANSWERS) and not is_stated):
        return {}
    fields: dict[str, Any] = {"kind": "code", "tests": tests, "public_tests": _select_columns(names, PUBLIC_TESTS)}
    if has_inputs:
        fields |= {"reference": reference, "inputs": inputs, "plus_inputs": plus_inputs}
    if starter:
        fields |= {"starter": starter, "template_starter": templates()[STARTER_TEMPLATE]}
    return fields


def _select_columns(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the columns with one of the known names, in the order of these."""
    return tuple(name for each in known for name in names if name.lower() == each)


def _find_column(names: list[str], known: tuple[str, ...], field: str, messages: list[str]) -> str:
    """Return the only column with a known name; otherwise "", and a message is added."""
    candidates = [name for name in names if name.lower() in known]
    if len(candidates) == 1:
        return candidates[0]
    advice = "or name the column in a .toml file (docs/formats.md)"
    if candidates:
        messages.append(f"{field}: it may be any of the columns {', '.join(candidates)}; leave one of them, {advice}")
    else:
        columns = ", ".join(names)
        messages.append(f"{field}: no column of this kind among {columns}; allowed are {', '.join(known)}, {advice}")
    return ""
