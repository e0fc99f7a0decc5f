"""Do 95 % intervals hold the truth 95 times in 100? Simulated problems whose true accuracies are known.

    python benchmarks/coverage.py                200 repeats of every world; --repeats 2000 for a sharper answer
    python benchmarks/coverage.py --quick        40 repeats
    python benchmarks/coverage.py --json -       one object for machines

A world has P problems of difficulty drawn from a Beta distribution; each attempt is right with the probability of its
problem, wrong answers fall on a few others, and a score is higher for right attempts. The truth of a selector at k is
its expected accuracy on k fresh attempts, over all problems of that world: taken from 20,000 problems, whose own error
is small beside the width of an interval. Every repeat draws P problems and N attempts each, estimates the curve, and
asks whether the interval holds the truth: of the accuracy of random, majority and best-of-k, and of the paired
difference of best-of-k and majority; by bootstrap and by the analytic standard error (1.96 of them). A macro average
over three worlds is asked the same. With `samples`, the problems stay the same in all repeats and the truth is theirs.

200 repeats of a right 95 % interval cover 95 % +- 1.5 points (one standard deviation): several worlds say more than
one. The percentile bootstrap of a mean is a little too narrow with few problems.
"""

import argparse
import os
import platform
import time
from typing import Any

import numpy as np
from json_result import JsonResult, add_json_option

from nbest.statistics.estimators import best_of_k, majority_at_k, random_pick
from nbest.statistics.intervals import Interval, Within, intervals
from nbest.statistics.strata import average_intervals

KS = [1, 4, 8]
SAMPLES = 16
TRUTH_PROBLEMS = 20_000
RESAMPLES = 2000
INNER = 40
WORLDS = {"even": (1.0, 1.0), "hard": (0.6, 2.0), "split": (0.4, 0.4)}
NAMES = ("random", "majority", "best", "best - majority")


def draw_problems(world: str, problems: int, rng: np.random.Generator) -> np.ndarray:
    """[P] the chance of a right attempt."""
    return rng.beta(*WORLDS[world], problems)


