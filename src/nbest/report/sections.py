"""What a report says, in order: one `Section` of blocks for each question, for every format.

This module does not know formats, or how anything was computed.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nbest.report import section_charts as charts
from nbest.report import tables as tables
from nbest.report.blocks import Block, Detail, Facts, Figure, Notes, Section
from nbest.report.charts import colours_of
from nbest.report.manifest import describe_run
from nbest.report.points import UNCHOSEN, Cost, pareto_front
from nbest.report.result import Report, RunFindings

_TABLE_NS = 3
"""Sizes for which a table of several runs is shown: the largest; report.json holds all."""
_BINS = 40
_LENGTH_TAIL = 0.995
_MATRIX = 10
_SOURCES = 6


def sections_of(report: Report) -> list[Section]:
    """The sections of a report; those with nothing to show are left out."""
    colours = _colours(report)
    made = [
        _accuracy(report, colours),
        _differences(report, colours),
        _groups(report, colours),
        _cost(report, colours),
        _gap(report, colours),
        _disagreement(report),
        _calibration(report, colours),
        _lengths(report),
        _counts(report, colours),
        _caveats(report, colours),
        _manifests(report),
    ]
    return [section for section in made if section.blocks]


def _colours(report: Report) -> dict[str, str]:
    """By selector, and by the name of a scorer: as the selectors that read it."""
    colours = colours_of(report.drawn)
    return {name.partition(":")[2]: colour for name, colour in colours.items() if ":" in name} | colours


def _accuracy(report: Report, colours: Mapping[str, str]) -> Section:
    values = [point.to_json() for point in report.points if point.selector in report.drawn]
    runs = "" if len(report.runs) == 1 else f", macro average over {len(report.runs)} runs"
    subtitle = f"{report.problems:,} problems{runs}"
    blocks: list[Block] = [Figure("accuracy", charts.scaling_chart(values, colours, report.level, subtitle))]
    if len(report.runs) == 1:
        blocks.append(tables.accuracy_by_n(report, colours))
    else:
        names = [run.name for run in report.runs]
        panels = [row for run in report.runs for row in _rows(run, report.drawn)]
        blocks += [tables.accuracy_by_run(report, n, colours) for n in report.ns[-_TABLE_NS:]]
        blocks.append(Figure("accuracy_by_run", charts.runs_chart(panels, colours, names)))
        blocks.append(tables.accuracy_by_n(report, colours, "Macro average by number of candidates"))
    return Section("Accuracy", _reading(report), blocks)


def _reading(report: Report) -> str:
    undrawn = len(report.ranked()) - len(report.drawn)
    lines = [
        "Percent of problems solved: the expectation over all subsets of N candidates, averaged over problems; small, "
        f"the {report.level:.0%} interval over problems. oracle sees the verdicts: it is pass@N, the bound of every "
        "selector; random is a pick by chance. Bold: the best that competes."
    ]
    if undrawn:
        lines.append(f"The chart leaves {undrawn} of {len(report.ranked())} selectors to the table.")
    if len(report.runs) > 1:
        lines.append("The macro average weighs every run alike, the pooled one every problem.")
    return " ".join(lines)


def _rows(run: RunFindings, drawn: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"run": run.name, "selector": r.selector, "n": r.n, "accuracy": r.accuracy, "low": r.low, "high": r.high}
        for r in run.comparison.rows
        if r.selector in drawn
    ]


def _differences(report: Report, colours: Mapping[str, str]) -> Section:
    several = len(report.runs) > 1
    shown = [(report.overall, "macro average over the runs" if several else "")]
    shown += [(run.comparison, run.name) for run in report.runs] if several else []
    lead = (
        f"Accuracy minus that of {report.baseline} in points, on the same problems. p is that of a sign-flip "
        "permutation test after Holm's correction over the selectors; detectable is the smallest true difference that "
        "so many problems would show with 80 % power."
    )
    blocks = [tables.paired(each, colours, caption) for each, caption in shown if each.paired]
    return Section(f"Differences to {report.baseline}", lead, blocks)


def _groups(report: Report, colours: Mapping[str, str]) -> Section:
    shown = [run for run in report.runs if run.comparison.groups]
    blocks = [tables.by_field(run.comparison, colours, run.name) for run in shown]
    return Section(f"Accuracy by {shown[0].comparison.by}" if shown else "", "", blocks)


def _cost(report: Report, colours: Mapping[str, str]) -> Section:
    drawn = [point for point in report.points if point.selector in report.drawn and point.selector not in UNCHOSEN]
    blocks: list[Block] = []
    kinds: tuple[tuple[Cost, str, str, str], ...] = (
        ("sampled_tokens", "accuracy_by_tokens", "Accuracy against sampled tokens", "sampled tokens a problem"),
        ("flops", "accuracy_by_flops", "Accuracy against compute", "FLOPs a problem"),
    )
    for cost, name, title, axis in kinds:
        front = pareto_front(drawn, cost)
        values = [point.to_json() | {"is_front": (point.selector, point.n) in front} for point in drawn]
        if any(value[cost] is not None for value in values):
            blocks.append(Figure(name, charts.cost_chart(values, cost, colours, title, axis)))
    if blocks:
        blocks.append(tables.front(report, colours))
    lead = (
        "What sampling N candidates of a problem costs on average; the work of the selector itself is not in it. FLOPs "
        "by the size of the policy in the manifest (Kaplan et al. 2020). oracle is a bound and on no front."
    )
    return Section("Accuracy against cost", lead, blocks)


def _gap(report: Report, colours: Mapping[str, str]) -> Section:
    names = [name for name in report.drawn if name not in ("oracle", "first")]
    values = [point.to_json() for point in report.points if point.selector in names]
    if not any(value["gap"] is not None for value in values):
        return Section("Selection gap", "", [])
    lead = "Points between a selector and pass@N: a right answer was in the pool and was not picked."
    blocks: list[Block] = [
        Figure("selection_gap", charts.gap_chart(values, colours)),
        tables.gap_by_n(report, colours),
    ]
    return Section("Selection gap", lead, blocks)


def _disagreement(report: Report) -> Section:
    found = report.disagreement
    names = [name for name in found.selectors if name in report.drawn][:_MATRIX]
    if len(names) < 2:
        return Section("Where selectors disagree", "", [])
    at = [found.selectors.index(name) for name in names]
    cells = [
        {"row": row, "column": column, "wins": float(found.wins[i, j])}
        for row, i in zip(names, at, strict=True)
        for column, j in zip(names, at, strict=True)
        if i != j
    ]
    blocks: list[Block] = [Figure("disagreement", charts.disagreement_chart(cells, names, found.problems))]
    shown = [problem for problem in report.contested if problem.prompt]
    if shown:
        anchors = [f"problem-{place}" for place in range(len(shown))]
        caption = f"{len(shown)} of {len(report.contested)} problems on which selectors disagree"
        blocks.append(tables.contested(shown, anchors, names, len(report.runs) > 1, caption))
        paths = {run.name: run.path for run in report.runs}
        for problem, anchor in zip(shown, anchors, strict=True):
            where = f" of {problem.run}" if len(report.runs) > 1 else ""
            text = f"{problem.prompt}\n\ntarget: {problem.target or '-'}\n"
            text += f"nbest show {paths[problem.run]} {problem.problem_id}"
            blocks.append(Detail(anchor, f"Problem {problem.problem_id}{where}", text, tables.answers(problem)))
    lead = (
        "The selectors of the charts on the whole pool of each problem: ✓ right, · wrong, a number where one ties "
        "between right and wrong. report.json holds all problems and selectors."
    )
    return Section("Where selectors disagree", lead, blocks)


def _calibration(report: Report, colours: Mapping[str, str]) -> Section:
    if not report.reliability:
        return Section("Calibration", "", [])
    blocks: list[Block] = []
    probable = [source for source in report.reliability if source.bins]
    known = [source for source in probable if source.name in colours] or probable
    drawn = known[:_SOURCES]
    values = [
        {"selector": tables.source_name(source), "confidence": b.confidence, "accuracy": b.accuracy, "cases": b.cases}
        for source in drawn
        for b in source.bins
    ]
    if values:
        names = {tables.source_name(source): source.name for source in drawn}
        shades = colours_of(names.values()) | dict(colours)
        by_source = {shown: shades[name] for shown, name in names.items()}
        blocks.append(Figure("calibration", charts.reliability_chart(values, by_source)))
    blocks.append(tables.calibration(report.reliability, colours))
    lead = (
        "A score within 0 and 1 is read as the probability that its trajectory is right; of other scores only the "
        "ranking is measured. ECE: expected calibration error over bins of equal mass, at most 10. AUC within pools: "
        "over the pools that hold right and wrong candidates, which is what selection needs."
    )
    return Section("Calibration", lead, blocks)


def _lengths(report: Report) -> Section:
    values = [value for run in report.runs for value in _histogram(run)]
    if not values:
        return Section("Lengths", "", [])
    unit = report.runs[0].findings.length_unit
    chart = charts.lengths_chart(values, unit, [run.name for run in report.runs])
    return Section("Lengths", "", [Figure("lengths", chart), tables.lengths(report.runs)])


def _histogram(run: RunFindings) -> list[dict[str, Any]]:
    """Shares among right and among wrong ones; the longest half percent stands in the last bin."""
    found = run.findings
    both = np.concatenate([found.right_lengths, found.wrong_lengths])
    if not len(both):
        return []
    top = max(float(np.quantile(both, _LENGTH_TAIL)), float(both.min()) + 1)
    width = max(1, int(np.ceil((top - both.min()) / _BINS)))
    edges = np.arange(int(both.min()), top + width, width)
    values: list[dict[str, Any]] = []
    for verdict, lengths in (("right", found.right_lengths), ("wrong", found.wrong_lengths)):
        counts, _ = np.histogram(np.minimum(lengths, edges[-1]), bins=edges)
        for start, end, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True):
            share = count / max(len(lengths), 1)
            values.append({"run": run.name, "verdict": verdict, "start": start, "end": end, "share": share})
    return values


def _counts(report: Report, colours: Mapping[str, str]) -> Section:
    blocks: list[Block] = [tables.trajectory_counts(report.runs)]
    for run in report.runs:
        where = f", {run.name}" if len(report.runs) > 1 else ""
        caption = f"Equally good candidates on the whole pools of {len(run.findings.problems):,} problems{where}"
        blocks.append(tables.ties(run, colours, caption))
    if any(run.findings.picks for run in report.runs):
        blocks.append(tables.stored_picks(report.runs))
        notes = [
            f"{run.name}, {name}: {note} ({count} problems)"
            for run in report.runs
            for name, picks in run.findings.picks.items()
            for note, count in sorted(picks.notes.items(), key=lambda pair: -pair[1])[:5]
        ]
        blocks += [Notes(notes)] if notes else []
    lead = (
        "A tie: several answers (of a vote) or trajectories (of a score) are equally good. One between right and wrong "
        "shares the credit. An attempt that failed or gave no answer counts as wrong; one that could not be judged is "
        "left out of its pool."
    )
    return Section("Ties and failures", lead, blocks)


def _caveats(report: Report, colours: Mapping[str, str]) -> Section:
    several = len(report.runs) > 1
    lines: list[str] = []
    for run in report.runs:
        said: list[str] = [
            *run.comparison.warnings,
            *(f"left out: {reason}" for reason in run.comparison.skipped.values()),
        ]
        lines += [f"{run.name}: {line}" if several else line for line in said]
    blocks: list[Block] = [Notes(lines)] if lines else []
    for run in report.runs:
        if run.comparison.unjudged:
            where = f", {run.name}" if several else ""
            caption = f"If the {run.comparison.unjudged:,} not judged were all wrong, to all right{where}"
            blocks.append(tables.bounds(run.comparison, colours, caption))
    return Section("Left out or uncertain", "", blocks)


def _manifests(report: Report) -> Section:
    blocks: list[Block] = []
    for place, run in enumerate(report.runs):
        blocks.append(Facts(describe_run(run)))
        text = json.dumps(run.manifest, indent=2, ensure_ascii=False)
        blocks.append(Detail(f"manifest-{place}", f"run.json of {run.name}", text))
    return Section("Manifest" if len(report.runs) == 1 else "Manifests", "", blocks)
