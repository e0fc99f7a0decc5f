"""Tasks and programs that nobody here wrote, a part of each; benchmarks/code_grading.py has all. Needs the data."""

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nbest.programs.tests import CheckTest, CodeTest, ReferenceTest, StatementsTest
from nbest.records import CodeTask, Completion, Problem, Trajectory
from nbest.sandbox.executions import Sandbox
from nbest.verifying.code.grades import Grade
from nbest.verifying.code.grading import grade_program
from nbest.verifying.code.running import Runner
from nbest.verifying.code.settings import CodeSettings
from nbest.verifying.code.verifier import CodeVerifier

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def load_benchmark() -> Any:
    """Load a module of `benchmarks/`, which is no package."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    return load


async def grade_all(sandbox: Sandbox, programs: list[tuple[str, CodeTest, CodeTask]]) -> list[Grade]:
    runner = Runner(sandbox, CodeSettings())
    return list(await asyncio.gather(*(grade_program(runner, source, [test], task) for source, test, task in programs)))


async def test_references_of_humaneval_pass_their_own_tests(sandbox: Sandbox, read_data: Any) -> None:
    rows = read_data("benchmarks/HumanEval.jsonl.gz")[::4]
    programs = [
        (
            row["prompt"] + row["canonical_solution"],
            CheckTest(row["test"], row["entry_point"]),
            CodeTask(row["entry_point"], row["prompt"]),
        )
        for row in rows
    ]
    grades = await grade_all(sandbox, programs)
    assert [(row["task_id"], grade) for row, grade in zip(rows, grades, strict=True) if not grade.correct] == []


async def test_references_of_mbpp_pass_their_own_tests(sandbox: Sandbox, read_data: Any) -> None:
    # 126 and 533 use built-in names and types, 367 and 927 build objects of the program in their setup.
    rows = read_data("benchmarks/mbpp.jsonl")
    rows = rows[:974:25] + [row for row in rows if row["task_id"] in (126, 367, 533, 601, 927)]
    entry_points = {126: "sum"}
    programs = [
        (
            row["code"],
            StatementsTest(tuple(row["test_list"]), row["test_setup_code"]),
            CodeTask(entry_points.get(row["task_id"], "")),
        )
        for row in rows
    ]
    grades = await grade_all(sandbox, programs)
    assert [(row["task_id"], grade) for row, grade in zip(rows, grades, strict=True) if not grade.correct] == []


def read_plus(rows: list[dict[str, Any]]) -> list[ReferenceTest]:
    return [
        ReferenceTest(
            row["prompt"] + row["canonical_solution"],
            row["entry_point"],
            tuple(tuple(arguments) for arguments in row["base_input"]),
            tuple(tuple(arguments) for arguments in row["plus_input"] or [])[:100],
            "",
            float(row["atol"]),
            row["task_id"],
        )
        for row in rows
    ]


@pytest.mark.parametrize("name", ["HumanEvalPlus-v0.1.10.jsonl.gz", "MbppPlus-v0.2.0.jsonl.gz"])
async def test_references_pass_and_mutants_fail(
    sandbox: Sandbox, read_data: Any, load_benchmark: Any, name: str
) -> None:
    rows = [row for row in read_data(f"benchmarks/{name}") if row["task_id"] not in ("HumanEval/15", "HumanEval/130")]
    special = ("HumanEval/32", "Mbpp/2", "Mbpp/115", "Mbpp/124", "Mbpp/252", "Mbpp/580", "Mbpp/722")
    tests = read_plus(rows[::25] + [row for row in rows if row["task_id"] in special])
    grades = await grade_all(sandbox, [(test.reference, test, CodeTask(test.entry_point)) for test in tests])
    assert [(test.task_id, grade) for test, grade in zip(tests, grades, strict=True) if not grade.correct] == []
    texts = [test for test in tests if test.task_id not in special]
    mutants = [
        mutant for mutant in load_benchmark("code_mutants").make_mutants(texts, 0) if mutant.kind == "wrong type"
    ]
    mutants = [mutant for mutant in mutants if "str(str(" not in mutant.source][:6]
    results = await grade_all(sandbox, [(item.source, item.test, CodeTask(item.test.entry_point)) for item in mutants])
    # A function that returns a text is not changed by one more `str`.
    assert sum(grade.correct is False for grade in results) >= 4
    assert all(grade.note for grade in results if not grade.correct)


async def test_verdicts_are_those_of_livecodebench(sandbox: Sandbox, read_data: Any, load_benchmark: Any) -> None:
    read_row = load_benchmark("livecodebench_rows").read_row
    # Rows whose program was stopped at the time limit are left to the benchmark.
    data = read_data("benchmarks/lcb_v6_problems_and_qwen7b.jsonl.gz")
    rows = [row for row in map(read_row, data) if row is not None and "Timeout" not in row.reason]
    assert len(rows) > 700
    verifier = CodeVerifier(lambda: sandbox, CodeSettings("upstream"))
    right = [row for row in rows if row.graded][::4]
    sample = [*right, *[row for row in rows if not row.graded][::20]]

    async def grade(problem: Problem, completion: Completion) -> bool | None:
        (verdict,) = await verifier.verify(problem, [Trajectory("t", problem.id, 0, 0, completion)])
        return verdict.correct

    verdicts = await asyncio.gather(*(grade(row.problem, row.completion) for row in sample))
    agreeing = sum(verdict == row.graded for verdict, row in zip(verdicts, sample, strict=True))
    assert agreeing >= 0.99 * len(sample)


async def test_verdicts_are_the_labels_of_humaneval_pools(sandbox: Sandbox, read_data: Any) -> None:
    rows = read_data("pools/humaneval_codegen16b.jsonl.gz")[5::40]
    verifier = CodeVerifier(lambda: sandbox)
    agreeing = total = 0
    for row in rows:
        meta = {"entry_point": row["entry_point"]}
        problem = Problem(row["problem_id"], row["question"], kind="code", tests=(row["test"],), meta=meta)
        samples = row["samples"][:30]
        trajectories = [Trajectory(str(n), problem.id, n, 0, Completion(s["text"])) for n, s in enumerate(samples)]
        verdicts = await verifier.verify(problem, trajectories)
        agreeing += sum(verdict.correct == s["correct"] for verdict, s in zip(verdicts, samples, strict=True))
        total += len(samples)
    assert agreeing >= 0.99 * total
