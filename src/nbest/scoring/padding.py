"""Sequences of step states as one padded batch: what training and scoring feed to a step scorer.

The third and last carrier of a state on its way to a score: `records.HiddenStates` (captured or computed),
`storage.states.StatesPart` (stored), `PaddedBatch` (fed to a model).

Shapes: B trajectories, S steps of the longest (padded on the right), L layers, D hidden size, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nbest.records import Floats, HiddenStates


@dataclass(frozen=True, slots=True, eq=False)
class PaddedBatch:
    """`states` [B S L D], `mask` [B S] (True for steps), `features` [B S F]; zero behind the end of a trajectory."""

    states: Floats
    mask: NDArray[np.bool_]
    features: Floats


def pad_batch(
    states: Sequence[HiddenStates], features: Sequence[Floats | None], layers: Sequence[int], feature_count: int
) -> PaddedBatch:
    """Join the states [S L D] of at least one trajectory, and the features [S F] beside them, into one batch.

    Only `layers` are taken, which every trajectory must have. `feature_count` is F; None stands for no features.
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
