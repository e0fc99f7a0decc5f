"""From the numbers of every problem to the rows of a comparison: of one run, of a group, or an average over runs.

This module does not know runs, estimators or how rows are shown. Shapes: P problems, K entries of `ns`, M runs.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nbest.measuring.comparison import Comparison, Row
from nbest.measuring.measurement import Measured
from nbest.measuring.pairing import competitors, pair_sets, pair_with_baseline
from nbest.measuring.question import Question
from nbest.statistics.intervals import Interval, intervals
from nbest.statistics.strata import Weighing, average_intervals, set_weights

Values: TypeAlias = NDArray[np.float64]


def summarise(found: Measured, question: Question, *, is_whole: bool = True, notes: Sequence[str] = ()) -> Comparison:
    """Rows and paired differences of some problems; `is_whole` says whether they are all of their run."""
    names, base = found.names, question.baseline
    table = np.concatenate([found.accuracy[name] for name in names], axis=1)
    within = found.within(names, question.resample)
    bounds = intervals(table, seed=question.seed, resamples=question.resamples, within=within)
    rows = _rows([found], bounds, "pooled")
    moved = found.within(competitors(names, base), question.resample, minus=base)
    paired = pair_with_baseline(found.accuracy, found.ns, base, question.seed, question.resamples, moved)
    return Comparison(
        problems=len(found.ids),
        n_max=int(found.sizes.max(initial=0)),
        rows=tuple(rows),
        unjudged=int(found.unjudged.sum()),
        failed=int(found.failed.sum()),
        skipped=found.skipped if is_whole else {},
        warnings=(*notes, *warn(found), *_drawn(rows)),
        seed=question.seed,
        resamples=question.resamples,
        paired=tuple(paired),
        resample=question.resample,
    )


def average(sets: Mapping[str, Measured], question: Question, weighing: Weighing) -> Comparison:
    """The average over several runs of the selectors that all of them have; at an n that one lacks it is undefined."""
    measured = list(sets.values())
    names = [name for name in measured[0].names if all(name in each.names for each in measured)]
    ns, base = measured[0].ns, question.baseline
    values = [{name: each.accuracy[name] for name in names} for each in measured]
    tables = [np.concatenate(list(each.values()), axis=1) for each in values]
    withins = [each.within(names, question.resample) for each in measured]
    seed, resamples = question.seed, question.resamples
    bounds = average_intervals(tables, weighing, seed=seed, resamples=resamples, withins=withins)
    rows = _rows(measured, bounds, weighing, names)
    moved = [each.within(competitors(names, base), question.resample, minus=base) for each in measured]
    partly = {name for each in measured for name in each.names if name not in names}
    return Comparison(
        problems=sum(len(each.ids) for each in measured),
        n_max=min(int(each.sizes.max(initial=0)) for each in measured),
        rows=tuple(rows),
        unjudged=sum(int(each.unjudged.sum()) for each in measured),
        failed=sum(int(each.failed.sum()) for each in measured),
        skipped={name: f"{name}: not every run has it" for name in sorted(partly)},
        warnings=(*_undefined(sets), *_drawn(rows)),
        seed=seed,
        resamples=resamples,
        paired=tuple(pair_sets(values, ns, base, weighing, seed, resamples, moved)),
        resample=question.resample,
    )


def _rows(
    sets: Sequence[Measured], bounds: Sequence[Interval], weighing: Weighing, names: Sequence[str] = ()
) -> list[Row]:
    ns = sets[0].ns
    weights = set_weights([np.where((each.sizes >= np.array(ns)[:, None]).T, 0.0, np.nan) for each in sets], weighing)
    costs = {
        "sampled_tokens": _costs([each.tokens for each in sets], sets, weights),
        "flops": _costs([each.flops for each in sets], sets, weights),
        "sampling_seconds": _costs([each.sampling_seconds for each in sets], sets, weights),
    }
    rows: list[Row] = []
    for place, name in enumerate(names or sets[0].names):
        seconds = sum(each.seconds[name] for each in sets)
        for at, n in enumerate(ns):
            found = bounds[place * len(ns) + at]
            of = weights[:, at]
            rows.append(
                Row(
                    selector=name,
                    n=n,
                    accuracy=found.mean,
                    low=found.low,
                    high=found.high,
                    exact=all(bool(each.exact[name][:, at].all()) for each in sets),
                    seconds=seconds,
                    standard_error=found.standard_error,
                    abstained=_mean([each.abstained[name][:, at] for each in sets], of),
                    problems=found.problems,
                    monte_carlo_error=_error([each.error[name][:, at] for each in sets], of),
                    accuracy_if_wrong=_mean_of_whole([each.if_wrong[name][:, at] for each in sets], weighing),
                    accuracy_if_right=_mean_of_whole([each.if_right[name][:, at] for each in sets], weighing),
                    **{kind: values[at] for kind, values in costs.items()},
                )
            )
    return rows


def _mean(columns: Sequence[Values], weights: Values) -> float | None:
    """The weighted mean of the means of what is defined; None where a set has nothing."""
    present = [column[~np.isnan(column)] for column in columns]
    if np.isnan(weights).any() or not all(len(values) for values in present):
        return None
    return math.fsum(float(w) * float(values.mean()) for w, values in zip(weights, present, strict=True))


def _mean_of_whole(columns: Sequence[Values], weighing: Weighing) -> float | None:
    """As `_mean`, by the weights of the whole pools: they may reach an n that the judged ones do not."""
    return _mean(columns, set_weights([column[:, None] for column in columns], weighing)[:, 0])


def _error(columns: Sequence[Values], weights: Values) -> float | None:
    """Of the mean over problems; each draws its own subsets, so the squares of their errors add up. None where an
    estimator does not tell it, or a set has nothing."""
    if np.isnan(weights).any() or any(np.isnan(column).all() for column in columns):
        return None
    total = 0.0
    for weight, column in zip(weights, columns, strict=True):
        present = column[~np.isnan(column)]
        total += (float(weight) / max(len(present), 1)) ** 2 * float(np.square(present).sum())
    return math.sqrt(total)


def _costs(means: Sequence[Values], sets: Sequence[Measured], weights: Values) -> list[float | None]:
    """[K] n times the mean cost of a candidate, over the problems with at least n; None where one is unknown."""
    found: list[float | None] = []
    for at, n in enumerate(sets[0].ns):
        columns = [values[each.sizes >= n] for values, each in zip(means, sets, strict=True)]
        is_known = all(len(column) and not np.isnan(column).any() for column in columns)
        mean = _mean(columns, weights[:, at]) if is_known else None
        found.append(None if mean is None else n * mean)
    return found


def _drawn(rows: Sequence[Row]) -> list[str]:
    """What the reader of rows that are not exact should know."""
    drawn = [row for row in rows if row.monte_carlo_error]
    if not drawn:
        return []
    names = ", ".join(dict.fromkeys(row.selector for row in drawn))
    largest = max(row.monte_carlo_error or 0.0 for row in drawn)
    return [f"{names}: subsets were drawn; Monte Carlo standard error at most {100 * largest:.2f} points"]


def _undefined(sets: Mapping[str, Measured]) -> list[str]:
    messages: list[str] = []
    for n in next(iter(sets.values())).ns:
        short = [name for name, each in sets.items() if int(each.sizes.max(initial=0)) < n]
        if short and len(short) < len(sets):
            messages.append(f"n={n}: no average, {', '.join(short)} has no pool of {n} judged trajectories")
    return messages


def warn(found: Measured) -> list[str]:
    """What was left out or counted as wrong, a sentence each."""
    messages: list[str] = []
    sizes, trajectories = found.sizes, int(found.sizes.sum() + found.unjudged.sum())
    for n in found.ns:
        short = int(np.count_nonzero(sizes < n))
        if short == len(sizes):
            largest = int(sizes.max(initial=0))
            messages.append(f"n={n}: undefined, the largest pool has {largest} judged trajectories")
        elif short:
            messages.append(f"n={n}: {short} of {len(sizes)} problems have fewer judged trajectories and are left out")
    unjudged, failed = int(found.unjudged.sum()), int(found.failed.sum())
    if unjudged:
        messages.append(f"{unjudged} of {trajectories} trajectories could not be judged and are left out")
    if failed:
        messages.append(f"{failed} of {trajectories} attempts failed; they count as wrong")
    if len(sizes) == 1:
        messages.append("one problem: its interval is undefined")
    return messages
