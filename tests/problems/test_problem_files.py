"""Files of code problems without a description: which column is read as what, said aloud; faults name the problem."""

import json
from pathlib import Path
from typing import Any

import pytest

from nbest.errors import DataError
from nbest.problems.benchmarks import load_benchmark
from nbest.problems.problem_files import describe_guess, guess_benchmark
from nbest.programs.tasks import code_task, read_problem_tests
from nbest.programs.tests import CallTest, CheckTest, StatementsTest, StdinTest

DATA = Path(__file__).parents[3] / "shared" / "data" / "benchmarks"
CHECK = "def check(candidate):\n    assert candidate(1) == 2\n"


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("row", "test", "words"),
    [
        ({"question": "Add.", "tests": [{"stdin": "1", "stdout": "2"}]}, StdinTest("1", "2"),
         "read from 'question', the tests from 'tests', the position as the id; the problems are of kind 'code'"),
        ({"prompt": "def f(x):\n", "test": CHECK, "entry_point": "f", "task_id": "t"}, CheckTest(CHECK, "f"),
         "the question is read from 'prompt', the tests from 'test', the id from 'task_id'; the problems are of kind"),
        ({"text": "Add.", "test_list": ["assert f(1)"], "test_setup_code": "x = 1"},
         StatementsTest(("assert f(1)",), "x = 1"),
         "the question is read from 'text', the tests from 'test_list', the position as the id"),
        ({"question_content": "Add.", "question_id": "q", "starter_code": "class Solution:\n    def f(self):\n",
          "public_test_cases": '[{"input": "1", "output": "2", "testtype": "functional"}]'},
         CallTest("Solution.f", (1,), 2),
         "the tests from 'public_test_cases', of which 'public_test_cases' is public, the starter code from "
         "'starter_code', the id from 'question_id'"),
        ({"problem": "Add.", "tests": ["assert f(1)"], "answer": "def f(): ...", "entry_point": "f"},
         StatementsTest(("assert f(1)",)), "the tests from 'tests'"),
    ],
)  # fmt: skip
def test_a_file_of_code_problems(tmp_path: Path, row: dict[str, Any], test: object, words: str):
    file = write(tmp_path / "mine.jsonl", row)
    (problem,) = load_benchmark(str(file))
    assert (problem.kind, problem.target) == ("code", None)
    assert read_problem_tests(problem) == (test,)
    assert words in describe_guess(file)
    assert "answer" not in describe_guess(file)


def test_a_file_with_answers_stays_what_it_was(tmp_path: Path):
    file = write(tmp_path / "mine.jsonl", {"question": "1+1?", "answer": 2, "tests": ["by hand"]})
    (problem,) = load_benchmark(str(file))
    assert (problem.kind, problem.target, problem.tests) == ("math", "2", ())
    assert describe_guess(file).endswith("read from 'question', the answer from 'answer', the position as the id")


def test_starter_code_is_shown(tmp_path: Path):
    row = {"question": "Add.", "starter_code": "def f(x):\n    ", "tests": ["assert f(1)"]}
    first, second = load_benchmark(str(write(tmp_path / "a.jsonl", row, row | {"starter_code": ""})))
    assert "```python\ndef f(x):\n" in first.prompt
    assert second.prompt == "Add."
    task = code_task(first)
    assert task is not None
    assert task.entry_point == "f"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tests": [{"stdin": "1"}]}, r"problem 'mine/p': tests\[0\]\.stdout: got nothing .*; allowed: a string"),
        (
            {"tests": ["assert f(1)", {"in": "1"}]},
            r"problem 'mine/p': tests\[1\]: got an object with in; allowed: a JSON",
        ),
        ({"tests": ["assert f("]}, r"problem 'mine/p': tests\[0\]: got 'assert f\(', which is neither JSON nor Python"),
        ({"tests": [5]}, r"tests: got list of 1; allowed: a list of strings"),
        (
            {"tests": [{"stdin": "1", "stdout": "2"}, 5]},
            r"tests: got list of 2; allowed: a list of strings and objects",
        ),
        ({"tests": None}, r"tests: got null; allowed: a string"),
        ({"tests": [CHECK]}, r"tests\[0\]\.entry_point: got no name of a function; allowed: the function to call"),
        ({"tests": ["assert f(1)"], "public_tests": ["assert f("]}, r"problem 'mine/p': public_tests\[0\]: got"),
    ],
)
def test_a_test_in_the_wrong_schema_is_a_fault(tmp_path: Path, row: dict[str, Any], message: str):
    file = write(tmp_path / "mine.jsonl", {"id": "p", "question": "Add.", **row})
    with pytest.raises(DataError, match=rf"mine\.jsonl:1: {message}" if "problem" in message else message):
        load_benchmark(str(file))


@pytest.mark.parametrize(
    ("name", "count", "columns"),
    [
        ("HumanEval.jsonl.gz", 164, "the tests from 'test'"),
        (
            "HumanEvalPlus-v0.1.10.jsonl.gz",
            164,
            "the tests from 'canonical_solution' and 'base_input' and 'plus_input'",
        ),
        ("MbppPlus-v0.2.0.jsonl.gz", 378, "the tests from 'canonical_solution' and 'base_input' and 'plus_input'"),
        ("mbpp.jsonl", 974, "the tests from 'test_list'"),
    ],
)
def test_the_real_files(name: str, count: int, columns: str):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    problems = load_benchmark(str(path))
    assert len(problems) == count
    assert columns in describe_guess(path)
    assert guess_benchmark(path).kind == "code"
    for problem in problems:
        task = code_task(problem)
        assert task is not None
        assert (task.entry_point != "") == ("entry_point" in problem.meta)
