"""The selections that a run holds, graded: how often the pick of `nbest select` was right; `stored:NAME` by name.

This is how a selector without an estimator (one that asks a model, say) is compared. It has a value at one n alone:
the size of each pool, or N where the selections are named `NAME@N` (they saw the first N trajectories of every pool).
A selection says nothing about smaller pools.

Rules
    A selection that abstained counts as wrong and as abstained.
    A pick that is ungraded has no value: its problem is left out of the row, as is a problem without a selection.
    A pick outside its pool is an error that names it: the selections do not belong to these pools.

This module does not know selectors. Shapes: K entries of `ks`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from nbest.errors import DataError, UnavailableError
from nbest.measuring.question import STORED_PREFIX
from nbest.records import Selection
from nbest.selecting.estimators import Contestant, Estimator
from nbest.selecting.outcomes import Outcomes
from nbest.specs import did_you_mean
from nbest.statistics.subsets import SampledCurve
from nbest.storage.run import Run


def stored_contestant(run: Run, name: str) -> Contestant:
    """Return the selections that `run` holds under `name` as the contestant `stored:NAME`.

    Raises UnavailableError where it holds none. The estimator raises DataError for an index outside its pool.
    """
    if name not in run.selectors():
        stored = ", ".join(run.selectors()) or "none"
        hint = did_you_mean(name, run.selectors())
        raise UnavailableError(
            f"{STORED_PREFIX}{name}: run {run.path} holds no such selections; stored: {stored}.{hint}"
        )
    selections = {selection.problem_id: selection for selection in run.selections(name)}
    origin = f"selection {name!r} of run {run.path}"
    return Contestant(STORED_PREFIX + name, stored_estimator(selections, origin, read_limit(name)))


def covers_pools(selector: str) -> bool:
    """Return whether a selector of a comparison has a value for a whole pool: all but `stored:NAME@N` have."""
    return not selector.startswith(STORED_PREFIX) or read_limit(selector) is None


def read_limit(name: str) -> int | None:
    """Return the N of `NAME@N`; None for other names."""
    limit = name.rpartition("@")[2] if "@" in name else ""
    return int(limit) if limit.isdecimal() else None


def stored_estimator(selections: Mapping[str, Selection], origin: str, limit: int | None = None) -> Estimator:
    """Return the estimator of stored `selections`, which are given by problem id.

    Its value stands at the size of each pool and is NaN at any other k. With a `limit` the selections are among the
    first so many trajectories: the value stands at that k, and is NaN where the pool is smaller. `origin` names the
    selections in errors. The estimator raises DataError for an index outside the pool, or not among the first.
    """

    def estimate(outcomes: Outcomes, ks: Sequence[int]) -> SampledCurve:
        size = len(outcomes.correct) + outcomes.ungraded
        if limit is not None:
            size = limit if limit <= size else 0
        selection = selections.get(outcomes.problem_id)
        accuracy, abstained = (np.nan, np.nan) if selection is None or not size else grade(outcomes, selection, size)
        is_size = np.array(ks, dtype=np.int64) == size
        values = np.where(is_size, accuracy, np.nan)
        error = np.where(np.isnan(values), np.nan, 0.0)
        return SampledCurve(values, np.where(is_size, abstained, np.nan), error, np.ones(len(ks), dtype=np.bool_))

    def grade(outcomes: Outcomes, selection: Selection, size: int) -> tuple[float, float]:
        """Return accuracy and abstention; NaN where the pick is ungraded."""
        if selection.index is None:
            return 0.0, 1.0
        if not 0 <= selection.index < size:
            raise DataError(
                f"{origin}: problem {outcomes.problem_id!r} has index {selection.index}, allowed are 0 to "
                f"{size - 1}; these selections belong to other pools. Select again in a new run."
            )
        positions = np.arange(len(outcomes.correct)) if outcomes.positions is None else outcomes.positions
        pick = np.flatnonzero(positions == selection.index)
        return (float(outcomes.correct[pick[0]]), 0.0) if len(pick) else (np.nan, np.nan)

    return estimate
