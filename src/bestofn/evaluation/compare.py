"""Accuracy of selectors against the number of candidates, on one run: curves with intervals, paired differences.

The value of a problem is an expectation over its own trajectories (`curves`), the accuracy of a row the mean over
problems (macro), its interval a bootstrap over problems (`metrics.intervals`). All rows are resampled together. Where
the expectation is drawn (weighted votes), the Monte Carlo error stands beside it. Differences to a baseline: `pairing`.

A row at n holds the problems that have at least n judged trajectories; the others are left out of that row, counted
and warned of, because a metric of n candidates is not defined on fewer.

This module does not know how a run is stored, how answers are compared, or how results are drawn.
"""

import math
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bestofn.errors import ConfigError, UnavailableError
from bestofn.evaluation.comparison import Comparison, Row
from bestofn.evaluation.curves import NAMES, Estimator, RememberedClusters, check_names, estimator, scorer_of
from bestofn.evaluation.outcomes import Outcomes, Survey, read_outcomes, require_verdicts, survey
from bestofn.evaluation.pairing import pair_with_baseline
from bestofn.metrics.estimators import MAJORITY_LIMIT
from bestofn.metrics.intervals import RESAMPLES, Interval, intervals
from bestofn.metrics.subsets import SampledCurve
from bestofn.metrics.votes import RULES
from bestofn.storage.run import Run
from bestofn.verifiers.equivalence import Clusterer

BASELINE = "majority"


def compare(
    run: Run,
    selectors: Sequence[str] | None = None,
    ns: Sequence[int] | None = None,
    *,
    equivalence: Clusterer,
    seed: int = 0,
    resamples: int = RESAMPLES,
    baseline: str = BASELINE,
    extra: Mapping[str, tuple[Estimator, Sequence[str]]] = MappingProxyType({}),
) -> Comparison:
    """Evaluates `selectors` at every n of `ns` on the trajectories and verdicts of `run`.

    Without `selectors`: every one this run allows (the others are named in `skipped`), the argmax of every stored score
    and one weighted vote of it (`vote:NAME`, or `borda:NAME` where some scores are negative), and `oracle`. Without
    `ns`: the powers of two up to the largest pool, and its size. `equivalence` says which answers are one; it is asked
    once for the distinct answers of each problem, and only for votes. `baseline` is what the others are paired with;
    where it is `majority` and not evaluated, nothing is paired. `extra` are selectors that no run knows by name (a
    fitted mixture, say): an estimator and the scorers whose scores it reads. `seed` fixes the resamples and all drawn
    subsets.

    Raises ConfigError for a name or an n that cannot be, UnavailableError where trajectories were never verified or
    a selector that was named cannot work on this run.
    """
    if ns is not None and (not ns or min(ns) < 1):
        raise ConfigError(f"n must be one or more numbers of at least 1, got {list(ns)}")
    if selectors is not None:
        check_names(selectors)
    connection = run.connect()
    try:
        held = survey(connection)
        require_verdicts(held, str(run.path))
        names, skipped = _choose(selectors, held, str(run.path))
        if baseline not in names and baseline != BASELINE:
            raise ConfigError(f"baseline {baseline!r} is none of the selectors compared: {', '.join(names)}")
        wanted = sorted(set(ns)) if ns is not None else default_ns(held.n_max)
        scorers = list(dict.fromkeys(scorer for name in names if (scorer := scorer_of(name))))
        scorers += [name for _, needed in extra.values() for name in needed if name not in scorers]
        measures = held.tokenless > 0 and bool({"longest", "shortest"} & set(names))
        remembered = RememberedClusters(equivalence)
        estimators = {name: estimator(name, remembered, seed) for name in names}
        estimators |= {name: made for name, (made, _) in extra.items()}
        tally = _Tally(estimators, wanted)
        for outcomes in read_outcomes(connection, scorers, with_characters=measures):
            tally.add(outcomes)
    finally:
        connection.close()
    rows = tally.rows(seed, resamples, has_tokens=held.tokenless == 0)
    return Comparison(
        problems=held.problems,
        n_max=held.n_max,
        rows=tuple(rows),
        unjudged=held.unjudged,
        failed=held.failed,
        skipped=skipped,
        warnings=(*_warnings(held, wanted, tally.sizes), *_drawn(rows)),
        seed=seed,
        resamples=resamples,
        paired=tuple(pair_with_baseline(tally.values(), wanted, baseline, seed, resamples)),
    )


def default_ns(n_max: int) -> list[int]:
    """The powers of two up to the largest pool, and its size."""
    return sorted({2**power for power in range(n_max.bit_length()) if 2**power <= n_max} | ({n_max} - {0}))


