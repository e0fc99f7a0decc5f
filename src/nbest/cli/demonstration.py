"""`nbest demo`: the main job on the bundled model, from problems to a checked, selected answer and a page."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from nbest.cli.terminal import JsonOut, console, table, write_json
from nbest.config import SampleConfig

if TYPE_CHECKING:
    from nbest.measuring.comparison import Comparison
    from nbest.storage.run import Run
    from nbest.verifying.equivalence import Equivalence


LIVE = "trained-here"
JUDGE, JUDGED = "genselect-vote", (8, 16)
"""The generative selector, and of how many first candidates it selects."""
SCORERS = ("mean-logprob", "trajselector", "trajselector-fused")


def demo(
    out: Annotated[Path, typer.Option("--out", help="The folder for the run and its report.")] = Path("demo"),
    count: Annotated[int, typer.Option(min=2, help="Problems.")] = 200,
    n: Annotated[int, typer.Option("--n", min=2, help="Trajectories a problem.")] = 32,
    training: Annotated[int, typer.Option(min=0, help="Problems to train a scorer on; 0 = no training.")] = 400,
    judge: Annotated[bool, typer.Option("--judge/--no-judge", help="Let the bundled model judge candidates.")] = True,
    seed: Annotated[int, typer.Option(help="Of the run.")] = 0,
    json_out: JsonOut = None,
) -> None:
    """Sample, verify, score, train a scorer, judge, select and compare on the bundled models: minutes, no download."""
    from nbest.cli.stages import sample_into, score_in, verify_in
    from nbest.measuring.compare import compare
    from nbest.registry import build_scorer
    from nbest.storage.run import Run
    from nbest.verifying.equivalence import Equivalence

    screen = console(json_out)
    settings = _settings("test", count, n, seed)
    screen.print(f"A frozen policy ({settings.policy.model}) answers {count} problems {n} times, states captured:")
    sample_into(out, settings, "0/1", json_out)
    verified = verify_in(out, json_out)
    run = Run.open(out)
    chosen: dict[str, str | None] = dict.fromkeys(SCORERS)
    if training:
        chosen[LIVE] = _train_live(out, training, seed, screen, json_out)
    screen.print("Scorers rate every trajectory without seeing its verdict:")
    for name, model in chosen.items():
        score_in(run, build_scorer(name, run, model), name, screen)
    with Equivalence() as equivalence:
        judged = _judge(run, n, seed, equivalence, screen) if judge else []
        _select(run, equivalence, screen)
        scored = [f"{rule}:{name}" for name in chosen for rule in _rules(name)]
        selectors = ["random", "majority", *scored, *judged, "oracle"]
        found = compare(run, selectors, equivalence=equivalence, seed=seed)
    page = _show(out, found, _facts(run.manifest, verified), screen)
    write_json(found.to_json() | {"report": str(page), "run": str(out)}, json_out)


def _show(out: Path, found: "Comparison", facts: Mapping[str, str], screen: Console) -> Path:
    """The table on the screen, curve and page in the report's folder; the page."""
    from nbest.report.charts import write_chart
    from nbest.report.page import write_page

    report = out / "report"
    write_chart(found, report / "accuracy.png", report / "accuracy.html")
    page = report / "report.html"
    write_page(page, "nbest: the bundled policy on its test problems", found, facts)
    screen.print()
    screen.print(table(f"Accuracy in %, {found.problems} problems", found.table_columns(), found.table_rows()))
    screen.print()
    for name, path in (("report", page), ("curve", report / "accuracy.png"), ("run", out)):
        screen.print(f"{name:<7} {path.absolute()}", markup=False, soft_wrap=True)
    screen.print(f"look at one pool:  nbest show {out} 0", markup=False)
    return page


def _settings(split: str, count: int, n: int, seed: int) -> SampleConfig:
    from nbest.registry import load_sample_config

    preset = load_sample_config("arithmetic")
    problems = preset.problems.model_copy(update={"count": count, "split": split})
    return preset.model_copy(update={"n": n, "seed": seed, "problems": problems})


def _rules(scorer: str) -> tuple[str, ...]:
    """A log-probability is negative and cannot weigh a vote."""
    return ("score",) if scorer == "mean-logprob" else ("score", "vote")


