"""Rows of LiveCodeBench with a program and upstream's verdict, as problems to grade: part of code_grading.py."""

import ast
import re
from dataclasses import dataclass
from typing import Any

from nbest.programs.tests import CallTest, StdinTest, write_test
from nbest.records import Completion, Problem

_TRUNCATED = "...(truncated) ..."
_RETURNS_TEXT = re.compile(r"->\s*str\s*:")


@dataclass(frozen=True, slots=True)
class Row:
    """A problem with the tests at hand, the completion, and upstream's verdict with its reason."""

    problem: Problem
    completion: Completion
    graded: bool
    reason: str


def read_row(row: dict[str, Any]) -> Row | None:
    """Return a row that can be checked: a right one with public tests, or a wrong one with its whole failing test.

    None for a row without a test, or whose failing test was shortened.
    """
    metadata: dict[str, Any] = row["metadata"]
    meta = {"question_id": row["question_id"], "starter_code": row["starter_code"]}
    tests: tuple[str, ...] = ()
    if row["graded"]:
        tests = (row["public_test_cases"],) if row["public_test_cases"] else ()
    else:
        test = _read_failing_test(metadata, row["starter_code"])
        tests = () if test is None else (test,)
    if not tests:
        return None
    problem = Problem(row["question_id"], row["question_content"], None, "code", tests, meta)
    reason = str(metadata.get("error") or metadata.get("error_message") or "")
    return Row(problem, Completion(row["output"]), row["graded"], reason)


def _read_failing_test(metadata: dict[str, Any], starter: str) -> str | None:
    """Return the test that upstream's program failed; None if it is not there as a whole."""
    text, expected = metadata.get("inputs"), metadata.get("expected")
    if not isinstance(text, str) or not isinstance(expected, str) or _TRUNCATED in text or _TRUNCATED in expected:
        return None
    if not starter:
        return write_test(StdinTest(text, expected))
    # Upstream keeps arguments and values as Python writes them; a text without its quotes.
    returns = expected if _RETURNS_TEXT.search(starter) else _read_value(expected)
    name = re.findall(r"def (\w+)\(self", starter)[-1]
    return write_test(CallTest(f"Solution.{name}", tuple(_read_value(text)), returns))


def _read_value(text: str) -> Any:
    """Return a value that Python wrote; infinities are no literals."""
    return ast.literal_eval(re.sub(r"\binf\b", "1e999", text))
