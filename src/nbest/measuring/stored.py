"""Selections that a run holds, judged: how often the pick of `nbest select` was right. `stored:NAME` in a comparison.

It is the only look at a selector that no estimator knows (one that asks a model, say), and it stands at one n alone:
the size of each pool, or N where the selection is named `NAME@N` (it saw the first N trajectories of every pool). A
selection says nothing of smaller pools.

Rules
    A selection that abstained counts as wrong and as abstained.
    A pick that could not be judged has no value: its problem is left out of the row. So has a problem without one.
    A pick outside the pool is an error that names it: the selections do not belong to these pools.

This module does not know selectors. Shapes: K entries of `ks`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.measuring.question import Question
from nbest.records import Selection
from nbest.selecting.estimators import NAMES, Estimator, scorer_of
from nbest.selecting.outcomes import Outcomes
from nbest.statistics.subsets import SampledCurve
from nbest.storage.run import Run

PREFIX = "stored:"


def with_stored(run: Run, question: Question) -> Question:
    """`question` with its `stored:NAME` as extra selectors; without a list of selectors, those of the run that have no
    estimator. Raises ConfigError where samples are to be resampled, UnavailableError where the run lacks them."""
    if question.selectors is None:
        unknown = [name for name in run.selectors() if name not in NAMES and not scorer_of(name)]
        taken = {PREFIX + name for name in unknown if name not in question.extra}
        wanted = sorted(taken) if question.resample == "problems" else []
        rest = None
    else:
        wanted = [name for name in dict.fromkeys(question.selectors) if name.startswith(PREFIX)]
        rest = [name for name in question.selectors if name not in wanted]
    if not wanted:
        return question
    if question.resample != "problems":
        raise ConfigError(f"{wanted[0]}: what was selected in one pool says nothing of pools that are sampled again")
    absent = [name for name in wanted if name.removeprefix(PREFIX) not in run.selectors()]
    if absent:
        stored = ", ".join(run.selectors()) or "none"
        raise UnavailableError(f"{absent[0]}: run {run.path} holds no such selections; stored: {stored}")
    made = {name: (_read_estimator(run, name.removeprefix(PREFIX)), ()) for name in wanted}
    return replace(question, selectors=rest, extra={**question.extra, **made})


def _read_estimator(run: Run, name: str) -> Estimator:
    held = {selection.problem_id: selection for selection in run.selections(name)}
    return stored_estimator(held, f"selection {name!r} of run {run.path}", _read_limit(name))


def covers_pools(selector: str) -> bool:
    """Whether a selector of a comparison has a value for a whole pool: all but `stored:NAME@N`."""
    return not selector.startswith(PREFIX) or _read_limit(selector) is None


def _read_limit(name: str) -> int | None:
    """The N of `NAME@N`; None for other names."""
    limit = name.rpartition("@")[2] if "@" in name else ""
    return int(limit) if limit.isdecimal() else None


def stored_estimator(selections: Mapping[str, Selection], told: str, limit: int | None = None) -> Estimator:
    """The value of each problem's selection at the size of its pool, NaN at any other k. With a `limit`, of a
    selection among the first so many trajectories: at that k, NaN where the pool is smaller. `told` names them in
    errors; the estimator raises DataError for an index outside the pool, or not among the first."""

    def estimate(outcomes: Outcomes, ks: Sequence[int]) -> SampledCurve:
        size = len(outcomes.correct) + outcomes.unjudged
        if limit is not None:
            size = limit if limit <= size else 0
        is_whole = np.array(ks, dtype=np.int64) == size
        selection = selections.get(outcomes.problem_id)
        value, abstained = np.nan, np.nan
        if selection is None or not size:
            pass
        elif selection.index is None:
            value, abstained = 0.0, 1.0
        else:
            if not 0 <= selection.index < size:
                raise DataError(
                    f"{told}: problem {outcomes.problem_id!r} has index {selection.index}, allowed are 0 to "
                    f"{size - 1}; these selections belong to other pools. Select again in a new run."
                )
            positions = np.arange(len(outcomes.correct)) if outcomes.positions is None else outcomes.positions
            picked = np.flatnonzero(positions == selection.index)
            if len(picked):
                value, abstained = float(outcomes.correct[picked[0]]), 0.0
        accuracy = np.where(is_whole, value, np.nan)
        error = np.where(np.isnan(accuracy), np.nan, 0.0)
        return SampledCurve(accuracy, np.where(is_whole, abstained, np.nan), error, np.ones(len(ks), dtype=np.bool_))

    return estimate
