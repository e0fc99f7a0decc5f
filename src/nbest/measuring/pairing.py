"""Every selector against a baseline on the same problems: difference, interval, significance, what could be detected.

The difference of a problem is that of two expectations over its trajectories, so what problems have in common in
difficulty drops out. All differences are resampled together; p-values are those of the sign-flip permutation test, and
Holm's correction runs over the selectors at each n: they are the hypotheses looked at together when one is chosen.

Over several sets of problems the difference is the average of the sets' differences, and each problem enters the
permutation test with its share in that average.

This module does not know selectors, or how the values were estimated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nbest.measuring.comparison import Paired
from nbest.statistics.intervals import Interval, Within, intervals
from nbest.statistics.permutation import holm, sign_flip_p_values
from nbest.statistics.power import smallest_detectable
from nbest.statistics.strata import Weighing, average_intervals, count_fewest, weigh_problems

Array: TypeAlias = NDArray[np.float64]

_ROUNDING = 1e-12
"""Both values are sums of floats: less than this apart is equal, as in `statistics.intervals.paired_difference`."""


def pair_with_baseline(
    values: Mapping[str, Array],
    ns: Sequence[int],
    baseline: str,
    seed: int,
    resamples: int,
    within: Within | None = None,
) -> list[Paired]:
    """Return one Paired per selector and n, by selector and n, for `values` [P, K] of each selector at each n of `ns`.

    All of `values` are paired with `baseline`, which is one of them: leave out what does not compete, such as a bound.
    `within` says how the differences of the others move, side by side. Empty where nothing is there to compare.
    """
    names = [name for name in values if name != baseline]
    if not names or baseline not in values:
        return []
    gaps = _subtract(values, names, baseline)
    bounds = intervals(gaps, seed=seed, resamples=resamples, within=within)
    return _make_rows(names, ns, baseline, bounds, sign_flip_p_values(gaps, seed=seed), _count_differing(gaps))


def pair_sets(
    sets: Sequence[Mapping[str, Array]],
    ns: Sequence[int],
    baseline: str,
    weighing: Weighing,
    seed: int,
    resamples: int,
    withins: Sequence[Within | None] = (),
) -> list[Paired]:
    """As `pair_with_baseline`, for the average over several sets of problems that hold the same selectors."""
    names = [name for name in sets[0] if name != baseline]
    if not names or baseline not in sets[0]:
        return []
    gaps = [_subtract(values, names, baseline) for values in sets]
    bounds = average_intervals(gaps, weighing, seed=seed, resamples=resamples, withins=withins)
    p_values = sign_flip_p_values(weigh_problems(gaps, weighing), seed=seed)
    rows = _make_rows(names, ns, baseline, bounds, p_values, _count_differing(np.concatenate(gaps)))
    fewest = count_fewest(gaps).tolist()
    return [replace(row, fewest_problems=count) for row, count in zip(rows, fewest, strict=True)]


def _subtract(values: Mapping[str, Array], names: Sequence[str], baseline: str) -> Array:
    gaps = np.concatenate([values[name] - values[baseline] for name in names], axis=1)
    gaps[np.abs(gaps) <= _ROUNDING] = 0.0
    return gaps


def _count_differing(gaps: Array) -> NDArray[np.int64]:
    return np.count_nonzero(np.nan_to_num(gaps), axis=0)


def _make_rows(
    names: Sequence[str],
    ns: Sequence[int],
    baseline: str,
    bounds: Sequence[Interval],
    p_values: Array,
    differing: NDArray[np.int64],
) -> list[Paired]:
    corrected = np.stack([holm(column) for column in p_values.reshape(len(names), len(ns)).T], axis=1).ravel()
    return [
        Paired(
            selector=names[column // len(ns)],
            baseline=baseline,
            n=ns[column % len(ns)],
            difference=bound.mean,
            low=bound.low,
            high=bound.high,
            p_value=_none_if_nan(p_values[column]),
            p_holm=_none_if_nan(corrected[column]),
            problems=bound.problems,
            problems_differing=int(differing[column]),
            standard_error=bound.standard_error,
            smallest_detectable=smallest_detectable(bound.standard_error),
        )
        for column, bound in enumerate(bounds)
    ]


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
