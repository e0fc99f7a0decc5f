"""What a run shows: compare selectors, look at one pool."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from nbest.cli.terminal import JsonOut, RunPath, console, table, write_json

if TYPE_CHECKING:
    from nbest.measuring.comparison import Comparison
    from nbest.measuring.several import SeveralRuns
    from nbest.storage.run import Run

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders; several are averaged.")]
Names = Annotated[str | None, typer.Option("--selectors", help="Comma-separated; by default all this run allows.")]
Sizes = Annotated[str | None, typer.Option("--n", help="Comma-separated pool sizes; by default powers of two.")]


def compare(
    run: Runs,
    selectors: Names = None,
    n: Sizes = None,
    by: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Also by a field of the problems: kind, level, steps, ...")
    ] = None,
    combined: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Also the fitted selector of `train combined`.")
    ] = None,
    resample: Annotated[
        str, typer.Option(help="What intervals draw again: problems, samples (of these problems), or both.")
    ] = "problems",
    seed: Annotated[int, typer.Option(help="Of the bootstrap and of drawn subsets.")] = 0,
    baseline: Annotated[str, typer.Option(help="The selector that the others are paired with.")] = "majority",
    published: Annotated[
        str | None, typer.Option(metavar="NAME", help="Beside published results: trajselector, genselect-rl.")
    ] = None,
    chart: Annotated[Path | None, typer.Option(help="Also draw the curve into this folder (PNG and HTML).")] = None,
    json_out: JsonOut = None,
) -> None:
    """Accuracy of selectors against N over subsets of each pool, with 95 % intervals and paired differences.

    Several runs (benchmarks) stand side by side, with their macro average (each run weighs alike) and the pooled one.
    """
    from typing import cast

    from nbest.measuring.compare import answer, compare_runs
    from nbest.measuring.question import Question, Resample
    from nbest.verifying.equivalence import Equivalence

    names = None if selectors is None else [name.strip() for name in selectors.split(",") if name.strip()]
    sizes = None if n is None else parse_sizes(n)
    if published is not None:
        from nbest.report.published import published_table

        published_table(published)  # a name that is none is refused before any work
    runs = _open_runs(run)
    question = Question(names, sizes, seed, baseline=baseline, by=by, resample=cast("Resample", resample))
    screen = console(json_out)
    with Equivalence() as equivalence:
        if combined is not None:
            question = replace(question, extra=_combined(combined, list(runs.values()), equivalence, seed))
        if len(runs) > 1:
            several = compare_runs(runs, question, equivalence)
            print_several(screen, several, sizes or [several.largest_n])
            shown, found = several.macro, several.to_json()
        else:
            shown = answer(next(iter(runs.values())), question, equivalence)
            print_comparison(screen, shown)
            found = shown.to_json()
    if published is not None:
        found = found | _print_published(screen, shown, published)
    if chart is not None:
        _draw(shown, published, chart)
        screen.print(f"curve: {chart / 'accuracy.png'}, {chart / 'accuracy.html'}", markup=False)
    write_json(found, json_out)


def _print_published(screen: Console, shown: "Comparison", name: str) -> dict[str, Any]:
    from nbest.report.published import describe_published, published_json, tabulate_published

    screen.print(table("Accuracy in %, own and published", *tabulate_published(shown, name)))
    screen.print(f"note: {describe_published(name)}", markup=False)
    return {"published": published_json(name)}


def _draw(shown: "Comparison", published: str | None, folder: Path) -> None:
    from nbest.report.charts import write_chart
    from nbest.report.published import write_published

    files = (folder / "accuracy.png", folder / "accuracy.html")
    if published is None:
        write_chart(shown, *files)
    else:
        write_published(shown, published, *files)


def _open_runs(paths: list[Path]) -> "dict[str, Run]":
    """The runs by the shortest ends of their paths that tell them apart. Raises ConfigError for one named twice."""
    from nbest.errors import ConfigError
    from nbest.storage.run import Run

    places = [path.resolve() for path in paths]
    twice = [path for path, count in Counter(places).items() if count > 1]
    if twice:
        raise ConfigError(f"run {twice[0]} was named twice; an average would count it twice")
    length = 1
    while len({place.parts[-length:] for place in places}) < len(places):
        length += 1
    return {"/".join(place.parts[-length:]): Run.open(path) for place, path in zip(places, paths, strict=True)}


def _combined(file: Path, runs: "list[Run]", equivalence: Any, seed: int) -> dict[str, Any]:
    """The fitted selector as an extra one of a comparison. Raises ConfigError where it is of another policy."""
    from nbest.errors import ConfigError
    from nbest.measuring.combining import combined_estimator
    from nbest.selecting.combined.model import CombinedModel

    model = CombinedModel.load(file)
    for run in runs:
        policy = run.manifest["identity"].get("policy", {}).get("content_hash")
        if None not in (model.policy, policy) and model.policy != policy:
            raise ConfigError(f"{file}: fitted on the policy {model.policy!r}; run {run.path} is of {policy!r}")
    return {"combined": (combined_estimator(model, equivalence, seed=seed), model.scorers)}


def print_comparison(screen: Console, found: "Comparison", title: str = "") -> None:
    """The tables of one run: accuracy, what the unjudged could change, differences, groups, notes."""
    told = f"{title}, {found.problems} problems" if title else f"{found.problems} problems"
    screen.print(table(f"Accuracy in %, {told}", found.table_columns(), found.table_rows()))
    if found.unjudged:
        name = f"If the {found.unjudged} not judged were all wrong, to all right"
        screen.print(table(name, found.bounds_columns(), found.bounds_table()))
    if found.paired:
        name = f"Difference to {found.paired[0].baseline} in points, problem by problem"
        screen.print(table(name, found.paired_columns(), found.paired_table()))
    if found.groups:
        last = found.ns[-1]
        name = f"Accuracy in % at N={last} by {found.by} (problems)"
        screen.print(table(name, found.group_columns(), found.group_rows(last)))
    _print_notes(screen, found)


def print_several(screen: Console, found: "SeveralRuns", sizes: list[int]) -> None:
    """The tables of several runs: side by side at each of `sizes`, then the macro average against N."""
    for size in sorted(set(sizes)):
        screen.print(table(f"Accuracy in % at N={size}", found.table_columns(), found.table_rows(size)))
    for name, run in found.runs.items():
        if run.groups:
            last = run.ns[-1]
            heads = f"{name}: accuracy in % at N={last} by {run.by} (problems)"
            screen.print(table(heads, run.group_columns(), run.group_rows(last)))
    print_comparison(screen, found.macro, f"macro average over {len(found.runs)} runs")
    for name, run in found.runs.items():
        _print_notes(screen, run, f"{name}: ")


def _print_notes(screen: Console, found: "Comparison", of: str = "") -> None:
    for warning in found.warnings:
        screen.print(f"note: {of}{warning}", markup=False)
    for reason in found.skipped.values():
        screen.print(f"left out: {of}{reason}", markup=False)


def parse_sizes(text: str) -> list[int]:
    """`1,4,16` as numbers. Raises ConfigError."""
    from nbest.errors import ConfigError

    parts = [part.strip() for part in text.split(",") if part.strip()]
    faulty = [part for part in parts if not part.isdecimal() or int(part) < 1]
    if faulty or not parts:
        raise ConfigError(f"n: {text!r} is not a list of numbers of at least 1, such as 1,4,16")
    return [int(part) for part in parts]


def show(
    run: RunPath,
    problem: Annotated[str, typer.Argument(help="A problem's id, or its position in the run (0 is the first).")],
    index: Annotated[int | None, typer.Option(help="Also print the whole text of this trajectory.")] = None,
    json_out: JsonOut = None,
) -> None:
    """One pool as a page: the answers, who voted for what, which trajectory each selector picked."""
    from nbest.measuring.inspection import inspect_pool
    from nbest.storage.run import Run
    from nbest.verifying.equivalence import Equivalence

    equivalence = Equivalence()
    try:
        page = inspect_pool(Run.open(run), problem, equivalence)
    finally:
        equivalence.close()
    screen = console(json_out)
    screen.print(Panel(Text(page.problem.prompt), title=Text(page.problem.id), title_align="left"))
    right = Counter(candidate.correct for candidate in page.candidates)
    judged = (
        f"{right[True]} right, {right[False]} wrong, {right[None]} not judged" if page.candidates else "no candidates"
    )
    screen.print(Text(f"target {page.problem.target or '-'}   {len(page.candidates)} candidates: {judged}\n"))
    heads = ["answer", "votes", "right", "trajectories"]
    screen.print(table("Answers", heads, [_answer_cells(group) for group in page.answers]))
    if page.picks:
        screen.print()
        picks = [
            [name, "-" if at is None else str(at), _mark(page.correct_at(at)), note] for name, at, note in page.picks
        ]
        screen.print(table("Selected", ["selector", "index", "right", "note"], picks))
    screen.print()
    heads = ["index", "answer", "right", "tokens", "finish", "mean log-probability", *page.scorers]
    screen.print(table("Candidates", heads, [_candidate_cells(c, page.scorers) for c in page.candidates]))
    if page.candidates:
        chosen = page.candidate_at(index)
        title = Text(f"trajectory {chosen.index}" + ("" if index is not None else " (another one: --index I)"))
        screen.print(Panel(Text(chosen.text), title=title, title_align="left"))
    write_json(page.to_json(), json_out)


def _mark(correct: bool | None) -> str:
    return "?" if correct is None else "yes" if correct else "no"


def _answer_cells(group: Any) -> list[str]:
    shown = ", ".join(str(i) for i in group.indices[:12]) + (" ..." if len(group.indices) > 12 else "")
    return ["(none)" if group.answer is None else group.answer, str(len(group.indices)), _mark(group.correct), shown]


def _candidate_cells(candidate: Any, scorers: list[str]) -> list[str]:
    mean = candidate.mean_logprob
    return [
        str(candidate.index),
        "(none)" if candidate.answer is None else candidate.answer,
        _mark(candidate.correct),
        str(candidate.sampled_tokens or "-"),
        candidate.finish,
        "-" if mean is None else f"{mean:.3f}",
        *("-" if name not in candidate.scores else f"{candidate.scores[name]:.3f}" for name in scorers),
    ]
