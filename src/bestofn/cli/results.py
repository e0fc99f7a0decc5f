"""What a run shows: compare selectors, look at one pool."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.panel import Panel
from rich.text import Text

from bestofn.cli.terminal import JsonOut, RunPath, console, table, write_json

Names = Annotated[str | None, typer.Option("--selectors", help="Comma-separated; by default all this run allows.")]
Sizes = Annotated[str | None, typer.Option("--n", help="Comma-separated pool sizes; by default powers of two.")]


def compare(
    run: RunPath,
    selectors: Names = None,
    n: Sizes = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap and of drawn subsets.")] = 0,
    baseline: Annotated[str, typer.Option(help="The selector that the others are paired with.")] = "majority",
    chart: Annotated[Path | None, typer.Option(help="Also draw the curve into this folder (PNG and HTML).")] = None,
    json_out: JsonOut = None,
) -> None:
    """Accuracy of selectors against N over subsets of each pool, with 95 % intervals and paired differences."""
    from bestofn.evaluation.compare import compare as compare_run
    from bestofn.storage.run import Run
    from bestofn.verifiers.equivalence import Equivalence

    names = None if selectors is None else [name.strip() for name in selectors.split(",") if name.strip()]
    sizes = None if n is None else parse_sizes(n)
    opened = Run.open(run)
    equivalence = Equivalence()
    try:
        found = compare_run(opened, names, sizes, equivalence=equivalence, seed=seed, baseline=baseline)
    finally:
        equivalence.close()
    screen = console(json_out)
    screen.print(table(f"Accuracy in %, {found.problems} problems", found.table_columns(), found.table_rows()))
    if found.paired:
        title = f"Difference to {baseline} in points, problem by problem"
        screen.print(table(title, found.paired_columns(), found.paired_table()))
    for warning in found.warnings:
        screen.print(f"note: {warning}", markup=False)
    for reason in found.skipped.values():
        screen.print(f"left out: {reason}", markup=False)
    if chart is not None:
        from bestofn.evaluation.charts import write_chart

        write_chart(found, chart / "accuracy.png", chart / "accuracy.html")
        screen.print(f"curve: {chart / 'accuracy.png'}, {chart / 'accuracy.html'}", markup=False)
    write_json(found.to_json(), json_out)


def parse_sizes(text: str) -> list[int]:
    """`1,4,16` as numbers. Raises ConfigError."""
    from bestofn.errors import ConfigError

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
    from bestofn.evaluation.inspection import inspect_pool
    from bestofn.storage.run import Run
    from bestofn.verifiers.equivalence import Equivalence

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
