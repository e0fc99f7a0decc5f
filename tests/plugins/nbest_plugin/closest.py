"""A selector with a curve: the trajectory whose length is closest to a given number of tokens."""

from typing import Any

import numpy as np

from nbest.config import Count, Section
from nbest.protocols import Selector
from nbest.records import Pool, Selection
from nbest.selecting.estimators import Estimator, EstimatorContext, rank_by
from nbest.selecting.scored import pick_highest
from nbest.specs import Spec


class ClosestOptions(Section):
    """`tokens` is the length to come close to."""

    tokens: Count = 4


class ClosestSelector(Selector):
    """Picks the trajectory whose number of sampled tokens is closest to `tokens`; of equal ones, the lowest index."""

    def __init__(self, tokens: int):
        self._tokens = tokens

    async def select(self, pool: Pool) -> Selection:
        distances = [abs(len(trajectory.completion.tokens) - self._tokens) for trajectory in pool.trajectories]
        return pick_highest(pool, [-distance for distance in distances])


def build(_context: Any, options: ClosestOptions, _scorer: str) -> ClosestSelector:
    return ClosestSelector(options.tokens)


def make_estimator(_context: EstimatorContext, options: ClosestOptions) -> Estimator:
    return rank_by(lambda outcomes: -np.abs(outcomes.sampled_tokens - options.tokens))


SPEC = Spec(
    name="closest",
    kind="selector",
    build=build,
    summary="The trajectory whose length is closest to a number of tokens.",
    options=ClosestOptions,
    estimator=make_estimator,
)
