"""Every selector against a baseline on the same problems: difference, interval, significance.

The difference of a problem is that of two expectations over its trajectories, so what problems have in common in
difficulty drops out. All differences are resampled together; p-values are those of the sign-flip permutation test, and
Holm's correction runs over the selectors at each n: they are the hypotheses looked at together when one is chosen.
`oracle` is left out: it is a bound and no competitor.

This module does not know how the values were estimated.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bestofn.evaluation.comparison import Paired
from bestofn.metrics.intervals import intervals
from bestofn.metrics.permutation import holm, sign_flip_p_values

_ROUNDING = 1e-12
"""Both values are sums of floats: less than this apart is equal, as in `metrics.intervals.paired_difference`."""
BOUND = "oracle"


def pair_with_baseline(
    values: Mapping[str, NDArray[np.float64]], ns: Sequence[int], baseline: str, seed: int, resamples: int
) -> list[Paired]:
    """One Paired a selector and n, by selector and n, for `values` [P, K] of each selector at each n of `ns`.

    Empty where `baseline` has no values or nothing is there to compare with it.
    """
    names = [name for name in values if name not in (baseline, BOUND)]
    if baseline not in values or not names:
        return []
    gaps = np.concatenate([values[name] - values[baseline] for name in names], axis=1)
    gaps[np.abs(gaps) <= _ROUNDING] = 0.0
    bounds = intervals(gaps, seed=seed, resamples=resamples)
    p_values = sign_flip_p_values(gaps, seed=seed)
    corrected = np.stack([holm(column) for column in p_values.reshape(len(names), len(ns)).T], axis=1).ravel()
    rows: list[Paired] = []
    for at, bound in enumerate(bounds):
        rows.append(
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
                problems_differing=int(np.count_nonzero(np.nan_to_num(gaps[:, at]))),
            )
        )
    return rows


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
