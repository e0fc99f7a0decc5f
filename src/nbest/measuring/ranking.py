"""How well stored scores rank the trajectories of a pool, and their steps: the within-pool AUC of each scorer.

The value of a pool is the probability that a right trajectory scores above a wrong one; equal scores count half. Pools
without both are left out. The step AUC is the same over the labelled steps of a pool (`step_ranking`). This is what a
selector needs of a score, whatever the difficulty of the problems (`statistics.ranking`). This module does not know
runs or scorers. Shapes: P problems.
"""

from dataclasses import dataclass

import numpy as np

from nbest.measuring.cells import Bounds, claim_interval
from nbest.selecting.outcomes import Outcomes
from nbest.statistics.ranking import auc


@dataclass(frozen=True, slots=True)
class ScoreRanking:
    """The within-pool AUC of one scorer: its mean over the `pools` that hold right and wrong trajectories with a score.

    `low` and `high` bound the mean (bootstrap over problems). `step_auc`, `step_low`, `step_high` and `step_pools` are
    the same over labelled steps. None = undefined: there is no such pool, or for an average over runs one of them has
    none; the bounds also need at least two. `fewest_pools` and `fewest_step_pools` are those of the run with the
    fewest, None for a single run.
    """

    scorer: str
    auc: float | None
    low: float | None
    high: float | None
    pools: int
    step_auc: float | None = None
    step_low: float | None = None
    step_high: float | None = None
    step_pools: int = 0
    fewest_pools: int | None = None
    fewest_step_pools: int | None = None

    @property
    def bounds(self) -> Bounds:
        """The interval of `auc` that tables show; None for both ends where none is claimed."""
        return claim_interval(self.low, self.high, self.pools if self.fewest_pools is None else self.fewest_pools)

    @property
    def step_bounds(self) -> Bounds:
        """The interval of `step_auc` that tables show."""
        pools = self.step_pools if self.fewest_step_pools is None else self.fewest_step_pools
        return claim_interval(self.step_low, self.step_high, pools)


def pool_auc(outcomes: Outcomes, scorer: str) -> float | None:
    """Return the AUC of a scorer within one pool, over its graded trajectories that did not fail and have a score.

    None where these are all right or all wrong.
    """
    scores = outcomes.scores[scorer]
    is_scored = ~np.isnan(scores) & ~outcomes.failed
    return auc(outcomes.correct[is_scored], scores[is_scored])
