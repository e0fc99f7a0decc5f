"""Do the policy's own states at step ends say which of its trajectories is right?

Fits a two-layer network on single step states of a training run (outcome label copied to each step, right and wrong
balanced within each problem), scores the trajectories of a test run by the mean over steps, and prints the AUC within
pools beside that of the mean log-probability, which needs no training. Baseline: 0.5, a random score.

    nbest sample runs/signal-train --split train --count 400 --n 16 && nbest verify runs/signal-train
    nbest sample runs/signal-test --count 200 --n 32 && nbest verify runs/signal-test
    python benchmarks/states_signal.py runs/signal-train runs/signal-test
"""

import argparse
import platform
import time
from pathlib import Path

import numpy as np
import torch
from json_result import JsonResult, add_json_option
from torch import nn

from nbest.statistics.ranking import within_pool_auc
from nbest.storage.run import Run

Candidate = tuple[bool, np.ndarray, float]


def read_pools(run: Run, limit: int | None) -> list[list[Candidate]]:
    """Candidates (correct, states [S D] of the last captured layer, mean log-probability) of each problem."""
    correct = {v.trajectory_id: v.correct for v in run.verdicts()}
    pools: list[list[Candidate]] = []
    for pool in run.pools():
        judged = [t for t in pool.trajectories if correct.get(t.id) is not None]
        states = run.states([t.id for t in judged])
        candidates = [
            (bool(correct[t.id]), s.values[:, -1], float(np.mean(t.completion.logprobs)))
            for t, s in zip(judged, states, strict=True)
            if len(s.values) and t.completion.logprobs is not None
        ]
        pools.append(candidates)
        if len(pools) == limit:
            break
    return pools


def balance(pools: list[list[Candidate]], rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Step states [M D] and labels [M], as many right as wrong trajectories of each problem."""
    chosen: list[Candidate] = []
    for pool in pools:
        right, wrong = [c for c in pool if c[0]], [c for c in pool if not c[0]]
        count = min(len(right), len(wrong))
        for side in (right, wrong):
            chosen += [side[i] for i in rng.permutation(len(side))[:count]]
    states = torch.tensor(np.concatenate([c[1] for c in chosen]), dtype=torch.float32)
    labels = torch.tensor(np.concatenate([np.full(len(c[1]), c[0], dtype=np.float32) for c in chosen]))
    return states, labels


def fit(states: torch.Tensor, labels: torch.Tensor, epochs: int) -> nn.Module:
    torch.manual_seed(0)
    probe = nn.Sequential(
        nn.LayerNorm(states.shape[1]), nn.Linear(states.shape[1], 256), nn.ReLU(), nn.Linear(256, 1), nn.Flatten(0)
    )
    optimizer = torch.optim.AdamW(probe.parameters(), lr=1e-3, weight_decay=0.01)
    for _ in range(epochs):
        for batch in torch.randperm(len(states)).split(1024):
            loss = nn.functional.binary_cross_entropy_with_logits(probe(states[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return probe.eval()


def score(probe: nn.Module, pools: list[list[Candidate]]) -> list[tuple[np.ndarray, np.ndarray]]:
    with torch.inference_mode():
        return [
            (
                np.array([c[0] for c in pool]),
                np.array([probe(torch.tensor(c[1], dtype=torch.float32)).sigmoid().mean().item() for c in pool]),
            )
            for pool in pools
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="60 problems of each run, 3 epochs")
    add_json_option(parser)
    options = parser.parse_args()
    output = JsonResult(options.json_out)
    limit, epochs = (60, 3) if options.quick else (None, options.epochs)

    train, test = (read_pools(Run.open(path), limit) for path in (options.train, options.test))
    states, labels = balance(train, np.random.default_rng(0))
    start = time.perf_counter()
    probe = fit(states, labels, epochs)
    seconds = time.perf_counter() - start
    found = {
        "states at step ends": within_pool_auc(score(probe, test)),
        "mean log-probability": within_pool_auc(
            (np.array([c[0] for c in pool]), np.array([c[2] for c in pool])) for pool in test
        ),
    }
    print(f"{len(states):,} step states of {len(train)} problems; AUC within pools of {len(test)} test problems")
    for name, (value, pools) in found.items():
        print(f"  {name:<22} {'-' if value is None else f'{value:.3f}'}   ({pools} pools with both right and wrong)")
    result = {
        "name": "states_signal",
        "machine": platform.platform(),
        "sizes": {"train_problems": len(train), "test_problems": len(test), "step_states": len(states)},
        "baseline": "0.5, a random score",
        "ratios": {name: value for name, (value, _) in found.items()},
        "seconds": {"fit": seconds},
    }
    output.write(result)


if __name__ == "__main__":
    main()
