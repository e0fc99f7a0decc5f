"""The value of every selector on every problem of a run: what comparisons, groups and averages are made from.

One pass over the run, one problem in memory at a time; what stays is a few numbers a problem, selector and n.
This module does not know intervals, how answers are compared, or how results are shown.
Shapes: P problems, K entries of `ns`, B resampled pools of a problem.
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.measuring.costs import PolicySize, policy_size
from nbest.measuring.outcomes import count_duplicates, read_outcomes, require_verdicts, survey
from nbest.measuring.question import BASELINE, Question, Resample
from nbest.measuring.stored import with_stored
from nbest.records import derive_seed
from nbest.selecting.estimators import NAMES, Estimator, RememberedClusters, estimator, scorer_of
from nbest.selecting.outcomes import Outcomes, Survey
from nbest.statistics.estimators import MAJORITY_LIMIT
from nbest.statistics.intervals import Within
from nbest.statistics.subsets import SampledCurve
from nbest.statistics.votes import RULES
from nbest.storage.run import Run
from nbest.verifying.equivalence import Clusterer

Values: TypeAlias = NDArray[np.float64]

INNER_POOLS = 100
"""Resampled pools of each problem where samples are resampled: they give a spread, not a tail."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The numbers of some problems, by selector where they are a mapping.

    `accuracy`, `abstained`, `error` (Monte Carlo) and `exact` are [P, K]; NaN where n is beyond the pool. `if_wrong`
    and `if_right` [P, K] are the accuracies of the whole pools, unjudged ones counted as all wrong or all right.
    `deviations` [B, P, K] is empty unless samples are resampled. `sizes` [P] counts judged trajectories; `tokens`,
    `flops` and `sampling_seconds` [P] are means over these, NaN where unknown. `seconds` = evaluating the selector.
    `duplicates` trajectories of the run were stored twice.
    """

    ids: tuple[str, ...]
    ns: tuple[int, ...]
    accuracy: Mapping[str, Values]
    abstained: Mapping[str, Values]
    error: Mapping[str, Values]
    exact: Mapping[str, NDArray[np.bool_]]
    if_wrong: Mapping[str, Values]
    if_right: Mapping[str, Values]
    deviations: Mapping[str, Values]
    seconds: Mapping[str, float]
    sizes: NDArray[np.int64]
    unjudged: NDArray[np.int64]
    failed: NDArray[np.int64]
    tokens: Values
    flops: Values
    sampling_seconds: Values
    held: Survey
    skipped: Mapping[str, str]
    duplicates: int = 0

    @property
    def names(self) -> list[str]:
        return list(self.accuracy)

    def take(self, places: NDArray[np.int64]) -> "Measured":
        """The problems at `places` alone; `held` stays that of the whole run."""
        return Measured(
            ids=tuple(self.ids[place] for place in map(int, places)),
            ns=self.ns,
            accuracy={name: table[places] for name, table in self.accuracy.items()},
            abstained={name: table[places] for name, table in self.abstained.items()},
            error={name: table[places] for name, table in self.error.items()},
            exact={name: table[places] for name, table in self.exact.items()},
            if_wrong={name: table[places] for name, table in self.if_wrong.items()},
            if_right={name: table[places] for name, table in self.if_right.items()},
            deviations={name: table[:, places] for name, table in self.deviations.items()},
            seconds=self.seconds,
            sizes=self.sizes[places],
            unjudged=self.unjudged[places],
            failed=self.failed[places],
            tokens=self.tokens[places],
            flops=self.flops[places],
            sampling_seconds=self.sampling_seconds[places],
            held=self.held,
            skipped=self.skipped,
        )

    def within(self, names: Sequence[str], resample: Resample, minus: str | None = None) -> Within | None:
        """How the values of `names`, side by side [P, R], move when samples are drawn again; None where they are not.
        With `minus`, those of the differences to this selector."""
        if resample == "problems" or not names:
            return None
        base = 0.0 if minus is None else self.deviations[minus]
        moved = np.concatenate([self.deviations[name] - base for name in names], axis=2)
        return Within(moved, keeps_problems=resample == "samples")


def measure(run: Run, question: Question, equivalence: Clusterer) -> Measured:
    """Evaluates the selectors of `question` on every problem of `run`. Raises as `compare.compare`."""
    question = with_stored(run, question)
    question.check()
    connection = run.connect()
    try:
        held = survey(connection)
        require_verdicts(held, str(run.path))
        names, skipped = _choose(question, held, str(run.path))
        _check_extra(question, held, str(run.path))
        known = [*names, *question.extra]
        if question.baseline not in known and question.baseline != BASELINE:
            raise ConfigError(f"baseline {question.baseline!r} is none of the selectors compared: {', '.join(known)}")
        ns = tuple(sorted(set(question.ns)) if question.ns is not None else default_ns(held.n_max))
        scorers = dict.fromkeys(scorer for name in names if (scorer := scorer_of(name)))
        scorers |= dict.fromkeys(name for _, needed in question.extra.values() for name in needed)
        remembered = RememberedClusters(equivalence)
        estimators = {name: estimator(name, remembered, question.seed) for name in names}
        estimators |= {name: made for name, (made, _) in question.extra.items()}
        size = policy_size(run.manifest) if held.tokenless == 0 else None
        duplicates = count_duplicates(run, connection)
        tally = _Tally(estimators, ns, question, size)
        measures = held.tokenless > 0 and bool({"longest", "shortest"} & set(names))
        for outcomes in read_outcomes(connection, list(scorers), measures, with_prompt_tokens=size is not None):
            tally.add(outcomes)
    finally:
        connection.close()
    return replace(tally.measured(held, skipped), duplicates=duplicates)


def default_ns(n_max: int) -> list[int]:
    """The powers of two up to the largest pool, and its size."""
    return sorted({2**power for power in range(n_max.bit_length()) if 2**power <= n_max} | ({n_max} - {0}))


class _Tally:
    """Collects the curve of every selector on every problem, and what computing them took."""

    def __init__(
        self, estimators: Mapping[str, Estimator], ns: Sequence[int], question: Question, size: PolicySize | None
    ):
        self._estimators = estimators
        self._ns = tuple(ns)
        self._question = question
        self._size = size
        kinds = ("accuracy", "abstained", "error", "exact", "if_wrong", "if_right", "deviations")
        self._tables: dict[str, dict[str, list[NDArray[np.generic]]]] = {
            kind: {name: [] for name in estimators} for kind in kinds
        }
        self._seconds = dict.fromkeys(estimators, 0.0)
        self._ids: list[str] = []
        self._counts: list[tuple[int, int, int]] = []
        self._costs: list[tuple[float, float, float]] = []

    def add(self, outcomes: Outcomes) -> None:
        if len(set(outcomes.indices.tolist())) < len(outcomes.indices):
            raise DataError(
                f"problem {outcomes.problem_id!r}: two of its trajectories have the same index; a pool holds each "
                "index once. Import or sample this problem into a new run."
            )
        self._ids.append(outcomes.problem_id)
        self._counts.append((len(outcomes.correct), outcomes.unjudged, int(outcomes.failed.sum())))
        self._costs.append(self._cost(outcomes))
        for name, estimate in self._estimators.items():
            start = time.perf_counter()
            self._add_curve(name, outcomes, estimate)
            self._seconds[name] += time.perf_counter() - start
        if self._question.resample != "problems":
            self._add_deviations(outcomes)

    def _add_curve(self, name: str, outcomes: Outcomes, estimate: Estimator) -> None:
        curve = estimate(outcomes, self._ns)
        is_defined = ~np.isnan(curve.accuracy)
        # A plain curve of an extra selector says nothing of its draws: it is not taken as exact, its error as unknown.
        is_told = name not in self._question.extra
        error, exact = np.where(is_defined & is_told, 0.0, np.nan), np.full(len(self._ns), is_told)
        if isinstance(curve, SampledCurve):
            error, exact = curve.error, curve.exact
        wrong, right = (
            (curve, curve) if outcomes.extremes is None else (estimate(each, self._ns) for each in outcomes.extremes)
        )
        found = {
            "accuracy": curve.accuracy,
            "abstained": curve.abstained,
            "error": error,
            "exact": exact,
            "if_wrong": wrong.accuracy,
            "if_right": right.accuracy,
        }
        for kind, values in found.items():
            self._tables[kind][name].append(values)

    def _add_deviations(self, outcomes: Outcomes) -> None:
        """The curves of pools of the same size drawn with replacement, minus their mean; the same pools for all.

        Their spread is that of samples about the pool's own mean, too small by (N - 1) / N in variance: made good here.
        """
        size = len(outcomes.correct)
        rng = np.random.default_rng(derive_seed(self._question.seed, outcomes.problem_id, 1))
        curves: dict[str, list[Values]] = {name: [] for name in self._estimators}
        for _ in range(INNER_POOLS):
            pool = outcomes.take(rng.integers(0, size, size)) if size else outcomes
            for name, estimate in self._estimators.items():
                curves[name].append(estimate(pool, self._ns).accuracy)
        for name, drawn in curves.items():
            values = np.stack(drawn)
            scale = math.sqrt(size / (size - 1)) if size > 1 else 1.0
            self._tables["deviations"][name].append(scale * (values - values.mean(axis=0)))

    def _cost(self, outcomes: Outcomes) -> tuple[float, float, float]:
        """Mean sampled tokens, FLOPs and seconds of a judged trajectory; NaN where unknown."""
        if not len(outcomes.correct):
            return (0.0, np.nan, np.nan)
        flops = np.nan
        if self._size is not None and outcomes.prompt_tokens is not None:
            flops = float(self._size.count_flops(outcomes.prompt_tokens, outcomes.sampled_tokens).mean())
        seconds = np.nan if outcomes.sampling_seconds is None else outcomes.sampling_seconds
        return (float(outcomes.sampled_tokens.mean()), flops, seconds)

    def measured(self, held: Survey, skipped: Mapping[str, str]) -> Measured:
        stacked = {
            kind: {name: np.stack(values) for name, values in tables.items()}
            for kind, tables in self._tables.items()
            if kind != "deviations"
        }
        moved = {name: np.stack(values, axis=1) for name, values in self._tables["deviations"].items() if values}
        counts, costs = np.array(self._counts, dtype=np.int64), np.array(self._costs, dtype=np.float64)
        return Measured(
            ids=tuple(self._ids),
            ns=self._ns,
            **stacked,  # pyright: ignore[reportArgumentType]  (exact is bool, the others float)
            deviations=moved,  # pyright: ignore[reportArgumentType]
            seconds=self._seconds,
            sizes=counts[:, 0],
            unjudged=counts[:, 1],
            failed=counts[:, 2],
            tokens=costs[:, 0] if held.tokenless == 0 else np.full(len(costs), np.nan),
            flops=costs[:, 1],
            sampling_seconds=costs[:, 2],
            held=held,
            skipped=skipped,
        )


def _choose(question: Question, held: Survey, run: str) -> tuple[list[str], dict[str, str]]:
    """The selectors to evaluate, and why others of the default list cannot be."""
    selectors = question.selectors
    scored = [selector for name in held.unscored for selector in (f"score:{name}", default_vote(held, name))]
    wanted = list(dict.fromkeys(selectors)) if selectors is not None else [*NAMES[:-1], *scored, NAMES[-1]]
    reasons = {name: reason for name in wanted if (reason := _obstacle(name, held, run))}
    if selectors is not None and reasons:
        raise UnavailableError("\n".join(reasons.values()))
    return [name for name in wanted if name not in reasons], reasons


def _check_extra(question: Question, held: Survey, run: str) -> None:
    """Raises UnavailableError where the run lacks scores of an extra selector, ConfigError where its name is taken."""
    taken = [name for name in question.extra if name in NAMES or scorer_of(name)]
    if taken:
        raise ConfigError(f"extra selector {taken[0]!r} has the name of another selector")
    needs: Iterable[tuple[str, str]] = ((name, s) for name, (_, needed) in question.extra.items() for s in needed)
    faults = [f"{name}: {fault}" for name, scorer in needs if (fault := _missing_scores(scorer, held, run))]
    if faults:
        raise UnavailableError("\n".join(faults))


def default_vote(held: Survey, scorer: str) -> str:
    """The weighted vote that a scorer is shown with: by its scores where they can be weights, else by their ranks."""
    fits = not held.negative.get(scorer, 0) and not held.infinite.get(scorer, 0)
    return f"{'vote' if fits else 'borda'}:{scorer}"


def _missing_scores(scorer: str, held: Survey, run: str) -> str:
    if scorer not in held.unscored:
        stored = ", ".join(held.unscored) or "none"
        return f"run {run} holds no scores of {scorer!r}; stored: {stored}"
    if held.unscored[scorer]:
        return (
            f"{held.unscored[scorer]} of {held.problems} problems of run {run} have no score of "
            f"{scorer!r}; score the rest first"
        )
    return ""


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
    if fault := _missing_scores(scorer, held, run):
        return f"{selector}: {fault}"
    counts = (found.get(scorer, 0) for found in (held.negative, held.infinite, held.voting))
    fault = rule.explain(*counts) if rule else ""
    return f"{selector}: run {run}: {fault}" if fault else ""
