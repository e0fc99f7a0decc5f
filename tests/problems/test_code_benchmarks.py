"""Code problems of published sets and of a user's own files: tests, public tests, entry points, windows."""

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbest.errors import ConfigError, DataError
from nbest.problems.benchmarks import find_benchmark, load_benchmark, templates
from nbest.programs.tasks import code_task, read_problem_tests
from nbest.programs.tests import CallTest, CheckTest, ReferenceTest, StatementsTest, StdinTest, read_public_tests
from nbest.records import CodeTask, Problem

DATA = Path(__file__).parents[3] / "shared" / "data" / "benchmarks"
STARTER = "class Solution:\n    def f(self, x: int) -> int:\n        "


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the recorded hashes away from the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def task_of(problem: Problem) -> CodeTask:
    task = code_task(problem)
    assert task is not None
    return task


def real(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path


def case(stdin: str, stdout: str, testtype: str = "stdin") -> dict[str, str]:
    return {"input": stdin, "output": stdout, "testtype": testtype}


def livecodebench(number: int, **more: Any) -> dict[str, Any]:
    return {
        "question_content": "Add one.",
        "question_id": f"q{number}",
        "contest_date": "2025-02-01T00:00:00",
        "starter_code": "",
        "public_test_cases": json.dumps([case("1\n", "2\n")]),
        "private_test_cases": json.dumps([case("3\n", "4\n")]),
        "metadata": "{}",
    } | more


def test_livecodebench_keeps_its_public_tests_apart(tmp_path: Path):
    functional = {
        "starter_code": STARTER,
        "metadata": '{"func_name": "f"}',
        "public_test_cases": json.dumps([case("1", "2", "functional")]),
        "private_test_cases": json.dumps([case("[1]", "null", "functional")]),
    }
    rows = [livecodebench(number) for number in range(173)]
    rows += [livecodebench(173, **functional), livecodebench(174, **functional, question_content="Add two.")]
    problems = load_benchmark("livecodebench_v6_new", write(tmp_path / "a.jsonl", *rows))
    first, last = problems[0], problems[-1]
    assert task_of(first) == CodeTask(public_tests=(rows[0]["public_test_cases"],))
    assert read_public_tests(task_of(first)) == (StdinTest("1\n", "2\n"),)
    assert read_problem_tests(first) == (StdinTest("1\n", "2\n"), StdinTest("3\n", "4\n"))
    assert (task_of(last).entry_point, task_of(last).starter) == ("Solution.f", STARTER)
    assert read_public_tests(task_of(last)) == (CallTest("Solution.f", (1,), 2),)
    assert read_problem_tests(last)[1] == CallTest("Solution.f", ([1],), None)
    assert STARTER in last.prompt


def test_the_windows_of_livecodebench_read_every_file_that_holds_their_problems():
    names = [f"test{number}.jsonl" for number in ("", 2, 3, 4, 5, 6)]
    for name in ("livecodebench_v6", "livecodebench_v6_2408_2505"):
        assert list(find_benchmark(name).files) == names
        assert "files" not in find_benchmark(name).unconfirmed


def own(tmp_path: Path, file: Path, **fields: Any) -> str:
    path = tmp_path / "mine.toml"
    entries = {"file": str(file), "kind": "code"} | fields
    days = ("since", "until")
    path.write_text(
        "".join(f"{name} = {value if name in days else json.dumps(value)}\n" for name, value in entries.items())
    )
    return str(path)


def test_all_problems_of_livecodebench_v6(tmp_path: Path):
    file = real("lcb_v6_problems_and_qwen7b.jsonl.gz")
    columns = {
        "question": "question_content",
        "id": "question_id",
        # The file holds the public tests of some problems, and no private ones.
        "public_tests": "public_test_cases",
        "untested": True,
        "starter": "starter_code",
        "template": "livecodebench",
        "template_starter": "livecodebench_starter",
        "released": "contest_date",
    }
    problems = load_benchmark(own(tmp_path, file, **columns))
    assert len(problems) == 1055
    tasks = [task_of(problem) for problem in problems]
    counts = Counter(
        (
            problem.meta["platform"],
            task.entry_point.startswith("Solution."),
            bool(task.starter),
            bool(task.public_tests),
        )
        for problem, task in zip(problems, tasks, strict=True)
    )
    assert counts == {
        ("leetcode", True, True, False): 444,
        ("atcoder", False, False, False): 392,
        ("atcoder", False, False, True): 210,
        ("codeforces", False, False, True): 9,
    }
    for problem, task in zip(problems, tasks, strict=True):
        assert (problem.kind, task.prefix) == ("code", "")
        if task.starter:
            assert f"def {task.entry_point.removeprefix('Solution.')}(self" in task.starter
            assert task.starter in problem.prompt
        else:
            assert task.entry_point == ""
        assert all(isinstance(test, StdinTest) for test in read_public_tests(task, problem.id))
    window = {"since": "2024-08-01", "until": "2025-05-31", "problems": 454}
    assert len(load_benchmark(own(tmp_path, file, **columns, **window))) == 454


@pytest.mark.parametrize("name", ["HumanEval.jsonl.gz", "HumanEvalPlus-v0.1.10.jsonl.gz"])
def test_all_problems_of_humaneval(name: str):
    is_plus = "Plus" in name
    problems = load_benchmark("humaneval_plus" if is_plus else "humaneval", real(name))
    with gzip.open(DATA / name, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    for problem, row in zip(problems, rows, strict=True):
        task = task_of(problem)
        assert (task.entry_point, task.prefix) == (row["entry_point"], row["prompt"])
        assert row["prompt"].strip() in problem.prompt
        (test,) = read_problem_tests(problem)
        if not is_plus:
            assert test == CheckTest(row["test"], row["entry_point"])
            continue
        assert isinstance(test, ReferenceTest)
        assert (test.entry_point, test.task_id, test.atol) == (row["entry_point"], row["task_id"], row["atol"])
        assert test.reference == row["prompt"] + row["canonical_solution"]
        assert [list(each) for each in test.inputs] == row["base_input"]
        assert [list(each) for each in test.plus_inputs] == row["plus_input"]
        assert not {"base_input", "plus_input", "canonical_solution", "test"} & problem.meta.keys()


def test_all_problems_of_mbpp():
    problems = load_benchmark("mbpp", real("mbpp.jsonl"))
    assert [problem.id for problem in (problems[0], problems[-1])] == ["mbpp/11", "mbpp/510"]
    for problem in problems:
        task = task_of(problem)
        assert f"def {task.entry_point}" in problem.meta["code"]
        tests = read_problem_tests(problem)
        assert all(isinstance(test, StatementsTest) for test in tests)
        assert {test.setup for test in tests if isinstance(test, StatementsTest)} == {problem.meta["test_setup_code"]}
        # The prompt shows all tests, so a selector that ran them would know the verdict.
        assert all(test in problem.prompt for test in problem.tests)
        assert task.public_tests == ()


def test_all_problems_of_mbpp_plus():
    problems = load_benchmark("mbpp_plus", real("MbppPlus-v0.2.0.jsonl.gz"))
    assert len(problems) == 378
    for problem in problems:
        task = task_of(problem)
        (test,) = read_problem_tests(problem)
        assert isinstance(test, ReferenceTest)
        assert test.entry_point == task.entry_point
        assert test.inputs
        (public,) = read_public_tests(task, problem.id)
        assert isinstance(public, StatementsTest)
        assert task.entry_point in public.statements[0]
        assert public.statements[0] in problem.prompt
        assert problem.prompt.startswith("Please provide a self-contained Python script")


def test_the_copies_of_evalplus_on_the_hub(tmp_path: Path):
    check = "def check(candidate):\n    assert candidate(1) == 2\n"
    rows = [
        {
            "task_id": f"HumanEval/{n}",
            "prompt": "def f(x):\n",
            "entry_point": "f",
            "canonical_solution": "",
            "test": check,
        }
        for n in range(164)
    ]
    problem = load_benchmark("humaneval_plus", write(tmp_path / "a.jsonl", *rows))[0]
    assert read_problem_tests(problem) == (CheckTest(check, "f"),)
    test = "import numpy as np\n\ndef near(a, b):\n    return a == b\n\nfor x in [1]:\n    assert near(f(x), 2)\n"
    rows = [
        {"task_id": n, "prompt": "Add one.", "code": "def f(x):\n  return x + 1", "test_imports": ["import math"],
         "test_list": ["assert f(1) == 2", "assert f(2) == 3"], "test": test}
        for n in range(378)
    ]  # fmt: skip
    problem = load_benchmark("mbpp_plus", write(tmp_path / "b.jsonl", *rows))[0]
    task = task_of(problem)
    assert task.entry_point == "f"
    assert task.public_tests == ("assert f(1) == 2", "assert f(2) == 3")
    assert "Add one. Your code should pass these tests:\n\nassert f(1) == 2\nassert f(2) == 3\n" in problem.prompt
    (grading,) = read_problem_tests(problem)
    assert isinstance(grading, StatementsTest)
    assert grading.statements == ("for x in [1]:\n    assert near(f(x), 2)",)
    assert grading.setup.startswith("import math\nimport numpy as np\ndef near")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"plus_input": [1]}, ["plus_input", "list of 1", "arguments of each call"]),
        ({"base_input": "x"}, ["base_input", "arguments of each call"]),
        ({"entry_point": None}, ["entry_point", "null", "a string"]),
        ({"canonical_solution": None}, ["canonical_solution", "null"]),
        ({"atol": "small"}, ["atol", "a finite number"]),
    ],
)
def test_faulty_columns_of_evalplus(tmp_path: Path, row: dict[str, Any], words: list[str]):
    plus = {"task_id": "HumanEval/0", "prompt": "def f(x):\n", "entry_point": "f", "canonical_solution": "    return x",
            "base_input": [[1]], "plus_input": [[2]], "atol": 0}  # fmt: skip
    with pytest.raises(DataError) as caught:
        load_benchmark("humaneval_plus", write(tmp_path / "a.jsonl", plus | row))
    for word in ["a.jsonl:1", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("empty", [None, [], {}])
def test_inputs_may_be_empty(tmp_path: Path, empty: Any):
    row = {"task_id": "x", "prompt": "Add.", "entry_point": "f", "canonical_solution": "", "base_input": [[1]]}
    (problem,) = load_benchmark(str(write(tmp_path / "a.jsonl", row | {"plus_input": empty})))
    (test,) = read_problem_tests(problem)
    assert isinstance(test, ReferenceTest)
    assert (test.inputs, test.plus_inputs) == (((1,),), ())


def test_a_range_of_ids(tmp_path: Path):
    rows = [{"n": number, "q": f"q{number}", "a": "1"} for number in ("7", 8, 9, 10)]
    fields = {"kind": "math", "question": "q", "answer": "a", "id": "n", "id_range": [8, 9]}
    problems = load_benchmark(own(tmp_path, write(tmp_path / "a.jsonl", *rows), **fields))
    assert [problem.prompt for problem in problems] == ["q8", "q9"]
    with pytest.raises(DataError, match="n: got str 'x'; allowed: a whole number"):
        load_benchmark(own(tmp_path, write(tmp_path / "a.jsonl", {"n": "x", "q": "q", "a": "1"}), **fields))
    for wrong in ([1], [1, "2"], 5, [True, 2]):
        with pytest.raises(ConfigError, match=r"id_range: got .*; allowed: two whole numbers"):
            find_benchmark(own(tmp_path, tmp_path / "a.jsonl", **fields | {"id_range": wrong}))


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"id_range": [1, 2]}, "id"),
        ({"inputs": "i"}, "reference"),
        ({"plus_inputs": "i"}, "inputs"),
        ({"template_tests": "mbpp"}, "public_tests"),
    ],
)
def test_fields_that_need_another(tmp_path: Path, fields: dict[str, Any], missing: str):
    with pytest.raises(
        ConfigError, match=f": {missing}: got nothing; allowed: a column, which {next(iter(fields))} needs"
    ):
        find_benchmark(own(tmp_path, tmp_path / "a.jsonl", question="q", tests="t", **fields))


def test_a_template_replaces_all_of_a_benchmark(tmp_path: Path):
    rows = [livecodebench(number, starter_code=STARTER) for number in range(175)]
    file = write(tmp_path / "a.jsonl", *rows)
    assert load_benchmark("livecodebench_v6_new", file, template="plain")[0].prompt == "Add one."
    assert templates()["evalplus"].count("{question}") == 1


def test_packed_tests_are_not_unpacked_when_they_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> Callable[..., None]:
        raise AssertionError("unpacked")

    monkeypatch.setattr("nbest.programs.tests.read_test_data", refuse)
    row = livecodebench(0, private_test_cases="eJxrYJmqzQABPawAAA==")
    fields = {"question": "question_content", "tests": ["private_test_cases"]}
    (problem,) = load_benchmark(own(tmp_path, write(tmp_path / "a.jsonl", row), **fields))
    assert problem.tests == ("eJxrYJmqzQABPawAAA==",)
