"""`nbest compare` and `nbest show`: the accuracy of selectors on runs, and the pool of one problem."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nbest.cli.completion import complete_selectors
from nbest.cli.progress import show_activity, show_progress
from nbest.cli.terminal import (
    JsonOut,
    RunPath,
    Screen,
    check_folder,
    console,
    print_counts,
    print_text,
    print_warning,
    table,
    write_json,
)
from nbest.plurals import show_all, show_count

if TYPE_CHECKING:
    from nbest.measuring.cells import TextTable
    from nbest.measuring.comparison import Comparison
    from nbest.measuring.inspection import AnswerGroup, TrajectoryView
    from nbest.measuring.several import SeveralRuns

MOST_DIGITS, MOST_SHOWN = 9, 100
"""The most digits of a number of candidates, and the most characters that are shown of a faulty list of them."""

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="One run folder, or several to average over.")]
Selectors = Annotated[
    list[str] | None,
    typer.Option(
        "--selector",
        "-s",
        autocompletion=complete_selectors,
        help="A selector (see `nbest methods`), the .json file of a combined selector, or `default`, which means every "
        "selector that the run has data for. May be repeated. Default: `default`.",
    ),
]
Sizes = Annotated[
    str | None,
    typer.Option("--n", metavar="N,N,...", help="Numbers of candidates, separated by commas. Default: powers of two."),
]
By = Annotated[
    str | None,
    typer.Option(
        metavar="FIELD",
        help="Also compare the problems with each value of this field separately, such as kind or level.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed of the bootstrap and of random subsets.")]
Baseline = Annotated[
    str | None,
    typer.Option(
        metavar="SELECTOR",
        help="The selector that every other one is compared with, problem by problem.",
        show_default="majority, if compared",
    ),
]


def compare(
    run: Runs,
    selectors: Selectors = None,
    n: Sizes = None,
    by: By = None,
    resample: Annotated[
        str, typer.Option(help="What the intervals resample: problems, samples of the same problems, or both.")
    ] = "problems",
    seed: Seed = 0,
    baseline: Baseline = None,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="Also show the intervals at every N.", show_default=False)
    ] = False,
    published: Annotated[
        str | None, typer.Option(metavar="NAME", help="Also show published results: trajselector or genselect-rl.")
    ] = None,
    chart: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            callback=check_folder,
            help="Also write the accuracy chart to this folder, as PNG and HTML.",
        ),
    ] = None,
    json_out: JsonOut = None,
) -> None:
    """Compare the accuracy of selectors at each number of candidates N, with 95 % intervals and paired differences.

    Several runs are shown side by side, with a macro average (equal weight per run) and a pooled one (per problem).
    Each table ends with the trajectories without a readable answer, ungraded, failed and cut; a warning comes first if
    these are many.
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
    with show_progress(has_last_lines=False) as on_progress:
        runs = [Run.open(path) for path in run]
        check_stored(selectors, runs)
        result = compare_selectors(
            runs,
            selectors,
            sizes,
            seed=seed,
            baseline=baseline,
            by=by,
            resample=cast("Resample", resample),
            on_progress=on_progress,
        )
    screen = console(json_out)
    if isinstance(result, SeveralRuns):
        for name, comparison in result.runs.items():
            print_warning(screen, comparison.counts, f"{name}: ")
        print_several(screen, result, sizes or [result.largest_n], has_intervals=intervals)
        main = result.macro
    else:
        print_warning(screen, result.counts)
        print_comparison(screen, result, has_intervals=intervals)
        main = result
    values = result.to_json()
    if published is not None:
        values = values | _print_published(screen, main, published)
    if chart is not None:
        with show_activity("draw the chart"):
            _draw(main, published, chart)
        screen.print(f"curve: {chart / 'accuracy.png'}, {chart / 'accuracy.html'}")
    write_json(values, json_out)


def _print_published(screen: Screen, comparison: "Comparison", name: str) -> dict[str, Any]:
    from nbest.measuring.cells import TextTable
    from nbest.report.published import describe_published, published_json, tabulate_published

    cells = TextTable(*tabulate_published(comparison, name))
    print_table(screen, "Accuracy in %, own and published", cells, comparison)
    screen.print(f"note: {describe_published(name)}")
    return {"published": published_json(name)}


def _draw(comparison: "Comparison", published: str | None, folder: Path) -> None:
    from nbest.report.charts import write_chart
    from nbest.report.published import write_published

    files = (folder / "accuracy.png", folder / "accuracy.html")
    if published is None:
        write_chart(comparison, *files)
    else:
        write_published(comparison, published, *files)


