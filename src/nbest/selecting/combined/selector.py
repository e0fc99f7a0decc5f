"""The combined selector: a calibrated mixture of votes and scores, with the probability that its pick is right.

Rules
    Attempts with an answer form clusters of equal answers (a `Clusterer` says which are equal); attempts without one
    and failed attempts form none. The fitted model (`mixture.py`) chooses a cluster; of clusters that tie, the one
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

import numpy as np
from numpy.typing import NDArray

from nbest.errors import ConfigError, UnavailableError
from nbest.records import Pool, Score, Selection
from nbest.selecting.combined.model import CombinedModel, Values
from nbest.selecting.scored import abstention, has_failed
from nbest.text.answers import answer_of
from nbest.verifying.equivalence import Clusterer


class CombinedSelector:
    """Picks by `model` from the stored `scores` (by scorer name, then trajectory id).

    Raises ConfigError for a threshold outside 0..1, and UnavailableError, when a pool is selected, where a scorer of
    the model has no score for any attempt of it that could win. A score that is NaN counts as missing; single missing
    ones cast no weight and the note counts them.
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
        order = sorted(range(len(pool.trajectories)), key=lambda place: pool.trajectories[place].index)
        able = [place for place in order if not has_failed(pool.trajectories[place])]
        if not able:
            return abstention(pool)
        values, note = self._read_scores(pool, order)
        answers = [
            None if has_failed(pool.trajectories[place]) else answer_of(pool.trajectories[place], pool.kind)
            for place in order
        ]
        clusters = await asyncio.to_thread(self._equivalence.cluster, answers)
        labels = np.array([-1 if cluster is None else cluster for cluster in clusters], dtype=np.int64)
        if labels.max() < 0:
            return abstention(pool, f"none of {len(able)} attempts has an answer")
        decision = self._model.decide(labels[None], values[:, None], int(labels.max()) + 1)
        confidence = float(decision.confidence[0])
        if self._threshold is not None and confidence < self._threshold:
            reason = f"confidence {confidence:.3f} is below the threshold {self._threshold:g}"
            return Selection(pool.problem_id, None, confidence=confidence, note=_join(reason, note))
        main = self._model.main_row
        ranking = np.zeros(len(order)) if main is None else values[main]
        place = int(pick_member(labels == decision.chosen[0], ranking))
        return Selection(pool.problem_id, order[place], answers[place], confidence, note=note)

    def _read_scores(self, pool: Pool, order: list[int]) -> tuple[Values, str]:
        """([S n] scores in this order, NaN = none or failed; a note that counts missing ones)."""
        able = np.array([not has_failed(pool.trajectories[place]) for place in order])
        values = np.full((len(self._model.scorers), len(order)), math.nan)
        notes: list[str] = []
        for row, name in enumerate(self._model.scorers):
            stored = self._scores.get(name, {})
            found = [stored.get(pool.trajectories[place].id) for place in order]
            read = np.array([math.nan if score is None else score.value for score in found])
            values[row] = np.where(able, read, math.nan)
            missing, total = int(np.isnan(values[row][able]).sum()), int(able.sum())
            if missing == total:
                raise UnavailableError(
                    f"there is no score of {name!r} for any of the {total} trajectories of problem "
                    f"{pool.problem_id!r}, and the combined selector was fitted with it. Score this run by {name!r} "
                    "first, or fit a combined selector without it."
                )
            if missing:
                notes.append(f"{missing} of {total} attempts have no score of {name!r}")
        return values, "; ".join(notes)


def pick_member(is_member: NDArray[np.bool_], scores: Values) -> NDArray[np.int64]:
    """The place along the last axis of the member with the highest score; the first of equal ones; NaN comes last."""
    ranked = np.where(np.isnan(scores), -1e300, np.clip(scores, -1e299, None))
    return np.argmax(np.where(is_member, ranked, -np.inf), axis=-1)


def _join(reason: str, note: str) -> str:
    return f"{reason}; {note}" if note else reason
