"""What a fit of the combined selector is told by: held-out accuracy, calibration and coverage.

This module does not know how the choices were made. Shapes: M held-out choices, G choice columns, Q single rules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbest.selecting.combined.pools import Labels, Values
from nbest.statistics.calibration import brier_score, calibration_error, coverage_curve, sigmoid

COVERAGES = tuple(round(0.1 * step, 1) for step in range(1, 11))


@dataclass(frozen=True, slots=True, eq=False)
class HeldChoices:
    """M held-out choices: `choices` [M G], `right` [M], and of each its `sizes`, `weights`, `folds`; `rules` [M Q]
    whether each single rule's pick was right."""

    choices: Values
    right: NDArray[np.bool_]
    sizes: Labels
    weights: Values
    folds: Labels
    rules: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CombinationReport:
    """How the combined selector does on held-out folds.

    `accuracy` by rule and pool size: `combined` and the single rules it is made of, on the same subsets; `problems` by
    pool size. `ece` and `brier` each hold `before` and `after` calibration, over pools of all sizes; `ece_after` is by
    size. `coverage` holds, by size, rows of (coverage, accuracy, threshold): what abstaining below the threshold gives.
    """

    problems: Mapping[int, int]
    scorers: tuple[str, ...]
    columns: str
    penalty: float
    doubt_penalty: float
    calibration: str
    accuracy: Mapping[str, Mapping[int, float]]
    ece: Mapping[str, float]
    brier: Mapping[str, float]
    ece_after: Mapping[int, float]
    coverage: Mapping[int, tuple[tuple[float, float, float], ...]]
    area: Mapping[int, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def make_report(
    held: HeldChoices,
    signals: Values,
    after: Values,
    rules: Sequence[str],
    scorers: tuple[str, ...],
    about: Mapping[str, Any],
) -> CombinationReport:
    """From held-out choices, their log-odds of being right before (`signals` [M]) and confidences `after` [M]
    calibration; `rules` [Q] names the columns of `held.rules`, `about` is that of the fitted model."""
    before = sigmoid(signals)
    at = {int(size): held.sizes == size for size in np.unique(held.sizes)}
    curves = {size: coverage_curve(after[cases], held.right[cases]) for size, cases in at.items()}
    accuracy = {"combined": {size: float(held.right[cases].mean()) for size, cases in at.items()}}
    for place, rule in enumerate(rules):
        accuracy[rule] = {size: float(held.rules[cases, place].mean()) for size, cases in at.items()}
    return CombinationReport(
        problems={size: round(float(held.weights[cases].sum())) for size, cases in at.items()},
        scorers=scorers,
        columns=about["columns"],
        penalty=about["penalty"],
        doubt_penalty=about["doubt_penalty"],
        calibration=about["calibration"],
        accuracy=accuracy,
        ece={"before": calibration_error(before, held.right), "after": calibration_error(after, held.right)},
        brier={"before": brier_score(before, held.right), "after": brier_score(after, held.right)},
        ece_after={size: calibration_error(after[cases], held.right[cases]) for size, cases in at.items()},
        coverage={size: tuple((share, *curve.at(share)) for share in COVERAGES) for size, curve in curves.items()},
        area={size: curve.area for size, curve in curves.items()},
    )
