"""The combined selector on runs: fitting it on validation problems, and its accuracy at k.

This module does not know how scores were made, nor how the fit works (`combination_fit.py`).
Shapes: N trajectories of a problem, S scorers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bestofn.errors import ConfigError, UnavailableError
from bestofn.evaluation.combination_fit import fit_pools
from bestofn.evaluation.combination_report import CombinationReport
from bestofn.evaluation.curves import Estimator
from bestofn.evaluation.judged_pools import (
    JudgedPool,
    Labels,
    Values,
    draw_orders,
    draw_subsets,
    judge_pool,
    read_pools,
)
from bestofn.evaluation.outcomes import Outcomes
from bestofn.metrics.estimators import Curve
from bestofn.metrics.subsets import SampledCurve
from bestofn.records import derive_seed
from bestofn.selectors.mixture import CombinedModel
from bestofn.storage.run import Run
from bestofn.verifiers.equivalence import Clusterer

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
