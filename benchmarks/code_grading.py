"""How the verdicts on code agree with verdicts that others published, and whether the tests of EvalPlus find faults.

    python benchmarks/code_grading.py [--data FOLDER] [--parts humaneval,livecodebench,references,mutants] [--quick]

`humaneval`: 164 problems x 100 programs of CodeGen-16B with the labels of CodeT. `livecodebench`: one program for each
of 1,055 problems with the verdict of upstream's runner, where one complete test or the public tests are at hand.
`references`: the reference solutions of HumanEval+ and MBPP+ on all their inputs. `mutants`: references with one change
(off by one, wrong type, swapped branch), which have to fail where they differ on an input. Every difference is listed.
The data is not part of the repository.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from answers_agreement import read_lines
from code_mutants import Mutant, make_mutants
from json_result import JsonResult, add_json_option
from livecodebench_rows import read_row

from nbest.programs.tests import ReferenceTest
from nbest.records import CodeTask, Completion, Problem, Trajectory
from nbest.sandbox.executions import Call, Calls, Limits, Sandbox
from nbest.sandbox.opening import open_sandbox
from nbest.verifying.code.grading import grade_program, read_reference
from nbest.verifying.code.running import Runner
from nbest.verifying.code.settings import CodeSettings
from nbest.verifying.code.verifier import CodeVerifier

PARTS = ("humaneval", "livecodebench", "references", "mutants")
PLUS_FILES = {"HumanEval+": "HumanEvalPlus-v0.1.10.jsonl.gz", "MBPP+": "MbppPlus-v0.2.0.jsonl.gz"}
MUTANTS = 200


async def compare_humaneval(data: Path, sandbox: Sandbox, quick: bool) -> dict[str, Any]:
    """Return the agreement with the labels of the HumanEval pools, with every difference."""
    rows = read_lines(data / "pools" / "humaneval_codegen16b.jsonl.gz")[:: 8 if quick else 1]
    verifier = CodeVerifier(lambda: sandbox)
    started = time.monotonic()
    differences: list[dict[str, Any]] = []
    ungraded = agreeing = total = right = 0

    async def grade(row: dict[str, Any]) -> None:
        nonlocal agreeing, total, ungraded, right
        problem = Problem(
            row["problem_id"], row["question"], None, "code", (row["test"],), {"entry_point": row["entry_point"]}
        )
        trajectories = [
            Trajectory(f"{problem.id}#{index}", problem.id, index, 0, Completion(sample["text"]))
            for index, sample in enumerate(row["samples"])
        ]
        verdicts = await verifier.verify(problem, trajectories)
        for verdict, sample in zip(verdicts, row["samples"], strict=True):
            total += 1
            right += verdict.correct is True
            ungraded += verdict.correct is None
            agreeing += verdict.correct == sample["correct"]
            if verdict.correct != sample["correct"]:
                item = {"id": verdict.trajectory_id, "label": sample["correct"], "verdict": verdict.correct}
                differences.append({**item, "note": verdict.note})

    await asyncio.gather(*(grade(row) for row in rows))
    seconds = time.monotonic() - started
    return {
        "programs": total,
        "agreement": agreeing / total,
        "pass@1": right / total,
        "ungraded": ungraded,
        "seconds": seconds,
        "per_second": total / seconds,
        "differences": sorted(differences, key=lambda item: item["id"]),
    }


async def compare_livecodebench(data: Path, sandbox: Sandbox, quick: bool) -> dict[str, Any]:
    """Return the agreement with the verdicts of upstream's runner, in both modes, with every difference."""
    rows = [read_row(row) for row in read_lines(data / "benchmarks" / "lcb_v6_problems_and_qwen7b.jsonl.gz")]
    checkable = [row for row in rows if row is not None][:: 8 if quick else 1]
    verifier = CodeVerifier(lambda: sandbox, CodeSettings("both"))
    counts: Counter[str] = Counter()
    differences: list[dict[str, Any]] = []
    started = time.monotonic()

    async def grade(row: Any) -> None:
        (verdict,) = await verifier.verify(
            row.problem, [Trajectory(row.problem.id, row.problem.id, 0, 0, row.completion)]
        )
        other = next((item for item in verifier.differences if item.trajectory_id == row.problem.id), None)
        upstream = verdict.correct if other is None else other.upstream
        kind = "failing test" if not row.graded else "public tests"
        counts[f"{kind}: rows"] += 1
        counts[f"{kind}: mode upstream agrees"] += upstream == row.graded
        counts[f"{kind}: mode true agrees"] += verdict.correct == row.graded
        counts["modes differ"] += other is not None
        if verdict.correct != row.graded or upstream != row.graded:
            differences.append(
                {
                    "id": row.problem.id,
                    "published": row.graded,
                    "published_reason": row.reason,
                    "true": verdict.correct,
                    "upstream": upstream,
                    "note": verdict.note,
                }
            )

    await asyncio.gather(*(grade(row) for row in checkable))
    return {
        "rows": len(rows),
        "checkable": len(checkable),
        "counts": dict(counts),
        "seconds": time.monotonic() - started,
        "differences": differences,
        "mode_differences": [item.to_json() for item in verifier.differences],
    }


