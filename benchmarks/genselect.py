"""Measure a small trained selector on held-out tasks, on full pools, from weak to strong, by budget, and its cost.

This reads verified runs and never writes into them: copies of the first N candidates of each pool are made under --out,
and selections are stored in the copies. A benchmark that was killed resumes; several questions (--only) may run at once
on one --out.

    python benchmarks/selection.py --out runs/selection
    nbest tasks build runs/selection/test --out tasks.parquet --style compact --thinking answer ...
    python benchmarks/genselect.py --pools runs/selection --tasks tasks.parquet --model cold=FOLDER \
        --model dapo=FOLDER --weak weak=FOLDER --weak-pools RUN --json results/genselect.json
    python benchmarks/genselect.py --quick

Questions: `tasks` (one judgement per held-out task), `pools` (every strategy at N = 8 and 16), `combined` (the combined
selector with and without the `genselect` scorer, N = 16), `weak` (trained on a weak policy's tasks), `large` (N = 64:
tournament against repeated vote for the same tokens), `cost` (tokens, calls, seconds). The first model is the baseline
of the others. A model gets the prompts that its `selection.json` describes; a judgement that fails after all retries
abstains, which counts as wrong. Intervals are 95 %, over problems, and paired if two selectors are compared.
"""

import argparse
import asyncio
import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from genselect_costs import compare_budgets, measure_costs
from genselect_judges import (
    DOUBTFUL,
    SCRIPTED,
    TOURNAMENT,
    VOTE,
    WINDOW,
    CountedSelector,
    find_obstacle,
    identify,
    load_model,
    select_all,
)
from genselect_pools import STORED, compare_pools, copy_pools, show_selections
from genselect_tasks import compare_tasks
from json_result import JsonResult, add_json_option
from selection import make_pools, score_all

from nbest.judging.conversation import JudgementCounts
from nbest.judging.models import JudgeModel
from nbest.judging.scorer import GenSelectScorer
from nbest.measuring.combining import fit_combined
from nbest.selecting.combined.model import CombinedModel
from nbest.selecting.combined.subsets import combined_estimator
from nbest.selecting.estimators import Contestant
from nbest.stages import score_run
from nbest.storage.run import Run
from nbest.verifying.equivalence import Equivalence

QUESTIONS = ("tasks", "pools", "combined", "weak", "large", "cost")
STRATEGIES = (WINDOW, TOURNAMENT, VOTE, "knockout", "genrm", "usc")
FUSED = "trajselector-fused"
PLAIN = {"random": "random", "majority": "majority", FUSED: f"score:{FUSED}", f"{FUSED}-vote": f"vote:{FUSED}"}
"""The selectors that generative ones are compared with: printed name and name in `compare`."""
MIXED = (FUSED, "trajselector", "mean-logprob")
"""The scorers of the combined selector besides the model; with more of them a fit takes minutes."""
BOUND = {"oracle": "oracle"}


