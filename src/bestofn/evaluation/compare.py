"""Accuracy of selectors against the number of candidates, on one run: exact curves with intervals.

The value of a problem is an expectation over its own trajectories (`curves`), the accuracy of a row the mean over
problems (macro), its interval a bootstrap over problems (`metrics.intervals`). All rows are resampled together.

A row at n holds the problems that have at least n judged trajectories; the others are left out of that row, counted
and warned of, because a metric of n candidates is not defined on fewer.

This module does not know how a run is stored, how answers are compared, or how results are drawn.
"""

import math
import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bestofn.errors import ConfigError, UnavailableError
from bestofn.evaluation.comparison import Comparison, Row
from bestofn.evaluation.curves import NAMES, SCORE_PREFIX, Estimator, check_names, estimator
from bestofn.evaluation.outcomes import Outcomes, Survey, read_outcomes, require_verdicts, survey
from bestofn.metrics.estimators import MAJORITY_LIMIT
from bestofn.metrics.intervals import RESAMPLES, Interval, intervals
from bestofn.storage.run import Run
from bestofn.verifiers.equivalence import Clusterer


def compare(
    run: Run,
    selectors: Sequence[str] | None = None,
    ns: Sequence[int] | None = None,
    *,
    equivalence: Clusterer,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Evaluates `selectors` at every n of `ns` on the trajectories and verdicts of `run`.

    Without `selectors`: every one this run allows (the others are named in `skipped`), every stored score and
    `oracle`. Without `ns`: the powers of two up to the largest pool, and its size. `equivalence` says which answers
    are one; it is asked once for the distinct answers of each problem, and only for `majority`.

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
        wanted = sorted(set(ns)) if ns is not None else default_ns(held.n_max)
        scorers = [name.removeprefix(SCORE_PREFIX) for name in names if name.startswith(SCORE_PREFIX)]
        measures = held.tokenless > 0 and bool({"longest", "shortest"} & set(names))
        tally = _Tally({name: estimator(name, equivalence) for name in names}, wanted)
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
        warnings=tuple(_warnings(held, wanted, tally.sizes)),
        seed=seed,
        resamples=resamples,
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

    def rows(self, seed: int, resamples: int, has_tokens: bool) -> list[Row]:
        names = list(self._estimators)
        table = np.concatenate([np.stack(self._accuracy[name]) for name in names], axis=1)
        bounds = intervals(table, seed=seed, resamples=resamples)
        tokens = [self._tokens(n) if has_tokens else None for n in self._ns]
        rows: list[Row] = []
        for place, name in enumerate(names):
            abstained = np.stack(self._abstained[name])
            for at, n in enumerate(self._ns):
                found = bounds[place * len(self._ns) + at]
                rows.append(self._row(name, n, found, abstained[:, at], tokens[at]))
        return rows

    def _row(self, name: str, n: int, found: Interval, abstained: NDArray[np.float64], tokens: float | None) -> Row:
        share = float(np.nanmean(abstained)) if found.problems else None
        return Row(
            selector=name,
            n=n,
            accuracy=found.mean,
            low=found.low,
            high=found.high,
            exact=True,
            seconds=self._seconds[name],
            sampled_tokens=tokens,
            standard_error=found.standard_error,
            abstained=share,
            problems=found.problems,
        )

    def _tokens(self, n: int) -> float | None:
        counted = [mean for mean, size in zip(self._mean_tokens, self.sizes, strict=True) if size >= n]
        return n * math.fsum(counted) / len(counted) if counted else None


def _choose(selectors: Sequence[str] | None, held: Survey, run: str) -> tuple[list[str], dict[str, str]]:
    """The selectors to evaluate, and why others of the default list cannot be."""
    scored = [f"{SCORE_PREFIX}{name}" for name in held.unscored]
    wanted = list(dict.fromkeys(selectors)) if selectors is not None else [*NAMES[:-1], *scored, NAMES[-1]]
    reasons = {name: reason for name in wanted if (reason := _obstacle(name, held, run))}
    if selectors is not None and reasons:
        raise UnavailableError("\n".join(reasons.values()))
    return [name for name in wanted if name not in reasons], reasons


def _obstacle(selector: str, held: Survey, run: str) -> str:
    """Why a selector cannot work on this run; empty where it can."""
    if selector == "majority" and held.answered == 0:
        return f"majority: no trajectory of run {run} has an answer to vote with"
    if selector == "majority" and held.n_max > MAJORITY_LIMIT:
        return f"majority: exact for pools of at most {MAJORITY_LIMIT}, run {run} has one of {held.n_max}"
    if not selector.startswith(SCORE_PREFIX):
        return ""
    scorer = selector.removeprefix(SCORE_PREFIX)
    if scorer not in held.unscored:
        stored = ", ".join(held.unscored) or "none"
        return f"{selector}: run {run} holds no scores of {scorer!r}; stored: {stored}"
    if held.unscored[scorer]:
        return (
            f"{selector}: {held.unscored[scorer]} of {held.problems} problems of run {run} have no score of "
            f"{scorer!r}; score the rest first"
        )
    return ""


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
