"""What does each choice of TrajSelector do? The paper's ablations, each trained and judged on the same pools.

Reads the pools that `benchmarks/selection.py` makes (--pools), copies the first test problems into runs of its own,
trains one scorer an ablation with `nbest train scorer`'s own code, and prints for each: AUC within pools, accuracy
of the highest score and of the score-weighted vote at N, and the paired difference from the base (the baseline).
Resumable: a scorer that was trained is not trained again.

    python benchmarks/ablations.py --pools runs/selection --out runs/ablations --json results/ablations.json
    python benchmarks/ablations.py --quick
"""

import argparse
import asyncio
import json
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from json_result import JsonResult, add_json_option
from selection import read_auc, tell_gap

from nbest.config import parse_config
from nbest.measuring.compare import compare
from nbest.protocols import Scorer, StateSource
from nbest.records import Pool, Score, Step
from nbest.scoring.hidden import HiddenScorer, load_step_scorer
from nbest.stages import score_run
from nbest.states.encoder import TransformersEncoder
from nbest.storage.run import Run
from nbest.training.scorer import train_scorer
from nbest.training.settings import ScorerTrainingConfig
from nbest.verifying.equivalence import Equivalence

BASE: dict[str, Any] = {"type": "trajselector", "body": "bundled:arithmetic", "body_layers": 2}
FUSED: dict[str, Any] = {"logprobs": True, "layers": [2, 3, 4, 5], "aggregation": "last"}
GENERALISING = ("base", "fused", "short-problems", "short-problems-fused")
SHORT_STEPS = 4
"""`short-problems` learns from problems of up to so many steps, and is then judged on those of more."""
LIMIT = 32_000
TOKEN_LIMIT = 8_000
PER_POOL = 16
"""Trajectories a problem of the training pools."""
ABLATIONS: dict[str, dict[str, Any]] = {
    "base": {},
    "two-classes": {"model": {"classes": 2}, "loss": {"name": "outcome"}},
    "guard-stochastic": {"loss": {"name": "guarded"}},
    "guard-off": {"loss": {"name": "printed", "most_buffer": 1.0}},
    "layer-4": {"model": {"layers": [4]}},
    "layer-3": {"model": {"layers": [3]}},
    "layer-2": {"model": {"layers": [2]}},
    "layers-2-to-5": {"model": {"layers": [2, 3, 4, 5]}},
    "logprobs-alone": {"model": {"states": False, "logprobs": True}},
    "states-and-logprobs": {"model": {"logprobs": True}},
    "balance-over-set": {"data": {"balance": "set"}},
    "no-balance": {"data": {"balance": "none"}},
    "random-body": {"model": {"body_random": True}},
    "last-step-alone": {"model": {"aggregation": "last"}},
    "1k-trajectories": {"data": {"trajectories": 1_000}},
    "4k-trajectories": {"data": {"trajectories": 4_000}},
    "16k-trajectories": {"data": {"trajectories": 16_000}},
    "64k-trajectories": {"data": {"trajectories": 64_000}},
    "fused": {"model": FUSED},
    "short-problems": {"runs": "train-short"},
    "short-problems-fused": {"runs": "train-short", "model": FUSED},
    "8k-step-ends": {"data": {"trajectories": TOKEN_LIMIT}},
    "8k-every-token": {"data": {"trajectories": TOKEN_LIMIT}, "tokens": True, "runs": "train-tokens"},
}
"""Changes against the base: last layer, step ends, states alone, three classes with the guard b = 0.5, balance within
problems, body initialised from the policy's lower layers, 32,000 trajectories."""


def copy_run(
    source: Run, path: Path, problems: int, n: int, every_token: bool = False, steps: range = range(1, 100)
) -> Run:
    """The first `problems` (of so many steps) x `n` of a run with verdicts; states as they are, or at every token."""
    made = Run.create(path, {"identity": {"copy_of": str(source.path), "every_token": every_token}, "info": {}})
    chosen = [problem for problem in source.problems() if problem.meta["steps"] in steps][:problems]
    made.write_problems(chosen)
    part = next(iter(source.states_folder.index().values()))
    origin = {**part.origin, "step_rule": "every-token"} if every_token else part.origin
    encoder = TransformersEncoder("bundled:arithmetic", (-1,)) if every_token else None
    verdicts = {verdict.trajectory_id: verdict for verdict in source.verdicts()}
    done = made.done_states()
    for pool in source.pools([problem.id for problem in chosen]):
        members = [t for t in pool.trajectories[:n] if t.id in verdicts and t.id not in done]
        if not members:
            continue
        made.append_trajectories([replace(t, completion=replace(t.completion, states=None)) for t in members])
        made.append_verdicts([verdicts[t.id] for t in members])
        ids = [t.id for t in members]
        if encoder is None:
            made.append_states(dict(zip(ids, source.states(ids), strict=True)), origin)
        else:
            # The last token was never read by the policy, so it has no state of its own.
            spans = [[Step(at, at + 1) for at in range(len(t.completion.tokens) - 1)] for t in members]
            states = asyncio.run(encoder.encode(members, spans))
            made.append_states(dict(zip(ids, states, strict=True)), origin)
    return made


