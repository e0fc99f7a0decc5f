# pyright: reportUnknownMemberType=false
"""The sections on whole pools: who is right where another is wrong, calibration, lengths, ties and failures.

Undefined values are a dash. This module does not know formats, or how anything was computed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from nbest.measuring.cells import UNDEFINED, explain_empty, show_decimal, show_share
from nbest.plurals import show_count, show_part
from nbest.report.blocks import Block, Cell, Detail, Figure, Notes, PageSection, Table
from nbest.report.building import Contested, Report, RunFindings, summarise_lengths
from nbest.report.charts import (
    FACET,
    HEIGHT,
    WIDTH,
    Chart,
    ChartData,
    Look,
    Style,
    apply_style,
    choose_styles,
    embed_rows,
    encode_selectors,
)
from nbest.report.colours import INK
from nbest.report.reliability import Reliability

_COLOURS = {"right": "#0f8a5f", "wrong": "#d9480f"}
_SHADE = "#2460e6"
_BINS = 40
_LENGTH_TAIL = 0.995
"""Longer trajectories than this share of all count in the last bin."""
_MATRIX = 10
_SOURCES = 6
_ROUNDING = 5e-4
"""A share this close to 0 or 1 counts as wrong or right."""


def disagreement_section(report: Report, _: Look) -> PageSection:
    """Return which selector is right where another is wrong, and the problems on which they disagree most."""
    disagreement = report.disagreement
    names = [name for name in disagreement.selectors if name in report.chart_selectors][:_MATRIX]
    if len(names) < 2:
        return PageSection("Where selectors disagree", "", [])
    positions = [disagreement.selectors.index(name) for name in names]
    cells = [
        {"row": row, "column": column, "wins": float(disagreement.wins[i, j])}
        for row, i in zip(names, positions, strict=True)
        for column, j in zip(names, positions, strict=True)
        if i != j
    ]
    blocks: list[Block] = [Figure("disagreement", _draw_disagreement(cells, names, disagreement.problems))]
    problems = [problem for problem in report.contested if problem.prompt]
    if problems:
        anchors = [f"problem-{number}" for number in range(len(problems))]
        caption = f"{show_part(len(problems), len(report.contested), 'problem')} on which selectors disagree"
        has_runs = len(report.runs) > 1
        blocks.append(_tabulate_contested(problems, anchors, names, has_runs, caption))
        paths = {run.name: run.path for run in report.runs}
        for problem, anchor in zip(problems, anchors, strict=True):
            origin = f" of {problem.run}" if has_runs else ""
            text = f"{problem.prompt}\n\ntarget: {problem.target or '-'}\n"
            text += f"nbest show {paths[problem.run]} {problem.problem_id}"
            blocks.append(Detail(anchor, f"Problem {problem.problem_id}{origin}", text, _tabulate_answers(problem)))
    lead = (
        "The selectors of the charts on the whole pool of each problem: ✓ is right, · is wrong, and a number is the "
        "share of right ones among candidates that tie. report.json contains all problems and selectors."
    )
    return PageSection("Where selectors disagree", lead, blocks)


def calibration_section(report: Report, look: Look) -> PageSection:
    """Return how reliable scores and vote shares are as confidences."""
    if not report.reliability:
        return PageSection("Calibration", "", [])
    blocks: list[Block] = []
    sources = [source for source in report.reliability if source.bins]
    sources = ([source for source in sources if source.name in look.colours] or sources)[:_SOURCES]
    data = [
        {"selector": source.title, "confidence": part.confidence, "accuracy": part.accuracy, "cases": part.cases}
        for source in sources
        for part in source.bins
    ]
    if data:
        others = choose_styles([source.name for source in sources], {})
        styles = {
            source.title: Style(look.colours.get(source.name, others[source.name].colour), shape="circle")
            for source in sources
        }
        blocks.append(Figure("calibration", _draw_reliability(data, styles)))
    blocks.append(_tabulate_calibration(report.reliability, look.colours, report.overall.counts.describe()))
    lead = (
        "A score between 0 and 1 is read as the probability that its trajectory is right; of other scores only the "
        "ranking is measured. ECE is the expected calibration error over at most 10 bins with equally many cases. AUC "
        "within pools is the mean over the pools that have both right and wrong candidates: selection depends on it."
    )
    return PageSection("Calibration", lead, blocks)


def lengths_section(report: Report, _: Look) -> PageSection:
    """Return the lengths of right and wrong trajectories."""
    data = [value for run in report.runs for value in _histogram(run)]
    if not data:
        return PageSection("Lengths", "", [])
    chart = _draw_lengths(data, report.runs[0].findings.length_unit, [run.name for run in report.runs])
    return PageSection("Lengths", "", [Figure("lengths", chart), _tabulate_lengths(report.runs)])


def ties_section(report: Report, look: Look) -> PageSection:
    """Return the counts of trajectories by outcome, ties and abstentions by selector, and the stored selections."""
    blocks: list[Block] = [_tabulate_trajectories(report.runs)]
    for run in report.runs:
        origin = f", {run.name}" if len(report.runs) > 1 else ""
        problems = show_count(len(run.findings.problems), "problem")
        caption = f"Ties and abstentions on the whole pools of {problems}{origin}"
        blocks.append(_tabulate_ties(run, look.colours, caption))
    if any(run.findings.picks for run in report.runs):
        blocks.append(_tabulate_stored_picks(report.runs))
        notes = [
            f"{run.name}, {name}: {note} ({show_count(count, 'problem')})"
            for run in report.runs
            for name, picks in run.findings.picks.items()
            for note, count in sorted(picks.notes.items(), key=lambda pair: -pair[1])[:5]
        ]
        blocks += [Notes(notes)] if notes else []
    lead = (
        "A selector ties where several answers (in a vote) or several trajectories (by score) are equally good; if "
        "right and wrong ones tie, they share the credit. A trajectory that failed or gave no answer counts as wrong; "
        "an ungraded one is left out of its pool."
    )
    return PageSection("Ties and failures", lead, blocks)


def _tabulate_contested(
    problems: Sequence[Contested], anchors: Sequence[str], names: Sequence[str], has_runs: bool, caption: str
) -> Table:
    """Return one line per problem: a tick, a dot or a share for each selector of `names`."""
    lines: list[list[Cell]] = []
    for problem, anchor in zip(problems, anchors, strict=True):
        cells = [Cell(problem.run)] if has_runs else []
        cells += [Cell(problem.problem_id, anchor=anchor), Cell(f"{problem.right} of {problem.candidates}")]
        lines.append(cells + [_mark(problem.values.get(name)) for name in names])
    heads = [*(["run"] if has_runs else []), "problem", "right", *names]
    return Table(heads, lines, caption, words=2 if has_runs else 1)


def _tabulate_answers(problem: Contested) -> Table:
    """Return the answers of one problem with their votes."""
    lines = [
        [Cell("(none)" if answer is None else answer), Cell(str(votes)), Cell(f"{right} of {votes}")]
        for answer, votes, right in problem.answers
    ]
    return Table(["answer", "votes", "right"], lines)


def _mark(value: float | None) -> Cell:
    """Return the mark of a selector on a problem; None = it has no value there."""
    if value is None:
        return Cell("")
    if value > 1 - _ROUNDING:
        return Cell("✓", tint=0.16)
    return Cell("·" if value < _ROUNDING else f"{value:.2f}", tint=0.16 * value)


def _draw_disagreement(data: ChartData, names: Sequence[str], problems: int) -> Chart:
    """Draw a matrix of wins: on how many problems the selector of the row is right and that of the column wrong."""
    axis: dict[str, Any] = {"labelLimit": 220, "ticks": False, "domain": False, "grid": False}
    gap = alt.Scale(paddingInner=0.06)
    x = alt.X(
        "column:N", sort=list(names), title="wrong", axis=alt.Axis(orient="top", labelAngle=-40, **axis), scale=gap
    )
    y = alt.Y("row:N", sort=list(names), title="right", axis=alt.Axis(**axis), scale=gap)
    marks = alt.Chart(embed_rows(data)).encode(x=x, y=y)
    most = max((float(value["wins"]) for value in data), default=1.0) or 1.0
    # The shade is one of opacity, so that the page behind it may be light or dark.
    cells = marks.mark_rect(fill=_SHADE, stroke=None).encode(
        opacity=alt.Opacity("wins:Q", legend=None).scale(domain=[0, most], range=[0.05, 1])
    )
    whole = all(float(value["wins"]).is_integer() for value in data)
    numbers = marks.mark_text(fontSize=12).encode(
        text=alt.Text("wins:Q", format=".0f" if whole else ".1f"),
        color=alt.condition(f"datum.wins > {0.55 * most}", alt.value("white"), alt.value(INK)),
    )
    size = (46 * len(names), 33 * len(names))
    total = show_count(problems, "problem")
    subtitle = f"On how many of {total} the row is right and the column wrong; ties count in part"
    return apply_style(alt.layer(cells, numbers), "Who is right where another is wrong", subtitle, size)


def _tabulate_calibration(sources: Sequence[Reliability], colours: Mapping[str, str], foot: str) -> Table:
    """Return the calibration error of each source of confidence, and how well it ranks."""
    lines = [
        [
            Cell(source.title, colour=colours.get(source.name, "")),
            Cell(f"{source.cases:,} {'problems' if source.kind == 'problem' else 'trajectories'}"),
            *(Cell(show_decimal(value)) for value in (source.ece, source.brier, source.auc, source.within_pool_auc)),
        ]
        for source in sources
    ]
    return Table(["source", "cases", "ECE", "Brier score", "AUC", "AUC within pools"], lines, foot=foot)


def _draw_reliability(data: ChartData, styles: Mapping[str, Style]) -> Chart:
    """Draw accuracy against confidence; `data` holds selector (the source), confidence, accuracy, cases."""
    look = encode_selectors(list(dict.fromkeys(str(value["selector"]) for value in data)), styles)
    axis = alt.Axis(format=".0%", tickCount=6)
    x = alt.X("confidence:Q", title="confidence", axis=axis).scale(domain=[0, 1])
    y = alt.Y("accuracy:Q", title="share of right ones", axis=axis).scale(domain=[0, 1])
    diagonal = alt.Chart(embed_rows([{"confidence": 0, "accuracy": 0}, {"confidence": 1, "accuracy": 1}]))
    diagonal = diagonal.mark_line(stroke="#9aa1ab", strokeDash=[4, 4], strokeWidth=1.4).encode(x=x, y=y)
    marks = alt.Chart(embed_rows(data)).encode(x=x, y=y, color=look["color"])
    lines = marks.mark_line(strokeWidth=1.8)
    tooltip = [alt.Tooltip("selector:N"), alt.Tooltip("cases:Q"), alt.Tooltip("accuracy:Q", format=".1%")]
    points = marks.mark_point(filled=True, size=56, opacity=1).encode(tooltip=tooltip)
    subtitle = "Bins with equally many cases; on the dashed line the confidence equals the share of right ones"
    return apply_style(alt.layer(diagonal, lines, points), "Reliability", subtitle, (340, 340))


def _histogram(run: RunFindings) -> list[dict[str, Any]]:
    """Return the histogram of lengths of a run; the last bin also counts the longest half percent."""
    both = np.concatenate(list(run.findings.lengths.values()))
    if not len(both):
        return []
    top = max(float(np.quantile(both, _LENGTH_TAIL)), float(both.min()) + 1)
    width = max(1, int(np.ceil((top - both.min()) / _BINS)))
    edges = np.arange(int(both.min()), top + width, width)
    data: list[dict[str, Any]] = []
    for verdict, lengths in run.findings.lengths.items():
        counts, _ = np.histogram(np.minimum(lengths, edges[-1]), bins=edges)
        for start, end, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True):
            share = count / max(len(lengths), 1)
            data.append({"run": run.name, "verdict": verdict, "start": start, "end": end, "share": share})
    return data


def _tabulate_lengths(runs: Sequence[RunFindings]) -> Table:
    """Return mean, quantiles and the largest length, of right and wrong trajectories."""
    heads = ["run", "trajectories", "count", "mean", "5 %", "25 %", "median", "75 %", "95 %", "largest", "unit"]
    lines, rules, empty = list[list[Cell]](), list[int](), list[str]()
    for run in runs:
        start = len(lines)
        for verdict, values in run.findings.lengths.items():
            summary = summarise_lengths(values)
            if summary is None:
                empty.append(f"{verdict} trajectories of {run.name}")
                continue
            numbers = [f"{value:,.0f}" for value in summary.values()]
            words = [run.name, verdict, f"{len(values):,}", *numbers, run.findings.length_unit]
            lines.append([Cell(word) for word in words])
        rules += [start] if 0 < start < len(lines) else []
    return Table(heads, lines, words=2, rules=rules, foot=explain_empty(empty))


def _draw_lengths(data: ChartData, unit: str, runs: Sequence[str]) -> Chart:
    """Draw histograms of right and wrong trajectories; `data` holds run, verdict, start, end, share."""
    legend = alt.Legend(title=None, symbolType="square")
    colour = alt.Color("verdict:N", legend=legend).scale(domain=list(_COLOURS), range=list(_COLOURS.values()))
    x = alt.X("start:Q", title=f"length in {unit}", axis=alt.Axis(grid=False, format="~s")).scale(nice=False)
    y = alt.Y("share:Q", title="share of trajectories", axis=alt.Axis(format=".0%", tickCount=5), stack=None)
    bars = (
        alt.Chart().mark_bar(opacity=0.5, binSpacing=0).encode(x=x.bin("binned"), x2=alt.X2("end:Q"), y=y, color=colour)
    )
    title, subtitle = "Lengths of right and wrong trajectories", "Shares of the right, and of the wrong trajectories"
    if len(runs) == 1:
        return apply_style(bars.properties(data=embed_rows(data)), title, subtitle, (WIDTH, HEIGHT * 2 // 3))
    facet = alt.Facet("run:N", title=None, sort=list(runs))
    grid = bars.properties(width=FACET[0], height=FACET[1] * 2 // 3).facet(facet, columns=2, data=embed_rows(data))
    return apply_style(grid.resolve_scale(x="independent"), title, subtitle, None)


def _tabulate_trajectories(runs: Sequence[RunFindings]) -> Table:
    """Return how many trajectories of each run are right, wrong, failed or ungraded."""
    heads = ["run", "right", "wrong", "no answer", "cut off at the token limit", "failed", "ungraded"]
    lines: list[list[Cell]] = []
    for run in runs:
        counts = run.findings.trajectories
        numbers = (counts.right, counts.wrong, counts.without_answer, counts.cut, counts.failed, counts.ungraded)
        lines.append([Cell(run.name), *(Cell(f"{number:,}", show_share(number, counts.total)) for number in numbers)])
    return Table(heads, lines, "Trajectories")


def _tabulate_ties(run: RunFindings, colours: Mapping[str, str], caption: str) -> Table:
    """Return ties and abstentions on the whole pools of one run."""
    lines: list[list[Cell]] = []
    counts, total = run.findings.counts, len(run.findings.problems)
    for name in run.comparison.rank():
        if name not in counts or not run.comparison.competes(name):
            continue
        ties = counts[name].ties
        numbers = (counts[name].deciding_ties, counts[name].abstained)
        cells = [Cell(UNDEFINED) if ties is None else Cell(str(ties), show_share(ties, total))]
        cells += [Cell(str(number), show_share(number, total)) for number in numbers]
        lines.append([Cell(name, colour=colours.get(name, "")), *cells])
    return Table(["selector", "ties", "between right and wrong", "abstained"], lines, caption)


def _tabulate_stored_picks(runs: Sequence[RunFindings]) -> Table:
    """Return what `nbest select` wrote for each selector of each run."""
    heads = ["run", "selector", "problems", "right", "wrong", "abstained", "with a note"]
    lines: list[list[Cell]] = []
    for run in runs:
        for name, picks in run.findings.picks.items():
            numbers = (picks.problems, picks.right, picks.wrong, picks.abstained, sum(picks.notes.values()))
            lines.append([Cell(run.name), Cell(name), *(Cell(f"{number:,}") for number in numbers)])
    return Table(heads, lines, "Stored selections (`nbest select`)", words=2)
