"""The stages of a run: sample, encode, verify, score, select, compact. Each can be killed and run again."""

import asyncio
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from nbest.cli.judgements import load_judge_for, load_named_judge, show_judgements
from nbest.cli.terminal import JsonOut, RunPath, console, progress, table, write_json
from nbest.config import SampleConfig, parse_config
from nbest.errors import ConfigError
from nbest.records import Problem

if TYPE_CHECKING:
    from nbest.protocols import Scorer, Selector
    from nbest.registry import Policy
    from nbest.stages import Shard
    from nbest.storage.run import Run

Config = Annotated[str, typer.Option("--config", "-c", help="A TOML file, or the name of a preset of the package.")]


def sample(
    run: RunPath,
    config: Config = "arithmetic",
    n: Annotated[int | None, typer.Option("--n", min=1, help="Trajectories a problem.")] = None,
    problems: Annotated[str | None, typer.Option(help="'arithmetic', a benchmark, or a benchmark's .toml.")] = None,
    file: Annotated[Path | None, typer.Option(help="A local copy of the benchmark.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Only the first so many problems.")] = None,
    split: Annotated[str | None, typer.Option(help="train, validation or test.")] = None,
    model: Annotated[str | None, typer.Option(help="bundled:NAME, a folder, or a hub id.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0.0)] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="The seed of the run.")] = None,
    capture: Annotated[bool | None, typer.Option("--capture/--no-capture", help="Keep hidden states.")] = None,
    shard: Annotated[str, typer.Option(metavar="I/K", help="Part I of K, to share a run between processes.")] = "0/1",
    json_out: JsonOut = None,
) -> None:
    """Draw N trajectories a problem, with hidden states at step ends."""
    from nbest.registry import load_sample_config

    base = load_sample_config(config)
    given: dict[str, dict[str, Any]] = {
        "problems": {"source": problems, "file": file, "count": count, "split": split},
        "policy": {"model": model},
        "sampling": {"temperature": temperature, "max_tokens": max_tokens},
        "": {"n": n, "seed": seed},
    }
    if capture is not None:
        given["sampling"]["capture"] = (base.sampling.capture or (-1,)) if capture else ()
    settings = _override(base, given)
    report = sample_into(run, settings, shard, json_out)
    write_json(report, json_out)


def _override(base: SampleConfig, given: dict[str, dict[str, Any]]) -> SampleConfig:
    """`base` with the flags that were given on top; checked as a whole."""
    values = base.model_dump()
    for section, flags in given.items():
        place = values[section] if section else values
        place.update({name: value for name, value in flags.items() if value is not None})
    if values["sampling"]["capture"] == ():
        values["sampling"]["capture"] = None
    return parse_config(SampleConfig, values, "command line")


def sample_into(run: Path, settings: SampleConfig, shard: str, json_out: str | None) -> dict[str, Any]:
    """Load, check, draw what is missing, tell; used by `sample` and `demo`."""
    from nbest.registry import build_policy, load_problems, pin_revision
    from nbest.stages import Shard

    screen = console(json_out)
    part = Shard.parse(shard)
    settings = pin_revision(settings)
    chosen = load_problems(settings.problems)
    policy = build_policy(settings.policy)
    with closing(policy):
        return _draw_missing(run, settings, part, chosen, policy, screen)


def _draw_missing(
    run: Path, settings: SampleConfig, part: "Shard", chosen: list[Problem], policy: "Policy", screen: Console
) -> dict[str, Any]:
    from nbest.registry import describe_sampling
    from nbest.stages import Draw, missing_draws, sample_run
    from nbest.storage.run import Run

    opened = Run.create(run, describe_sampling(settings, policy, chosen))
    opened.write_problems(chosen)
    draw = Draw(settings.n, settings.sampling, settings.seed, part)
    missing = sum(len(indices) for _, indices in missing_draws(opened, draw))
    drawn = [0, 0]
    start = time.perf_counter()
    with progress("sample", missing, screen) as show:

        def on_done(count: int, tokens: int) -> None:
            drawn[0] += count
            drawn[1] += tokens
            show(count, tokens)

        asyncio.run(sample_run(opened, policy.sampler, draw, on_done, policy.about_states))
    seconds = time.perf_counter() - start
    kept = len(opened.done_trajectories())
    screen.print(
        f"{run}: {drawn[0]:,} trajectories drawn in {seconds:.1f} s ({drawn[1]:,} tokens); the run holds {kept:,} "
        f"of {len(chosen) * settings.n:,}"
    )
    return {"run": str(run), "drawn": drawn[0], "tokens": drawn[1], "seconds": seconds, "trajectories": kept}


def encode(
    run: RunPath,
    model: Annotated[str | None, typer.Option(help="The policy; by default the one that sampled the run.")] = None,
    layers: Annotated[list[int] | None, typer.Option("--layer", help="Layers to keep; -1 is the last one.")] = None,
    json_out: JsonOut = None,
) -> None:
    """Fill hidden states of trajectories that have none (imported ones, say), in one pass."""
    from nbest.cli.settings import policy_of
    from nbest.registry import build_encoder, describe_states
    from nbest.stages import encode_run, require_trajectories
    from nbest.storage.run import Run

    screen, opened = console(json_out), Run.open(run)
    total = require_trajectories(opened)
    encoder = build_encoder(policy_of(opened, model), tuple(layers or (-1,)))
    missing = total - len(opened.done_states())
    with progress("encode", missing, screen) as on_done:
        asyncio.run(encode_run(opened, encoder, on_done, describe_states(encoder.checkpoint.info)))
    held = len(opened.done_states())
    screen.print(f"{run}: hidden states of {held:,} of {total:,} trajectories")
    write_json({"run": str(run), "trajectories": total, "with_states": held}, json_out)


def verify(run: RunPath, json_out: JsonOut = None) -> None:
    """Check every answer against its target."""
    write_json(verify_in(run, json_out), json_out)


def verify_in(run: Path, json_out: str | None) -> dict[str, Any]:
    """Judge what is missing and tell; used by `verify` and `demo`."""
    from nbest.stages import require_trajectories, verify_run
    from nbest.storage.run import Run
    from nbest.verifying.dispatch import KindVerifier

    screen, opened = console(json_out), Run.open(run)
    total = require_trajectories(opened)
    with KindVerifier() as verifier, progress("verify", total - len(opened.done_verdicts()), screen) as on_done:
        asyncio.run(verify_run(opened, verifier, on_done))
    counts = {"right": 0, "wrong": 0, "unjudged": 0}
    for verdict in opened.verdicts():
        counts["unjudged" if verdict.correct is None else "right" if verdict.correct else "wrong"] += 1
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    screen.print(f"{run}: {told}, of {total:,} trajectories")
    return {"run": str(run), "trajectories": total, **counts}


def score(
    run: RunPath,
    scorer: Annotated[list[str], typer.Option("--scorer", "-s", help="A scorer; may be given many times.")],
    model: Annotated[str | None, typer.Option(help="A trained scorer, reward model or judge: folder, hub id.")] = None,
    family: Annotated[str | None, typer.Option(help="The family of a reward model; see `nbest score --help`.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="How the model of 'genselect' is asked: a TOML file.")
    ] = None,
    name: Annotated[str | None, typer.Option("--as", help="The name to keep the scores under.")] = None,
    json_out: JsonOut = None,
) -> None:
    """Let scorers rate every trajectory of a run, and keep the scores: `score:NAME` and `vote:NAME` select by them."""
    from nbest.registry import GENSELECT_SCORER, build_scorer
    from nbest.stages import require_trajectories
    from nbest.storage.run import Run

    screen, opened = console(json_out), Run.open(run)
    require_trajectories(opened)
    names = list(dict.fromkeys(scorer))
    if len(names) > 1 and (model or config or name):
        raise ConfigError(f"--model, --config and --as belong to one scorer; {len(names)} were named")
    if config and GENSELECT_SCORER not in names:
        raise ConfigError(f"--config belongs to the scorer {GENSELECT_SCORER!r}, which asks a model")
    rows: list[dict[str, Any]] = []
    for each in names:
        judge = load_named_judge(model, config) if each == GENSELECT_SCORER else None
        rows.append(score_in(opened, build_scorer(each, opened, model, family, judge), name or each, screen))
    cells: list[list[str]] = []
    for row in rows:
        why = ", ".join(f"{count} {reason}" for reason, count in row["reasons"].items())
        cells.append([row["scorer"], f"{row['scored']:,}", f"{row['without']:,}", why])
    screen.print(table("", ["scorer", "scored", "without", "why"], cells))
    show_judgements(rows, screen)
    write_json({"run": str(run), "scores": rows}, json_out)


def score_in(run: "Run", scorer: "Scorer", name: str, screen: Console) -> dict[str, Any]:
    """Score what is missing under `name`, and close the scorer; used by `score` and `demo`."""
    from nbest.stages import score_run

    with ExitStack() as held:
        if (close := getattr(scorer, "close", None)) is not None:
            held.callback(close)
        missing = len(run.done_trajectories()) - len(run.done_scores(name))
        on_done = held.enter_context(progress(name, missing, screen))
        asyncio.run(score_run(run, scorer, name, on_done))
    values = [score.value for score in run.scores(name)]
    without = sum(1 for value in values if value != value)
    reasons = dict(getattr(scorer, "unscored", {}))
    row = {"scorer": name, "scored": len(values) - without, "without": without, "reasons": reasons}
    counts = getattr(scorer, "counts", None)
    return row if counts is None else row | {"judgements": counts.describe()}


def select(
    run: RunPath,
    selector: Annotated[list[str], typer.Option("--selector", "-s", help="A selector; may be given many times.")],
    seed: Annotated[int | None, typer.Option(help="For selectors that draw.", show_default="0")] = None,
    combined: Annotated[Path | None, typer.Option(help="The fitted mixture of the selector 'combined'.")] = None,
    model: Annotated[str | None, typer.Option(help="The model that judges: bundled:NAME, folder, hub id.")] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="How it is asked: a TOML file.")] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="Only the first N of every pool; kept as NAME@N.")] = None,
    name: Annotated[str | None, typer.Option("--as", help="The name to keep the selections under.")] = None,
    json_out: JsonOut = None,
) -> None:
    """Let selectors pick one trajectory of every pool, and keep what they picked."""
    from nbest.registry import build_selector
    from nbest.selecting.limited import LimitedSelector
    from nbest.stages import require_trajectories
    from nbest.storage.run import Run
    from nbest.verifying.equivalence import Equivalence

    screen, opened = console(json_out), Run.open(run)
    require_trajectories(opened)
    names = list(dict.fromkeys(selector))
    if len(names) > 1 and name:
        raise ConfigError(f"--as belongs to one selector; {len(names)} were named")
    rows: list[dict[str, Any]] = []
    with ExitStack() as held:
        judge = load_judge_for(names, model, config, seed)
        if judge is not None:
            held.enter_context(closing(judge.policy))
        equivalence = held.enter_context(Equivalence())
        chosen: dict[str, Selector] = {}
        for each in names:
            made = build_selector(each, opened, equivalence, seed or 0, combined, judge)
            kept = name or each
            chosen[f"{kept}@{n}" if n else kept] = LimitedSelector(made, kept, n) if n else made
        rows += [select_in(opened, picker, kept, screen) for kept, picker in chosen.items()]
    cells = [[row["selector"], str(row["selected"]), str(row["abstained"])] for row in rows]
    screen.print(table("", ["selector", "selected", "abstained"], cells))
    show_judgements(rows, screen)
    write_json({"run": str(run), "selections": rows}, json_out)


