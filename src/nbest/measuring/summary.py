"""From the numbers of every problem to the rows of a comparison: of one run, of a group, or an average over runs.

This module does not know runs, estimators or how rows are shown. Shapes: P problems, K entries of `ns`, M runs.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nbest.measuring.comparison import AccuracyRow, Comparison, Paired
from nbest.measuring.measurement import Measurements
from nbest.measuring.pairing import pair_sets, pair_with_baseline
from nbest.measuring.question import Question
from nbest.statistics.intervals import intervals
from nbest.statistics.strata import Weighing, average_intervals, set_weights

Array: TypeAlias = NDArray[np.float64]


def summarise(
    measurements: Measurements, question: Question, groups: Mapping[str, Comparison] | None = None
) -> Comparison:
    """Return rows and paired differences of the problems of a run.

    `groups` are the comparisons of its parts; None where the problems are such a part themselves.
    """
    names = measurements.names
    rows = _make_rows([measurements], names, question, "pooled")
    duplicates = 0 if groups is None else measurements.duplicates
    notes = [f"{duplicates} trajectories are stored twice; the first of each id counts"] if duplicates else []
    return Comparison(
        problems=len(measurements.ids),
        n_max=measurements.largest_pool,
        rows=tuple(rows),
        ungraded=int(measurements.ungraded.sum()),
        failed=int(measurements.failed.sum()),
        skipped={} if groups is None else measurements.skipped,
        warnings=(*notes, *warn(measurements), *_warn_of_draws(rows)),
        seed=question.seed,
        resamples=question.resamples,
        paired=tuple(_pair([measurements], names, question, "pooled")),
        duplicates=duplicates,
        resample=question.resample,
        by=None if groups is None else question.by,
        groups=groups or {},
        roles=measurements.roles,
        baseline=measurements.baseline,
    )


def average(sets: Mapping[str, Measurements], question: Question, weighing: Weighing) -> Comparison:
    """Return the average over several runs of the selectors that all of them have.

    At an n that one of the runs lacks it is undefined.
    """
    members = list(sets.values())
    names = [name for name in members[0].names if all(name in member.names for member in members)]
    rows = _make_rows(members, names, question, weighing)
    partial = {name for member in members for name in member.names if name not in names}
    return Comparison(
        problems=sum(len(member.ids) for member in members),
        n_max=min(member.largest_pool for member in members),
        rows=tuple(rows),
        ungraded=sum(int(member.ungraded.sum()) for member in members),
        failed=sum(int(member.failed.sum()) for member in members),
        skipped={name: f"{name}: not every run has it" for name in sorted(partial)},
        warnings=(*_warn_of_small_runs(sets), *_warn_of_draws(rows)),
        seed=question.seed,
        resamples=question.resamples,
        paired=tuple(_pair(members, names, question, weighing)),
        resample=question.resample,
        roles=members[0].roles,
        baseline=members[0].baseline,
    )


def _pair(sets: Sequence[Measurements], names: Sequence[str], question: Question, weighing: Weighing) -> list[Paired]:
    """Return the differences of all but the bounds to the baseline of the first set."""
    base, ns = sets[0].baseline, sets[0].ns
    if base is None or base not in names:
        return []
    others = [name for name in names if name != base and sets[0].roles[name] != "bound"]
    values = [{name: member.accuracy[name] for name in (base, *others)} for member in sets]
    withins = [member.within(others, question.resample, minus=base) for member in sets]
    if len(sets) == 1:
        return pair_with_baseline(values[0], ns, base, question.seed, question.resamples, withins[0])
    return pair_sets(values, ns, base, weighing, question.seed, question.resamples, withins)


def _make_rows(
    sets: Sequence[Measurements], names: Sequence[str], question: Question, weighing: Weighing
) -> list[AccuracyRow]:
    """Return one row per selector and n, all resampled together: over the problems of one set, or within each set."""
    ns, seed, resamples = sets[0].ns, question.seed, question.resamples
    tables = [np.concatenate([member.accuracy[name] for name in names], axis=1) for member in sets]
    withins = [member.within(names, question.resample) for member in sets]
    if len(sets) == 1:
        bounds = intervals(tables[0], seed=seed, resamples=resamples, within=withins[0])
    else:
        bounds = average_intervals(tables, weighing, seed=seed, resamples=resamples, withins=withins)
    weights = set_weights(
        [np.where((member.sizes >= np.array(ns)[:, None]).T, 0.0, np.nan) for member in sets], weighing
    )
    tokens = _average_costs([member.tokens for member in sets], sets, weights)
    flops = _average_costs([member.flops for member in sets], sets, weights)
    seconds = _average_costs([member.sampling_seconds for member in sets], sets, weights)
    rows: list[AccuracyRow] = []
    for position, name in enumerate(names):
        for column, n in enumerate(ns):
            bound = bounds[position * len(ns) + column]
            shares = weights[:, column]
            rows.append(
                AccuracyRow(
                    selector=name,
                    n=n,
                    accuracy=bound.mean,
                    low=bound.low,
                    high=bound.high,
                    exact=all(bool(member.exact[name][:, column].all()) for member in sets),
                    seconds=sum(member.seconds[name] for member in sets),
                    standard_error=bound.standard_error,
                    abstained=_mean([member.abstained[name][:, column] for member in sets], shares),
                    problems=bound.problems,
                    monte_carlo_error=_combine_errors([member.error[name][:, column] for member in sets], shares),
                    accuracy_if_wrong=_mean_of_whole([member.if_wrong[name][:, column] for member in sets], weighing),
                    accuracy_if_right=_mean_of_whole([member.if_right[name][:, column] for member in sets], weighing),
                    sampled_tokens=tokens[column],
                    flops=flops[column],
                    sampling_seconds=seconds[column],
                )
            )
    return rows


def _mean(columns: Sequence[Array], weights: Array) -> float | None:
    """Return the weighted mean of the means of what is defined; None where a set has nothing."""
    present = [column[~np.isnan(column)] for column in columns]
    if np.isnan(weights).any() or not all(len(values) for values in present):
        return None
    return math.fsum(float(weight) * float(values.mean()) for weight, values in zip(weights, present, strict=True))


def _mean_of_whole(columns: Sequence[Array], weighing: Weighing) -> float | None:
    """As `_mean`, by the weights of the whole pools: they may reach an n that the graded ones do not."""
    return _mean(columns, set_weights([column[:, None] for column in columns], weighing)[:, 0])


def _combine_errors(columns: Sequence[Array], weights: Array) -> float | None:
    """Return the Monte Carlo error of the mean over problems.

    Each problem draws its own subsets, so the squares of their errors add up. None where an estimator does not state
    its error, or a set has nothing.
    """
    if np.isnan(weights).any() or any(np.isnan(column).all() for column in columns):
        return None
    total = 0.0
    for weight, column in zip(weights, columns, strict=True):
        present = column[~np.isnan(column)]
        total += (float(weight) / max(len(present), 1)) ** 2 * float(np.square(present).sum())
    return math.sqrt(total)


def _average_costs(means: Sequence[Array], sets: Sequence[Measurements], weights: Array) -> list[float | None]:
    """Return [K] n times the mean cost of a candidate, over the problems with at least n; None where one is unknown."""
    costs: list[float | None] = []
    for column, n in enumerate(sets[0].ns):
        values = [mean[member.sizes >= n] for mean, member in zip(means, sets, strict=True)]
        is_known = all(len(part) and not np.isnan(part).any() for part in values)
        mean = _mean(values, weights[:, column]) if is_known else None
        costs.append(None if mean is None else n * mean)
    return costs


def _warn_of_draws(rows: Sequence[AccuracyRow]) -> list[str]:
    """Return what the reader of rows that are not exact should know."""
    drawn = [row for row in rows if row.monte_carlo_error]
    if not drawn:
        return []
    names = ", ".join(dict.fromkeys(row.selector for row in drawn))
    largest = max(row.monte_carlo_error or 0.0 for row in drawn)
    return [f"{names}: subsets were drawn; Monte Carlo standard error at most {100 * largest:.2f} points"]


def _warn_of_small_runs(sets: Mapping[str, Measurements]) -> list[str]:
    messages: list[str] = []
    for n in next(iter(sets.values())).ns:
        small = [name for name, member in sets.items() if member.largest_pool < n]
        if small and len(small) < len(sets):
            messages.append(f"n={n}: no average, {', '.join(small)} has no pool of {n} graded trajectories")
    return messages


def warn(measurements: Measurements) -> list[str]:
    """Return what was left out or counted as wrong, a sentence each."""
    messages: list[str] = []
    sizes = measurements.sizes
    ungraded, failed = int(measurements.ungraded.sum()), int(measurements.failed.sum())
    trajectories = int(sizes.sum()) + ungraded
    for n in measurements.ns:
        small = int(np.count_nonzero(sizes < n))
        if small == len(sizes):
            largest = measurements.largest_pool
            messages.append(f"n={n}: undefined, the largest pool has {largest} graded trajectories")
        elif small:
            messages.append(f"n={n}: {small} of {len(sizes)} problems have fewer graded trajectories and are left out")
    if ungraded:
        messages.append(f"{ungraded} of {trajectories} trajectories could not be graded and are left out")
    if failed:
        messages.append(f"{failed} of {trajectories} trajectories failed; they count as wrong")
    if len(sizes) == 1:
        messages.append("one problem: its interval is undefined")
    return messages
