"""What a run shows: compare selectors, look at one pool."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from nbest.cli.completion import complete_selectors
from nbest.cli.terminal import JsonOut, RunPath, console, table, write_json

if TYPE_CHECKING:
    from nbest.measuring.comparison import Comparison
    from nbest.measuring.inspection import AnswerGroup, TrajectoryView
    from nbest.measuring.several import SeveralRuns

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders; several are averaged.")]
Selectors = Annotated[
    list[str] | None,
    typer.Option(
        "--selector",
        "-s",
        autocompletion=complete_selectors,
        help="A selector (see `nbest methods`), the .json file of a combined one, or `default`: all that the run "
        "allows. May be repeated. Default: `default`.",
    ),
]
Sizes = Annotated[
    str | None, typer.Option("--n", metavar="N,N,...", help="Pool sizes, by commas. Default: powers of two.")
]
By = Annotated[
    str | None,
    typer.Option(metavar="FIELD", help="Also compare by the values of a field of the problems: kind, level, ..."),
]
Seed = Annotated[int, typer.Option(help="Random seed of the bootstrap and of drawn subsets.")]
Baseline = Annotated[
    str | None,
    typer.Option(
        metavar="SELECTOR", help="The selector that the others are paired with.", show_default="majority, if compared"
    ),
]


def compare(
    run: Runs,
    selectors: Selectors = None,
    n: Sizes = None,
    by: By = None,
    resample: Annotated[
        str, typer.Option(help="What intervals resample: problems, samples (of these problems), or both.")
    ] = "problems",
    seed: Seed = 0,
    baseline: Baseline = None,
    published: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show published results beside: trajselector, genselect-rl.")
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also draw the curve into this folder (PNG and HTML).")
    ] = None,
    json_out: JsonOut = None,
) -> None:
    """Compare selectors by accuracy against N over subsets of each pool, with 95 % intervals and paired differences.

    Several runs (benchmarks) stand side by side, with their macro average (each run weighs alike) and the pooled one.
    """
    from typing import cast

    from nbest.measuring.compare import compare as compare_selectors
    from nbest.measuring.question import Resample
    from nbest.measuring.several import SeveralRuns
    from nbest.stages.comparing import check_stored
    from nbest.storage.run import Run

    sizes = parse_sizes(n)
    if published is not None:
        from nbest.report.published import published_table

        published_table(published)  # an unknown name is refused before any work
    runs = [Run.open(path) for path in run]
    check_stored(selectors, runs)
    result = compare_selectors(
        runs, selectors, sizes, seed=seed, baseline=baseline, by=by, resample=cast("Resample", resample)
    )
    screen = console(json_out)
    if isinstance(result, SeveralRuns):
        print_several(screen, result, sizes or [result.largest_n])
        main = result.macro
    else:
        print_comparison(screen, result)
        main = result
    values = result.to_json()
    if published is not None:
        values = values | _print_published(screen, main, published)
    if chart is not None:
        _draw(main, published, chart)
        screen.print(f"curve: {chart / 'accuracy.png'}, {chart / 'accuracy.html'}", markup=False)
    write_json(values, json_out)


def _print_published(screen: Console, comparison: "Comparison", name: str) -> dict[str, Any]:
    from nbest.report.published import describe_published, published_json, tabulate_published

    screen.print(table("Accuracy in %, own and published", *tabulate_published(comparison, name)))
    screen.print(f"note: {describe_published(name)}", markup=False)
    return {"published": published_json(name)}


def _draw(comparison: "Comparison", published: str | None, folder: Path) -> None:
    from nbest.report.charts import write_chart
    from nbest.report.published import write_published

    files = (folder / "accuracy.png", folder / "accuracy.html")
    if published is None:
        write_chart(comparison, *files)
    else:
        write_published(comparison, published, *files)


def print_comparison(screen: Console, comparison: "Comparison", title: str = "") -> None:
    """Print the tables of one run: accuracy, the bounds of ungraded answers, differences, groups, notes."""
    problems = f"{comparison.problems} problems"
    head = f"{title}, {problems}" if title else problems
    screen.print(table(f"Accuracy in %, {head}", comparison.table_columns(), comparison.table_rows()))
    if comparison.ungraded:
        name = f"If the {comparison.ungraded} ungraded were all wrong, to all right"
        screen.print(table(name, comparison.bounds_columns(), comparison.bounds_table()))
    if comparison.paired:
        name = f"Difference to {comparison.paired[0].baseline} in points, problem by problem"
        screen.print(table(name, comparison.paired_columns(), comparison.paired_table()))
    if comparison.groups:
        last = comparison.ns[-1]
        name = f"Accuracy in % at N={last} by {comparison.by} (problems)"
        screen.print(table(name, comparison.group_columns(), comparison.group_rows(last)))
    _print_notes(screen, comparison)


def print_several(screen: Console, several: "SeveralRuns", sizes: list[int]) -> None:
    """Print the tables of several runs: side by side at each of `sizes`, then the macro average against N."""
    for size in sorted(set(sizes)):
        screen.print(table(f"Accuracy in % at N={size}", several.table_columns(), several.table_rows(size)))
    for name, comparison in several.runs.items():
        if comparison.groups:
            last = comparison.ns[-1]
            head = f"{name}: accuracy in % at N={last} by {comparison.by} (problems)"
            screen.print(table(head, comparison.group_columns(), comparison.group_rows(last)))
    print_comparison(screen, several.macro, f"macro average over {len(several.runs)} runs")
    for name, comparison in several.runs.items():
        _print_notes(screen, comparison, f"{name}: ")


def _print_notes(screen: Console, comparison: "Comparison", prefix: str = "") -> None:
    for warning in comparison.warnings:
        screen.print(f"note: {prefix}{warning}", markup=False)
    for reason in comparison.skipped.values():
        screen.print(f"left out: {prefix}{reason}", markup=False)


def parse_sizes(text: str | None) -> list[int] | None:
    """Read `1,4,16`; None stays None. Raises ConfigError."""
    from nbest.errors import ConfigError

    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    faulty = [part for part in parts if not part.isdecimal() or int(part) < 1]
    if faulty or not parts:
        raise ConfigError(f"n: {text!r} is not a list of numbers of at least 1, such as 1,4,16")
    return [int(part) for part in parts]


def show(
    run: RunPath,
    problem: Annotated[str, typer.Argument(help="A problem's id, or its position in the run (0 is the first).")],
    index: Annotated[
        int | None, typer.Option(metavar="I", help="Print the whole text of the trajectory with this index.")
    ] = None,
    json_out: JsonOut = None,
) -> None:
    """Show one pool: the answers, who voted for what, which trajectory each selector picked."""
    from nbest.measuring.inspection import inspect_pool
    from nbest.storage.run import Run
    from nbest.verifying.equivalence import Equivalence

    with Equivalence() as equivalence:
        page = inspect_pool(Run.open(run), problem, equivalence)
    screen = console(json_out)
    screen.print(Panel(Text(page.problem.prompt), title=Text(page.problem.id), title_align="left"))
    counts = Counter(candidate.correct for candidate in page.candidates)
    grades = f"{counts[True]} right, {counts[False]} wrong, {counts[None]} ungraded"
    candidates = grades if page.candidates else "no candidates"
    screen.print(Text(f"target {page.problem.target or '-'}   {len(page.candidates)} candidates: {candidates}\n"))
    heads = ["answer", "votes", "right", "trajectories"]
    screen.print(table("Answers", heads, [_answer_cells(group) for group in page.answers]))
    if page.picks:
        screen.print()
        picks = [
            [name, "-" if index is None else str(index), _mark(page.correct_at(index)), note]
            for name, index, note in page.picks
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


def _answer_cells(group: "AnswerGroup") -> list[str]:
    indices = ", ".join(str(index) for index in group.indices[:12]) + (" ..." if len(group.indices) > 12 else "")
    answer = "(none)" if group.answer is None else group.answer
    return [answer, str(len(group.indices)), _mark(group.correct), indices]


def _candidate_cells(candidate: "TrajectoryView", scorers: list[str]) -> list[str]:
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