class ScorerOfStates(Scorer):
    """A scorer that reads the states of another run of the same trajectories."""

    def __init__(self, scorer: Scorer, states: StateSource):
        self._scorer, self._states = scorer, states

    async def score(self, pool: Pool, states: StateSource) -> list[Score]:
        del states
        return await self._scorer.score(pool, self._states)


def train(name: str, options: argparse.Namespace, runs: dict[str, Run]) -> tuple[Path, float]:
    """The trained model's folder, and the seconds it took (0 where it was there)."""
    change, out = ABLATIONS[name], options.out / "models" / name
    folder, start = out / "model", time.perf_counter()
    if (folder / "metrics.json").exists():
        return folder, 0.0
    is_tokens = change.get("tokens", False)
    values = {
        "out": str(out),
        "data": {
            "runs": [str(runs[change.get("runs", "train")].path)],
            "validation_runs": [str(runs["validation-tokens" if is_tokens else "validation"].path)],
            "validation_problems": 100,
            "trajectories": options.limit,
        }
        | change.get("data", {}),
        "model": BASE | change.get("model", {}),
        "loss": {"name": "guarded-half"} | change.get("loss", {}),
        "epochs": options.epochs,
        "batch_trajectories": 64 if not options.quick else 8,
        "accumulation": 1,
        "learning_rate": 1e-3,
        "evaluations": 4,
    }
    if options.quick:
        # The quick pools have no training split: some of their validation problems are held out instead.
        values["data"] |= {"validation_runs": [], "validation_share": 0.3, "trajectories": options.limit}
    train_scorer(parse_config(ScorerTrainingConfig, values, name))
    return folder, time.perf_counter() - start