def select_in(run: "Run", selector: "Selector", name: str, screen: Console) -> dict[str, Any]:
    """Select where `name` has not yet, and count; used by `select` and `demo`. `judgements` are those of this command,
    not of earlier ones."""
    from nbest.stages import select_run

    total = sum(1 for _ in run.problems())
    with progress(name, total - len(run.done_selections(name)), screen) as on_done:
        asyncio.run(select_run(run, selector, name, on_done))
    made = list(run.selections(name))
    abstained = sum(1 for selection in made if selection.index is None)
    row: dict[str, Any] = {"selector": name, "selected": len(made) - abstained, "abstained": abstained}
    counts = getattr(selector, "counts", None)
    return row if counts is None else row | {"judgements": counts.describe()}


def compact(run: RunPath, json_out: JsonOut = None) -> None:
    """Merge small parts, drop duplicates and what killed processes left behind."""
    from dataclasses import asdict

    from nbest.storage.compaction import compact as compact_run
    from nbest.storage.run import Run

    done = compact_run(Run.open(run))
    cells = [
        [
            d.folder,
            f"{d.parts_before} -> {d.parts_after}",
            f"{d.bytes_before:,} -> {d.bytes_after:,}",
            str(d.duplicates),
        ]
        for d in done
    ]
    console(json_out).print(table("", ["folder", "parts", "bytes", "duplicates dropped"], cells))
    write_json({"run": str(run), "folders": [asdict(d) for d in done]}, json_out)
