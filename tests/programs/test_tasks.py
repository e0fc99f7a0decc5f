"""What is public of a code problem, from the fields that its source wrote."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from nbest.errors import DataError
from nbest.programs.tasks import code_task, find_test_faults, read_problem_tests
from nbest.programs.tests import CallTest, CheckTest, StatementsTest, StdinTest, collect_tests
from nbest.records import CodeTask, Problem

DATA = Path(__file__).parents[3] / "shared" / "data"
PREFIX = 'def f(x):\n    """ Add.\n    >>> f(1)\n    2\n    """\n'
STARTER = "class Solution:\n    def f(self, x: int) -> int:\n        "


def problem(prompt: str = "Add.", tests: tuple[str, ...] = (), **meta: Any) -> Problem:
    return Problem("p", prompt, None, "code", tests, meta)


@pytest.mark.parametrize(
    ("source", "task"),
    [
        (problem(), CodeTask()),
        (problem(entry_point="f"), CodeTask("f")),
        (problem(PREFIX, entry_point="f"), CodeTask("f", PREFIX, public_tests=("assert f(1) == 2",))),
        (problem("Do:\n" + PREFIX, entry_point="f", question=PREFIX),
         CodeTask("f", PREFIX, public_tests=("assert f(1) == 2",))),
        (problem(PREFIX, entry_point="f", public_tests=["assert f(0) == 1"]),
         CodeTask("f", PREFIX, public_tests=("assert f(0) == 1",))),
        (problem(entry_point="f", prefix="def f():\n"), CodeTask("f", "def f():\n")),
        (problem(starter_code=STARTER), CodeTask("Solution.f", "", STARTER)),
        (problem(starter_code=STARTER, metadata='{"func_name": "g"}'), CodeTask("Solution.g", "", STARTER)),
        (problem(starter_code=STARTER, metadata={"func_name": "f"}), CodeTask("Solution.f", "", STARTER)),
        (problem(starter_code=STARTER, metadata={"error_code": -2}), CodeTask("Solution.f", "", STARTER)),
        (problem(starter_code=STARTER, metadata="{"), CodeTask("Solution.f", "", STARTER)),
        (problem(metadata="{}", starter_code=""), CodeTask()),
        (problem(starter="def f(x):\n"), CodeTask("f", "", "def f(x):\n")),
        (problem(public_test_cases='[{"input": "1"}]'), CodeTask(public_tests=('[{"input": "1"}]',))),
        (problem(public_test_cases=[{"input": "1"}]), CodeTask(public_tests=('{"input": "1"}',))),
        (problem(public_test_cases=None), CodeTask()),
        (problem(gen_tests=["assert f(1)", "assert g("]), CodeTask(generated_tests=("assert f(1)", "assert g("))),
        (problem(generated_tests=["assert f(1)"], gen_tests=["assert f(2)"]),
         CodeTask(generated_tests=("assert f(1)",))),
        (problem(gen_tests=["a", "b"], gen_test_counts=[2, 1]), CodeTask(generated_tests=("a", "a", "b"))),
        (problem(gen_tests=["a", "b"], gen_test_counts=[2]), CodeTask(generated_tests=("a", "b"))),
        (problem(gen_tests=["a", "b"], gen_test_counts=[2, 1 << 40]), CodeTask(generated_tests=("a", "b"))),
        (problem(gen_tests=["a", "b"], gen_test_counts=[0, "1"]), CodeTask(generated_tests=("a", "b"))),
        # Fields of another type, as meta of any import may hold them.
        (problem(entry_point=5, starter_code=[], gen_tests={}, public_tests=3, metadata=[1], prefix=None), CodeTask()),
    ],
)  # fmt: skip
def test_the_public_part(source: Problem, task: CodeTask):
    assert code_task(source) == task


def test_a_problem_of_another_kind_has_none():
    assert code_task(Problem("p", PREFIX, "1", "math", meta={"entry_point": "f"})) is None


def test_hidden_tests_are_no_part_of_it():
    hidden = ("assert f(7) == 8", '{"stdin": "7", "stdout": "8"}')
    assert code_task(problem(PREFIX, hidden, entry_point="f")) == code_task(problem(PREFIX, entry_point="f"))


def test_the_tests_that_grade():
    check = "def check(candidate):\n    assert candidate(1) == 2\n"
    assert read_problem_tests(problem(PREFIX, (check,), entry_point="f")) == (CheckTest(check, "f"),)
    mbpp = problem(tests=("assert f(1) == 2",), test_setup_code="import math")
    assert read_problem_tests(mbpp) == (StatementsTest(("assert f(1) == 2",), "import math"),)
    plus = problem(tests=("assert f(1) == 2",), test_imports=["import math", "import re"])
    assert read_problem_tests(plus) == (StatementsTest(("assert f(1) == 2",), "import math\nimport re"),)
    cases = json.dumps([{"input": "1\n2", "output": "3", "testtype": "functional"}])
    assert read_problem_tests(problem(tests=(cases,), starter_code=STARTER)) == (CallTest("Solution.f", (1, 2), 3),)
    assert read_problem_tests(problem(tests=('{"stdin": "1", "stdout": "2"}',))) == (StdinTest("1", "2"),)


def test_faults_name_the_problem():
    wrong = problem(tests=("assert f(1)", "assert f("))
    with pytest.raises(DataError, match=r"^problem 'p': tests\[1\]: got 'assert f\('"):
        read_problem_tests(wrong)
    assert [fault.path for fault in find_test_faults(wrong)] == ["[1]"]
    assert find_test_faults(problem(tests=("assert f(1)",))) == []


def test_the_stored_pools_of_humaneval():
    path = DATA / "pools" / "humaneval_codegen16b.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    with gzip.open(path, "rt") as lines:
        for row in map(json.loads, lines):
            meta = {name: row[name] for name in ("entry_point", "gen_tests", "gen_test_counts")}
            task = code_task(Problem(row["problem_id"], row["question"], None, "code", (row["test"],), meta))
            assert task is not None
            assert (task.entry_point, task.prefix) == (row["entry_point"], row["question"])
            assert tuple(dict.fromkeys(task.generated_tests)) == tuple(row["gen_tests"])
            # Its questions lack the examples of the original ones, but for a few.
            assert len(task.public_tests) <= 4
            assert len(collect_tests(task.generated_tests, task.entry_point)[0]) == sum(row["gen_test_counts"])
