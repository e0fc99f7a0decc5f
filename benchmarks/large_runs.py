"""What a person waits for on a large run: `show` of one pool, and `compare` a first and a second time.

    python benchmarks/large_runs.py                      1,000,000 trajectories, 16 per problem, written first
    python benchmarks/large_runs.py --trajectories 200000
    python benchmarks/large_runs.py --quick              4,000 trajectories
    python benchmarks/large_runs.py --keep FOLDER        write the run there, or use the one that is there
    python benchmarks/large_runs.py --json -             one object for machines

The run has verdicts, two scorers and one selector, in parts of 2,000 rows as an import writes them, and in the order of
a random permutation of the problems as a second run, because several processes that sample finish in any order. Half
of the problems have formulas as answers, one in ten integrals, which only math-verify reads. `show` is timed as a
command (with the start of Python) and inside of it. The baseline of `show` reads all rows and picks those of the pool;
that of the second `compare` is the first.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from json_result import JsonResult, add_json_option

from nbest.records import Completion, Problem, Score, Selection, Trajectory, Usage, Verdict, trajectory_id

SAMPLES = 16
PART_ROWS = 2_000
COMPARED_PROBLEMS = 2_000
SCORERS = ("first", "second")


def make_answers(number: int) -> list[str]:
    """Return the answers of one pool: seven spellings, of which the first two are equal.

    Numbers in every other problem, integrals in one of ten, and formulas in the rest.
    """
    if number % 10 == 1:
        return [f"\\int_0^{{{number % 97 + 2}}} x^{{{power}}} dx" for power in (1, "1.0", 2, 3, 4, 5, 6)]
    if number % 2:
        a, b = number % 97 + 2, number % 89 + 3
        forms = [f"\\frac{{x+{a}}}{{\\sqrt{{{b}}}}}", f"\\frac{{\\sqrt{{{b}}}(x+{a})}}{{{b}}}"]
        return forms + [f"\\log_{{{b}}}(x^{power}+{a})" for power in range(2, 7)]
    return [str(number), f"{number}.0", *(str(number + step) for step in range(1, 6))]


def write_run(path: Path, problems: int, is_shuffled: bool = False) -> None:
    """Write a verified and scored run of so many problems."""
    from nbest.storage.lookup import remember_ids
    from nbest.storage.run import Run

    run = Run.create(path, {"identity": {"name": "large"}, "info": {}})
    run.write_problems([Problem(f"test-{p}", f"What is the result of number {p}?", "1") for p in range(problems)])
    order = list(range(problems))
    draw = random.Random(0)
    if is_shuffled:
        draw.shuffle(order)
    for first in range(0, problems, PART_ROWS // SAMPLES):
        trajectories, verdicts, selections = list[Trajectory](), list[Verdict](), list[Selection]()
        for p in order[first : first + PART_ROWS // SAMPLES]:
            answers = make_answers(p)
            for i in range(SAMPLES):
                key, answer = trajectory_id(f"test-{p}", i), draw.choice(answers)
                text = f"I compute number {p} in way {i}: {draw.random()}.\n\nSo it is \\boxed{{{answer}}}"
                completion = Completion(text, finish="stop", usage=Usage(20, 60))
                trajectories.append(Trajectory(key, f"test-{p}", i, i, completion, answer))
                verdicts.append(Verdict(key, answer in answers[:2], answer))
            selections.append(Selection(f"test-{p}", 0, answers[0]))
        run.append_trajectories(trajectories)
        run.append_verdicts(verdicts)
        for name in SCORERS:
            run.append_scores(name, [Score(t.id, draw.random()) for t in trajectories])
        run.append_selections("majority", selections)
    remember_ids(run.path)  # as every stage does at its end


def read_all(path: Path, problem_id: str) -> float:
    """Return the seconds that it takes to read all rows and pick those of one pool."""
    from nbest.storage.run import Run

    start = time.perf_counter()
    run = Run.open(path)
    pool = next(iter(run.pools([problem_id])))
    ids = {trajectory.id for trajectory in pool.trajectories}
    rows = [verdict for verdict in run.verdicts() if verdict.trajectory_id in ids]
    for name in SCORERS:
        scores = [score for score in run.scores(name) if score.trajectory_id in ids]
        assert len(scores) == len(rows) == SAMPLES
    return time.perf_counter() - start


def show(path: Path, problem: str) -> tuple[float, float]:
    """Return the seconds that `nbest show` takes as a command, and those after its imports."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "nbest", "show", str(path), problem], check=True, capture_output=True)
    command = time.perf_counter() - start
    inside = subprocess.run(
        [sys.executable, __file__, "--inspect", str(path), problem], check=True, capture_output=True, text=True
    )
    return command, float(inside.stdout)


