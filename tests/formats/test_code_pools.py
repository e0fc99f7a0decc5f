"""Pools of code problems: what a line states comes back as the public part of its pool, on every way to a pool."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from nbest.formats.exports import export_run
from nbest.formats.pools import import_pools
from nbest.programs.tasks import read_problem_tests
from nbest.programs.tests import CheckTest, StdinTest, collect_tests
from nbest.records import CodeTask
from nbest.storage.lookup import PoolLookup
from nbest.storage.run import Run

DATA = Path(__file__).parents[3] / "shared" / "data" / "pools" / "humaneval_codegen16b.jsonl.gz"
PREFIX = 'def f(x):\n    """ Add one. """\n'
CHECK = "def check(candidate):\n    assert candidate(1) == 2\n"


def make_run(path: Path, file: Path, **options: Any) -> Run:
    run = Run.create(path, {"identity": {}, "info": {}})
    report = import_pools(run, [file], **options)
    assert report.is_clean, report.faults
    return run


def write(path: Path, *lines: dict[str, Any]) -> Path:
    samples = [{"text": "    return x + 1\n", "correct": True, "generated_tests_passed": "1"}]
    texts = [json.dumps({"problem_id": "p", "question": PREFIX, "samples": samples} | line) for line in lines]
    path.write_text("\n".join(texts))
    return path


def read_codes(run: Run) -> list[CodeTask | None]:
    """The public part of each pool, the same from the stream of pools and from the lookup of one."""
    streamed = [pool.code for pool in run.pools()]
    lookup = PoolLookup(run)
    assert [lookup.read_pool(problem).code for problem in run.problems()] == streamed
    return streamed


def export_again(run: Run, folder: Path) -> Run:
    file = folder / "exported.jsonl.gz"
    export_run(run, file)
    return make_run(folder / "again", file)


@pytest.mark.parametrize(
    ("line", "task"),
    [
        ({"test": CHECK, "entry_point": "f"}, CodeTask("f", PREFIX)),
        ({"test": CHECK, "entry_point": "f", "gen_tests": ["assert f(1) == 2"]},
         CodeTask("f", PREFIX, generated_tests=("assert f(1) == 2",))),
        ({"tests": ["assert f(1) == 2"], "entry_point": "f", "generated_tests": ["assert f(2)"],
          "public_tests": [{"statements": ["assert f(0) == 1"]}]},
         CodeTask("f", PREFIX, "", ('{"statements": ["assert f(0) == 1"]}',), ("assert f(2)",))),
        ({"question": "Add one.", "tests": [{"stdin": "1", "stdout": "2"}]}, CodeTask()),
        ({"question": "Add one.", "kind": "code", "starter_code": "class Solution:\n    def f(self, x):\n"},
         CodeTask("Solution.f", "", "class Solution:\n    def f(self, x):\n")),
    ],
)  # fmt: skip
def test_the_public_part_of_a_line(tmp_path: Path, line: dict[str, Any], task: CodeTask):
    run = make_run(tmp_path / "run", write(tmp_path / "a.jsonl", line))
    assert read_codes(run) == [task]
    (problem,) = run.problems()
    assert problem.kind == "code"
    again = export_again(run, tmp_path)
    assert list(again.problems()) == [problem]
    assert read_codes(again) == [task]


def test_pools_of_other_kinds_have_none(tmp_path: Path):
    line = {"target": "2", "gen_tests": 5, "public_tests": [1]}
    run = make_run(tmp_path / "run", write(tmp_path / "a.jsonl", line, line | {"problem_id": "q", "tests": ["a"]}))
    assert [problem.kind for problem in run.problems()] == ["math", "math"]
    assert read_codes(run) == [None, None]


def test_tests_may_be_objects(tmp_path: Path):
    tests = ['{"stdin": "1", "stdout": "2"}', {"stdin": "3", "stdout": "4"}]
    run = make_run(tmp_path / "run", write(tmp_path / "a.jsonl", {"question": "Add one.", "tests": tests}))
    (problem,) = run.problems()
    assert problem.kind == "code"
    assert read_problem_tests(problem) == (StdinTest("1", "2"), StdinTest("3", "4"))


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({"tests": [{"stdin": "1"}, 5]}, "tests"),
        ({"tests": [5], "entry_point": "f"}, "tests"),
        ({"tests": ["a"], "entry_point": 5}, "entry_point"),
        ({"tests": ["a"], "entry_point": "f", "gen_tests": [5]}, "gen_tests"),
        ({"tests": ["a"], "entry_point": "f", "generated_tests": 2}, "generated_tests"),
        ({"kind": "code", "public_tests": [None]}, "public_tests"),
        ({"kind": "code", "starter_code": ["class Solution"]}, "starter_code"),
    ],
)
def test_a_field_of_the_wrong_type_is_a_fault(tmp_path: Path, line: dict[str, Any], field: str):
    run = Run.create(tmp_path / "run", {"identity": {}, "info": {}})
    report = import_pools(run, [write(tmp_path / "a.jsonl", line)])
    assert [fault.field for fault in report.faults] == [field]
    assert report.problems == 0


def test_the_public_part_holds_no_hidden_test(tmp_path: Path):
    line = {"test": CHECK, "entry_point": "f"}
    with_tests = make_run(tmp_path / "a", write(tmp_path / "a.jsonl", line))
    without = {"kind": "code", "entry_point": "f", "problem_id": "p"}
    assert read_codes(with_tests) == read_codes(make_run(tmp_path / "b", write(tmp_path / "b.jsonl", without)))


def test_the_real_pools_of_humaneval(tmp_path: Path):
    if not DATA.exists():
        pytest.skip(f"{DATA} is not here")
    with gzip.open(DATA, "rt") as lines:
        rows = [json.loads(line) for _, line in zip(range(12), lines, strict=False)]
    for row in rows:
        row["samples"] = row["samples"][:5]
    file = tmp_path / "pools.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = make_run(tmp_path / "run", file)
    codes = read_codes(run)
    for row, problem, code in zip(rows, run.problems(), codes, strict=True):
        assert code is not None
        assert (code.entry_point, code.prefix) == (row["entry_point"], row["question"])
        assert tuple(dict.fromkeys(code.generated_tests)) == tuple(row["gen_tests"])
        assert len(collect_tests(code.generated_tests, code.entry_point)[0]) == sum(row["gen_test_counts"])
        assert read_problem_tests(problem) == (CheckTest(row["test"], row["entry_point"]),)
    again = export_again(run, tmp_path)
    assert list(again.problems()) == list(run.problems())
    assert read_codes(again) == codes
    # What the source says of generated tests and samples is kept, and nothing reads it.
    (pool,) = again.pools(ids=[rows[0]["problem_id"]])
    stated = [sample["generated_tests_passed"] for sample in rows[0]["samples"]]
    assert [trajectory.meta["generated_tests_passed"] for trajectory in pool.trajectories] == stated
