"""Evaluating selectors: how long do all exact curves with their intervals take, and how much memory a large run?

    python benchmarks/evaluation.py              500 problems x 64 samples x 10 scores, every k from 1 to 64
    python benchmarks/evaluation.py --quick      60 problems x 32 samples, under a minute
    python benchmarks/evaluation.py --json -     one object for machines
    python benchmarks/evaluation.py --memory     `compare` on 2,000 problems x 64 trajectories of 10,000 tokens on disk,
                                                 written first (--folder, some 4 GB) and deleted after

Curves: pass@k, a random pick, maj@k and best-of-k by each score, for every k, and the percentile bootstrap over
problems of all of them together. Answers come as clusters: comparing them is `benchmarks/answers.py`. The baseline is
the same curves by 1,000 random subsets of each pool and k in plain Python, without any bootstrap; it is timed on a few
problems and every fourth k, and scaled to all of them. Both are timed in seconds of one core (`time.process_time`, what
other processes take of the machine does not count), in the same minute; the wall clock stands beside them.
"""

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from json_result import JsonResult, add_json_option

from nbest.records import Completion, Problem, Score, Trajectory, Verdict, trajectory_id
from nbest.statistics.estimators import best_of_k, majority_at_k, pass_at_k, random_pick
from nbest.statistics.intervals import RESAMPLES, intervals

SCORES = 10
SUBSETS = 1000
EVERY = 4
VOCABULARY = 150_000


def make_pools(problems: int, samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`correct` [P N], `clusters` [P N] (one right answer, up to six wrong ones, some without), `scores` [10 P N]."""
    rng = np.random.default_rng(seed)
    correct = rng.random((problems, samples)) < rng.beta(1, 1, problems)[:, None]
    clusters = np.where(correct, 0, 1 + rng.integers(0, 6, correct.shape))
    clusters[rng.random(correct.shape) < 0.03] = -1
    return correct & (clusters >= 0), clusters, rng.normal(size=(SCORES, *correct.shape)) + correct


def run_exact(correct: np.ndarray, clusters: np.ndarray, scores: np.ndarray, ks: list[int]) -> int:
    """All curves and intervals; returns how many intervals."""
    tables: list[list[np.ndarray]] = []
    for place, right in enumerate(correct):
        curves = [pass_at_k(right, ks), random_pick(right, ks), majority_at_k(right, clusters[place], ks).accuracy]
        tables.append(curves + [best_of_k(right, each[place], ks).accuracy for each in scores])
    return len(intervals(np.array(tables).reshape(len(correct), -1), seed=0, resamples=RESAMPLES))


def run_plain(correct: np.ndarray, clusters: np.ndarray, scores: np.ndarray, ks: list[int]) -> None:
    """The same curves by random subsets, a Python loop each, ties sharing the credit."""
    draw = random.Random(0)
    for place in range(len(correct)):
        right, labels = correct[place].tolist(), clusters[place].tolist()
        values = scores[:, place].tolist()
        for k in ks:
            totals = [0.0] * (3 + len(values))
            for _ in range(SUBSETS):
                subset = draw.sample(range(len(right)), k)
                totals[0] += any(right[i] for i in subset)
                totals[1] += right[subset[0]]
                totals[2] += _majority([labels[i] for i in subset], [right[i] for i in subset])
                for row, each in enumerate(values):
                    totals[3 + row] += right[max(subset, key=each.__getitem__)]


def _majority(labels: list[int], right: list[bool]) -> float:
    counts: dict[int, int] = {}
    worth: dict[int, int] = {}
    for label, is_right in zip(labels, right, strict=True):
        if label >= 0:
            counts[label] = counts.get(label, 0) + 1
            worth[label] = worth.get(label, 0) + is_right
    most = max(counts.values(), default=0)
    winners = [label for label, count in counts.items() if count == most]
    return sum(worth[label] / most for label in winners) / len(winners) if winners else 0.0


def compare_speed(problems: int, samples: int, part: int, rounds: int) -> dict[str, Any]:
    pools = make_pools(problems, samples)
    ks = list(range(1, samples + 1))
    correct, clusters, scores = (each[..., :part, :] for each in pools)
    fewer_ks = ks[EVERY // 2 :: EVERY]
    exact: list[tuple[float, float]] = []
    plain: list[tuple[float, float]] = []
    run_exact(*make_pools(2, samples), ks)  # tables of binomials are made once a process
    for _ in range(rounds):
        plain.append(_timed(lambda: run_plain(correct, clusters, scores, fewer_ks)))
        exact.append(_timed(lambda: run_exact(*pools, ks)))
    scale = problems / part * len(ks) / len(fewer_ks)
    ours, theirs = (statistics.median(core for core, _ in timed) for timed in (exact, plain))
    return {
        "name": "evaluation",
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "sizes": {"problems": problems, "samples": samples, "scores": SCORES, "ks": len(ks), "resamples": RESAMPLES,
                  "rounds": rounds, "baseline_problems": part, "baseline_ks": len(fewer_ks)},
        "baseline": f"{SUBSETS} random subsets a pool and k in plain Python, no bootstrap; timed on "
                    f"{part} problems x {len(fewer_ks)} ks and scaled by {scale:.0f}",
        "ratios": {"speedup": theirs * scale / ours},
        "seconds": {"nbest": ours, "baseline_scaled": theirs * scale, "baseline_measured": theirs,
                    "nbest_wall": statistics.median(wall for _, wall in exact)},
    }  # fmt: skip


def _timed(work: Any) -> tuple[float, float]:
    """Seconds of one core, and on the wall."""
    wall, core = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - core, time.perf_counter() - wall


def measure_memory(folder: Path, problems: int, samples: int, tokens: int) -> dict[str, Any]:
    """The largest resident memory of a process that runs `compare` with 10,000 resamples and all its defaults."""
    path = folder / "run"
    try:
        write_run(path, problems, samples, tokens)
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        done = subprocess.run(
            [sys.executable, __file__, "--compare", str(path)], check=True, capture_output=True, text=True
        )
    finally:
        shutil.rmtree(path, ignore_errors=True)
    found = json.loads(done.stdout)
    return {
        "name": "evaluation memory",
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "sizes": {"problems": problems, "samples": samples, "tokens": tokens, "disk_bytes": size, "scorers": 2},
        "baseline": "none: a bound of 1e9 bytes",
        "ratios": {"of_bound": found["peak_bytes"] / 1e9},
        "seconds": {"compare_core": found["core"], "compare_wall": found["wall"]},
        "peak_bytes": found["peak_bytes"],
        "bytes_after_import": found["bytes_after_import"],
    }


def write_run(path: Path, problems: int, samples: int, tokens: int) -> None:
    """A verified and scored run of random tokens."""
    from nbest.storage.run import Run

    rng = np.random.default_rng(0)
    correct, clusters, scores = make_pools(problems, samples)
    source = rng.integers(0, VOCABULARY, 64 * tokens, dtype=np.int32)
    policy = {"non_embedding_parameters": 6_946_071_552, "layers": 36, "hidden_size": 4096}
    run = Run.create(path, {"identity": {"name": "memory"}, "info": {"policy": policy}})
    run.write_problems([Problem(f"p{p}", "?", "1", meta={"level": p % 5}) for p in range(problems)])
    for first in range(0, problems, 8):
        trajectories, verdicts = [], []
        held: list[list[Score]] = [[], []]
        for p in range(first, min(first + 8, problems)):
            for i in range(samples):
                start = int(rng.integers(0, 63 * tokens))
                drawn = source[start : start + tokens] ^ np.int32(p & 0xFFF)
                answer = None if clusters[p, i] < 0 else str(clusters[p, i])
                key = trajectory_id(f"p{p}", i)
                completion = Completion("", source[:100], drawn, finish="stop")
                trajectories.append(Trajectory(key, f"p{p}", i, i, completion, answer))
                verdicts.append(Verdict(key, bool(correct[p, i]), answer))
                for place, rows in enumerate(held):
                    rows.append(Score(key, float(scores[place, p, i])))
        run.append_trajectories(trajectories)
        run.append_verdicts(verdicts)
        for place, rows in enumerate(held):
            run.append_scores(f"s{place}", rows)


def run_compare(path: Path) -> dict[str, float]:
    """In a process of its own: what `nbest compare RUN --by level` does."""
    from nbest.measuring.compare import compare
    from nbest.storage.run import Run
    from nbest.verifying.equivalence import Equivalence

    before = _peak_bytes()
    wall, core = time.perf_counter(), time.process_time()
    with Equivalence() as equivalence:
        compare(Run.open(path), equivalence=equivalence, by="level").to_json()
    return {"peak_bytes": _peak_bytes(), "bytes_after_import": before, "core": time.process_time() - core,
            "wall": time.perf_counter() - wall}  # fmt: skip


def _peak_bytes() -> int:
    """The high-water mark of this very process; `getrusage` would start at that of the process which started it."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/status names no VmHWM: memory is measured on Linux only")


