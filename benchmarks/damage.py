"""Damage of a run: whether a flipped bit is found, and what the checksums cost.

Of every file of a run, random single bits are flipped, one at a time, and everything is read: the manifest, all
records, hidden states, the tables in SQL, and the figures of a comparison. A flip is `found` (an error that names the
file), `harmless` (all that is read is the same) or `silent` (anything differs); the program fails if one is silent. A
larger run is then read with and without checksums.

    python benchmarks/damage.py --json results/damage.json
"""

import argparse
import platform
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from json_result import JsonResult, add_json_option

from nbest.errors import NbestError
from nbest.measuring.compare import compare
from nbest.measuring.outcomes import MEASURED_COLUMNS
from nbest.records import Completion, HiddenStates, Problem, Score, Selection, Step, Trajectory, Verdict, trajectory_id
from nbest.storage import parquet, views
from nbest.storage.checking import list_files
from nbest.storage.run import Run

TABLES = ("problems", "trajectories", "verdicts", "scores", "selections")
FLUSH = 4096


def write_run(path: Path, problems: int, n: int, tokens: int, states: bool, seed: int = 0) -> Run:
    """Write a verified and scored run of random trajectories."""
    rng, generator = np.random.default_rng(seed), random.Random(seed)
    run = Run.create(path, {"identity": {"seed": seed}, "info": {}})
    run.write_problems([Problem(f"p{number}", f"What is {number}?", str(number)) for number in range(problems)])
    trajectories, verdicts, scores = list[Trajectory](), list[Verdict](), list[Score]()
    for number in range(problems):
        for index in range(n):
            key, is_right = trajectory_id(f"p{number}", index), generator.random() < 0.5
            answer = str(number if is_right else generator.randrange(problems))
            ids = rng.integers(0, 50_000, tokens, dtype=np.int32)
            values = rng.standard_normal((2, 1, 8)).astype(np.float32)
            completion = Completion(
                " ".join(map(str, ids[: tokens // 2])) + f" so the answer is {answer}",
                prompt_tokens=np.arange(20, dtype=np.int32),
                tokens=ids,
                logprobs=-rng.random(tokens).astype(np.float32),
                finish="stop",
                states=HiddenStates((1,), (Step(0, 2), Step(2, tokens)), values) if states else None,
            )
            trajectories.append(Trajectory(key, f"p{number}", index, index, completion, answer))
            verdicts.append(Verdict(key, is_right, answer))
            scores.append(Score(key, generator.random(), (0.25, 0.5)))
        if len(trajectories) >= FLUSH or number + 1 == problems:
            run.append_trajectories(trajectories)
            run.append_verdicts(verdicts)
            run.append_scores("guess", scores)
            trajectories, verdicts, scores = [], [], []
    picks = [Selection(f"p{number}", generator.randrange(n), str(number)) for number in range(problems)]
    run.append_selections("picks", picks)
    return run


def read_run(path: Path) -> str:
    """Read everything of a run, also through SQL and as the figures of a comparison."""
    run = Run.open(path)
    trajectories = [trajectory for pool in run.pools() for trajectory in pool.trajectories]
    completions = [trajectory.completion for trajectory in trajectories]
    contents: list[Any] = [
        run.manifest,
        list(run.problems()),
        [(t.id, t.problem_id, t.index, t.seed, t.answer, t.meta) for t in trajectories],
        [(c.text, c.finish, c.note, c.prompt_tokens.tolist(), c.tokens.tolist()) for c in completions],
        [None if c.logprobs is None else c.logprobs.tolist() for c in completions],
        [(s.layers, s.steps, s.values.tolist()) for s in run.states(t.id for t in trajectories)],
        list(run.verdicts()),
        list(run.scores("guess")),
        list(run.selections("picks")),
    ]
    with run.connect() as database:
        contents += [database.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall() for table in TABLES]
    contents.append(compare(run, ["first", "majority", "score:guess"], [1, 2]).to_json())
    return repr(contents)


def flip_bits(folder: Path, flips: int, seed: int) -> tuple[dict[str, Counter[str]], list[str]]:
    """Return how many flips of each stage were found, harmless and silent, and the silent ones."""
    path = folder / "small"
    write_run(path, problems=12, n=6, tokens=12, states=True)
    expected, generator = read_run(path), random.Random(seed)
    outcomes: dict[str, Counter[str]] = {}
    silent: list[str] = []
    for file in list_files(path):
        data = file.path.read_bytes()
        for bit in sorted(generator.sample(range(8 * len(data)), min(flips, 8 * len(data)))):
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            file.path.write_bytes(damaged)
            try:
                outcome = "harmless" if read_run(path) == expected else "silent"
            except NbestError as error:
                outcome = "found" if file.path.name in str(error) else "silent"
            if outcome == "silent":
                silent.append(f"{file.path.name}: byte {bit // 8}, bit {bit % 8}")
            outcomes.setdefault(file.stage, Counter())[outcome] += 1
        file.path.write_bytes(data)
    return outcomes, silent


@contextmanager
def without_checksums() -> Generator[None]:
    """Read Parquet without verifying any checksum."""
    checked_file = parquet.CheckedFile
    with (
        patch.object(parquet, "check_footer", lambda _: None),
        patch.object(parquet, "CheckedFile", lambda path, **_: checked_file(path, pre_buffer=False)),
        patch.object(views, "verify_columns", lambda *_: None),
    ):
        yield


def query(run: Run) -> None:
    with run.connect(large=MEASURED_COLUMNS) as database:
        database.execute(
            "SELECT t.problem_id, avg(v.correct::INT), avg(s.value), sum(t.sampled_tokens) FROM trajectories t "
            "JOIN verdicts v ON v.trajectory_id = t.id JOIN scores s ON s.trajectory_id = t.id GROUP BY 1"
        ).fetchall()


def measure_cost(folder: Path, problems: int, n: int, tokens: int, repeats: int) -> dict[str, tuple[float, float]]:
    """Return the median seconds of reading with and without checksums, by what is read."""
    run = write_run(folder / "large", problems, n, tokens, states=False)
    work: dict[str, Callable[[], object]] = {
        "open": lambda: Run.open(run.path),
        "verdicts": lambda: sum(1 for _ in run.verdicts()),
        "pools": lambda: sum(1 for _ in run.pools()),
        "query": lambda: query(run),
        "compare": lambda: compare(run, ["first", "majority", "score:guess"], [1, n]),
    }
    return {name: measure_pair(function, repeats) for name, function in work.items()}


def measure_pair(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    work()  # Everything is in the page cache from now on: reading the disk would hide the cost.
    with_seconds, without_seconds = list[float](), list[float]()
    for _ in range(repeats):
        with_seconds.append(time_once(work))
        with without_checksums():
            without_seconds.append(time_once(work))
    return statistics.median(with_seconds), statistics.median(without_seconds)


def time_once(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=400, help="flipped bits per file")
    parser.add_argument("--problems", type=int, default=1000, help="problems of the run that is timed")
    parser.add_argument("--n", type=int, default=16, help="trajectories per problem of the run that is timed")
    parser.add_argument("--tokens", type=int, default=400, help="tokens per trajectory of the run that is timed")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="20 flips per file, and a small run")
    add_json_option(parser)
    options = parser.parse_args()
    if options.quick:
        options.flips, options.problems, options.repeats = 20, 50, 2
    return options


def main() -> None:
    options = parse_options()
    output = JsonResult(options.json_out)
    with tempfile.TemporaryDirectory() as name:
        outcomes, silent = flip_bits(Path(name), options.flips, options.seed)
        seconds = measure_cost(Path(name), options.problems, options.n, options.tokens, options.repeats)
    print("| file | found | harmless | silent |\n|---|---|---|---|")
    for stage, counts in outcomes.items():
        print(f"| {stage} | {counts['found']} | {counts['harmless']} | {counts['silent']} |")
    print("\n| reading | with checksums (s) | without (s) | ratio |\n|---|---|---|---|")
    for name, (checked, plain) in seconds.items():
        print(f"| {name} | {checked:.4f} | {plain:.4f} | {checked / plain:.2f} |")
    sizes = {name: getattr(options, name) for name in ("flips", "problems", "n", "tokens", "repeats", "seed")}
    output.write(
        {
            "name": "damage",
            "machine": platform.platform(),
            "sizes": sizes,
            "baseline": "without checksums",
            "ratios": {name: checked / plain for name, (checked, plain) in seconds.items()},
            "seconds": {name: {"with": checked, "without": plain} for name, (checked, plain) in seconds.items()},
            "flips": {stage: dict(counts) for stage, counts in outcomes.items()},
            "silent": silent,
        }
    )
    if silent:
        print("\nNot found:", *silent[:20], sep="\n", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