def read_plus(data: Path, name: str) -> list[ReferenceTest]:
    """Return the tests of a file of EvalPlus; the reference is the prompt with its solution."""
    return [
        ReferenceTest(
            row["prompt"] + row["canonical_solution"],
            row["entry_point"],
            tuple(tuple(arguments) for arguments in row["base_input"]),
            # Where a task has no further inputs, the file holds an empty object.
            tuple(tuple(arguments) for arguments in row["plus_input"] or []),
            "",
            float(row["atol"]),
            row["task_id"],
        )
        for row in read_lines(data / "benchmarks" / name)
    ]


async def grade_references(data: Path, sandbox: Sandbox, quick: bool) -> dict[str, Any]:
    """Grade every reference solution on its own inputs; return those that do not pass, and inputs left out."""
    runner = Runner(sandbox, CodeSettings())
    result: dict[str, Any] = {}
    for benchmark, name in PLUS_FILES.items():
        tests = read_plus(data, name)[:: 8 if quick else 1]
        started = time.monotonic()

        async def grade(test: ReferenceTest) -> tuple[str, Any]:
            task = CodeTask(test.entry_point)
            return test.task_id, await grade_program(runner, test.reference, [test], task)

        grades = await asyncio.gather(*(grade(test) for test in tests))
        result[benchmark] = {
            "references": len(tests),
            "inputs": sum(len(test.inputs) + len(test.plus_inputs) for test in tests),
            "passing": sum(grade.correct is True for _, grade in grades),
            "failing": {task: grade.note for task, grade in grades if grade.correct is not True},
            "notes": {task: grade.note for task, grade in grades if grade.correct is True and grade.note},
            "seconds": time.monotonic() - started,
        }
    return result


async def grade_mutants(data: Path, sandbox: Sandbox, quick: bool) -> dict[str, Any]:
    """Grade mutated references that return something else on a stored input; return those that pass nevertheless."""
    wanted = MUTANTS // 8 if quick else MUTANTS
    tests = [test for name in PLUS_FILES.values() for test in read_plus(data, name)]
    runner = Runner(sandbox, CodeSettings(least_seconds=2.0))
    counts: Counter[str] = Counter()
    passing: list[dict[str, str]] = []
    candidates = make_mutants(tests, seed=0)

    async def grade(mutant: Mutant) -> None:
        if not await _differs(sandbox, mutant):
            counts["equal on every stored input"] += 1
            return
        result = await grade_program(runner, mutant.source, [mutant.test], CodeTask(mutant.test.entry_point))
        counts["differing"] += 1
        counts[mutant.kind] += 1
        counts[{True: "passing", False: "failing", None: "ungraded"}[result.correct]] += 1
        if result.correct is not False:
            passing.append(
                {"task": mutant.test.task_id, "kind": mutant.kind, "change": mutant.change, "note": result.note}
            )

    while counts["differing"] < wanted:
        batch = [mutant for mutant, _ in zip(candidates, range(wanted - counts["differing"]), strict=False)]
        if not batch:
            break
        await asyncio.gather(*(grade(mutant) for mutant in batch))
    return {"counts": dict(counts), "not_failing": passing}


