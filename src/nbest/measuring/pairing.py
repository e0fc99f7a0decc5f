"""Every selector against a baseline on the same problems: difference, interval, significance, what could be detected.

The difference of a problem is that of two expectations over its trajectories, so what problems have in common in
difficulty drops out. All differences are resampled together; p-values are those of the sign-flip permutation test, and
Holm's correction runs over the selectors at each n: they are the hypotheses looked at together when one is chosen.
`oracle` is left out: it is a bound and no competitor.

Over several sets of problems the difference is the average of the sets' differences, and each problem enters the
permutation test with its share in that average.

This module does not know how the values were estimated.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nbest.measuring.comparison import Paired
from nbest.statistics.intervals import Interval, Within, intervals
from nbest.statistics.permutation import holm, sign_flip_p_values
from nbest.statistics.power import smallest_detectable
from nbest.statistics.strata import Weighing, average_intervals, weigh_problems

Values: TypeAlias = NDArray[np.float64]

_ROUNDING = 1e-12
"""Both values are sums of floats: less than this apart is equal, as in `metrics.intervals.paired_difference`."""
BOUND = "oracle"


def competitors(names: Sequence[str], baseline: str) -> list[str]:
    """The names that are paired with `baseline`; empty where it is not among them."""
    return [name for name in names if name not in (baseline, BOUND)] if baseline in names else []


def pair_with_baseline(
    values: Mapping[str, Values],
    ns: Sequence[int],
    baseline: str,
    seed: int,
    resamples: int,
    within: Within | None = None,
) -> list[Paired]:
    """One Paired a selector and n, by selector and n, for `values` [P, K] of each selector at each n of `ns`.

    `within` moves the differences of the `competitors` side by side. Empty where `baseline` has no values or nothing is
    there to compare with it.
    """
    names = competitors(list(values), baseline)
    if not names:
        return []
    gaps = _differences(values, names, baseline)
    bounds = intervals(gaps, seed=seed, resamples=resamples, within=within)
    return _paired(names, ns, baseline, bounds, sign_flip_p_values(gaps, seed=seed), _differing(gaps))


def pair_sets(
    sets: Sequence[Mapping[str, Values]],
    ns: Sequence[int],
    baseline: str,
    weighing: Weighing,
    seed: int,
    resamples: int,
    withins: Sequence[Within | None] = (),
) -> list[Paired]:
    """As `pair_with_baseline`, for the average over several sets of problems that hold the same selectors."""
    names = competitors(list(sets[0]), baseline)
    if not names:
        return []
    gaps = [_differences(values, names, baseline) for values in sets]
    bounds = average_intervals(gaps, weighing, seed=seed, resamples=resamples, withins=withins)
    p_values = sign_flip_p_values(weigh_problems(gaps, weighing), seed=seed)
    return _paired(names, ns, baseline, bounds, p_values, _differing(np.concatenate(gaps)))


def _differences(values: Mapping[str, Values], names: Sequence[str], baseline: str) -> Values:
    gaps = np.concatenate([values[name] - values[baseline] for name in names], axis=1)
    gaps[np.abs(gaps) <= _ROUNDING] = 0.0
    return gaps


def _differing(gaps: Values) -> NDArray[np.int64]:
    return np.count_nonzero(np.nan_to_num(gaps), axis=0)


def _paired(
    names: Sequence[str],
    ns: Sequence[int],
    baseline: str,
    bounds: Sequence[Interval],
    p_values: Values,
    differing: NDArray[np.int64],
) -> list[Paired]:
    corrected = np.stack([holm(column) for column in p_values.reshape(len(names), len(ns)).T], axis=1).ravel()
    return [
        Paired(
            selector=names[at // len(ns)],
            baseline=baseline,
            n=ns[at % len(ns)],
            difference=bound.mean,
            low=bound.low,
            high=bound.high,
            p_value=_known(p_values[at]),
            p_holm=_known(corrected[at]),
            problems=bound.problems,
            problems_differing=int(differing[at]),
            standard_error=bound.standard_error,
            smallest_detectable=smallest_detectable(bound.standard_error),
        )
        for at, bound in enumerate(bounds)
    ]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