def draw_pool(chance: float, samples: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`correct`, `clusters` (0 = right) and `scores` [N] of one problem."""
    correct = rng.random(samples) < chance
    clusters = np.where(correct, 0, 1 + rng.integers(0, 3, samples))
    return correct, clusters, rng.normal(size=samples) + 0.8 * correct


def curve_of(pool: tuple[np.ndarray, np.ndarray, np.ndarray], ks: list[int]) -> np.ndarray:
    """[selectors and the difference, K] side by side."""
    correct, clusters, scores = pool
    majority = majority_at_k(correct, clusters, ks).accuracy
    best = best_of_k(correct, scores, ks).accuracy
    return np.concatenate([random_pick(correct, ks), majority, best, best - majority])


def curves(chances: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """[P, selectors and the difference x K]."""
    return np.array([curve_of(draw_pool(chance, samples, rng), KS) for chance in chances])


def within_of(chances: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Within]:
    """The curves of one draw, and how they move when its samples are resampled."""
    pools = [draw_pool(chance, SAMPLES, rng) for chance in chances]
    values = np.array([curve_of(pool, KS) for pool in pools])
    moved = np.empty((INNER, *values.shape))
    for place, pool in enumerate(pools):
        for inner in range(INNER):
            drawn = rng.integers(0, SAMPLES, SAMPLES)
            moved[inner, place] = curve_of((pool[0][drawn], pool[1][drawn], pool[2][drawn]), KS)
    scale = np.sqrt(SAMPLES / (SAMPLES - 1))  # as measuring/measurement.py
    return values, Within(scale * (moved - moved.mean(axis=0)), keeps_problems=True)


class Tally:
    """Counts, a column of every kind of interval, how often the truth lay inside."""

    def __init__(self) -> None:
        self.held: dict[str, list[np.ndarray]] = {"bootstrap": [], "analytic": []}

    def add(self, found: list[Interval], truth: np.ndarray) -> None:
        for kind, rows in self.held.items():
            bounds = [_bounds(each, kind) for each in found]
            rows.append(np.array([low <= true <= high for (low, high), true in zip(bounds, truth, strict=True)]))

    def shares(self) -> dict[str, dict[str, float]]:
        """Coverage by kind and `selector@k`; best minus majority at k = 1 is 0 on every problem and left out."""
        labels = [f"{name}@{k}" for name in NAMES for k in KS]
        kept = [at for at, label in enumerate(labels) if label != "best - majority@1"]
        means = {kind: np.mean(rows, axis=0) for kind, rows in self.held.items()}
        return {kind: {labels[at]: float(share[at]) for at in kept} for kind, share in means.items()}


def _bounds(found: Interval, kind: str) -> tuple[float, float]:
    if found.mean is None or found.low is None or found.high is None or found.standard_error is None:
        return (np.nan, np.nan)
    if kind == "bootstrap":
        return (found.low - 1e-12, found.high + 1e-12)
    return (found.mean - 1.96 * found.standard_error - 1e-12, found.mean + 1.96 * found.standard_error + 1e-12)


def simulate(problems: int, repeats: int, truths: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    """Coverage in every world and of the macro average over them."""
    rng = np.random.default_rng(seed)
    tallies = {name: Tally() for name in (*WORLDS, "macro average")}
    for repeat in range(repeats):
        tables = {world: curves(draw_problems(world, problems, rng), SAMPLES, rng) for world in WORLDS}
        for world, table in tables.items():
            tallies[world].add(intervals(table, seed=repeat, resamples=RESAMPLES), truths[world])
        macro = average_intervals(list(tables.values()), "macro", seed=repeat, resamples=RESAMPLES)
        tallies["macro average"].add(macro, np.mean(list(truths.values()), axis=0))
    return {name: tally.shares() for name, tally in tallies.items()}


def simulate_samples(problems: int, repeats: int, seed: int) -> dict[str, Any]:
    """Coverage where the problems stay and only samples are drawn again; the truth is that of these problems."""
    rng = np.random.default_rng(seed)
    chances = draw_problems("even", problems, rng)
    truth = np.mean([curves(chances, SAMPLES, rng).mean(axis=0) for _ in range(300)], axis=0)
    tally = Tally()
    for repeat in range(repeats):
        values, within = within_of(chances, rng)
        tally.add(intervals(values, seed=repeat, resamples=RESAMPLES, within=within), truth)
    return {"samples of the same problems": tally.shares()}


def run(problems: int, repeats: int, sample_repeats: int) -> dict[str, Any]:
    started = time.process_time()
    rng = np.random.default_rng(12345)
    truths = {w: curves(draw_problems(w, TRUTH_PROBLEMS, rng), SAMPLES, rng).mean(axis=0) for w in WORLDS}
    found = simulate(problems, repeats, truths, seed=1)
    found |= simulate_samples(min(problems, 30), sample_repeats, seed=2)
    kinds = ("bootstrap", "analytic")
    means = {name: {kind: float(np.mean(list(found[name][kind].values()))) for kind in kinds} for name in found}
    return {
        "name": "coverage",
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "sizes": {"problems": problems, "samples": SAMPLES, "repeats": repeats, "sample_repeats": sample_repeats,
                  "resamples": RESAMPLES, "truth_problems": TRUTH_PROBLEMS},
        "baseline": "the nominal 95 %",
        "ratios": {f"{name}, {kind}": share for name, by in means.items() for kind, share in by.items()},
        "coverage": found,
        "seconds": {"core": time.process_time() - started},
    }  # fmt: skip


def print_table(result: dict[str, Any]) -> None:
    sizes = result["sizes"]
    print(f"{sizes['problems']} problems x {sizes['samples']} samples, {sizes['repeats']} repeats")
    print("coverage in %: mean over the columns (lowest to highest)")
    for name, kinds in result["coverage"].items():
        cells: list[str] = []
        for kind, shares in kinds.items():
            values = [100 * share for share in shares.values()]
            cells.append(f"{kind} {np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})")
        print(f"{name:30} {'   '.join(cells)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="40 repeats, 10 of samples")
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=200)
    add_json_option(parser)
    options = parser.parse_args()
    output = JsonResult(options.json_out)
    repeats = 40 if options.quick else options.repeats
    result = run(options.problems, repeats, 10 if options.quick else repeats)
    print_table(result)
    output.write(result)


if __name__ == "__main__":
    main()
