"""What a report says, in order: one `PageSection` of blocks for each question, for every format.

This module does not know formats, or how anything was computed.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from nbest.measuring.comparison import Cost
from nbest.report import section_charts as charts
from nbest.report import tables
from nbest.report.blocks import Block, Detail, Facts, Figure, Notes, PageSection
from nbest.report.building import Report, RunFindings
from nbest.report.charts import Style, accuracy_chart, accuracy_data, choose_styles

_TABLE_NS = 3
"""Sizes for which a table of several runs is shown: the largest; report.json holds all."""
_BINS = 40
_LENGTH_TAIL = 0.995
_MATRIX = 10
_SOURCES = 6


@dataclass(frozen=True, slots=True)
class Look:
    """The styles of the selectors drawn, and colours by selector and by scorer: that of the selectors that read it."""

    styles: Mapping[str, Style]
    colours: Mapping[str, str]


def choose_look(report: Report) -> Look:
    """Return how the selectors of a report look in all of its charts and tables."""
    styles = choose_styles(report.drawn, report.overall.roles)
    scorers = {name.partition(":")[2]: style.colour for name, style in styles.items() if ":" in name}
    return Look(styles, scorers | {name: style.colour for name, style in styles.items()})


def _accuracy(report: Report, look: Look) -> PageSection:
    comparison, ns = report.overall, report.ns
    runs = "" if len(report.runs) == 1 else f", macro average over {len(report.runs)} runs"
    chart = accuracy_chart(comparison, subtitle=f"{report.problems:,} problems{runs}", styles=look.styles)
    blocks: list[Block] = [Figure("accuracy", chart)]
    if len(report.runs) == 1:
        blocks.append(tables.accuracy_by_n(comparison, ns, look.colours))
    else:
        panels = [{"run": run.name} | row for run in report.runs for row in accuracy_data(run.comparison, report.drawn)]
        blocks += [tables.accuracy_by_run(report, n, look.colours) for n in ns[-_TABLE_NS:]]
        blocks.append(
            Figure("accuracy_by_run", charts.runs_chart(panels, look.styles, [run.name for run in report.runs]))
        )
        blocks.append(tables.accuracy_by_n(comparison, ns, look.colours, "Macro average by number of candidates"))
    return PageSection("Accuracy", _explain_accuracy(report), blocks)


def _explain_accuracy(report: Report) -> str:
    comparison = report.overall
    bounds = [name for name in comparison.rank() if comparison.role(name) == "bound"]
    chance = [name for name in comparison.rank() if comparison.role(name) == "chance"]
    sentences = [
        "Percent of problems solved: the expectation over all subsets of N candidates, averaged over problems.",
        f"Small print: the {comparison.level:.0%} interval over problems.",
        *(f"{name} sees the verdicts: it is pass@N, the bound of every selector." for name in bounds),
        *(f"{name} picks blindly." for name in chance),
        "The best competitor is bold.",
    ]
    total = len(comparison.selectors)
    if len(report.drawn) < total:
        sentences.append(f"{total - len(report.drawn)} of {total} selectors are in the table only.")
    if len(report.runs) > 1:
        sentences.append("The macro average weighs every run alike, the pooled one every problem.")
    return " ".join(sentences)


def _differences(report: Report, look: Look) -> PageSection:
    several = len(report.runs) > 1
    comparisons = [(report.overall, "macro average over the runs" if several else "")]
    comparisons += [(run.comparison, run.name) for run in report.runs] if several else []
    lead = (
        f"Accuracy minus that of {report.baseline} in points, on the same problems. p is that of a sign-flip "
        "permutation test after Holm's correction over the selectors; detectable is the smallest effect this many "
        "problems can detect with 80 % power."
    )
    blocks = [
        tables.paired(comparison, look.colours, caption) for comparison, caption in comparisons if comparison.paired
    ]
    return PageSection(f"Differences to {report.baseline}", lead, blocks)


def _groups(report: Report, look: Look) -> PageSection:
    runs = [run for run in report.runs if run.comparison.groups]
    blocks = [tables.by_field(run.comparison, look.colours, run.name) for run in runs]
    return PageSection(f"Accuracy by {runs[0].comparison.by}" if runs else "", "", blocks)


def _cost(report: Report, look: Look) -> PageSection:
    comparison = report.overall
    # A pick by chance needs no more than one candidate: at larger N it costs more and gains nothing.
    names = [name for name in report.drawn if comparison.role(name) != "chance"]
    blocks: list[Block] = []
    kinds: tuple[tuple[Cost, str, str, str], ...] = (
        ("sampled_tokens", "accuracy_by_tokens", "Accuracy against sampled tokens", "sampled tokens per problem"),
        ("flops", "accuracy_by_flops", "Accuracy against compute", "FLOPs per problem"),
    )
    for cost, name, title, axis in kinds:
        front = comparison.pareto_front(cost)
        data = [
            {"selector": row.selector, "n": row.n, "accuracy": row.accuracy, cost: row.cost(cost)}
            | {"is_front": row.key in front}
            for row in comparison.rows
            if row.selector in names
        ]
        if any(value[cost] is not None for value in data):
            blocks.append(Figure(name, charts.cost_chart(data, cost, look.styles, title, axis)))
    if blocks:
        blocks.append(tables.front(comparison, look.colours))
    lead = (
        "What sampling N candidates of a problem costs on average; the work of the selector itself is not included. "
        "FLOPs follow from the size of the policy in the manifest (Kaplan et al. 2020). A bound is on no front."
    )
    return PageSection("Accuracy against cost", lead, blocks)


def _gap(report: Report, look: Look) -> PageSection:
    comparison, gaps = report.overall, report.overall.gaps()
    names = [name for name in report.drawn if comparison.role(name) != "bound"]
    data = [
        {"selector": row.selector, "n": row.n, "gap": gaps[row.key]} for row in comparison.rows if row.selector in names
    ]
    if not any(value["gap"] is not None for value in data):
        return PageSection("Selection gap", "", [])
    lead = "Points between a selector and pass@N: a right answer was in the pool and was not picked."
    blocks: list[Block] = [
        Figure("selection_gap", charts.gap_chart(data, look.styles)),
        tables.gap_by_n(comparison, report.ns, look.colours),
    ]
    return PageSection("Selection gap", lead, blocks)


def _disagreement(report: Report, _: Look) -> PageSection:
    disagreement = report.disagreement
    names = [name for name in disagreement.selectors if name in report.drawn][:_MATRIX]
    if len(names) < 2:
        return PageSection("Where selectors disagree", "", [])
    positions = [disagreement.selectors.index(name) for name in names]
    cells = [
        {"row": row, "column": column, "wins": float(disagreement.wins[i, j])}
        for row, i in zip(names, positions, strict=True)
        for column, j in zip(names, positions, strict=True)
        if i != j
    ]
    blocks: list[Block] = [Figure("disagreement", charts.disagreement_chart(cells, names, disagreement.problems))]
    problems = [problem for problem in report.contested if problem.prompt]
    if problems:
        anchors = [f"problem-{number}" for number in range(len(problems))]
        caption = f"{len(problems)} of {len(report.contested)} problems on which selectors disagree"
        blocks.append(tables.contested(problems, anchors, names, len(report.runs) > 1, caption))
        paths = {run.name: run.path for run in report.runs}
        for problem, anchor in zip(problems, anchors, strict=True):
            origin = f" of {problem.run}" if len(report.runs) > 1 else ""
            text = f"{problem.prompt}\n\ntarget: {problem.target or '-'}\n"
            text += f"nbest show {paths[problem.run]} {problem.problem_id}"
            blocks.append(Detail(anchor, f"Problem {problem.problem_id}{origin}", text, tables.answers(problem)))
    lead = (
        "The selectors of the charts on the whole pool of each problem: ✓ right, · wrong, a number where it ties "
        "between right and wrong. report.json holds all problems and selectors."
    )
    return PageSection("Where selectors disagree", lead, blocks)


def _calibration(report: Report, look: Look) -> PageSection:
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
        blocks.append(Figure("calibration", charts.reliability_chart(data, styles)))
    blocks.append(tables.calibration(report.reliability, look.colours))
    lead = (
        "A score within 0 and 1 is read as the probability that its trajectory is right; of other scores only the "
        "ranking is measured. ECE: expected calibration error over bins of equal mass, at most 10. AUC within pools: "
        "over the pools with both right and wrong candidates, which is what selection needs."
    )
    return PageSection("Calibration", lead, blocks)


def _lengths(report: Report, _: Look) -> PageSection:
    data = [value for run in report.runs for value in _histogram(run)]
    if not data:
        return PageSection("Lengths", "", [])
    unit = report.runs[0].findings.length_unit
    chart = charts.lengths_chart(data, unit, [run.name for run in report.runs])
    return PageSection("Lengths", "", [Figure("lengths", chart), tables.lengths(report.runs)])


def _histogram(run: RunFindings) -> list[dict[str, Any]]:
    """Return shares among right and among wrong trajectories; the last bin holds the longest half percent."""
    findings = run.findings
    both = np.concatenate([findings.right_lengths, findings.wrong_lengths])
    if not len(both):
        return []
    top = max(float(np.quantile(both, _LENGTH_TAIL)), float(both.min()) + 1)
    width = max(1, int(np.ceil((top - both.min()) / _BINS)))
    edges = np.arange(int(both.min()), top + width, width)
    data: list[dict[str, Any]] = []
    for verdict, lengths in (("right", findings.right_lengths), ("wrong", findings.wrong_lengths)):
        counts, _ = np.histogram(np.minimum(lengths, edges[-1]), bins=edges)
        for start, end, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True):
            share = count / max(len(lengths), 1)
            data.append({"run": run.name, "verdict": verdict, "start": start, "end": end, "share": share})
    return data


def _counts(report: Report, look: Look) -> PageSection:
    blocks: list[Block] = [tables.trajectory_counts(report.runs)]
    for run in report.runs:
        origin = f", {run.name}" if len(report.runs) > 1 else ""
        caption = f"Equally good candidates on the whole pools of {len(run.findings.problems):,} problems{origin}"
        blocks.append(tables.ties(run, look.colours, caption))
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
        "A tie: several answers (of a vote) or trajectories (of a score) are equally good. A tie between right and "
        "wrong ones shares the credit. A trajectory that failed or gave no answer counts as wrong; an ungraded one is "
        "left out of its pool."
    )
    return PageSection("Ties and failures", lead, blocks)


def _caveats(report: Report, look: Look) -> PageSection:
    several = len(report.runs) > 1
    lines: list[str] = []
    for run in report.runs:
        reasons = [f"left out: {reason}" for reason in run.comparison.skipped.values()]
        lines += [f"{run.name}: {line}" if several else line for line in (*run.comparison.warnings, *reasons)]
    blocks: list[Block] = [Notes(lines)] if lines else []
    for run in report.runs:
        if run.comparison.ungraded:
            origin = f", {run.name}" if several else ""
            caption = f"If the {run.comparison.ungraded:,} ungraded were all wrong, to all right{origin}"
            blocks.append(tables.bounds(run.comparison, look.colours, caption))
    return PageSection("Left out or uncertain", "", blocks)


def _manifests(report: Report, _: Look) -> PageSection:
    blocks: list[Block] = []
    for number, run in enumerate(report.runs):
        blocks.append(Facts(describe_run(run)))
        text = json.dumps(run.manifest, indent=2, ensure_ascii=False)
        blocks.append(Detail(f"manifest-{number}", f"run.json of {run.name}", text))
    return PageSection("Manifest" if len(report.runs) == 1 else "Manifests", "", blocks)


def describe_run(run: RunFindings) -> dict[str, str]:
    """Return what the manifest of a run says, in words, and how it was evaluated; what is not known is left out."""
    identity, info = _read_table(run.manifest, "identity"), _read_table(run.manifest, "info")
    problems, policy, sampling = (_read_table(identity, name) for name in ("problems", "policy", "sampling"))
    about = _read_table(info, "policy")
    facts = {"run": run.path}
    if problems:
        facts["problems"] = f"{problems.get('count')} of {problems.get('source')} (hash {problems.get('hash')})"
    if policy:
        size = f", {about['parameters']:,} parameters" if isinstance(about.get("parameters"), int) else ""
        weights = f", weights {str(policy['content_hash'])[:16]}" if policy.get("content_hash") else ""
        facts["policy"] = f"{policy.get('model') or policy.get('type')}{size}{weights}"
    if sampling:
        settings = ("temperature", "top_p", "top_k", "min_p", "max_tokens")
        facts["sampling"] = ", ".join(f"{name} {sampling[name]}" for name in settings if name in sampling)
    if "seed" in identity:
        facts["seed"] = str(identity["seed"])
    # A run written under the package's former name keeps its version there.
    versions = {"nbest": info.get("nbest") or info.get("bestofn"), "git": info.get("git_commit")}
    versions |= {"python": info.get("python")}
    versions |= {name: about.get(name) for name in ("torch", "transformers", "device", "dtype")}
    if parts := ", ".join(f"{name} {value}" for name, value in versions.items() if value):
        facts["made by"] = parts
    comparison = run.comparison
    facts["evaluation"] = (
        f"seed {comparison.seed}, {comparison.resamples:,} resamples of problems, {comparison.level:.0%} intervals"
    )
    return facts


def _read_table(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = table.get(name)
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


SECTIONS: tuple[Callable[[Report, Look], PageSection], ...] = (
    _accuracy,
    _differences,
    _groups,
    _cost,
    _gap,
    _disagreement,
    _calibration,
    _lengths,
    _counts,
    _caveats,
    _manifests,
)
"""The sections of a report, in order; one with nothing to show has no blocks."""