def _train_live(out: Path, count: int, seed: int, screen: Console, json_out: str | None) -> str:
    """Trains a small scorer on pools of the training split; the folder of the model."""
    from nbest.cli.stages import sample_into, verify_in
    from nbest.cli.train import training_bar
    from nbest.config import parse_config
    from nbest.training.scorer import train_scorer
    from nbest.training.settings import ScorerTrainingConfig

    screen.print(f"\nA small scorer learns from {count} other problems, 8 trajectories each, by outcome labels alone:")
    pools, folder = out / "training", out / "scorer"
    sample_into(pools, _settings("train", count, 8, seed), "0/1", json_out)
    verify_in(pools, json_out)
    values = {
        "out": str(folder),
        "seed": seed,
        "data": {"runs": [str(pools)], "validation_share": 0.1},
        "model": {
            "layers": [2, 3, 4, 5],
            "logprobs": True,
            "aggregation": "last",
            "body": "bundled:arithmetic",
            "body_layers": 2,
        },
        "loss": {"name": "guarded-half"},
        "epochs": 10,
        "batch_trajectories": 32,
        "accumulation": 1,
        "learning_rate": 1e-3,
        "evaluations": 5,
    }
    with training_bar("train", screen) as bar:
        trained = train_scorer(parse_config(ScorerTrainingConfig, values, "demo"), [bar])
    screen.print(
        f"it ranks right above wrong in {100 * trained.metrics['eval_within_pool_auc']:.0f} % of held-out pairs"
    )
    return str(trained.folder)


def _judge(run: "Run", n: int, seed: int, equivalence: "Equivalence", screen: Console) -> list[str]:
    """Lets the bundled generative selector read the first candidates of every pool that it has not read yet; what a
    comparison calls its selections."""
    from nbest.cli.stages import select_in
    from nbest.config import GenerativeConfig
    from nbest.measuring.stored import PREFIX
    from nbest.registry import build_selector, load_judge
    from nbest.selecting.limited import LimitedSelector

    total = sum(1 for _ in run.problems())
    names = {f"{JUDGE}@{size}": size for size in JUDGED if size <= n} or {f"{JUDGE}@{n}": n}
    shown = [PREFIX + name for name in names]
    if all(len(run.done_selections(name)) == total for name in names):
        return shown
    model = load_judge(GenerativeConfig(seed=seed))
    screen.print(
        f"A model ({model.config.policy.model}) reads the candidates in {model.config.repeats} shuffled orders; "
        "the answer that it names most often wins:"
    )
    with closing(model.policy):
        selector = build_selector(JUDGE, run, equivalence, judge=model)
        for name, size in names.items():
            select_in(run, LimitedSelector(selector, JUDGE, size), name, screen)
    counts: Any = getattr(selector, "counts", None)
    tokens = (counts.prompt_tokens + counts.sampled_tokens) / max(counts.selections, 1)
    screen.print(
        f"{counts.calls:,} calls, {tokens:,.0f} tokens a selection; {sum(counts.failed.values()):,} judgements failed, "
        f"{counts.abstained:,} selections abstained"
    )
    return shown


def _select(run: "Run", equivalence: "Equivalence", screen: Console) -> None:
    """Keeps what two selectors picked, for `nbest show`."""
    from nbest.cli.stages import select_in
    from nbest.registry import build_selector

    for name in ("majority", "vote:trajselector-fused"):
        select_in(run, build_selector(name, run, equivalence), name, screen)


def _facts(manifest: Mapping[str, Any], verified: Mapping[str, Any]) -> dict[str, str]:
    """What the page says about the run, from its manifest."""
    problems, policy = manifest["identity"]["problems"], manifest["identity"]["policy"]
    sampling, about = manifest["identity"]["sampling"], manifest["info"]["policy"]
    seed, version = manifest["identity"]["seed"], manifest["info"]["nbest"]
    return {
        "policy": f"{policy['model']} ({about['parameters']:,} parameters, weights {policy['content_hash'][:16]})",
        "problems": f"{problems['count']} of {problems['source']} (hash {problems['hash'][:16]})",
        "sampling": f"temperature {sampling['temperature']}, top-p {sampling['top_p']}, seed {seed}",
        "trajectories": f"{verified['trajectories']:,} ({verified['right']:,} right, {verified['wrong']:,} wrong)",
        "versions": f"nbest {version}, torch {about['torch']}, transformers {about['transformers']}",
    }