def inspect(path: Path, problem: str) -> float:
    """Return the seconds that reading and grouping one pool takes, in a process of its own."""
    from nbest.measuring.inspection import inspect_pool
    from nbest.storage.run import Run
    from nbest.verifying.equivalence import Equivalence

    start = time.perf_counter()
    with Equivalence() as equivalence:
        assert len(inspect_pool(Run.open(path, is_checked=False), problem, equivalence).candidates) == SAMPLES
    return time.perf_counter() - start


def compare(path: Path) -> float:
    """Return the seconds that `nbest compare` takes as a command."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "nbest", "compare", str(path), "-s", "majority", "--n", "4,16"]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def measure(folder: Path, trajectories: int) -> dict[str, Any]:
    problems = trajectories // SAMPLES
    seconds: dict[str, float] = {}
    for name, is_shuffled in (("in_order", False), ("shuffled", True)):
        path = folder / name
        if not path.exists():
            write_run(path, problems, is_shuffled)
        # An even number: its answers need no worker process of math-verify, whose start would count.
        timings = [show(path, str(position)) for position in (0, problems // 4 * 2, (problems - 1) // 2 * 2)]
        seconds[f"show_{name}"] = max(command for command, _ in timings)
        seconds[f"show_{name}_inside"] = max(inside for _, inside in timings)
    seconds["read_all"] = read_all(folder / "in_order", f"test-{problems // 2}")
    compared = min(problems, COMPARED_PROBLEMS)
    path = folder / "compared"
    if not path.exists():
        write_run(path, compared)
    seconds["compare_first"], seconds["compare_second"] = compare(path), compare(path)
    return {
        "name": "large runs",
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "sizes": {"trajectories": problems * SAMPLES, "problems": problems, "samples": SAMPLES,
                  "compared_problems": compared},
        "baseline": "show: all rows are read; second compare: the first one",
        "ratios": {"show": seconds["read_all"] / seconds["show_in_order_inside"],
                   "compare": seconds["compare_first"] / seconds["compare_second"]},
        "seconds": seconds,
    }  # fmt: skip


def print_table(result: dict[str, Any]) -> None:
    sizes, seconds = result["sizes"], result["seconds"]
    print(f"{sizes['trajectories']:,} trajectories of {sizes['problems']:,} problems x {sizes['samples']} samples")
    for name, title in (("in_order", "parts in order"), ("shuffled", "parts in any order")):
        print(f"show, {title:<20}{seconds[f'show_{name}']:8.2f} s, {seconds[f'show_{name}_inside']:.2f} s inside")
    print(f"reading all rows          {seconds['read_all']:8.2f} s, {result['ratios']['show']:.0f} x")
    print(f"compare, {sizes['compared_problems']:,} problems x {sizes['samples']} samples, one in ten with integrals")
    print(f"first and second time     {seconds['compare_first']:8.2f} s, {seconds['compare_second']:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trajectories", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="4,000 trajectories")
    parser.add_argument("--keep", type=Path, help="the folder of the runs (default: a temporary one)")
    parser.add_argument("--inspect", nargs=2, help=argparse.SUPPRESS)
    add_json_option(parser)
    options = parser.parse_args()
    if options.inspect is not None:
        print(json.dumps(inspect(Path(options.inspect[0]), options.inspect[1])))
        return
    output = JsonResult(options.json_out)
    trajectories = 4_000 if options.quick else options.trajectories
    if options.keep is not None:
        result = measure(options.keep, trajectories)
    else:
        with tempfile.TemporaryDirectory() as folder:
            result = measure(Path(folder), trajectories)
    print_table(result)
    output.write(result)


if __name__ == "__main__":
    main()
