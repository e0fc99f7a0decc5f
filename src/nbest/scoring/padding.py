"""Pads sequences of step states into one batch, the input of a step scorer in training and in scoring.

On its way to a score, a state is held by `records.HiddenStates` (captured or computed), `storage.states.StatesPart`
(stored) and last by `PaddedBatch` (the input of a model). This module does not know scorers or runs.

Shapes: B trajectories, S steps of the longest (padded on the right), L layers, D hidden size, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nbest.records import Floats, HiddenStates


@dataclass(frozen=True, slots=True, eq=False)
class PaddedBatch:
    """`states` [B S L D], `mask` [B S] (True for steps), `features` [B S F]; zero in the padding."""

    states: Floats
    mask: NDArray[np.bool_]
    features: Floats


def pad_batch(
    states: Sequence[HiddenStates], features: Sequence[Floats | None], layers: Sequence[int], feature_count: int
) -> PaddedBatch:
    """Join the states [S L D] of at least one trajectory, and the features [S F] beside them, into one batch.

    Only `layers` are taken, and every trajectory must have them. `feature_count` is F; a trajectory without features
    has None and gets zeros.
    """
    width = max(len(value.steps) for value in states)
    batch = PaddedBatch(
        np.zeros((len(states), width, len(layers), states[0].values.shape[2]), dtype=np.float32),
        np.zeros((len(states), width), dtype=bool),
        np.zeros((len(states), width, feature_count), dtype=np.float32),
    )
    for row, (value, numbers) in enumerate(zip(states, features, strict=True)):
        count = len(value.steps)
        batch.states[row, :count] = value.values[:, [value.layers.index(layer) for layer in layers]]
        batch.mask[row, :count] = True
        if numbers is not None:
            batch.features[row, :count] = numbers
    return batch