class _Tally:
    """Collects the curve of every selector on every problem, and what computing them took."""

    def __init__(self, estimators: Mapping[str, Estimator], ns: Sequence[int]):
        self._estimators = estimators
        self._ns = list(ns)
        self._accuracy: dict[str, list[NDArray[np.float64]]] = {name: [] for name in estimators}
        self._abstained: dict[str, list[NDArray[np.float64]]] = {name: [] for name in estimators}
        self._errors: dict[str, list[NDArray[np.float64]]] = {name: [] for name in estimators}
        self._is_exact = {name: np.ones(len(ns), dtype=np.bool_) for name in estimators}
        self._seconds = dict.fromkeys(estimators, 0.0)
        self._mean_tokens: list[float] = []
        self.sizes: list[int] = []

    def add(self, outcomes: Outcomes) -> None:
        size = len(outcomes.correct)
        self.sizes.append(size)
        self._mean_tokens.append(float(outcomes.sampled_tokens.mean()) if size else 0.0)
        for name, estimate in self._estimators.items():
            start = time.perf_counter()
            curve = estimate(outcomes, self._ns)
            self._seconds[name] += time.perf_counter() - start
            self._accuracy[name].append(curve.accuracy)
            self._abstained[name].append(curve.abstained)
            if isinstance(curve, SampledCurve):
                self._errors[name].append(curve.error)
                self._is_exact[name] &= curve.exact

    def values(self) -> dict[str, NDArray[np.float64]]:
        """[P, K] accuracies of every selector."""
        return {name: np.stack(curves) for name, curves in self._accuracy.items()}

    def rows(self, seed: int, resamples: int, has_tokens: bool) -> list[Row]:
        names = list(self._estimators)
        table = np.concatenate(list(self.values().values()), axis=1)
        bounds = intervals(table, seed=seed, resamples=resamples)
        tokens = [self._tokens(n) if has_tokens else None for n in self._ns]
        rows: list[Row] = []
        for place, name in enumerate(names):
            abstained = np.stack(self._abstained[name])
            for at in range(len(self._ns)):
                found = bounds[place * len(self._ns) + at]
                rows.append(self._row(name, at, found, abstained[:, at], tokens[at]))
        return rows

    def _row(self, name: str, at: int, found: Interval, abstained: NDArray[np.float64], tokens: float | None) -> Row:
        share = float(np.nanmean(abstained)) if found.problems else None
        return Row(
            selector=name,
            n=self._ns[at],
            accuracy=found.mean,
            low=found.low,
            high=found.high,
            exact=bool(self._is_exact[name][at]),
            seconds=self._seconds[name],
            sampled_tokens=tokens,
            standard_error=found.standard_error,
            abstained=share,
            problems=found.problems,
            monte_carlo_error=self._error(name, at) if found.problems else None,
        )

    def _error(self, name: str, at: int) -> float:
        """Of the mean over problems; each draws its own subsets, so the squares of their errors add up."""
        errors = [error[at] for error in self._errors[name] if not np.isnan(error[at])]
        return math.sqrt(math.fsum(error**2 for error in errors)) / max(len(errors), 1)

    def _tokens(self, n: int) -> float | None:
        counted = [mean for mean, size in zip(self._mean_tokens, self.sizes, strict=True) if size >= n]
        return n * math.fsum(counted) / len(counted) if counted else None


def _choose(selectors: Sequence[str] | None, held: Survey, run: str) -> tuple[list[str], dict[str, str]]:
    """The selectors to evaluate, and why others of the default list cannot be."""
    scored = [selector for name in held.unscored for selector in (f"score:{name}", default_vote(held, name))]
    wanted = list(dict.fromkeys(selectors)) if selectors is not None else [*NAMES[:-1], *scored, NAMES[-1]]
    reasons = {name: reason for name in wanted if (reason := _obstacle(name, held, run))}
    if selectors is not None and reasons:
        raise UnavailableError("\n".join(reasons.values()))
    return [name for name in wanted if name not in reasons], reasons


def default_vote(held: Survey, scorer: str) -> str:
    """The weighted vote that a scorer is shown with: by its scores where they can be weights, else by their ranks."""
    fits = not held.negative.get(scorer, 0) and not held.infinite.get(scorer, 0)
    return f"{'vote' if fits else 'borda'}:{scorer}"


def _obstacle(selector: str, held: Survey, run: str) -> str:
    """Why a selector cannot work on this run; empty where it can."""
    prefix, _, scorer = selector.partition(":")
    rule = RULES.get(prefix) if scorer_of(selector) else None
    if (selector == "majority" or rule) and held.answered == 0:
        return f"{selector}: no trajectory of run {run} has an answer to vote with"
    if selector == "majority" and held.n_max > MAJORITY_LIMIT:
        return f"majority: exact for pools of at most {MAJORITY_LIMIT}, run {run} has one of {held.n_max}"
    if not scorer_of(selector):
        return ""
    if scorer not in held.unscored:
        stored = ", ".join(held.unscored) or "none"
        return f"{selector}: run {run} holds no scores of {scorer!r}; stored: {stored}"
    if held.unscored[scorer]:
        return (
            f"{selector}: {held.unscored[scorer]} of {held.problems} problems of run {run} have no score of "
            f"{scorer!r}; score the rest first"
        )
    counts = (found.get(scorer, 0) for found in (held.negative, held.infinite, held.voting))
    fault = rule.explain(*counts) if rule else ""
    return f"{selector}: run {run}: {fault}" if fault else ""


def _drawn(rows: Sequence[Row]) -> list[str]:
    """What the reader of rows that are not exact should know."""
    drawn = [row for row in rows if row.monte_carlo_error]
    if not drawn:
        return []
    names = ", ".join(dict.fromkeys(row.selector for row in drawn))
    largest = max(row.monte_carlo_error or 0.0 for row in drawn)
    return [f"{names}: subsets were drawn; Monte Carlo standard error at most {100 * largest:.2f} points"]


def _warnings(held: Survey, ns: Sequence[int], sizes: Sequence[int]) -> list[str]:
    messages: list[str] = []
    for n in ns:
        short = sum(1 for size in sizes if size < n)
        if short == len(sizes):
            messages.append(f"n={n}: undefined, the largest pool has {held.n_max} judged trajectories")
        elif short:
            messages.append(f"n={n}: {short} of {len(sizes)} problems have fewer judged trajectories and are left out")
    if held.unjudged:
        messages.append(f"{held.unjudged} of {held.trajectories} trajectories could not be judged and are left out")
    if held.failed:
        messages.append(f"{held.failed} of {held.trajectories} attempts failed; they count as wrong")
    if len(sizes) == 1:
        messages.append("one problem: its interval is undefined")
    return messages
