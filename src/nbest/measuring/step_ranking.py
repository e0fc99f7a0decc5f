"""How well step scores tell right steps from wrong ones: the AUC over the labelled steps of each problem, by scorer.

The labels are in the meta of a trajectory, as `nbest import pools` stores them: `step_labels` holds True (right) or
False (wrong) for each step; `first_wrong_step` alone says that the steps before it are right and that it is wrong,
nothing of those behind it, and that all are right if it is -1. A trajectory with another number of labels than step
scores is left out and counted. This module does not know how steps are found or how they are scored.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeAlias, cast

import duckdb
import numpy as np
from numpy.typing import NDArray

from nbest.statistics.ranking import auc

STEP_LABELS, FIRST_WRONG_STEP = "step_labels", "first_wrong_step"

_IS_LABELLED = f"(contains(t.meta, '{STEP_LABELS}') OR contains(t.meta, '{FIRST_WRONG_STEP}'))"
_ANY = f"SELECT count(*) FROM (SELECT 1 FROM trajectories t WHERE {_IS_LABELLED} LIMIT 1)"
_STEPS = f"""
    SELECT s.scorer, t.problem_id, t.meta, s.steps
    FROM trajectories t
    JOIN scores s ON s.trajectory_id = t.id
    WHERE {_IS_LABELLED} AND t.finish <> 'error' AND len(s.steps) > 0
    ORDER BY s.scorer, t.problem_id, t."index"
"""

LabelledSteps: TypeAlias = tuple[NDArray[np.bool_], NDArray[np.float64]]
"""Whether each step is right, and its score; of one trajectory."""


@dataclass(frozen=True, slots=True)
class StepAucs:
    """The AUC over the labelled steps of each problem, by scorer and problem id; problems without both are left out.

    `mismatched` counts for each scorer the trajectories whose labels do not fit the number of step scores.
    """

    by_problem: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    mismatched: Mapping[str, int] = field(default_factory=dict[str, int])


def read_step_aucs(connection: duckdb.DuckDBPyConnection) -> StepAucs:
    """Compare the step scores of a run with its step labels; empty for a run without labels."""
    if not connection.execute(_ANY).fetchall()[0][0]:
        return StepAucs()
    by_problem: dict[str, Mapping[str, float]] = {}
    mismatched: dict[str, int] = {}
    rows: list[tuple[Any, ...]] = connection.execute(_STEPS).fetchall()
    for scorer, scorer_rows in groupby(rows, key=lambda row: str(row[0])):
        aucs: dict[str, float] = {}
        for problem_id, problem_rows in groupby(scorer_rows, key=lambda row: str(row[1])):
            steps = [align_labels(json.loads(meta), scores) for _, _, meta, scores in problem_rows]
            mismatched[scorer] = mismatched.get(scorer, 0) + steps.count(None)
            area = _measure([pair for pair in steps if pair is not None])
            if area is not None:
                aucs[problem_id] = area
        by_problem[scorer] = aucs
    return StepAucs(by_problem, {scorer: count for scorer, count in mismatched.items() if count})


def align_labels(meta: Mapping[str, Any], scores: Sequence[float]) -> LabelledSteps | None:
    """Return the labelled steps of a trajectory with their scores, without steps whose score is NaN.

    None if the labels do not fit the number of scores. Meta without labels of this form has no labelled steps.
    """
    values = np.array(scores, dtype=np.float64)
    labels, first = meta.get(STEP_LABELS), meta.get(FIRST_WRONG_STEP)
    if isinstance(labels, list) and all(isinstance(label, bool) for label in cast("list[Any]", labels)):
        is_right = np.array(labels, dtype=np.bool_)
        if len(is_right) != len(values):
            return None
    elif isinstance(first, int) and not isinstance(first, bool) and first >= -1:
        if first >= len(values):
            return None
        is_right = np.ones(len(values) if first == -1 else first + 1, dtype=np.bool_)
        if first >= 0:
            is_right[first] = False
    else:
        is_right = np.ones(0, dtype=np.bool_)
    values = values[: len(is_right)]
    return is_right[~np.isnan(values)], values[~np.isnan(values)]


def _measure(steps: Sequence[LabelledSteps]) -> float | None:
    """Return the AUC over the steps of all these trajectories; None if they are all right or all wrong."""
    if not steps:
        return None
    return auc(np.concatenate([labels for labels, _ in steps]), np.concatenate([scores for _, scores in steps]))