async def _differs(sandbox: Sandbox, mutant: Mutant) -> bool:
    """Return whether a mutant's value differs from the reference's on a stored input, by equality alone."""
    test = read_reference(mutant.test)
    calls = tuple(Call(test.entry_point, arguments) for _, inputs in test.groups for arguments in inputs)
    limits = Limits(wall_seconds=2.0, total_seconds=20.0, memory_bytes=4 << 30, output_bytes=64 << 20)
    first = await sandbox.run(Calls(test.reference, calls), limits)
    second = await sandbox.run(Calls(mutant.source, calls), limits)
    if len(first.returns) < len(calls):
        return False
    values = [answer.text for answer in second.returns]
    return values != [answer.text for answer in first.returns]


def print_result(result: dict[str, Any]) -> None:
    """Print the tables."""
    if humaneval := result.get("humaneval"):
        print(
            f"HumanEval, CodeGen-16B: {humaneval['agreement']:.4%} of {humaneval['programs']:,} verdicts are the label,"
        )
        print(f"  pass@1 {humaneval['pass@1']:.4f}, {humaneval['per_second']:.0f} programs/s")
        for item in humaneval["differences"]:
            print(f"  {item['id']}: label {item['label']}, verdict {item['verdict']}: {item['note'][:150]}")
    if livecodebench := result.get("livecodebench"):
        print(f"LiveCodeBench: {livecodebench['checkable']:,} of {livecodebench['rows']:,} rows can be checked")
        for name, count in sorted(livecodebench["counts"].items()):
            print(f"  {name}: {count:,}")
        for item in livecodebench["differences"]:
            print(
                f"  {item['id']}: published {item['published']} ({item['published_reason'][:60]}), "
                f"true {item['true']}, upstream {item['upstream']}: {item['note'][:150]}"
            )
    for benchmark, row in result.get("references", {}).items():
        print(f"{benchmark}: {row['passing']} of {row['references']} references pass {row['inputs']:,} inputs")
        for task, note in {**row["failing"], **row["notes"]}.items():
            print(f"  {task}: {note[:150]}")
    if mutants := result.get("mutants"):
        print(f"mutants: {mutants['counts']}")
        for item in mutants["not_failing"]:
            oracle = item["oracle"] or "none"
            print(f"  {item['task']} ({item['kind']}: {item['change']}), oracle {oracle}: {item['note']}")


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    sandbox = open_sandbox(options.sandbox)
    parts = {
        "humaneval": compare_humaneval,
        "livecodebench": compare_livecodebench,
        "references": grade_references,
        "mutants": grade_mutants,
    }
    isolation = sandbox.describe()
    result: dict[str, Any] = {"backend": isolation.backend, "packages": isolation.packages}
    async with sandbox:
        for name in options.parts.split(","):
            result[name] = await parts[name](options.data, sandbox, options.quick)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--quick", action="store_true", help="an eighth of everything")
    add_json_option(parser)
    options = parser.parse_args()
    if unknown := set(options.parts.split(",")) - set(PARTS):
        parser.error(f"--parts: got {', '.join(sorted(unknown))}; allowed: {', '.join(PARTS)}")
    if not options.data.is_dir():
        print(f"{options.data} is not there: this benchmark needs data that is not part of the repository")
        sys.exit(2)
    output = JsonResult(options.json_out)
    result = asyncio.run(measure(options))
    print_result(result)
    output.write(result)


if __name__ == "__main__":
    main()
