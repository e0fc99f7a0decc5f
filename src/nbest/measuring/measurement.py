"""The value of every selector on every problem of a run: what comparisons, groups and averages are made from.

`measure` reads the run once, one problem at a time, and fills in a few numbers per problem, selector and n.
This module does not know intervals, how answers are compared, or how results are shown.
Shapes: P problems, K entries of `ns`, B resampled pools of a problem.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import duckdb
import numpy as np
from numpy.typing import NDArray

from nbest.errors import DataError
from nbest.measuring.contestants import Entrants, enter_contestants
from nbest.measuring.costs import PolicySize, policy_size
from nbest.measuring.grouping import group_problems
from nbest.measuring.outcomes import MEASURED_COLUMNS, count_duplicates, read_outcomes, require_verdicts, survey
from nbest.measuring.question import Question, Resample
from nbest.measuring.ranking import pool_auc
from nbest.measuring.step_ranking import read_step_aucs
from nbest.measuring.trajectory_counts import TrajectoryCounts, count_trajectories
from nbest.progress import OnProgress, count_progress, ignore_progress, report_activity
from nbest.protocols import Clusterer
from nbest.records import derive_seed
from nbest.selecting.estimators import Contestant, RememberedClusters
from nbest.selecting.outcomes import Outcomes
from nbest.specs import Role
from nbest.statistics.estimators import Curve
from nbest.statistics.intervals import Within
from nbest.statistics.subsets import SampledCurve
from nbest.storage.run import Run
from nbest.verifying.remembering import remember_clusters

Array: TypeAlias = NDArray[np.float64]

INNER_POOLS = 100
"""Resampled pools of each problem where samples are resampled: enough for a spread, too few for a tail."""


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """The numbers of some problems, by selector where they are a mapping.

    `accuracy`, `abstained`, `error` (Monte Carlo) and `exact` are [P, K]; NaN where n is beyond the pool. `if_wrong`
    and `if_right` [P, K] are the accuracies of the whole pools with the ungraded trajectories counted as all wrong, or
    as all right. `deviations` [B, P, K] has B = 0 unless samples are resampled. `sizes` [P] counts the graded
    trajectories, failed ones included, `counts` [P] all of them. `aucs` [P] by scorer is the AUC within each pool, NaN
    where the pool does not hold right and wrong ones, `step_aucs` the same over its labelled steps, for scorers with
    step scores; `mismatched_steps` counts the trajectories whose labels do not fit these. `tokens`, `flops` and
    `sampling_seconds` [P] are means over the graded ones, NaN where unknown. `seconds` is how long evaluating the
    selector took, `baseline` the selector that the others are paired with (None: nothing is paired). `skipped` gives
    the reason why a selector of the default is not measured. `duplicates` trajectories of the run were stored twice.
    `groups` gives the positions of the problems with each value of the field `Question.by`; empty without a field, and
    for a part of a run.
    """

    ids: list[str]
    ns: tuple[int, ...]
    accuracy: Mapping[str, Array]
    abstained: Mapping[str, Array]
    error: Mapping[str, Array]
    exact: Mapping[str, NDArray[np.bool_]]
    if_wrong: Mapping[str, Array]
    if_right: Mapping[str, Array]
    deviations: Mapping[str, Array]
    seconds: dict[str, float]
    sizes: NDArray[np.int64]
    counts: list[TrajectoryCounts]
    aucs: Mapping[str, Array]
    step_aucs: dict[str, Array]
    mismatched_steps: dict[str, int]
    tokens: Array
    flops: Array
    sampling_seconds: Array
    roles: Mapping[str, Role]
    baseline: str | None
    skipped: Mapping[str, str]
    duplicates: int
    groups: dict[str, NDArray[np.int64]]

    @property
    def names(self) -> list[str]:
        return list(self.accuracy)

    @property
    def largest_pool(self) -> int:
        return int(self.sizes.max(initial=0))

    def take(self, positions: NDArray[np.int64]) -> "Measurements":
        """Return the problems at `positions` alone, as a part of the run."""
        return Measurements(
            ids=[self.ids[position] for position in map(int, positions)],
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
            counts=[self.counts[position] for position in map(int, positions)],
            aucs={name: values[positions] for name, values in self.aucs.items()},
            step_aucs={name: values[positions] for name, values in self.step_aucs.items()},
            mismatched_steps={},
            tokens=self.tokens[positions],
            flops=self.flops[positions],
            sampling_seconds=self.sampling_seconds[positions],
            roles=self.roles,
            baseline=self.baseline,
            skipped={},
            duplicates=0,
            groups={},
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


def measure(
    run: Run, question: Question, equivalence: Clusterer, on_progress: OnProgress = ignore_progress
) -> Measurements:
    """Evaluate the selectors of `question` on every problem of `run`. Raises as `compare.compare`."""
    question.check()
    with remember_clusters(equivalence, run.path) as clusterer:
        return _measure(run, question, clusterer, on_progress)


def _measure(run: Run, question: Question, equivalence: Clusterer, on_progress: OnProgress) -> Measurements:
    report_activity(f"read {run.path.name}", on_progress)
    connection = run.connect(large=MEASURED_COLUMNS)
    try:
        contents = survey(connection)
        require_verdicts(contents, str(run.path))
        entrants = enter_contestants(run, question, contents, RememberedClusters(equivalence))
        contestants = list(entrants.contestants.values())
        ns = tuple(sorted(set(question.ns)) if question.ns is not None else default_ns(contents.n_max))
        duplicates = count_duplicates(run, connection)
        measurements = _allocate(entrants, question, ns, contents.problems, duplicates, list(contents.unscored))
        counts = count_trajectories(connection)
        groups = {} if question.by is None else group_problems(run.problems(), question.by)
        has_tokens = contents.tokenless == 0
        policy = policy_size(run.manifest) if has_tokens else None
        pools = read_outcomes(
            connection, list(measurements.aucs), with_characters=not has_tokens, with_prompt_tokens=policy is not None
        )
        on_done = count_progress("compare", contents.problems, on_progress)
        for position, outcomes in enumerate(pools):
            measurements.counts.append(counts[outcomes.problem_id])
            _record_pool(measurements, position, outcomes, policy, has_tokens)
            for contestant in contestants:
                start = time.perf_counter()
                curve = contestant.estimate(outcomes, ns)
                measurements.accuracy[contestant.name][position] = curve.accuracy
                _record_curve(measurements, position, contestant, curve, outcomes.extremes)
                measurements.seconds[contestant.name] += time.perf_counter() - start
            if question.resample != "problems":
                _record_deviations(measurements, position, contestants, outcomes, question.seed)
            on_done(1, 0)
        report_activity("compute the intervals", on_progress)
        _record_steps(measurements, connection)
    finally:
        connection.close()
    measurements.groups.update(_find_positions(groups, measurements.ids))
    return measurements


def default_ns(n_max: int) -> list[int]:
    """Return the powers of two up to the largest pool, and its size."""
    return sorted({2**power for power in range(n_max.bit_length()) if 2**power <= n_max} | ({n_max} - {0}))


def _allocate(
    entrants: Entrants, question: Question, ns: tuple[int, ...], problems: int, duplicates: int, scorers: Sequence[str]
) -> Measurements:
    """Return measurements for so many problems, undefined throughout, to be filled in problem by problem.

    `scorers` are all that the run has stored scores of.
    """
    names = list(entrants.contestants)
    shape = (problems, len(ns))
    pools = 0 if question.resample == "problems" else INNER_POOLS
    return Measurements(
        ids=[],
        ns=ns,
        accuracy={name: np.full(shape, np.nan) for name in names},
        abstained={name: np.full(shape, np.nan) for name in names},
        error={name: np.full(shape, np.nan) for name in names},
        exact={name: np.zeros(shape, dtype=np.bool_) for name in names},
        if_wrong={name: np.full(shape, np.nan) for name in names},
        if_right={name: np.full(shape, np.nan) for name in names},
        deviations={name: np.full((pools, *shape), np.nan) for name in names},
        seconds=dict.fromkeys(names, 0.0),
        sizes=np.zeros(problems, dtype=np.int64),
        counts=[],
        aucs={scorer: np.full(problems, np.nan) for scorer in scorers},
        step_aucs={},
        mismatched_steps={},
        tokens=np.full(problems, np.nan),
        flops=np.full(problems, np.nan),
        sampling_seconds=np.full(problems, np.nan),
        roles={name: contestant.role for name, contestant in entrants.contestants.items()},
        baseline=entrants.find_baseline(question.baseline),
        skipped=entrants.skipped,
        duplicates=duplicates,
        groups={},
    )


def _record_pool(
    measurements: Measurements, position: int, outcomes: Outcomes, policy: PolicySize | None, has_tokens: bool
) -> None:
    """Fill in the size, the AUC of each scorer and the costs of one problem.

    FLOPs stay undefined where the size of the `policy` or the prompts are unknown. Raises DataError where two
    trajectories have the same index.
    """
    if len(set(outcomes.indices.tolist())) < len(outcomes.indices):
        raise DataError(
            f"problem {outcomes.problem_id!r}: two of its trajectories have the same index; a pool holds each "
            "index once. Import or sample this problem into a new run."
        )
    size = len(outcomes.correct)
    measurements.ids.append(outcomes.problem_id)
    measurements.sizes[position] = size
    for scorer, aucs in measurements.aucs.items():
        area = pool_auc(outcomes, scorer)
        aucs[position] = np.nan if area is None else area
    if has_tokens:
        measurements.tokens[position] = outcomes.sampled_tokens.mean() if size else 0.0
    if policy is not None and outcomes.prompt_tokens is not None and size:
        flops = policy.count_flops(outcomes.prompt_tokens, outcomes.sampled_tokens)
        measurements.flops[position] = flops.mean()
    if outcomes.sampling_seconds is not None:
        measurements.sampling_seconds[position] = outcomes.sampling_seconds


def _record_steps(measurements: Measurements, connection: duckdb.DuckDBPyConnection) -> None:
    """Fill in the AUC of step scores over the labelled steps of each problem."""
    steps = read_step_aucs(connection)
    for scorer, aucs in steps.by_problem.items():
        measurements.step_aucs[scorer] = np.array([aucs.get(id, np.nan) for id in measurements.ids], dtype=np.float64)
    measurements.mismatched_steps.update(steps.mismatched)


def _record_curve(
    measurements: Measurements,
    position: int,
    contestant: Contestant,
    curve: Curve,
    extremes: tuple[Outcomes, Outcomes] | None,
) -> None:
    """Fill in what belongs to the accuracy of a contestant on one problem: abstention, Monte Carlo error, bounds.

    Where an estimator does not say how it drew subsets, its curve is not taken as exact, and its error is unknown.
    """
    name = contestant.name
    measurements.abstained[name][position] = curve.abstained
    if isinstance(curve, SampledCurve):
        measurements.error[name][position], measurements.exact[name][position] = curve.error, curve.exact
    elif contestant.tells_draws:
        measurements.error[name][position] = np.where(np.isnan(curve.accuracy), np.nan, 0.0)
        measurements.exact[name][position] = True
    bounds = (curve, curve)
    if extremes is not None:
        bounds = tuple(contestant.estimate(outcomes, measurements.ns) for outcomes in extremes)
    measurements.if_wrong[name][position], measurements.if_right[name][position] = (bound.accuracy for bound in bounds)


def _record_deviations(
    measurements: Measurements, position: int, contestants: Sequence[Contestant], outcomes: Outcomes, seed: int
) -> None:
    """Fill in the curves of pools of the same size drawn with replacement, minus their mean; the same pools for all.

    Their spread is that of samples about the pool's own mean, too small by (N - 1) / N in variance; a factor corrects
    this.
    """
    size = len(outcomes.correct)
    rng = np.random.default_rng(derive_seed(seed, outcomes.problem_id, 1))
    pools = [outcomes.take(rng.integers(0, size, size)) if size else outcomes for _ in range(INNER_POOLS)]
    scale = math.sqrt(size / (size - 1)) if size > 1 else 1.0
    for contestant in contestants:
        accuracy = np.stack([contestant.estimate(pool, measurements.ns).accuracy for pool in pools])
        measurements.deviations[contestant.name][:, position] = scale * (accuracy - accuracy.mean(axis=0))


def _find_positions(groups: Mapping[str, Sequence[str]], ids: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Return the positions in `ids` of the problems of each group; a group without any is left out."""
    positions = {problem_id: position for position, problem_id in enumerate(ids)}
    members = {label: [positions[id] for id in group if id in positions] for label, group in groups.items()}
    return {label: np.array(numbers, dtype=np.int64) for label, numbers in members.items() if numbers}
