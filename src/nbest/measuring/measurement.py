"""The value of every selector on every problem of a run: what comparisons, groups and averages are made from.

One pass over the run, one problem in memory at a time; a few numbers remain per problem, selector and n.
This module does not know intervals, how answers are compared, or how results are shown.
Shapes: P problems, K entries of `ns`, B resampled pools of a problem.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nbest.errors import DataError
from nbest.measuring.contestants import enter_contestants
from nbest.measuring.costs import PolicySize, policy_size
from nbest.measuring.outcomes import count_duplicates, read_outcomes, require_verdicts, survey
from nbest.measuring.question import Question, Resample
from nbest.protocols import Clusterer
from nbest.records import derive_seed
from nbest.selecting.estimators import Contestant, RememberedClusters
from nbest.selecting.outcomes import Outcomes
from nbest.specs import Role
from nbest.statistics.intervals import Within
from nbest.statistics.subsets import SampledCurve
from nbest.storage.run import Run

Array: TypeAlias = NDArray[np.float64]

INNER_POOLS = 100
"""Resampled pools of each problem where samples are resampled: they give a spread, not a tail."""


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """The numbers of some problems, by selector where they are a mapping.

    `accuracy`, `abstained`, `error` (Monte Carlo) and `exact` are [P, K]; NaN where n is beyond the pool. `if_wrong`
    and `if_right` [P, K] are the accuracies of the whole pools, ungraded ones counted as all wrong or all right.
    `deviations` [B, P, K] is empty unless samples are resampled. `sizes` [P] counts graded trajectories; `tokens`,
    `flops` and `sampling_seconds` [P] are means over these, NaN where unknown. `seconds` is the time that evaluating
    the selector took, `baseline` the selector that the others are paired with (None: nothing is paired). `duplicates`
    trajectories of the run were stored twice.
    """

    ids: tuple[str, ...]
    ns: tuple[int, ...]
    accuracy: Mapping[str, Array]
    abstained: Mapping[str, Array]
    error: Mapping[str, Array]
    exact: Mapping[str, NDArray[np.bool_]]
    if_wrong: Mapping[str, Array]
    if_right: Mapping[str, Array]
    deviations: Mapping[str, Array]
    seconds: Mapping[str, float]
    sizes: NDArray[np.int64]
    ungraded: NDArray[np.int64]
    failed: NDArray[np.int64]
    tokens: Array
    flops: Array
    sampling_seconds: Array
    roles: Mapping[str, Role]
    baseline: str | None
    skipped: Mapping[str, str]
    duplicates: int = 0

    @property
    def names(self) -> list[str]:
        return list(self.accuracy)

    @property
    def largest_pool(self) -> int:
        return int(self.sizes.max(initial=0))

    def take(self, positions: NDArray[np.int64]) -> "Measurements":
        """Return the problems at `positions` alone."""
        return Measurements(
            ids=tuple(self.ids[position] for position in map(int, positions)),
            ns=self.ns,
            accuracy={name: table[positions] for name, table in self.accuracy.items()},
            abstained={name: table[positions] for name, table in self.abstained.items()},
            error={name: table[positions] for name, table in self.error.items()},
            exact={name: table[positions] for name, table in self.exact.items()},
            if_wrong={name: table[positions] for name, table in self.if_wrong.items()},
            if_right={name: table[positions] for name, table in self.if_right.items()},
            deviations={name: table[:, positions] for name, table in self.deviations.items()},
            seconds=self.seconds,
            sizes=self.sizes[positions],
            ungraded=self.ungraded[positions],
            failed=self.failed[positions],
            tokens=self.tokens[positions],
            flops=self.flops[positions],
            sampling_seconds=self.sampling_seconds[positions],
            roles=self.roles,
            baseline=self.baseline,
            skipped=self.skipped,
        )

    def within(self, names: Sequence[str], resample: Resample, minus: str | None = None) -> Within | None:
        """Return how the values of `names`, side by side [P, R], move when samples are drawn again.

        None where samples are not resampled. With `minus`, how their differences to that selector move.
        """
        if resample == "problems" or not names:
            return None
        base = 0.0 if minus is None else self.deviations[minus]
        deviations = np.concatenate([self.deviations[name] - base for name in names], axis=2)
        return Within(deviations, keeps_problems=resample == "samples")


def measure(run: Run, question: Question, equivalence: Clusterer) -> Measurements:
    """Evaluate the selectors of `question` on every problem of `run`. Raises as `compare.compare`."""
    question.check()
    connection = run.connect()
    try:
        contents = survey(connection)
        require_verdicts(contents, str(run.path))
        entrants = enter_contestants(run, question, contents, RememberedClusters(equivalence))
        baseline = entrants.find_baseline(question.baseline)
        contestants = list(entrants.contestants.values())
        ns = tuple(sorted(set(question.ns)) if question.ns is not None else default_ns(contents.n_max))
        scorers = list(dict.fromkeys(scorer for contestant in contestants for scorer in contestant.scorers))
        size = policy_size(run.manifest) if contents.tokenless == 0 else None
        duplicates = count_duplicates(run, connection)
        problems: list[_ProblemValues] = []
        for outcomes in read_outcomes(connection, scorers, contents.tokenless > 0, size is not None):
            _check_indices(outcomes)
            problems.append(_measure_problem(outcomes, contestants, ns, question, size))
    finally:
        connection.close()
    names = list(entrants.contestants)
    curves = {name: [problem.curves[name] for problem in problems] for name in names}
    return Measurements(
        ids=tuple(problem.id for problem in problems),
        ns=ns,
        accuracy={name: np.stack([values.accuracy for values in curves[name]]) for name in names},
        abstained={name: np.stack([values.abstained for values in curves[name]]) for name in names},
        error={name: np.stack([values.error for values in curves[name]]) for name in names},
        exact={name: np.stack([values.exact for values in curves[name]]) for name in names},
        if_wrong={name: np.stack([values.if_wrong for values in curves[name]]) for name in names},
        if_right={name: np.stack([values.if_right for values in curves[name]]) for name in names},
        deviations={}
        if question.resample == "problems"
        else {name: np.stack([values.deviations for values in curves[name]], axis=1) for name in names},
        seconds={name: sum(values.seconds for values in curves[name]) for name in names},
        sizes=np.array([problem.size for problem in problems], dtype=np.int64),
        ungraded=np.array([problem.ungraded for problem in problems], dtype=np.int64),
        failed=np.array([problem.failed for problem in problems], dtype=np.int64),
        tokens=np.array([problem.tokens if contents.tokenless == 0 else np.nan for problem in problems]),
        flops=np.array([problem.flops for problem in problems]),
        sampling_seconds=np.array([problem.sampling_seconds for problem in problems]),
        roles={contestant.name: contestant.role for contestant in contestants},
        baseline=baseline,
        skipped=entrants.skipped,
        duplicates=duplicates,
    )


def default_ns(n_max: int) -> list[int]:
    """Return the powers of two up to the largest pool, and its size."""
    return sorted({2**power for power in range(n_max.bit_length()) if 2**power <= n_max} | ({n_max} - {0}))


@dataclass(slots=True, eq=False)
class _CurveValues:
    """The values of one selector on one problem: arrays are [K], `deviations` [B, K] with B = 0 unless asked for."""

    accuracy: Array
    abstained: Array
    error: Array
    exact: NDArray[np.bool_]
    if_wrong: Array
    if_right: Array
    seconds: float
    deviations: Array


@dataclass(frozen=True, slots=True, eq=False)
class _ProblemValues:
    """One problem: its counts, the mean cost of a graded trajectory, and the values of each selector."""

    id: str
    size: int
    ungraded: int
    failed: int
    tokens: float
    flops: float
    sampling_seconds: float
    curves: Mapping[str, _CurveValues]


def _measure_problem(
    outcomes: Outcomes,
    contestants: Sequence[Contestant],
    ns: Sequence[int],
    question: Question,
    policy: PolicySize | None,
) -> _ProblemValues:
    size = len(outcomes.correct)
    curves: dict[str, _CurveValues] = {}
    for contestant in contestants:
        start = time.perf_counter()
        curve = contestant.estimate(outcomes, ns)
        # Where an estimator does not say how it drew, its curve is not taken as exact, and its error is unknown.
        is_exact = contestant.tells_draws
        error, exact = np.where(is_exact & ~np.isnan(curve.accuracy), 0.0, np.nan), np.full(len(ns), is_exact)
        if isinstance(curve, SampledCurve):
            error, exact = curve.error, curve.exact
        wrong, right = (
            (curve, curve)
            if outcomes.extremes is None
            else (contestant.estimate(extreme, ns) for extreme in outcomes.extremes)
        )
        seconds = time.perf_counter() - start
        curves[contestant.name] = _CurveValues(
            curve.accuracy,
            curve.abstained,
            error,
            exact,
            wrong.accuracy,
            right.accuracy,
            seconds,
            np.empty((0, len(ns))),
        )
    if question.resample != "problems":
        _add_deviations(curves, contestants, outcomes, ns, question.seed)
    return _ProblemValues(
        id=outcomes.problem_id,
        size=size,
        ungraded=outcomes.ungraded,
        failed=int(outcomes.failed.sum()),
        tokens=float(outcomes.sampled_tokens.mean()) if size else 0.0,
        flops=_mean_flops(outcomes, policy),
        sampling_seconds=np.nan if outcomes.sampling_seconds is None else outcomes.sampling_seconds,
        curves=curves,
    )


def _check_indices(outcomes: Outcomes) -> None:
    """Raise DataError where two trajectories of a problem have the same index."""
    if len(set(outcomes.indices.tolist())) < len(outcomes.indices):
        raise DataError(
            f"problem {outcomes.problem_id!r}: two of its trajectories have the same index; a pool holds each "
            "index once. Import or sample this problem into a new run."
        )


def _mean_flops(outcomes: Outcomes, policy: PolicySize | None) -> float:
    """Return the mean FLOPs of a graded trajectory; NaN where the size of the policy or the prompts are unknown."""
    if policy is None or outcomes.prompt_tokens is None or not len(outcomes.correct):
        return np.nan
    return float(policy.count_flops(outcomes.prompt_tokens, outcomes.sampled_tokens).mean())


def _add_deviations(
    curves: Mapping[str, _CurveValues],
    contestants: Sequence[Contestant],
    outcomes: Outcomes,
    ns: Sequence[int],
    seed: int,
) -> None:
    """Add the curves of pools of the same size drawn with replacement, minus their mean; the same pools for all.

    Their spread is that of samples about the pool's own mean, too small by (N - 1) / N in variance; a factor corrects
    this.
    """
    size = len(outcomes.correct)
    rng = np.random.default_rng(derive_seed(seed, outcomes.problem_id, 1))
    pools = [outcomes.take(rng.integers(0, size, size)) if size else outcomes for _ in range(INNER_POOLS)]
    scale = math.sqrt(size / (size - 1)) if size > 1 else 1.0
    values = {
        contestant.name: np.stack([contestant.estimate(pool, ns).accuracy for pool in pools])
        for contestant in contestants
    }
    for name, accuracy in values.items():
        curves[name].deviations = scale * (accuracy - accuracy.mean(axis=0))