def print_table(result: dict[str, Any]) -> None:
    sizes, seconds = result["sizes"], result["seconds"]
    print(f"{sizes['problems']} problems x {sizes['samples']} samples")
    if "peak_bytes" in result:
        print(f"{sizes['tokens']} tokens a trajectory, {sizes['disk_bytes'] / 1e9:.2f} GB on disk")
        print(f"peak memory of compare {result['peak_bytes'] / 1e6:,.0f} MB, after the imports "
              f"{result['bytes_after_import'] / 1e6:,.0f} MB; {seconds['compare_core']:.1f} s of one core, "
              f"{seconds['compare_wall']:.1f} s on the wall")  # fmt: skip
        return
    print(f"exact curves and bootstrap  {seconds['nbest']:10.2f} s of one core ({seconds['nbest_wall']:.2f} s wall)")
    print(f"random subsets, plain Python {seconds['baseline_scaled']:9.0f} s  ({result['baseline']})")
    print(f"ratio {result['ratios']['speedup']:.0f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="60 problems x 32 samples; 40 x 8 x 1,000 with --memory")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="peak memory of compare on a large run")
    parser.add_argument("--folder", type=Path, help="where the large run is written (default: a temporary folder)")
    parser.add_argument("--compare", type=Path, help=argparse.SUPPRESS)
    add_json_option(parser)
    options = parser.parse_args()
    if options.compare is not None:
        print(json.dumps(run_compare(options.compare)))
        return
    output = JsonResult(options.json_out)
    if options.memory:
        sizes = (40, 8, 1000) if options.quick else (2000, 64, 10_000)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            result = measure_memory(Path(folder), *sizes)
    else:
        problems, samples, rounds = (60, 32, 1) if options.quick else (500, 64, options.rounds)
        result = compare_speed(problems, samples, part=1 if options.quick else 2, rounds=rounds)
    print_table(result)
    output.write(result)


if __name__ == "__main__":
    main()
