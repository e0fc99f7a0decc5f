"""Which selector picks best? Every scorer of the package on the same held-out pools of the bundled policy.

Makes what is missing under --out, each stage resumable: pools of the training, validation and test split, the scorers
that do not come with the package, all scores, the combined selector (fitted on the validation pools). Then prints
accuracy against N, the paired difference from majority voting, and the AUC within pools.

    python benchmarks/selection.py --quick
    python benchmarks/selection.py --out runs/selection --json results/selection.json

`NAME` picks the highest score, `NAME-vote` the answer with the highest sum of scores, `NAME-borda` by ranks (for
scores that can be negative). Baseline: majority.
"""

import argparse
import asyncio
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from json_result import JsonResult, add_json_option

from nbest.config import parse_config
from nbest.measuring.combining import fit_combined
from nbest.measuring.compare import compare
from nbest.measuring.comparison import Comparison
from nbest.protocols import Scorer
from nbest.registry import BuildContext, load_scorer, specs
from nbest.run_settings import load_sample_config
from nbest.scoring.confidence import DeepConfScorer
from nbest.selecting.combined.subsets import combined_estimator
from nbest.selecting.estimators import Contestant
from nbest.stages import sample, score_run, verify
from nbest.statistics.ranking import within_pool_auc
from nbest.storage.run import Run
from nbest.training.settings import ScorerTrainingConfig
from nbest.verifying.equivalence import Equivalence

POOLS = "scorer_pools_arithmetic"
BUNDLED = ("trajselector", "trajselector-fused")
HEADS = {"step-mlp": (-1,), "sprm": (-2,), "swift": (-1,), "clue": (-1,)}
"""Scorers trained here, with the layer that each one's paper reads."""
WINDOW = 16
"""Tokens of the DeepConf windows beside the published 2,048, which no trajectory of this policy reaches."""
COMBINED = ("trajselector-fused", "trajselector", "mean-logprob", "min-logprob", "step-mlp", "swift", "clue")
BEST = "score:trajselector-fused"
"""The best single selector, which the combined one is compared with."""
SHIFTS: dict[str, dict[str, Any]] = {"temperature-0.7": {"temperature": 0.7}}
"""Pools unlike those the scorers were trained on, which were sampled at temperature 1."""
SHOWN = (1, 2, 4, 5, 8, 10, 16, 32, 48, 64)


def make_pools(path: Path, split: str, count: int, n: int, shift: Mapping[str, Any] = MappingProxyType({})) -> Run:
    """Sampled and verified pools; `shift` changes settings of sampling."""
    preset = load_sample_config(POOLS)
    problems = {"split": split, "count": count}
    # Only what is scored needs what the self-certainty scorer reads.
    sampling = replace(preset.sampling, self_certainty=split != "train", **shift)
    settings = preset.model_copy(
        update={"n": n, "sampling": sampling, "problems": preset.problems.model_copy(update=problems)}
    )
    sample(path, settings)
    verify(path)
    return Run.open(path)


def train_head(name: str, out: Path, training: Path, validation: Path, epochs: int) -> Path:
    from nbest.training.scorer import train_scorer

    folder = out / "models" / name / "model"
    if not (folder / "metrics.json").exists():
        values = {
            "out": str(out / "models" / name),
            "data": {"runs": [str(training)], "validation_runs": [str(validation)]},
            "model": {"type": name, "layers": list(HEADS[name])},
            "epochs": epochs,
            "batch_trajectories": 64,
            "accumulation": 1,
            "learning_rate": 1e-3,
        }
        train_scorer(parse_config(ScorerTrainingConfig, values, name))
    return folder


def score_all(run: Run, models: dict[str, str | None]) -> dict[str, float]:
    """Store the scores of every scorer in the run; return the seconds of each."""
    with Equivalence() as equivalence:
        context = BuildContext(equivalence)
        scorers: dict[str, Scorer] = {
            name: load_scorer(name, replace(context, scorer_model=model)) for name, model in models.items()
        }
    for kind in ("bottom", "window", "tail"):
        scorers[f"deepconf-{kind}-{WINDOW}"] = DeepConfScorer(kind, window=WINDOW, tail=WINDOW)
    seconds: dict[str, float] = {}
    for name, scorer in scorers.items():
        start = time.perf_counter()
        asyncio.run(score_run(run, scorer, name, lambda *_: None))
        seconds[name] = time.perf_counter() - start
    return seconds


def read_auc(run: Run, names: Sequence[str]) -> dict[str, float | None]:
    """The AUC within pools of every scorer."""
    correct = {verdict.trajectory_id: bool(verdict.correct) for verdict in run.verdicts()}
    found: dict[str, float | None] = {}
    for name in names:
        pools: dict[str, list[tuple[bool, float]]] = {}
        for score in run.scores(name):
            if score.value == score.value:
                pools.setdefault(score.trajectory_id.rpartition("#")[0], []).append(
                    (correct[score.trajectory_id], score.value)
                )
        rows = ((np.array([c for c, _ in p]), np.array([v for _, v in p])) for p in pools.values())
        found[name] = within_pool_auc(rows)[0]
    return found


def list_selectors(run: Run) -> dict[str, str]:
    """Selector of `compare` to the name printed."""
    chosen: dict[str, str] = {"random": "random", "majority": "majority", "oracle": "oracle"}
    for name in run.scorers():
        chosen[f"score:{name}"] = name
        is_negative = any(score.value < 0 for score in run.scores(name))
        chosen[f"borda:{name}" if is_negative else f"vote:{name}"] = f"{name}-{'borda' if is_negative else 'vote'}"
        if name.startswith("deepconf"):
            chosen[f"filtered:{name}"] = f"{name}-filtered"
    return chosen


