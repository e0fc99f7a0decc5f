"""`report.html`, `report.md`, `report.json` and the charts of one or several runs: all that is known about selectors.

`build_report` evaluates (`compare`, `report_findings`) and joins the runs; `write_report` draws the result. Several
runs are several benchmarks: the macro average weighs them alike, problems and confidences are put together.

This module does not know how a table or a chart looks.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np

from nbest import __version__
from nbest.errors import ConfigError
from nbest.measuring.compare import answer, compare_runs
from nbest.measuring.comparison import Comparison
from nbest.measuring.measurement import Question, default_ns
from nbest.measuring.outcomes import require_verdicts, survey
from nbest.measuring.stored import covers_pools, with_stored
from nbest.report.blocks import Figure
from nbest.report.charts import write_file, write_png
from nbest.report.findings import CONTESTED, PLAIN, Findings, examine, spread_of
from nbest.report.markdown import render_markdown
from nbest.report.page import render_page
from nbest.report.points import points_of
from nbest.report.reliability import Reliability, join, measure
from nbest.report.result import Contested, Disagreement, Report, RunFindings, choose_drawn, rank
from nbest.report.sections import sections_of
from nbest.selecting.estimators import Estimator, RememberedClusters, estimator, scorer_of
from nbest.storage.run import Run
from nbest.verifying.equivalence import Clusterer

SHOWN_PROBLEMS = 20
"""Contested problems that are shown with their prompts; report.json holds all."""
_ROUNDING = 1e-12


def build_report(runs: Sequence[Run], question: Question, equivalence: Clusterer, title: str = "") -> Report:
    """Asks `question` of `runs` (`compare`, `compare_runs`) and looks at their pools; what all have is joined.

    Raises ConfigError for no runs, one named twice, or runs that have no selector or no n in common, and all that
    `compare` raises.
    """
    if not runs:
        raise ConfigError("report: no run was named; give one or more run folders")
    named = dict(zip(_name_runs([run.path for run in runs]), runs, strict=True))
    overall, pooled, comparisons = _compare(named, question, equivalence)
    points = points_of(overall)
    if not any(point.accuracy is not None for point in points):
        raise ConfigError(
            f"report: {', '.join(named)} have no selector and number of candidates in common. Name some that all "
            "allow with --selectors and --n, or report them one by one"
        )
    clusterer = RememberedClusters(equivalence)
    found = [_look_at(name, run, comparisons[name], question, clusterer) for name, run in named.items()]
    drawn = tuple(choose_drawn(points, question.baseline))
    shared = [name for name in rank(points) if name not in PLAIN and covers_pools(name)]
    return Report(
        title=title or f"Selectors on {', '.join(named)}",
        version=__version__,
        baseline=question.baseline,
        runs=tuple(found),
        overall=overall,
        pooled=pooled,
        points=tuple(points),
        drawn=drawn,
        disagreement=_disagree([each.findings for each in found], shared),
        contested=tuple(_contest(found, named, drawn)),
        reliability=tuple(_measure_all([each.findings for each in found])),
    )


def write_report(report: Report, folder: Path) -> dict[str, Path]:
    """Writes all files into `folder`; the path of each by its name (html, md, json, and one a chart). StorageError."""
    sections = sections_of(report)
    paths = {kind: folder / f"report.{kind}" for kind in ("html", "md", "json")}
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Figure):
                paths[block.name] = folder / f"{block.name}.png"
                write_png(block.chart, paths[block.name])
    lead = describe(report)
    write_file(paths["html"], render_page(report.title, lead, sections).encode())
    write_file(paths["md"], render_markdown(report.title, lead, sections).encode())
    text = json.dumps(report.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    write_file(paths["json"], (text + "\n").encode())
    return paths


def describe(report: Report) -> str:
    """One line under the title."""
    runs = "" if len(report.runs) == 1 else f"{len(report.runs)} runs, "
    largest = max(run.comparison.n_max for run in report.runs)
    return f"{runs}{report.problems:,} problems, up to {largest} candidates each · nbest {report.version}"


def _compare(
    runs: Mapping[str, Run], question: Question, equivalence: Clusterer
) -> tuple[Comparison, Comparison | None, Mapping[str, Comparison]]:
    """What stands for all runs, the pooled average of several, and the comparison of each. Where no sizes are named,
    several runs are asked for those that all of them have."""
    if len(runs) > 1:
        if question.ns is None:
            question = replace(question, ns=default_ns(min(map(_largest_pool, runs.values()))))
        several = compare_runs(runs, question, equivalence)
        return several.macro, several.pooled, several.runs
    name, run = next(iter(runs.items()))
    found = answer(run, question, equivalence)
    return found, None, {name: found}


def _largest_pool(run: Run) -> int:
    with run.connect() as connection:
        held = survey(connection)
    require_verdicts(held, str(run.path))
    return held.n_max


def _look_at(
    name: str, run: Run, comparison: Comparison, question: Question, clusterer: RememberedClusters
) -> RunFindings:
    """Of the selectors that have a value for whole pools."""
    estimators: dict[str, tuple[Estimator, Sequence[str]]] = {}
    question = with_stored(run, question)
    for selector in filter(covers_pools, comparison.selectors):
        needed = [scorer] if (scorer := scorer_of(selector)) else []
        estimators[selector] = question.extra.get(selector) or (estimator(selector, clusterer), needed)
    findings = examine(run, estimators, run.scorers(), clusterer, comparison.has_tokens)
    return RunFindings(name, str(run.path), run.manifest, comparison, findings)


def _name_runs(paths: Sequence[Path]) -> list[str]:
    """Folder names, with as many parents before them as make them differ."""
    if len(set(paths)) < len(paths):
        raise ConfigError(f"report: a run is named twice: {', '.join(map(str, paths))}")
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _disagree(findings: Sequence[Findings], selectors: Sequence[str]) -> Disagreement:
    values = [
        [problem.values.get(name, np.nan) for name in selectors] for each in findings for problem in each.problems
    ]
    table = np.array(values, dtype=np.float64).reshape(len(values), len(selectors))
    ahead = table[:, :, None] - table[:, None, :]
    ahead[(np.abs(ahead) <= _ROUNDING) | np.isnan(ahead)] = 0.0
    return Disagreement(
        tuple(selectors), len(values), np.maximum(ahead, 0.0).sum(axis=0), np.count_nonzero(ahead, axis=0)
    )


def _contest(found: Sequence[RunFindings], runs: Mapping[str, Run], drawn: Sequence[str]) -> list[Contested]:
    problems: list[Contested] = []
    names = [name for name in drawn if name not in PLAIN]

    def competing(values: Mapping[str, float]) -> dict[str, float]:
        return {name: values[name] for name in names if name in values}

    for each in found:
        for p in each.findings.problems:
            spread = spread_of(competing(p.values))
            if spread >= CONTESTED:
                problems.append(Contested(each.name, p.problem_id, p.candidates, p.right, spread, p.values, p.answers))
    problems.sort(key=lambda problem: (-problem.spread, -_balance(competing(problem.values).values())))
    for at, problem in enumerate(problems[:SHOWN_PROBLEMS]):
        known = runs[problem.run].problem(problem.problem_id)
        problems[at] = replace(problem, prompt=known.prompt, target=known.target or "")
    return problems


def _balance(values: Collection[float]) -> float:
    """How evenly selectors are split: 0.25 where half of them are right."""
    mean = sum(values) / len(values)
    return mean * (1 - mean)


def _measure_all(findings: Sequence[Findings]) -> list[Reliability]:
    """Every source of confidence, the cases of all runs that hold it together."""
    sources = [source for each in findings for source in each.confidences]
    order = {name: place for place, name in enumerate(dict.fromkeys(source.name for source in sources))}
    sources.sort(key=lambda source: order[source.name])
    return [measure(join(list(parts))) for _, parts in groupby(sources, key=lambda source: source.name)]
