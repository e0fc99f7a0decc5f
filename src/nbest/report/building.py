"""The content of a report as plain values: what is known about selectors on one or several runs.

`build_report` compares the selectors (`measuring`), examines the pools (`findings`) and joins the runs. Several runs
are several benchmarks: in the macro average each has the same weight; problems and confidences are pooled.

This module does not know how a table or a chart looks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbest.errors import ConfigError
from nbest.measuring.compare import compare_runs, count_largest_pool
from nbest.measuring.comparison import Comparison, Cost
from nbest.measuring.contestants import enter_contestants
from nbest.measuring.measurement import default_ns, measure
from nbest.measuring.naming import name_runs
from nbest.measuring.outcomes import MEASURED_COLUMNS, survey
from nbest.measuring.question import Question
from nbest.measuring.stored import covers_pools
from nbest.measuring.summary import summarise
from nbest.plurals import show_count
from nbest.progress import OnProgress, ignore_progress, report_activity
from nbest.protocols import Clusterer
from nbest.report.findings import CONTESTED, Findings, examine, spread_of
from nbest.report.reliability import Reliability, measure_sources
from nbest.selecting.estimators import RememberedClusters
from nbest.storage.run import Run
from nbest.verifying.remembering import remember_clusters
from nbest.version import VERSION

COSTS: tuple[Cost, ...] = ("sampled_tokens", "flops")
LENGTH_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_COMPETING = 6
"""Competitors in charts beside the bounds and the baseline: more lines cannot be told apart."""
LISTED_PROBLEMS = 20
"""Contested problems that are listed with their prompts; report.json contains all."""
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class RunFindings:
    """One run: `name` is unique in its report; `manifest` as in run.json."""

    name: str
    path: str
    manifest: Mapping[str, Any]
    comparison: Comparison
    findings: Findings

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "path": self.path,
            "comparison": self.comparison.to_json(),
            "trajectories": self._count_trajectories(),
            "finishes": dict(self.findings.finishes),
            "selectors": {name: asdict(counts) for name, counts in self.findings.counts.items()},
            "stored_selections": {name: asdict(picks) for name, picks in self.findings.picks.items()},
            "lengths": {
                "unit": self.findings.length_unit,
                **{verdict: summarise_lengths(lengths) for verdict, lengths in self.findings.lengths.items()},
            },
            "manifest": dict(self.manifest),
        }

    def _count_trajectories(self) -> dict[str, Any]:
        counts = self.findings.trajectories
        return {"graded": counts.graded, "right": counts.right, "wrong": counts.wrong} | counts.to_json()


@dataclass(frozen=True, slots=True)
class Contested:
    """A problem on which the selectors of the charts disagree, by `spread`; `values` are those of all selectors.

    `prompt` and `target` are empty for problems that the page does not list.
    """

    run: str
    problem_id: str
    candidates: int
    right: int
    spread: float
    values: Mapping[str, float]
    answers: tuple[tuple[str | None, int, int], ...]
    prompt: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Disagreement:
    """How often each of S selectors is right on a whole pool where another is wrong.

    `wins` [S S] is the expected number of `problems` on which the selector of the row is right and that of the column
    wrong: the sum over problems of how much higher its value is. `differing` [S S] counts the problems on which their
    values are not equal.
    """

    selectors: tuple[str, ...]
    problems: int
    wins: NDArray[np.float64]
    differing: NDArray[np.int64]

    def to_json(self) -> dict[str, Any]:
        return {
            "selectors": list(self.selectors),
            "problems": self.problems,
            "wins": self.wins.tolist(),
            "differing": self.differing.tolist(),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The content of a report, run by run and over all runs together.

    `overall` is the comparison of the only run, or the macro average over several (`pooled` weighs each problem alike,
    None for one run). `chart_selectors` are those in the charts, `contested` the problems on which these disagree, most
    first. `baseline` is the selector that the others are paired with, None where it was not evaluated.
    """

    title: str
    version: str
    baseline: str | None
    runs: tuple[RunFindings, ...]
    overall: Comparison
    pooled: Comparison | None
    chart_selectors: tuple[str, ...]
    disagreement: Disagreement
    contested: tuple[Contested, ...]
    reliability: tuple[Reliability, ...]

    @property
    def problems(self) -> int:
        return sum(run.comparison.problems for run in self.runs)

    @property
    def ns(self) -> list[int]:
        """The numbers of candidates that are defined in every run."""
        return sorted({row.n for row in self.overall.rows if row.accuracy is not None})

    @property
    def lead(self) -> str:
        """The line under the title."""
        runs = "" if len(self.runs) == 1 else f"{show_count(len(self.runs), 'run')}, "
        largest = max(run.comparison.n_max for run in self.runs)
        problems = show_count(self.problems, "problem")
        return f"{runs}{problems}, up to {show_count(largest, 'candidate')} each · nbest {self.version}"

    @property
    def warnings(self) -> list[str]:
        """The sentences that come first: of each run, which trajectories no figure rests on, where they are many."""
        prefixes = [f"{run.name}: " if len(self.runs) > 1 else "" for run in self.runs]
        messages = [run.comparison.counts.warn() for run in self.runs]
        return [prefix + message for prefix, message in zip(prefixes, messages, strict=True) if message]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `json.dumps`, without NaN and infinities."""
        return {
            "title": self.title,
            "nbest": self.version,
            "baseline": self.baseline,
            "problems": self.problems,
            "warnings": self.warnings,
            "runs": [run.to_json() for run in self.runs],
            "overall": self.overall.to_json(),
            "pooled": self.pooled.to_json() if self.pooled else None,
            "points": _points_to_json(self.overall),
            "drawn": list(self.chart_selectors),
            "disagreement": self.disagreement.to_json(),
            "contested": [asdict(problem) for problem in self.contested],
            "reliability": [asdict(source) for source in self.reliability],
        }


def build_report(
    runs: Sequence[Run],
    question: Question,
    equivalence: Clusterer,
    title: str = "",
    *,
    on_progress: OnProgress = ignore_progress,
) -> Report:
    """Compare selectors on `runs` by the settings of `question`, examine the pools, and join what all runs have.

    Raises ConfigError without runs, for a run named twice, and for runs that have no selector or no n in common, else
    as `measuring.compare.compare`.
    """
    if not runs:
        raise ConfigError("report: no run was named; give one or more run folders")
    members = dict(zip(name_runs([run.path for run in runs]), runs, strict=True))
    pooled = None
    if len(members) == 1:
        name, run = next(iter(members.items()))
        overall = summarise(measure(run, question, equivalence, on_progress), question)
        comparisons: Mapping[str, Comparison] = {name: overall}
    else:
        if question.ns is None:
            question = replace(question, ns=default_ns(min(map(count_largest_pool, members.values()))))
        several = compare_runs(members, question, equivalence, on_progress)
        overall, pooled, comparisons = several.macro, several.pooled, several.runs
    _require_values(overall, list(members))
    findings: list[RunFindings] = []
    for name, run in members.items():
        report_activity(f"examine the pools of {name}", on_progress)
        with remember_clusters(equivalence, run.path) as clusterer:
            findings.append(_examine_run(name, run, comparisons[name], question, RememberedClusters(clusterer)))
    chart_selectors = choose_chart_selectors(overall)
    return Report(
        title=title or f"Selectors on {', '.join(members)}",
        version=VERSION,
        baseline=overall.baseline,
        runs=tuple(findings),
        overall=overall,
        pooled=pooled,
        chart_selectors=tuple(chart_selectors),
        disagreement=_find_disagreement(findings, overall),
        contested=tuple(_list_contested(findings, members, chart_selectors)),
        reliability=tuple(measure_sources([source for run in findings for source in run.findings.confidences])),
    )


def _require_values(overall: Comparison, runs: Sequence[str]) -> None:
    """Raise ConfigError where no selector has an accuracy that all runs share."""
    if not any(row.accuracy is not None for row in overall.rows):
        raise ConfigError(
            f"report: {', '.join(runs)} have no selector and number of candidates in common. Name some that all "
            "allow with --selector and --n, or report them one by one"
        )


def choose_chart_selectors(comparison: Comparison) -> list[str]:
    """Choose the selectors of the charts, in the order of tables.

    They are the bounds, one pick by chance, the baseline, and the best others at the largest n, one of those that have
    the same curve.
    """
    names = comparison.rank()
    curves: dict[tuple[float | None, ...], str] = {}
    for name in names:
        if comparison.role(name) == "competitor" and name != comparison.baseline:
            heights = [row.accuracy for row in comparison.rows if row.selector == name]
            curves.setdefault(tuple(None if height is None else round(height, 9) for height in heights), name)
    selection = {name for name in names if comparison.role(name) == "bound"} | {comparison.baseline}
    selection |= set([name for name in names if comparison.role(name) == "chance"][:1])
    selection |= set(list(curves.values())[:MOST_COMPETING])
    return [name for name in names if name in selection]


def summarise_lengths(lengths: NDArray[np.int64]) -> dict[str, float] | None:
    """Return mean, largest and quantiles; None for no lengths."""
    if not len(lengths):
        return None
    quantiles = np.quantile(lengths, LENGTH_SHARES).tolist()
    shares = {f"p{round(100 * share)}": value for share, value in zip(LENGTH_SHARES, quantiles, strict=True)}
    return {"mean": float(lengths.mean()), **shares, "largest": float(lengths.max())}


def _points_to_json(comparison: Comparison) -> list[dict[str, Any]]:
    """Return each row with its gap to the bound and the costs at which it is on the Pareto front."""
    gaps = comparison.gaps()
    fronts = {cost: comparison.pareto_front(cost) for cost in COSTS}
    return [
        {
            "selector": row.selector,
            "n": row.n,
            "accuracy": row.accuracy,
            "low": row.low,
            "high": row.high,
            "gap": gaps[row.key],
            "sampled_tokens": row.sampled_tokens,
            "flops": row.flops,
            "front": [cost for cost in COSTS if row.key in fronts[cost]],
        }
        for row in comparison.rows
    ]


def _examine_run(
    name: str, run: Run, comparison: Comparison, question: Question, clusterer: RememberedClusters
) -> RunFindings:
    """Examine the selectors that have a value for whole pools."""
    with run.connect(large=MEASURED_COLUMNS) as connection:
        contents = survey(connection)
    entrants = enter_contestants(run, question, contents, clusterer).contestants.values()
    contestants = [contestant for contestant in entrants if covers_pools(contestant.name)]
    findings = examine(run, contestants, run.scorers(), clusterer, comparison.has_tokens)
    return RunFindings(name, str(run.path), run.manifest, comparison, findings)


def _find_disagreement(runs: Sequence[RunFindings], overall: Comparison) -> Disagreement:
    selectors = [name for name in overall.rank() if all(name in run.findings.informed for run in runs)]
    values = [
        [problem.values.get(name, np.nan) for name in selectors] for run in runs for problem in run.findings.problems
    ]
    table = np.array(values, dtype=np.float64).reshape(len(values), len(selectors))
    leads = table[:, :, None] - table[:, None, :]
    leads[(np.abs(leads) <= _ROUNDING) | np.isnan(leads)] = 0.0
    wins, differing = np.maximum(leads, 0.0).sum(axis=0), np.count_nonzero(leads, axis=0)
    return Disagreement(tuple(selectors), len(values), wins, differing)


def _list_contested(runs: Sequence[RunFindings], folders: Mapping[str, Run], names: Sequence[str]) -> list[Contested]:
    """Return the problems on which the informed selectors of the charts disagree: most first, then the evenest."""
    entries: list[tuple[float, Contested]] = []
    for run in runs:
        informed = [name for name in names if name in run.findings.informed]
        for p in run.findings.problems:
            values = [p.values[name] for name in informed if name in p.values]
            spread = spread_of(values)
            if spread >= CONTESTED:
                problem = Contested(run.name, p.problem_id, p.candidates, p.right, spread, p.values, p.answers)
                mean = sum(values) / len(values)
                entries.append((mean * (1 - mean), problem))  # largest where half of the selectors are right
    entries.sort(key=lambda entry: (-entry[1].spread, -entry[0]))
    problems = [problem for _, problem in entries]
    for position, problem in enumerate(problems[:LISTED_PROBLEMS]):
        record = folders[problem.run].problem(problem.problem_id)
        problems[position] = replace(problem, prompt=record.prompt, target=record.target or "")
    return problems
