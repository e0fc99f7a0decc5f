"""A scorer on hidden states, as a class alone: its options are the parameters of its constructor."""

import math
from typing import ClassVar

import numpy as np

from nbest.protocols import Scorer, StateSource
from nbest.records import HiddenStates, Pool, Score


class SteadinessScorer(Scorer):
    """Scores how little the hidden states turn from one step to the next.

    A trajectory without states has no score.
    """

    needs: ClassVar[tuple[str, ...]] = ("states",)
    source: ClassVar[str] = "nowhere"
    layers: ClassVar[tuple[int, ...]] = (-1,)

    def __init__(self, scale: float = 1.0):
        self._scale = scale

    async def score(self, pool: Pool, states: StateSource) -> list[Score]:
        ids = [trajectory.id for trajectory in pool.trajectories]
        known = [key for key in ids if states.find(key) is not None]
        values = {key: self._measure(entry) for key, entry in zip(known, states.read(known), strict=True)}
        return [Score(key, values.get(key, math.nan)) for key in ids]

    def _measure(self, states: HiddenStates) -> float:
        turns = np.diff(states.values[:, -1], axis=0)  # [S-1 D] of [S L D]
        return -self._scale * float(np.square(turns).sum())
