"""The result of a report as plain values: what was evaluated, run by run and over all runs together.

This module does not know how it was computed, or how it is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbest.measuring.comparison import Comparison
from nbest.report.charts import BOUNDS
from nbest.report.findings import Findings
from nbest.report.points import Point
from nbest.report.reliability import Reliability

LENGTH_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_COMPETING = 6
"""Selectors drawn in charts beside the bounds and `majority`: more lines cannot be told apart."""


@dataclass(frozen=True, slots=True)
class RunFindings:
    """One run: `name` is unique in its report; `manifest` as in run.json."""

    name: str
    path: str
    manifest: Mapping[str, Any]
    comparison: Comparison
    findings: Findings


@dataclass(frozen=True, slots=True)
class Contested:
    """A problem on which the selectors of the charts disagree (`spread`); `values` are of all. `prompt` and `target`
    are kept of those shown only, else empty."""

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
    """`wins` [S S]: the expected number of `problems` on which the selector of the row is right and that of the column
    wrong, on whole pools: the sum over problems of how much more its value is. `differing` [S S] counts the problems on
    which their values are not equal."""

    selectors: tuple[str, ...]
    problems: int
    wins: NDArray[np.float64]
    differing: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Report:
    """`overall` is the comparison of the only run, or the macro average over several (`pooled` weighs each problem
    alike, None for one run); `points` are its rows. `drawn` are the selectors of the charts, `contested` the problems
    on which these disagree, most first."""

    title: str
    version: str
    baseline: str
    runs: tuple[RunFindings, ...]
    overall: Comparison
    pooled: Comparison | None
    points: tuple[Point, ...]
    drawn: tuple[str, ...]
    disagreement: Disagreement
    contested: tuple[Contested, ...]
    reliability: tuple[Reliability, ...]

    @property
    def problems(self) -> int:
        return sum(run.comparison.problems for run in self.runs)

    @property
    def ns(self) -> list[int]:
        """Those that are defined in every run."""
        return sorted({point.n for point in self.points if point.accuracy is not None})

    @property
    def level(self) -> float:
        return self.overall.level

    def ranked(self) -> list[str]:
        """All selectors over all runs: bounds and plain picks first, then by accuracy at the largest N."""
        return rank(self.points)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`, without NaN and infinities."""
        return {
            "title": self.title,
            "nbest": self.version,
            "baseline": self.baseline,
            "problems": self.problems,
            "runs": [_run_to_json(run) for run in self.runs],
            "overall": self.overall.to_json(),
            "pooled": self.pooled.to_json() if self.pooled else None,
            "points": [point.to_json() for point in self.points],
            "drawn": list(self.drawn),
            "disagreement": {
                "selectors": list(self.disagreement.selectors),
                "problems": self.disagreement.problems,
                "wins": self.disagreement.wins.tolist(),
                "differing": self.disagreement.differing.tolist(),
            },
            "contested": [asdict(problem) for problem in self.contested],
            "reliability": [asdict(source) for source in self.reliability],
        }


def rank(points: Sequence[Point]) -> list[str]:
    """The selectors of `points`: bounds and plain picks first, then by accuracy at the largest n where it is known."""
    heights = {p.selector: p.accuracy for p in sorted(points, key=lambda p: p.n) if p.accuracy is not None}
    names = list(dict.fromkeys(point.selector for point in points))
    bounds = [name for name in BOUNDS if name in names]
    return bounds + sorted((name for name in names if name not in bounds), key=lambda name: -heights.get(name, 0.0))


def choose_drawn(points: Sequence[Point], baseline: str) -> list[str]:
    """The selectors of the charts: the bounds, the baseline, and the best others at the largest n, one of
    those that have the same curve."""
    ranked = rank(points)
    curves: dict[tuple[float | None, ...], str] = {}
    for name in ranked:
        if name not in (*BOUNDS, baseline):
            heights = [point.accuracy for point in points if point.selector == name]
            curves.setdefault(tuple(None if height is None else round(height, 9) for height in heights), name)
    kept = {"oracle", "random", baseline, *list(curves.values())[:MOST_COMPETING]}
    return [name for name in ranked if name in kept]


def summarize_lengths(lengths: NDArray[np.int64]) -> dict[str, float] | None:
    """Mean, largest and quantiles; None without any."""
    if not len(lengths):
        return None
    quantiles = np.quantile(lengths, LENGTH_SHARES).tolist()
    named = {f"p{round(100 * share)}": value for share, value in zip(LENGTH_SHARES, quantiles, strict=True)}
    return {"mean": float(lengths.mean()), **named, "largest": float(lengths.max())}


def _run_to_json(run: RunFindings) -> dict[str, Any]:
    found = run.findings
    return {
        "name": run.name,
        "path": run.path,
        "comparison": run.comparison.to_json(),
        "trajectories": dict(found.trajectories),
        "finishes": dict(found.finishes),
        "selectors": {name: asdict(counts) for name, counts in found.counts.items()},
        "stored_selections": {name: asdict(picks) for name, picks in found.picks.items()},
        "lengths": {
            "unit": found.length_unit,
            "right": summarize_lengths(found.right_lengths),
            "wrong": summarize_lengths(found.wrong_lengths),
        },
        "manifest": dict(run.manifest),
    }