class Bench:
    """The options, and what is loaded once: models, runs, the equivalence of answers."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack):
        self.options = options
        self.out: Path = options.out
        self.equivalence = stack.enter_context(Equivalence())
        self.models = dict(_parse_named(text) for text in options.model)
        self.cold = next(iter(self.models))
        self.main = options.main or next(islice(self.models, 1, None), self.cold)
        if self.main not in self.models:
            raise SystemExit(f"--main: {self.main!r} is none of {', '.join(self.models)}")
        self._stack = stack
        self._loaded: dict[str, JudgeModel] = {}

    def judge(self, name: str, folder: str | None = None) -> JudgeModel:
        """Return a model by its name. Exits if --out holds selections of another model under this name."""
        if name not in self._loaded:
            judge = load_model(folder or self.models[name])
            self._stack.callback(lambda: asyncio.run(judge.aclose()))
            self._check_same(name, judge)
            self._loaded[name] = judge
        return self._loaded[name]

    def _check_same(self, name: str, judge: JudgeModel) -> None:
        settings = judge.config.model_dump(mode="json", exclude={"policy"})
        record = {"content_hash": identify(judge), "settings": settings}
        file = self.out / "models" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_file():
            file.write_text(json.dumps(record), encoding="utf-8")
        elif json.loads(file.read_text(encoding="utf-8")) != record:
            raise SystemExit(
                f"{file}: {name!r} was another model or had other settings. Choose another name or another --out."
            )

    def copy(self, split: str, n: int, count: int | None = None, scorers: Sequence[str] = (FUSED,)) -> Run:
        """Return a copy with the first candidates of `test`, `validation` or `weak`."""
        source = Run.open(self.options.weak_pools if split == "weak" else self.options.pools / split)
        size: int = count or self.options.count
        return copy_pools(source, self.out / f"{split}-{size}x{n}", size, n, scorers)

    def select(self, run: Run, name: str, judge: JudgeModel, strategies: Sequence[str]) -> "Selections":
        """Return the selections of one model by each strategy that it supports."""
        selections = Selections()
        pools = list(run.pools(tokens=False))
        for strategy in strategies:
            label, stored = f"{name} {strategy}", f"{name}-{strategy}"
            if reason := find_obstacle(strategy, judge, pools, self.equivalence):
                selections.skipped[label] = reason
                continue
            selections.counts[label] = select_all(run, CountedSelector(strategy, judge, self.equivalence), stored)
            selections.names[label] = STORED + stored
        return selections


class Selections:
    """The selections in a run: their name in `compare` and their counts by printed name, and the strategies skipped."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.counts: dict[str, JudgementCounts] = {}
        self.skipped: dict[str, str] = {}


def _parse_named(text: str) -> tuple[str, str]:
    name, equals, folder = text.partition("=")
    if not (equals and folder and name.replace("-", "").replace(".", "").isalnum()):
        raise SystemExit(f"got {text!r}; allowed: NAME=FOLDER with a NAME of letters, digits, - and .")
    return name, folder


def ask_tasks(bench: Bench) -> dict[str, Any]:
    file: Path | None = bench.options.tasks
    if file is None:
        return _skip("tasks", "no --tasks FILE was given")
    models = {name: bench.judge(name) for name in bench.models}
    folder = bench.out / "tasks" / hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    return compare_tasks(models, file, bench.options.tasks_count, bench.options.draws, folder, bench.equivalence)


def _skip(question: str, reason: str) -> dict[str, Any]:
    print(f"## {question}: skipped, {reason}\n")
    return {"skipped": reason}


def compare_models(
    bench: Bench, run: Run, n: int, judges: Mapping[str, JudgeModel], strategies: Sequence[str], title: str
) -> dict[str, Any]:
    """Compare the models by these strategies on one run.

    Doubtful strategies are used by the first and the main model only. The first of `judges` is the baseline of the
    others.
    """
    base = next(iter(judges))
    usual = [strategy for strategy in strategies if strategy not in DOUBTFUL]
    selections = {
        name: bench.select(run, name, judge, strategies if name in (base, bench.main) else usual)
        for name, judge in judges.items()
    }
    plain = {label: name for label, name in PLAIN.items() if FUSED not in label or FUSED in run.scorers()}
    selectors = plain | {label: name for item in selections.values() for label, name in item.names.items()} | BOUND
    pairs: dict[str, list[str]] = {"majority": [name for name in selectors if name not in BOUND]}
    cold: dict[str, str] = {}
    for strategy in strategies:
        others = [f"{name} {strategy}" for name in judges if name != base]
        pairs[f"{base} {strategy}"] = others
        cold |= dict.fromkeys(others, f"{base} {strategy}")
    rows, gaps = compare_pools(run, n, selectors, pairs, bench.equivalence)
    counts = {label: count for item in selections.values() for label, count in item.counts.items()}
    skipped = {label: reason for item in selections.values() for label, reason in item.skipped.items()}
    return show_selections(title, rows, gaps, counts, skipped, cold)


def ask_pools(bench: Bench) -> dict[str, Any]:
    judges = {name: bench.judge(name) for name in bench.models}
    results: dict[str, Any] = {}
    for n in bench.options.n:
        title = (
            f"## Full pools, N = {n}, {bench.options.count:,} problems; R = {bench.judge(bench.cold).config.repeats}"
        )
        results[str(n)] = compare_models(bench, bench.copy("test", n), n, judges, bench.options.strategies, title)
    return results