def judge(names: list[str], test: Run, ns: list[int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Accuracy and paired differences from the base, by selector and n: of the argmax and of the vote."""
    accuracy: dict[str, Any] = {}
    paired: dict[str, Any] = {}
    with Equivalence() as equivalence:
        for rule in ("score", "vote"):
            selectors = [f"{rule}:{name}" for name in names]
            found = compare(test, [*selectors, "majority"], ns, equivalence=equivalence, baseline=f"{rule}:base")
            for row in found.rows:
                accuracy.setdefault(row.selector, {})[str(row.n)] = row.accuracy
            for row in found.paired:
                cell = {"difference": row.difference, "low": row.low, "high": row.high}
                paired.setdefault(row.selector, {})[str(row.n)] = cell
    return accuracy, paired


def tell(names: list[str], auc: dict[str, Any], accuracy: dict[str, Any], paired: dict[str, Any], n: int) -> None:
    print(f"Accuracy in % at N = {n}; in brackets the paired 95 % interval of the difference from the base.\n")
    print("| scorer | AUC within pools | highest score | against the base | weighted vote | against the base |")
    print("|---|---|---|---|---|---|")
    for name in names:
        cells = [name, f"{auc[name]:.3f}"]
        for rule in ("score", "vote"):
            cells.append(f"{100 * accuracy[f'{rule}:{name}'][str(n)]:.1f}")
            gap = paired.get(f"{rule}:{name}", {}).get(str(n))
            cells.append("" if gap is None else tell_gap((gap["difference"], gap["low"], gap["high"])))
        print("| " + " | ".join(cells) + " |")
    print(f"| majority | | | | {100 * accuracy['majority'][str(n)]:.1f} | |")


def tell_longer(run: Run, ns: list[int]) -> dict[str, Any]:
    """Scorers that never saw problems of so many steps, against majority and beside those that did."""
    names = [name for name in GENERALISING if name in run.scorers()]
    selectors = [f"{rule}:{name}" for name in names for rule in ("score", "vote")]
    with Equivalence() as equivalence:
        found = compare(run, [*selectors, "majority"], ns, equivalence=equivalence)
    auc = read_auc(run, names)
    print(f"Problems of more than {SHORT_STEPS} steps; difference from majority with its paired 95 % interval.\n")
    print("| selector | AUC within pools | " + " | ".join(f"N={n}" for n in ns) + " |\n" + "|---" * (len(ns) + 2) + "|")
    result: dict[str, Any] = {}
    for row in found.paired:
        result.setdefault(row.selector, {})[str(row.n)] = {k: getattr(row, k) for k in ("difference", "low", "high")}
    for selector, cells in result.items():
        told = [tell_gap((cell["difference"], cell["low"], cell["high"])) for cell in cells.values()]
        print(f"| {selector} | {auc[selector.partition(':')[2]]:.3f} | " + " | ".join(told) + " |")
    return {"paired": result, "within_pool_auc": auc}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=Path, default=Path("runs/selection"))
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--problems", type=int, default=300, help="of the test pools")
    parser.add_argument("--n", type=int, default=32)
    parser.add_argument("--limit", type=int, default=LIMIT)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=list(ABLATIONS))
    parser.add_argument("--quick", action="store_true", help="the pools of `selection.py --quick`, base and one other")
    add_json_option(parser)
    options = parser.parse_args()
    output = JsonResult(options.json_out)
    names = ["base", *(name for name in options.only or ABLATIONS if name != "base")]
    if options.quick:
        options.pools, options.out = (path.with_name(path.name + "-quick") for path in (options.pools, options.out))
        names, options.problems, options.n, options.limit, options.epochs = ["base", "logprobs-alone"], 30, 8, 400, 1
    torch.set_num_threads(1)
    sources = {name: Run.open(options.pools / name) for name in ("test", "validation")}
    sources["train"] = sources["validation"] if options.quick else Run.open(options.pools / "train")
    runs = {name: sources[name] for name in ("train", "validation")}
    runs["test"] = copy_run(sources["test"], options.out / "test", options.problems, options.n)
    if any(ABLATIONS[name].get("tokens") for name in names):
        sizes = {
            "train": (TOKEN_LIMIT // PER_POOL, PER_POOL),
            "validation": (100, 32),
            "test": (options.problems, options.n),
        }
        for name, (problems, n) in sizes.items():
            runs[f"{name}-tokens"] = copy_run(sources[name], options.out / f"{name}-tokens", problems, n, True)
    longer = None
    if any(ABLATIONS[name].get("runs") == "train-short" for name in names):
        runs["train-short"] = copy_run(
            sources["train"], options.out / "train-short", 10**6, PER_POOL, steps=range(1, SHORT_STEPS + 1)
        )
        longer = copy_run(
            sources["test"], options.out / "test-longer", options.problems, options.n, steps=range(SHORT_STEPS + 1, 100)
        )
    seconds: dict[str, float] = {}
    for name in names:
        folder, seconds[f"train {name}"] = train(name, options, runs)
        states = runs["test-tokens" if ABLATIONS[name].get("tokens") else "test"]
        scorer = HiddenScorer(load_step_scorer(folder))
        asyncio.run(score_run(runs["test"], ScorerOfStates(scorer, states.states_folder), name, lambda *_: None))
        if longer is not None and name in GENERALISING:
            asyncio.run(score_run(longer, scorer, name, lambda *_: None))
    auc = read_auc(runs["test"], names)
    ns = [n for n in (4, 8, 16, 32, 64) if n <= options.n]
    accuracy, paired = judge(names, runs["test"], ns)
    for n in ns[-2:]:
        tell(names, auc, accuracy, paired, n)
        print()
    generalised = tell_longer(longer, ns) if longer is not None else {}
    metrics = {
        name: json.loads((options.out / "models" / name / "model" / "metrics.json").read_text()) for name in names
    }
    result = {
        "name": "ablations",
        "machine": platform.platform(),
        "sizes": {
            "problems": options.problems,
            "n": options.n,
            "trajectories": options.limit,
            "epochs": options.epochs,
        },
        "baseline": "base",
        "ratios": {},
        "seconds": seconds,
        "within_pool_auc": auc,
        "accuracy": accuracy,
        "paired": paired,
        "longer_problems": generalised,
        "validation": metrics,
    }
    output.write(result)


if __name__ == "__main__":
    main()
