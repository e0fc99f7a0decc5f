"""How reliable scores and vote shares are as confidences, and how well they rank.

A score within 0..1 is read as the probability of being right; of other scores only the ranking is measured.
This module does not know runs or charts. Shapes: M cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nbest.statistics.calibration import brier_score, calibration_error
from nbest.statistics.ranking import auc

MOST_BINS = 10
CASES_PER_BIN = 10
"""A share of fewer cases says little."""
Array: TypeAlias = NDArray[np.float64]


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
    `within_pool_auc` the mean over the pools that hold both right and wrong ones. `meaning` says what the confidence
    is where the name alone does not.
    """

    name: str
    kind: str
    cases: int
    ece: float | None
    brier: float | None
    auc: float | None
    within_pool_auc: float | None
    bins: tuple[Bin, ...]
    meaning: str = ""

    @property
    def title(self) -> str:
        return f"{self.name}: {self.meaning}" if self.meaning else self.name


@dataclass(frozen=True, slots=True, eq=False)
class Confidences:
    """Cases of one source: `confidence` [M] without NaN and `right` [M] within 0..1, and one AUC per pool."""

    name: str
    kind: str
    confidence: Array
    right: Array
    pool_aucs: Sequence[float] = ()
    meaning: str = ""


def measure_reliability(source: Confidences) -> Reliability:
    """Return calibration error and Brier score where the confidence is a probability, and the AUC in any case."""
    finite = np.isfinite(source.confidence)
    confidence, right = source.confidence[finite], source.right[finite]
    is_probability = len(confidence) > 0 and confidence.min() >= 0 and confidence.max() <= 1 and bool(finite.all())
    is_whole = (right == 0) | (right == 1)
    return Reliability(
        name=source.name,
        kind=source.kind,
        cases=len(source.confidence),
        ece=calibration_error(confidence, right, count_bins(len(confidence))) if is_probability else None,
        brier=brier_score(confidence, right) if is_probability else None,
        auc=auc(right[is_whole] > 0, confidence[is_whole]),
        within_pool_auc=float(np.mean(source.pool_aucs)) if len(source.pool_aucs) else None,
        bins=tuple(reliability_bins(confidence, right, count_bins(len(confidence)))) if is_probability else (),
        meaning=source.meaning,
    )


def measure_sources(sources: Sequence[Confidences]) -> list[Reliability]:
    """Return the reliability of each source by its name, over the cases of all runs that have it."""
    order = {name: number for number, name in enumerate(dict.fromkeys(source.name for source in sources))}
    groups = groupby(sorted(sources, key=lambda source: order[source.name]), key=lambda source: source.name)
    return [measure_reliability(join(list(parts))) for _, parts in groups]


def count_bins(cases: int) -> int:
    """Return the number of bins: at most `MOST_BINS`, and so few that each holds at least `CASES_PER_BIN` cases."""
    return max(1, min(MOST_BINS, cases // CASES_PER_BIN))


def join(parts: Sequence[Confidences]) -> Confidences:
    """Return the cases of several runs as one source; all have the same name."""
    return Confidences(
        parts[0].name,
        parts[0].kind,
        np.concatenate([part.confidence for part in parts]),
        np.concatenate([part.right for part in parts]),
        [value for part in parts for value in part.pool_aucs],
        parts[0].meaning,
    )


def reliability_bins(confidence: Array, right: Array, bins: int) -> list[Bin]:
    """Return at most `bins` bins of equal mass by rank, equal confidences together, as `calibration_error` does."""
    bin_of = np.searchsorted(np.sort(confidence), confidence, side="left") * bins // max(len(confidence), 1)
    result: list[Bin] = []
    for number in np.unique(bin_of):
        is_inside = bin_of == number
        result.append(Bin(float(confidence[is_inside].mean()), float(right[is_inside].mean()), int(is_inside.sum())))
    return result
