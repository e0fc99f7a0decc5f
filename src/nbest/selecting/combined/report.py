"""What a fit of the combined selector reports: held-out accuracy, calibration and coverage.

This module does not know how the choices were made. Shapes: M held-out choices, G choice columns, Q single rules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbest.selecting.combined.subsets import Labels, Values
from nbest.statistics.calibration import brier_score, calibration_error, coverage_curve, sigmoid

COVERAGES = tuple(round(0.1 * step, 1) for step in range(1, 11))


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutChoices:
    """M held-out choices: `choices` [M G], `right` [M], with the `sizes`, `weights` and `folds` [M] of their subsets;
    `rules` [M Q] whether the pick of each single rule was right."""

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
    held_out: HeldOutChoices,
    signals: Values,
    after: Values,
    rules: Sequence[str],
    scorers: tuple[str, ...],
    about: Mapping[str, Any],
) -> CombinationReport:
    """Return the report of held-out choices.

    `signals` [M] are their log-odds of being right before calibration, `after` [M] their confidences after it. `rules`
    [Q] names the columns of `held_out.rules`, `about` is that of the fitted model.
    """
    before = sigmoid(signals)
    cases_by_size = {int(size): held_out.sizes == size for size in np.unique(held_out.sizes)}
    curves = {size: coverage_curve(after[cases], held_out.right[cases]) for size, cases in cases_by_size.items()}
    accuracy = {"combined": {size: float(held_out.right[cases].mean()) for size, cases in cases_by_size.items()}}
    for column, rule in enumerate(rules):
        accuracy[rule] = {size: float(held_out.rules[cases, column].mean()) for size, cases in cases_by_size.items()}
    return CombinationReport(
        problems={size: round(float(held_out.weights[cases].sum())) for size, cases in cases_by_size.items()},
        scorers=scorers,
        columns=about["columns"],
        penalty=about["penalty"],
        doubt_penalty=about["doubt_penalty"],
        calibration=about["calibration"],
        accuracy=accuracy,
        ece={"before": calibration_error(before, held_out.right), "after": calibration_error(after, held_out.right)},
        brier={"before": brier_score(before, held_out.right), "after": brier_score(after, held_out.right)},
        ece_after={
            size: calibration_error(after[cases], held_out.right[cases]) for size, cases in cases_by_size.items()
        },
        coverage={size: tuple((share, *curve.at(share)) for share in COVERAGES) for size, curve in curves.items()},
        area={size: curve.area for size, curve in curves.items()},
    )
