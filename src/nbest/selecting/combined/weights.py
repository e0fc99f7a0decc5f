"""The weights of the combined selector's choice, fitted by cross-validation over problems.

This module does not know pools or what the columns mean. Shapes: R rows (clusters of all subsets), F columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nbest.selecting.combined.subsets import Labels, Values
from nbest.statistics.logit import choice_loss, fit_choice

PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class SubsetChoices:
    """Subsets with a right and a wrong cluster, flat: `columns` [R F] of all clusters, `starts`, `targets` [R],
    `weights` and `folds` per subset."""

    columns: Values
    starts: Labels
    targets: Values
    weights: Values
    folds: Labels

    def fit(self, penalty: float, start: Values | None) -> Values:
        return fit_choice(self.columns, self.starts, self.targets, self.weights, penalty, start)

    def loss(self, beta: Values) -> float:
        return choice_loss(self.columns, self.starts, self.targets, self.weights, beta)

    def part(self, keep: NDArray[np.bool_]) -> "SubsetChoices":
        """Return the subsets that are marked in `keep`."""
        counts = np.diff(np.append(self.starts, len(self.columns)))
        rows = np.repeat(keep, counts)
        starts = np.concatenate([[0], np.cumsum(counts[keep])[:-1]]).astype(np.int64)
        return SubsetChoices(self.columns[rows], starts, self.targets[rows], self.weights[keep], self.folds[keep])


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceWeights:
    """`all` [F] is fitted on all folds, `without` on all but each fold; `penalty` and `columns` are those chosen."""

    all: Values
    without: list[Values]
    penalty: float
    columns: str


def fit_weights(subsets: SubsetChoices, column_sets: Mapping[str, NDArray[np.int64]]) -> ChoiceWeights:
    """Return the weights for the column set and the penalty with the lowest held-out log-loss."""
    scale = _spread_within(subsets)
    losses: dict[tuple[str, int], float] = {}
    paths: dict[tuple[str, int], list[Values]] = {}
    for name, columns in column_sets.items():
        part = replace(subsets, columns=subsets.columns[:, columns] / scale[columns])
        for fold in range(FOLDS):
            inside, outside = part.part(part.folds != fold), part.part(part.folds == fold)
            beta = None
            for row, penalty in enumerate(PENALTIES):
                beta = inside.fit(penalty, beta)
                losses[name, row] = losses.get((name, row), 0.0) + outside.loss(beta)
                paths.setdefault((name, row), []).append(beta)
    name, row = min(losses, key=lambda key: losses[key])
    columns = column_sets[name]
    part = replace(subsets, columns=subsets.columns[:, columns] / scale[columns])

    def widen(beta: Values) -> Values:
        wide = np.full(len(scale), 0.0)
        wide[columns] = beta / scale[columns]
        return wide

    final = part.fit(PENALTIES[row], paths[name, row][0])
    return ChoiceWeights(widen(final), [widen(beta) for beta in paths[name, row]], PENALTIES[row], name)


def _spread_within(subsets: SubsetChoices) -> Values:
    """Return the standard deviation [F] of each column around the means of its subsets; infinite for a constant one."""
    sizes = np.diff(np.append(subsets.starts, len(subsets.columns)))
    means = np.add.reduceat(subsets.columns, subsets.starts, axis=0) / sizes[:, None]
    spread = np.sqrt(np.square(subsets.columns - np.repeat(means, sizes, axis=0)).mean(axis=0))
    return np.where(spread > 1e-9, spread, np.inf)