def print_comparison(screen: Screen, comparison: "Comparison", title: str = "", *, has_intervals: bool = False) -> None:
    """Print the tables of one run: accuracy, the bounds of ungraded answers, differences, groups, scores, notes.

    With `has_intervals` those at every N follow the accuracies and the differences.
    """
    problems = show_count(comparison.problems, "problem")
    head = f"{title}, {problems}" if title else problems
    print_table(screen, f"Accuracy in %, {head}", comparison.accuracy_table(), comparison)
    if has_intervals:
        name = f"{comparison.level:.0%} intervals of the accuracy in %"
        print_table(screen, name, comparison.interval_table(), comparison)
    if comparison.ungraded:
        trajectories = show_all(comparison.ungraded, "ungraded trajectory")
        name = f"Accuracy in % with {trajectories} wrong, to right"
        print_table(screen, name, comparison.bounds_table(), comparison)
    if comparison.paired:
        name = f"Difference to {comparison.paired[0].baseline} in points, problem by problem"
        print_table(screen, name, comparison.paired_table(), comparison)
        if has_intervals:
            name = f"{comparison.level:.0%} intervals of the difference in points"
            print_table(screen, name, comparison.paired_interval_table(), comparison)
    if comparison.groups:
        last = comparison.ns[-1]
        name = f"Accuracy in % at N={last} by {comparison.by} (problems)"
        print_table(screen, name, comparison.group_table(last), comparison)
    if comparison.scores:
        name = "Within-pool AUC of the stored scores"
        print_table(screen, name, comparison.scores_table(), comparison)
    _print_notes(screen, comparison)


def print_table(screen: Screen, title: str, cells: "TextTable", comparison: "Comparison") -> None:
    """Print a table, and under it the rows without any figure and the counts of the trajectories it is about."""
    from nbest.measuring.cells import drop_empty, explain_empty

    rows, empty = drop_empty(cells)
    if rows.rows:
        screen.print(table(title, *rows))
    if empty:
        screen.print(f"{title}: {explain_empty(empty)}")
    print_counts(screen, comparison.counts)


def print_several(screen: Screen, several: "SeveralRuns", sizes: list[int], *, has_intervals: bool = False) -> None:
    """Print the tables of several runs: side by side at each of `sizes`, then the macro average against N."""
    for size in sorted(set(sizes)):
        print_table(screen, f"Accuracy in % at N={size}", several.accuracy_table(size), several.macro)
    for name, comparison in several.runs.items():
        if comparison.groups:
            last = comparison.ns[-1]
            head = f"{name}: accuracy in % at N={last} by {comparison.by} (problems)"
            print_table(screen, head, comparison.group_table(last), comparison)
    title = f"macro average over {show_count(len(several.runs), 'run')}"
    print_comparison(screen, several.macro, title, has_intervals=has_intervals)
    for name, comparison in several.runs.items():
        _print_notes(screen, comparison, f"{name}: ")
        print_counts(screen, comparison.counts, f"{name}: ")


def _print_notes(screen: Screen, comparison: "Comparison", prefix: str = "") -> None:
    for warning in comparison.warnings:
        screen.print(f"note: {prefix}{warning}")
    for reason in comparison.skipped.values():
        screen.print(f"left out: {prefix}{reason}")


def parse_sizes(text: str | None) -> list[int] | None:
    """Read `1,4,16`; None stays None. Raises ConfigError."""
    from nbest.errors import ConfigError

    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    faulty = [part for part in parts if not part.isdecimal() or len(part) > MOST_DIGITS or int(part) < 1]
    if faulty or not parts:
        shown = text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
        raise ConfigError(
            f"n: {shown!r} is not a list of numbers of at least 1, such as 1,4,16, with up to {MOST_DIGITS} digits each"
        )
    return [int(part) for part in parts]


def show(
    run: RunPath,
    problem: Annotated[str, typer.Argument(help="A problem's id, or its position in the run (0 is the first).")],
    index: Annotated[
        int | None, typer.Option(metavar="I", help="Print the whole text of the trajectory with this index.")
    ] = None,
    json_out: JsonOut = None,
) -> None:
    """Show the pool of one problem: its answers, its trajectories, and the trajectory that each selector picked."""
    from nbest.measuring.inspection import inspect_pool
    from nbest.storage.run import Run
    from nbest.verifying.equivalence import Equivalence

    with Equivalence() as equivalence:
        page = inspect_pool(Run.open(run, is_checked=False), problem, equivalence)
    screen = console(json_out)
    print_text(screen, page.problem.prompt, page.problem.id)
    counts = Counter(candidate.correct for candidate in page.candidates)
    grades = f"{counts[True]} right, {counts[False]} wrong, {counts[None]} ungraded"
    candidates = grades if page.candidates else "no candidates"
    screen.print(
        f"target {page.problem.target or '-'}   {show_count(len(page.candidates), 'candidate')}: {candidates}\n"
    )
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
        candidate = page.candidate_at(index)
        title = f"trajectory {candidate.index}" + ("" if index is not None else " (another one: --index I)")
        print_text(screen, candidate.text, title)
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