def tell_gap(gap: tuple[float | None, float | None, float | None]) -> str:
    difference, low, high = (0.0 if value is None else 100 * value for value in gap)
    return f"{difference:+.1f} [{low:+.1f}, {high:+.1f}]"


def tell(found: Comparison, names: dict[str, str], auc: dict[str, float | None], ns: Sequence[int]) -> dict[str, Any]:
    """Prints the tables; returns what the JSON holds of them."""
    rows = {(names.get(row.selector, row.selector), row.n): row for row in found.rows}
    paired = {(names.get(row.selector, row.selector), row.n): row for row in found.paired}
    shown = [n for n in SHOWN if n in ns]
    order = list(dict.fromkeys(name for name, _ in rows))
    order.sort(key=lambda name: -(rows[name, shown[-1]].accuracy or 0))
    print("| selector | AUC within pools | " + " | ".join(f"N={n}" for n in shown) + " |")
    print("|---" * (len(shown) + 2) + "|")
    for name in order:
        area = auc.get(name)
        cells = [f"{100 * (rows[name, n].accuracy or 0):.1f}" for n in shown]
        print(f"| {name} | {'' if area is None else f'{area:.3f}'} | " + " | ".join(cells) + " |")
    print("\nDifference from majority in points, with the paired 95 % interval over problems:\n")
    print("| selector | " + " | ".join(f"N={n}" for n in shown if n > 1) + " |")
    print("|---" * len(shown) + "|")
    for name in order:
        found_gaps = [(n, paired.get((name, n))) for n in shown if n > 1]
        cells = [tell_gap((row.difference, row.low, row.high)) for _, row in found_gaps if row is not None]
        if cells:
            print(f"| {name} | " + " | ".join(cells) + " |")
    pairs: dict[str, dict[str, Any]] = {}
    for (name, n), row in paired.items():
        kept = ("difference", "low", "high", "p_value", "p_holm", "problems_differing")
        pairs.setdefault(name, {})[str(n)] = {key: value for key, value in asdict(row).items() if key in kept}
    accuracy: dict[str, dict[str, float | None]] = {}
    for (name, n), row in rows.items():
        accuracy.setdefault(name, {})[str(n)] = row.accuracy
    return {"accuracy": accuracy, "paired": pairs, "within_pool_auc": auc}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/selection"))
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--training-problems", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=4, help="of the scorers trained here")
    parser.add_argument("--quick", action="store_true", help="30 problems x 8, bundled scorers only")
    add_json_option(parser)
    options = parser.parse_args()
    output = JsonResult(options.json_out)
    if options.quick:
        options.problems, options.n, options.out = 30, 8, options.out.with_name(options.out.name + "-quick")
    torch.set_num_threads(1)
    start = time.perf_counter()
    recorded = {"logprobs", "confidences", "certainties"}
    of_numbers = [spec.name for spec in specs("scorer") if spec.needs and spec.needs <= recorded]
    models: dict[str, str | None] = dict.fromkeys([*BUNDLED, *of_numbers])
    held = (60, 8) if options.quick else (500, 32)
    validation = make_pools(options.out / "validation", "validation", *held)
    if not options.quick:
        training = make_pools(options.out / "train", "train", options.training_problems, 16)
        for name in HEADS:
            models[name] = str(train_head(name, options.out, training.path, validation.path, options.epochs))
    score_all(validation, models)
    tables: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    with Equivalence() as equivalence:
        mixed = [name for name in COMBINED if name in validation.scorers()]
        combined, report = fit_combined(validation, mixed, equivalence)
        combined.save(options.out / "combined.json")
        for shift in ["test", *([] if options.quick else SHIFTS)]:
            sizes = (options.problems, options.n) if shift == "test" else (300, 32)
            run = make_pools(options.out / shift, "test", *sizes, SHIFTS.get(shift, {}))
            seconds |= {f"score {name}, {shift}": taken for name, taken in score_all(run, models).items()}
            ns = list(range(1, sizes[1] + 1)) if shift == "test" and not options.quick else [1, 2, 4, 8, 16, 32]
            ns = [n for n in ns if n <= sizes[1]]
            names = list_selectors(run)
            contestant = Contestant("combined", combined_estimator(combined, equivalence), tuple(mixed))
            found = compare(run, [*names, contestant], ns, equivalence=equivalence)
            print(f"\n## {shift}: {found.problems} problems x {found.n_max}\n")
            shown = [n for n in SHOWN if n in ns]
            rival = compare(run, [BEST, contestant], shown, equivalence=equivalence, baseline=BEST)
            tables[shift] = tell(found, names, read_auc(run, run.scorers()), ns)
            print(f"\ncombined against {BEST}:")
            against = {str(row.n): (row.difference, row.low, row.high) for row in rival.paired}
            for n, cell in against.items():
                print(f"N={n}: " + tell_gap(cell))
            tables[shift]["combined_against_best"] = against
    result = {
        "name": "selection",
        "machine": platform.platform(),
        "sizes": {"problems": options.problems, "n": options.n, "training_problems": options.training_problems},
        "baseline": "majority",
        "ratios": {},
        "seconds": {"all": time.perf_counter() - start, **seconds},
        "combined": report.to_json(),
        **tables.pop("test"),
        "shifts": tables,
    }
    output.write(result)


if __name__ == "__main__":
    main()
