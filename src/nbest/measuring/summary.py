"""From the numbers of every problem to the rows of a comparison: of one run, of a group, or an average over runs.

This module does not know runs, estimators or how rows are shown. Shapes: P problems, K entries of `ns`, M runs.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nbest.measuring.cells import FEWEST_PROBLEMS, show_percent
from nbest.measuring.comparison import AccuracyRow, Comparison, Paired
from nbest.measuring.measurement import Measurements
from nbest.measuring.pairing import pair_sets, pair_with_baseline
from nbest.measuring.question import STORED_PREFIX, Question
from nbest.measuring.ranking import ScoreRanking
from nbest.measuring.trajectory_counts import add_counts
from nbest.plurals import agree, show_count
from nbest.statistics.intervals import intervals
from nbest.statistics.strata import Weighing, average_intervals, count_fewest, set_weights

Array: TypeAlias = NDArray[np.float64]


def summarise(measurements: Measurements, question: Question) -> Comparison:
    """Return rows and paired differences of the problems of a run or of a part of it, and of each of its groups."""
    names, duplicates = measurements.names, measurements.duplicates
    rows = _make_rows([measurements], names, question, "pooled")
    stored = f"{show_count(duplicates, 'trajectory')} {agree(duplicates, 'is')} stored twice"
    notes = [f"{stored}; the first of each id counts"] if duplicates else []
    groups, counts = measurements.groups.items(), add_counts(measurements.counts)
    scores = rank_scores([measurements], question, "pooled")
    warnings = (*_warn(measurements, question.resample), *_warn_of_few_pools(scores, len(measurements.ids)))
    return Comparison(
        problems=len(measurements.ids),
        n_max=measurements.largest_pool,
        rows=tuple(rows),
        ungraded=counts.ungraded,
        failed=counts.failed,
        skipped=measurements.skipped,
        warnings=(*notes, *warnings, *_explain_one(measurements), *_warn_of_draws(rows)),
        seed=question.seed,
        resamples=question.resamples,
        paired=tuple(_pair([measurements], names, question, "pooled")),
        duplicates=duplicates,
        resample=question.resample,
        by=question.by if groups else None,
        groups={label: summarise(measurements.take(positions), question) for label, positions in groups},
        roles=measurements.roles,
        baseline=measurements.baseline,
        counts=counts,
        scores=scores,
    )


def average(sets: Mapping[str, Measurements], question: Question, weighing: Weighing) -> Comparison:
    """Return the average over several runs of the selectors that all of them have.

    At an n that one of the runs lacks it is undefined.
    """
    members = list(sets.values())
    names = [name for name in members[0].names if all(name in member.names for member in members)]
    rows = _make_rows(members, names, question, weighing)
    partial = {name for member in members for name in member.names if name not in names}
    counts = add_counts(count for member in members for count in member.counts)
    return Comparison(
        problems=sum(len(member.ids) for member in members),
        n_max=min(member.largest_pool for member in members),
        rows=tuple(rows),
        ungraded=counts.ungraded,
        failed=counts.failed,
        skipped={name: f"{name}: not every run has it" for name in sorted(partial)},
        warnings=(*_warn_of_small_runs(sets), *_warn_of_few_problems(sets, question.resample), *_warn_of_draws(rows)),
        seed=question.seed,
        resamples=question.resamples,
        paired=tuple(_pair(members, names, question, weighing)),
        resample=question.resample,
        roles=members[0].roles,
        baseline=members[0].baseline,
        counts=counts,
        scores=rank_scores(members, question, weighing),
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
    fewest: list[int | None] = [None] * tables[0].shape[1]
    if len(sets) == 1:
        bounds = intervals(tables[0], seed=seed, resamples=resamples, within=withins[0])
    else:
        bounds = average_intervals(tables, weighing, seed=seed, resamples=resamples, withins=withins)
        fewest = count_fewest(tables).tolist()
    weights = set_weights(
        [np.where((member.sizes >= np.array(ns)[:, None]).T, 0.0, np.nan) for member in sets], weighing
    )
    tokens = _average_costs([member.tokens for member in sets], sets, weights)
    flops = _average_costs([member.flops for member in sets], sets, weights)
    seconds = _average_costs([member.sampling_seconds for member in sets], sets, weights)
    columns = [(name, column) for name in names for column in range(len(ns))]
    return [
        AccuracyRow(
            selector=name,
            n=ns[column],
            accuracy=interval.mean,
            low=interval.low,
            high=interval.high,
            exact=all(bool(member.exact[name][:, column].all()) for member in sets),
            seconds=sum(member.seconds[name] for member in sets),
            standard_error=interval.standard_error,
            abstained=_mean([member.abstained[name][:, column] for member in sets], weights[:, column]),
            problems=interval.problems,
            monte_carlo_error=_combine_errors([member.error[name][:, column] for member in sets], weights[:, column]),
            accuracy_if_wrong=_mean_of_whole([member.if_wrong[name][:, column] for member in sets], weighing),
            accuracy_if_right=_mean_of_whole([member.if_right[name][:, column] for member in sets], weighing),
            sampled_tokens=tokens[column],
            flops=flops[column],
            sampling_seconds=seconds[column],
            fewest_problems=count,
        )
        for (name, column), interval, count in zip(columns, bounds, fewest, strict=True)
    ]


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
    """Return a sentence on the Monte Carlo error of rows that are not exact; none where all are."""
    errors = [(row.selector, row.monte_carlo_error) for row in rows if row.monte_carlo_error]
    if not errors:
        return []
    names = ", ".join(dict.fromkeys(name for name, _ in errors))
    largest = max(error for _, error in errors)
    return [f"{names}: measured on random subsets; Monte Carlo standard error at most {100 * largest:.2f} points"]


def _warn_of_small_runs(sets: Mapping[str, Measurements]) -> list[str]:
    messages: list[str] = []
    for n in next(iter(sets.values())).ns:
        small = [name for name, member in sets.items() if member.largest_pool < n]
        if small and len(small) < len(sets):
            pool = f"pool of {show_count(n, 'graded trajectory')}"
            messages.append(f"n={n}: no average, {', '.join(small)} {agree(len(small), 'has')} no {pool}")
    return messages


def _warn_of_few_problems(sets: Mapping[str, Measurements], resample: str) -> list[str]:
    """Return why an average over runs has no intervals: one of the runs has too few problems."""
    counts = {name: len(member.ids) for name, member in sets.items() if len(member.ids) < FEWEST_PROBLEMS}
    if not counts or resample == "samples":
        return []
    runs = ", ".join(f"{name} has {show_count(count, 'problem')}" for name, count in counts.items())
    return [f"{runs}, so no intervals of averages are shown; they need at least {FEWEST_PROBLEMS} in every run"]


def _warn_of_few_pools(scores: Sequence[ScoreRanking], problems: int) -> list[str]:
    """Return which AUCs have no interval although there are enough problems: few pools have right and wrong ones."""
    if problems < FEWEST_PROBLEMS:
        return []  # a warning says so of every interval
    names = [score.scorer for score in scores if score.pools < FEWEST_PROBLEMS]
    step_names = [score.scorer for score in scores if 0 < score.step_pools < FEWEST_PROBLEMS]
    return [
        f"{', '.join(members)}: no interval of the {measure}; it needs at least {FEWEST_PROBLEMS} pools with right and "
        f"wrong {items}"
        for members, measure, items in ((names, "AUC", "trajectories"), (step_names, "step AUC", "steps"))
        if members
    ]


def _warn(measurements: Measurements, resample: str) -> list[str]:
    """Return what was left out or counted as wrong, a sentence each."""
    messages: list[str] = []
    sizes = measurements.sizes
    counts = add_counts(measurements.counts)
    for n in measurements.ns:
        small = int(np.count_nonzero(sizes < n))
        if small == len(sizes):
            largest = measurements.largest_pool
            messages.append(f"n={n}: undefined, the largest pool has {show_count(largest, 'graded trajectory')}")
        elif small:
            problems = f"{small:,} of {show_count(len(sizes), 'problem')} {agree(small, 'has')}"
            messages.append(f"n={n}: {problems} fewer graded trajectories and {agree(small, 'is')} left out")
    total = show_count(counts.total, "trajectory")
    if counts.ungraded:
        verb = agree(counts.ungraded, "is")
        messages.append(f"{counts.ungraded:,} of {total} could not be graded and {verb} left out")
    if counts.failed:
        rule = "it counts as wrong" if counts.failed == 1 else "they count as wrong"
        messages.append(f"{counts.failed:,} of {total} failed; {rule}")
    for scorer, count in measurements.mismatched_steps.items():
        trajectories = f"{show_count(count, 'trajectory')} {agree(count, 'has')}"
        messages.append(f"{scorer}: {trajectories} other numbers of step labels and step scores; left out")
    if len(sizes) == 1:
        messages.append("there is only one problem, so intervals are undefined")
    elif len(sizes) < FEWEST_PROBLEMS and resample != "samples":
        problems = show_count(len(sizes), "problem")
        messages.append(f"there are only {problems}, so no intervals are shown; they need at least {FEWEST_PROBLEMS}")
    return messages


def _explain_one(measurements: Measurements) -> list[str]:
    """Return why selectors differ from pass@1 at N = 1, where each can only pick the one trajectory or nothing.

    Stored selections are left out: they are of whole pools.
    """
    if 1 not in measurements.ns:
        return []
    column, has_pool = measurements.ns.index(1), measurements.sizes > 0
    right = np.array([count.right for count in measurements.counts], dtype=np.float64)
    expected = _round_mean(right[has_pool] / measurements.sizes[has_pool])
    unread = np.array([count.right_without_answer for count in measurements.counts], dtype=np.float64)
    voters = _round_mean((right - unread)[has_pool] / measurements.sizes[has_pool])
    means = {
        name: _round_mean(measurements.accuracy[name][has_pool, column])
        for name in measurements.names
        if not name.startswith(STORED_PREFIX)
    }
    below = {name: mean for name, mean in means.items() if mean < expected}
    without_vote = [name for name, mean in below.items() if mean == voters]
    others = [name for name in below if name not in without_vote]
    head = f"N=1: pass@1 is {show_percent(expected)}, but"
    messages: list[str] = []
    if without_vote:
        messages.append(
            f"{head} {', '.join(without_vote)}: {show_percent(voters)}, "
            f"because {show_count(int(unread.sum()), 'right trajectory')} "
            f"{agree(int(unread.sum()), 'has')} no answer that could be read, and so no vote"
        )
    if others:
        figures = ", ".join(f"{name}: {show_percent(below[name])}" for name in others)
        messages.append(f"{head} {figures}, because they pick nothing if the one trajectory has no answer or no score")
    return messages


def _round_mean(values: Array) -> float:
    """Return the mean, rounded so that sums in another order are equal; NaN for no values."""
    return round(float(values.mean()), 9) if len(values) else math.nan


def rank_scores(sets: Sequence[Measurements], question: Question, weighing: Weighing) -> tuple[ScoreRanking, ...]:
    """Return the ranking of each scorer that all sets have, averaged over the sets."""
    names = [name for name in sets[0].aucs if all(name in member.aucs for member in sets)]
    if not names:
        return ()
    unlabelled = [np.full(len(member.ids), np.nan) for member in sets]
    tables = [
        np.stack(
            [
                *(member.aucs[name] for name in names),
                *(member.step_aucs.get(name, unlabelled[number]) for name in names),
            ],
            axis=1,
        )
        for number, member in enumerate(sets)
    ]
    fewest: list[int | None] = [None] * (2 * len(names))
    if len(sets) == 1:
        means = intervals(tables[0], seed=question.seed, resamples=question.resamples)
    else:
        means = average_intervals(tables, weighing, seed=question.seed, resamples=question.resamples)
        fewest = count_fewest(tables).tolist()
    halves = (means[: len(names)], means[len(names) :], fewest[: len(names)], fewest[len(names) :])
    return tuple(
        ScoreRanking(
            name,
            *(pools.mean, pools.low, pools.high, pools.problems),
            *(steps.mean, steps.low, steps.high, steps.problems),
            *(fewest_pools, fewest_step_pools),
        )
        for name, pools, steps, fewest_pools, fewest_step_pools in zip(names, *halves, strict=True)
    )
