"""The combined selector: a calibrated mixture of votes and scores, with the probability that its pick is right.

It is named `combined(file=combined.json, threshold=0.8)`, or by the path of the fitted file alone.

Rules
    Trajectories with an answer form clusters of equal answers (a `Clusterer` says which are equal); those without an
    answer and failed ones form none. The fitted model (`model.py`) chooses a cluster; of clusters that tie, the one
    whose first member has the lowest index. The pick is the member with the highest score of the model's main scorer,
    of equal ones the lowest index; a member without that score comes last.
    `confidence` is the model's probability that the pick is right. With a `threshold`, a pool whose confidence is
    lower abstains (`index=None`), says so in its note, and keeps the confidence.
    Without any answer the pool abstains.

This module does not know how a model is fitted, how answers are compared, and never sees a target.
"""

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nbest.answers.extraction import answer_of
from nbest.config import Section
from nbest.errors import ConfigError, UnavailableError
from nbest.plurals import agree, show_any, show_count, show_part
from nbest.protocols import Clusterer, Selector
from nbest.records import Pool, Score, Selection
from nbest.selecting.combined.model import CombinedModel, Values
from nbest.selecting.scored import abstention
from nbest.specs import Spec


class CombinedSelector(Selector):
    """Picks by `model` from stored `scores` (by scorer name, then trajectory id), which may be filled later.

    Raises ConfigError for a threshold outside 0..1, and UnavailableError, when a pool is selected, where a scorer of
    the model has no score for any trajectory of it that could win. A score that is NaN counts as missing; single
    missing ones cast no weight and the note counts them.
    """

    name = "combined"

    def __init__(
        self,
        model: CombinedModel,
        scores: Mapping[str, Mapping[str, Score]],
        equivalence: Clusterer,
        threshold: float | None = None,
    ):
        if threshold is not None and not 0 <= threshold <= 1:
            raise ConfigError(f"threshold must be a probability within 0 and 1, got {threshold}")
        self._model = model
        self._scores = scores
        self._equivalence = equivalence
        self._threshold = threshold

    async def select(self, pool: Pool) -> Selection:
        order = sorted(range(len(pool.trajectories)), key=lambda position: pool.trajectories[position].index)
        usable = [position for position in order if not pool.trajectories[position].has_failed]
        if not usable:
            return abstention(pool)
        values, note = self._read_scores(pool, order)
        answers = [
            None if pool.trajectories[position].has_failed else answer_of(pool.trajectories[position], pool)
            for position in order
        ]
        clusters = await asyncio.to_thread(self._equivalence.cluster, answers, pool.kind)
        labels = np.array([-1 if cluster is None else cluster for cluster in clusters], dtype=np.int64)
        if labels.max() < 0:
            return abstention(pool, f"none of {show_count(len(usable), 'trajectory')} has an answer")
        decision = self._model.decide(labels[None], values[:, None], int(labels.max()) + 1)
        confidence = float(decision.confidence[0])
        if self._threshold is not None and confidence < self._threshold:
            reason = f"confidence {confidence:.3f} is below the threshold {self._threshold:g}"
            return Selection(pool.problem_id, None, confidence=confidence, note="; ".join(filter(None, (reason, note))))
        main = self._model.main_row
        ranking = np.zeros(len(order)) if main is None else values[main]
        pick = int(pick_member(labels == decision.chosen[0], ranking))
        return Selection(pool.problem_id, order[pick], answers[pick], confidence, note=note)

    def _read_scores(self, pool: Pool, order: list[int]) -> tuple[Values, str]:
        """Return the scores [S n] in this order, NaN = none or failed, and a note that counts missing ones."""
        trajectories = [pool.trajectories[position] for position in order]
        is_eligible = np.array([not trajectory.has_failed for trajectory in trajectories])
        values = np.full((len(self._model.scorers), len(order)), math.nan)
        notes: list[str] = []
        for row, name in enumerate(self._model.scorers):
            stored = self._scores.get(name, {})
            scores = [stored.get(trajectory.id) for trajectory in trajectories]
            values[row] = [math.nan if score is None else score.value for score in scores]
            values[row][~is_eligible] = math.nan
            missing_count, total = int(np.isnan(values[row][is_eligible]).sum()), int(is_eligible.sum())
            if missing_count == total:
                raise UnavailableError(
                    f"there is no score of {name!r} for {show_any(total, 'trajectory')} of problem "
                    f"{pool.problem_id!r}, and the combined selector was fitted with it. Score this run by {name!r} "
                    "first, or fit a combined selector without it."
                )
            if missing_count:
                unscored = show_part(missing_count, total, "trajectory")
                notes.append(f"{unscored} {agree(missing_count, 'has')} no score of {name!r}")
        return values, "; ".join(notes)


def pick_member(is_member: NDArray[np.bool_], scores: Values) -> NDArray[np.int64]:
    """Return the position, along the last axis, of the member with the highest score.

    Of equal scores the first one is picked; NaN comes last.
    """
    ranking = np.where(np.isnan(scores), -1e300, np.clip(scores, -1e299, None))
    return np.argmax(np.where(is_member, ranking, -np.inf), axis=-1)


def check_policy(model: CombinedModel, policy_hash: str | None, where: str) -> None:
    """Raise ConfigError if a model was fitted on pools of another policy than the run's, as far as both are known."""
    if None not in (model.policy, policy_hash) and model.policy != policy_hash:
        raise ConfigError(
            f"the combined selector was fitted on the policy {model.policy!r}; {where} is of {policy_hash!r}"
        )


class CombinedOptions(Section):
    """`file` is what `nbest train combined` wrote; below a confidence of `threshold` the selector abstains."""

    file: Path | None = Field(default=None, strict=False)
    threshold: float | None = Field(default=None, ge=0, le=1)

    def load_model(self) -> CombinedModel:
        """Read the file. Raises ConfigError if none is named or it holds no combined selector."""
        if self.file is None:
            raise ConfigError(
                "selector 'combined' needs the file that `nbest train combined` wrote: name it instead of the selector "
                "(-s combined.json), or write combined(file=combined.json, threshold=0.8)"
            )
        return CombinedModel.load(self.file)


def _build(context: Any, options: CombinedOptions, _: str) -> CombinedSelector:
    model = options.load_model()
    check_policy(model, context.policy_hash, context.where)
    scores = {scorer: context.scores(scorer) for scorer in model.scorers}
    return CombinedSelector(model, scores, context.equivalence, options.threshold)


SPECS = (
    Spec(
        "combined",
        "selector",
        _build,
        "A calibrated mixture of votes and scores, fitted on validation pools.",
        options=CombinedOptions,
        needs=frozenset({"scores", "answers"}),
        estimator="nbest.selecting.combined.subsets:make_estimator",
        scorers=lambda options: list(options.load_model().scorers),
        suffix=".json",
        position=20,
    ),
)