def ask_combined(bench: Bench) -> dict[str, Any]:
    """Fit the combined selector on the validation pools and measure it on the test pools."""
    n, options, scorer_name = bench.options.n[-1], bench.options, f"genselect-{bench.main}"
    sources = [Run.open(options.pools / split) for split in ("validation", "test")]
    mixed = [name for name in options.mixed if all(name in source.scorers() for source in sources)]
    runs = [bench.copy("validation", n, options.validation_count, mixed), bench.copy("test", n, None, mixed)]
    judge = bench.judge(bench.main)
    calls: dict[str, Any] = {}
    for run in runs:
        scorer = GenSelectScorer(judge.settings(bench.equivalence))
        asyncio.run(score_run(run, scorer, scorer_name, lambda *_: None))
        report = scorer.report()
        calls[run.path.name] = {"calls_now": report.calls, "unscored_now": dict(report.unscored)}
    scorers = {
        "combined": mixed,
        f"combined with {scorer_name}": [*mixed, scorer_name],
        f"combined of {scorer_name} and votes": [scorer_name],
    }
    fitted: dict[str, Contestant] = {}
    for name, names in scorers.items():
        file = bench.out / "combined" / f"{runs[0].path.name}-{'+'.join(names)}.json"
        if not file.is_file():
            file.parent.mkdir(exist_ok=True)
            fit_combined(runs[0], names, bench.equivalence)[0].save(file)
        estimate = combined_estimator(CombinedModel.load(file), bench.equivalence)
        fitted[name] = Contestant(name, estimate, tuple(names))
    others = list(scorers)[1:]
    selectors = PLAIN | {f"vote:{scorer_name}": f"vote:{scorer_name}"} | fitted | BOUND
    pairs = {"majority": [name for name in selectors if name not in BOUND], "combined": others}
    rows, gaps = compare_pools(runs[1], n, selectors, pairs, bench.equivalence)
    title = (
        f"## Combined selector, N = {n}: fitted on {options.validation_count:,}, measured on {options.count:,} problems"
    )
    # The second baseline is the combined selector without the model.
    result = show_selections(title, rows, gaps, {}, {}, dict.fromkeys(others, "combined"), "combined")
    return result | {"mixed": scorers, "scored": calls}


def ask_weak(bench: Bench) -> dict[str, Any]:
    options = bench.options
    if options.weak is None:
        return _skip("weak", "no --weak NAME=FOLDER was given")
    baseline = [_parse_named(options.weak_cold)] if options.weak_cold else [(bench.cold, bench.models[bench.cold])]
    judges = {name: bench.judge(name, folder) for name, folder in [*baseline, _parse_named(options.weak)]}
    strategies = [name for name in options.strategies if name in (TOURNAMENT, VOTE)]
    results: dict[str, Any] = {}
    for split in ("test", "weak") if options.weak_pools else ("test",):
        policy = "strong" if split == "test" else "weak"
        for n in options.n:
            run = bench.copy(split, n, None, (FUSED,) if split == "test" else ())
            title = f"## Trained on tasks of the weak policy; {options.count:,} pools of the {policy} one, N = {n}"
            results[f"{policy}, N={n}"] = compare_models(bench, run, n, judges, strategies, title)
    return results


def ask_large(bench: Bench) -> dict[str, Any]:
    n = bench.options.large
    run = bench.copy("test", n, bench.options.large_count)
    return compare_budgets(run, n, bench.main, bench.judge(bench.main), bench.equivalence, PLAIN)


def ask_cost(bench: Bench) -> dict[str, Any]:
    options = bench.options
    runs = {n: bench.copy("test", n, options.cost_count) for n in (*options.n, options.large)}
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    judge = bench.judge(bench.main)
    return measure_costs(runs, judge, options.strategies, options.cost_count, options.repeats, clock, bench.equivalence)


