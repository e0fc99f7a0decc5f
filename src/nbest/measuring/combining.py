"""The combined selector on runs: fitting it on validation problems, and its accuracy at k.

This module does not know how scores were made, nor how the fit works (`combination_fit.py`).
Shapes: N trajectories of a problem, S scorers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbest.errors import ConfigError, UnavailableError
from nbest.measuring.outcomes import read_outcomes, require_verdicts, survey
from nbest.records import derive_seed
from nbest.selecting.combined.fit import fit_pools
from nbest.selecting.combined.model import CombinedModel
from nbest.selecting.combined.pools import JudgedPool, Labels, Values, draw_orders, draw_subsets, judge_pool
from nbest.selecting.combined.report import CombinationReport
from nbest.selecting.estimators import Estimator
from nbest.selecting.outcomes import Outcomes
from nbest.statistics.estimators import Curve
from nbest.statistics.subsets import SampledCurve
from nbest.storage.run import Run
from nbest.verifying.equivalence import Clusterer

DRAWS = 32


def fit_combined(
    run: Run, scorers: Sequence[str], equivalence: Clusterer, *, seed: int = 0, calibration: str = "auto"
) -> tuple[CombinedModel, CombinationReport]:
    """Fits the combined selector on the verdicts and the stored scores of `run`.

    Raises UnavailableError where trajectories have no verdict, a scorer has no scores, or the run is too small to fit
    on, ConfigError as `fit_pools`.
    """
    pools = list(read_pools(run, scorers, equivalence))
    identity: Any = run.manifest["identity"]
    found: Any = identity["policy"].get("content_hash") if "policy" in identity else None
    model, report = fit_pools(pools, scorers, seed=seed, calibration=calibration)
    return replace(model, policy=None if found is None else str(found)), report


def read_pools(run: Run, scorers: Sequence[str], equivalence: Clusterer) -> Iterator[JudgedPool]:
    """The judged pools of a run with these scores. Raises UnavailableError, before the first, for what is missing."""
    connection = run.connect()
    try:
        held = survey(connection)
        require_verdicts(held, str(run.path))
        obstacles = (_obstacle(held.unscored, name, str(run.path)) for name in scorers)
        faults = [obstacle for obstacle in obstacles if obstacle is not None]
        if faults:
            raise UnavailableError("\n".join(faults))
        for outcomes in read_outcomes(connection, scorers):
            if len(outcomes.correct):
                yield judge_pool(outcomes, scorers, equivalence)
    finally:
        connection.close()


def _obstacle(unscored: Mapping[str, int], name: str, run: str) -> str | None:
    if name not in unscored:
        return f"run {run} has no scores of {name!r}; it has {', '.join(unscored) or 'none'}. Score it first."
    if unscored[name]:
        return f"run {run} has no score of {name!r} for {unscored[name]} of its problems. Score these first."
    return None


def combined_at_k(
    correct: NDArray[np.bool_],
    clusters: Labels,
    scores: Mapping[str, Values],
    ks: Sequence[int],
    model: CombinedModel,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    threshold: float | None = None,
) -> SampledCurve:
    """Accuracy of the combined selector on k-subsets: the mean over `draws` random ones (one where k is N).

    `correct` [N], `clusters` [N] (negative = no answer), `scores` by scorer [N], NaN = none. With a `threshold`, or
    without any answer, a subset abstains: it counts as wrong, and `abstained` says how often. NaN where k > N. The
    subsets at each k are prefixes of the same independent orders: `error` is the spread of their credit over the root
    of their number, 0 where k is N. Raises UnavailableError naming a scorer of the model that `scores` lacks.
    """
    absent = [name for name in model.scorers if name not in scores]
    if absent:
        raise UnavailableError(f"the combined selector needs scores of {', '.join(absent)}, which are not there")
    raw = np.array([scores[name] for name in model.scorers]).reshape(len(model.scorers), len(correct))
    pool = JudgedPool("", correct, clusters, raw)
    orders = draw_orders(len(correct), draws, seed)
    accuracy, abstained, error = (np.full(len(ks), np.nan) for _ in range(3))
    exact = np.zeros(len(ks), dtype=np.bool_)
    for place, k in enumerate(ks):
        if k < 1:
            raise ConfigError(f"k must be at least 1, got {k}")
        if k > len(correct):
            continue
        drawn = draw_subsets(pool, orders if k < len(correct) else orders[:1], k)
        decision = model.decide(drawn.labels, drawn.scores, drawn.clusters)
        is_out = decision.chosen < 0
        if threshold is not None:
            is_out |= decision.confidence < threshold
        right = drawn.right_picks(decision.chosen, model.main_row)
        credit = (right & ~is_out).astype(np.float64)
        accuracy[place], abstained[place] = float(credit.mean()), float(is_out.mean())
        exact[place] = k == len(correct)
        error[place] = (
            0.0 if exact[place] else float(credit.std(ddof=1) / np.sqrt(len(credit))) if draws > 1 else np.nan
        )
    return SampledCurve(accuracy, abstained, error, exact)


def combined_estimator(
    model: CombinedModel, equivalence: Clusterer, draws: int = DRAWS, seed: int = 0, threshold: float | None = None
) -> Estimator:
    """`combined_at_k` as an estimator of `curves`: its outcomes must hold the scores of the model's scorers."""

    def estimate(outcomes: Outcomes, ks: Sequence[int]) -> Curve:
        pool = judge_pool(outcomes, model.scorers, equivalence)
        scores = dict(zip(model.scorers, pool.scores, strict=True))
        drawn_by = derive_seed(seed, outcomes.problem_id, 0)
        return combined_at_k(
            pool.correct, pool.labels, scores, ks, model, draws=draws, seed=drawn_by, threshold=threshold
        )

    return estimate
