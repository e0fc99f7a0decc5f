"""Does a confidence mean what it says: reliability of scores and vote shares, and how well they rank.

A score within 0..1 is read as the probability of being right; of other scores only the ranking is measured.
This module does not know runs or charts. Shapes: M cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nbest.statistics.calibration import brier_score, calibration_error
from nbest.statistics.ranking import auc

MOST_BINS = 10
CASES_A_BIN = 10
"""A share of fewer cases says little."""
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bin:
    """Cases of neighbouring confidence: their mean confidence, the share of right ones, how many there are."""

    confidence: float
    accuracy: float
    cases: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """What one source of confidence is worth. None = undefined (`ece`, `brier` and `bins` need a probability).

    `kind` says what a case is: a trajectory, or a problem with the answer picked for it. `auc` is over all cases,
    `within_pool_auc` the mean over the pools that hold both right and wrong ones.
    """

    name: str
    kind: str
    cases: int
    ece: float | None
    brier: float | None
    auc: float | None
    within_pool_auc: float | None
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Confidences:
    """Cases of one source: `confidence` [M] without NaN and `right` [M] within 0..1, and an AUC for each pool."""

    name: str
    kind: str
    confidence: Values
    right: Values
    pool_aucs: Sequence[float] = ()


def measure(given: Confidences) -> Reliability:
    """Expected calibration error and Brier score where `confidence` is a probability, AUC in any case."""
    finite = np.isfinite(given.confidence)
    confidence, right = given.confidence[finite], given.right[finite]
    is_probability = len(confidence) > 0 and confidence.min() >= 0 and confidence.max() <= 1 and bool(finite.all())
    whole = (right == 0) | (right == 1)
    return Reliability(
        name=given.name,
        kind=given.kind,
        cases=len(given.confidence),
        ece=calibration_error(confidence, right, count_bins(len(confidence))) if is_probability else None,
        brier=brier_score(confidence, right) if is_probability else None,
        auc=auc(right[whole] > 0, confidence[whole]),
        within_pool_auc=float(np.mean(given.pool_aucs)) if len(given.pool_aucs) else None,
        bins=tuple(reliability_bins(confidence, right, count_bins(len(confidence)))) if is_probability else (),
    )


def count_bins(cases: int) -> int:
    """At most `MOST_BINS`, of at least `CASES_A_BIN` cases where there are so many."""
    return max(1, min(MOST_BINS, cases // CASES_A_BIN))


def join(parts: Sequence[Confidences]) -> Confidences:
    """The cases of several runs as one; all of one name."""
    return Confidences(
        parts[0].name,
        parts[0].kind,
        np.concatenate([part.confidence for part in parts]),
        np.concatenate([part.right for part in parts]),
        [value for part in parts for value in part.pool_aucs],
    )


def reliability_bins(confidence: Values, right: Values, bins: int) -> list[Bin]:
    """At most `bins` bins of equal mass by rank, equal confidences together, as `calibration_error` makes them."""
    bin_of = np.searchsorted(np.sort(confidence), confidence, side="left") * bins // max(len(confidence), 1)
    found: list[Bin] = []
    for number in np.unique(bin_of):
        inside = bin_of == number
        found.append(Bin(float(confidence[inside].mean()), float(right[inside].mean()), int(inside.sum())))
    return found