ASK = {
    "tasks": ask_tasks,
    "pools": ask_pools,
    "combined": ask_combined,
    "weak": ask_weak,
    "large": ask_large,
    "cost": ask_cost,
}


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pools", type=Path, default=Path("runs/selection"), help="folder of the runs test and validation"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/genselect"))
    parser.add_argument("--model", action="append", metavar="NAME=FOLDER", help="repeatable; the first is the baseline")
    parser.add_argument(
        "--main", metavar="NAME", help="the model of combined, large and cost; by default the second one"
    )
    parser.add_argument("--tasks", type=Path, metavar="FILE", help="held-out tasks")
    parser.add_argument("--tasks-count", type=int, default=400, help="use only the first so many tasks")
    parser.add_argument("--draws", type=int, default=4, help="judgements per task at the model's own temperature")
    parser.add_argument("--weak", metavar="NAME=FOLDER", help="trained on tasks of the weak policy")
    parser.add_argument("--weak-cold", metavar="NAME=FOLDER", help="its cold start; by default the first model")
    parser.add_argument("--weak-pools", type=Path, metavar="RUN", help="verified pools of the weak policy")
    parser.add_argument("--count", type=int, default=250, help="problems of the test pools")
    parser.add_argument("--validation-count", type=int, default=200, help="problems for fitting the combined selector")
    parser.add_argument("--mixed", nargs="+", default=list(MIXED), help="stored scores in the combined selector")
    parser.add_argument("--large-count", type=int, default=250, help="problems at the largest N")
    parser.add_argument("--cost-count", type=int, default=24, help="selections that run at once for the cost")
    parser.add_argument("--n", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--large", type=int, default=64)
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--repeats", type=int, default=3, help="rounds of the cost measurement")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: for a machine that others use")
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument(
        "--quick", action="store_true", help="a few small pools, made by this script; scripted unless --model is given"
    )
    add_json_option(parser)
    return parser.parse_args()


def make_quick(options: argparse.Namespace) -> None:
    """Make small pools, and tasks from them, in a separate folder."""
    from nbest.training.settings import TasksConfig
    from nbest.training.source_pools import open_sources
    from nbest.training.task_building import build_tasks
    from nbest.training.task_files import NbestFormat

    torch.set_num_threads(1)
    options.out = options.out.with_name(options.out.name + "-quick")
    options.pools = options.out / "pools"
    for split, count in (("test", 24), ("validation", 40)):
        score_all(make_pools(options.pools / split, split, count, 12), dict.fromkeys((FUSED, "mean-logprob")))
    options.tasks, options.weak_pools = options.out / "tasks.parquet", options.pools / "validation"
    settings = TasksConfig(style="compact", thinking="answer", tokenizer="bundled:arithmetic", max_pass_rate=1.0)
    build_tasks(open_sources([str(options.pools / "test")]), options.tasks, settings, NbestFormat())
    options.model = options.model or [f"cold={SCRIPTED}", f"trained={SCRIPTED}"]
    options.weak = options.weak or f"weak={SCRIPTED}"
    options.n, options.large, options.repeats, options.cost_count = [4, 8], 12, 1, 8
    options.count = options.large_count = 24
    options.validation_count = 40


def main() -> None:
    options = parse_options()
    output = JsonResult(options.json_out)
    if options.quick:
        make_quick(options)
    options.model = options.model or ["bundled=bundled:genselect"]
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    with ExitStack() as stack:
        bench = Bench(options, stack)
        for question in options.only:
            start = time.perf_counter()
            results[question] = ASK[question](bench)
            seconds[question] = time.perf_counter() - start
            print(f"({question}: {seconds[question]:.0f} s)\n", flush=True)
    sizes = ("count", "validation_count", "large_count", "cost_count", "n", "large", "tasks_count", "draws", "repeats")
    result = {
        "name": "genselect",
        "machine": f"{platform.platform()}, {os.cpu_count()} cores, torch {torch.__version__}, one thread",
        "sizes": {name: getattr(options, name) for name in sizes} | {"clock": options.clock},
        "baseline": TOURNAMENT,
        "ratios": results.get("cost", {}).get("ratios", {}),
        "seconds": seconds,
        "models": bench.models | ({"weak": options.weak} if options.weak else {}),
        "main": bench.main,
        **results,
    }
    output.write(result)


if __name__ == "__main__":
    main()
