"""What became of the trajectories of one problem: the small columns that an estimator of a selector reads.

Rules
    A trajectory whose verdict is None is left out of its pool and counted (`Outcomes.ungraded`). The whole pool stands
    beside it twice, with these trajectories as all wrong and as all right (`Outcomes.extremes`): every estimator rises
    with `correct`, so the value under any other verdicts lies between.
    A failed trajectory (`finish="error"`) stays in its pool as one that cannot win: wrong, without answer or score.

This module does not know runs or files. Shapes: N graded trajectories of a problem.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nbest.records import Kind


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """The graded trajectories of one problem by index; arrays are [N].

    `correct` and `failed` are bool; `answers` as the verifier read them; `sampled_tokens` is 0 if the source
    recorded no tokens; `characters` of text is all 0 unless asked for; `scores` by scorer, NaN = missing.
    `prompt_tokens` is None unless asked for. `ungraded` trajectories are left out; `extremes` is the whole pool with
    these as all wrong, and as all right (None without any), `positions` where each graded one stands in the whole pool
    (None: 0, 1, ...). `sampling_seconds` is the mean over the trajectories where their source recorded it for every
    one, else None.
    """

    problem_id: str
    indices: NDArray[np.int64]
    correct: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    answers: tuple[str | None, ...]
    sampled_tokens: NDArray[np.int64]
    characters: NDArray[np.int64]
    scores: Mapping[str, NDArray[np.float64]]
    ungraded: int = 0
    prompt_tokens: NDArray[np.int64] | None = None
    positions: NDArray[np.int64] | None = None
    extremes: "tuple[Outcomes, Outcomes] | None" = None
    sampling_seconds: float | None = None
    kind: Kind = "math"

    def take(self, positions: NDArray[np.int64]) -> "Outcomes":
        """Return the trajectories at `positions`, which may repeat, as a pool of its own."""
        return Outcomes(
            problem_id=self.problem_id,
            indices=self.indices[positions],
            correct=self.correct[positions],
            failed=self.failed[positions],
            answers=tuple(self.answers[position] for position in map(int, positions)),
            sampled_tokens=self.sampled_tokens[positions],
            characters=self.characters[positions],
            scores={name: values[positions] for name, values in self.scores.items()},
            kind=self.kind,
        )


@dataclass(frozen=True, slots=True)
class Survey:
    """What a run holds, counted before anything is evaluated.

    `problems` with at least one trajectory; `unverified` trajectories have no verdict at all, `ungraded` ones a verdict
    of None; `answered` ones can vote; `n_min` and `n_max` are the sizes of the smallest and largest pool of graded
    trajectories; `tokenless` trajectories did not fail and have no tokens; `unscored` counts for every scorer the
    problems of which no trajectory that could win has a score. `negative` and `infinite` count for every scorer such
    scores among `answered` trajectories, `voting` all of these that have a score: what decides whether scores can be
    weights of a vote. `lengthless` problems have trajectories without tokens and without text, so that their lengths
    are unknown.
    """

    problems: int
    trajectories: int
    unverified: int
    ungraded: int
    answered: int
    failed: int
    tokenless: int
    n_min: int
    n_max: int
    unscored: Mapping[str, int]
    negative: Mapping[str, int] = field(default_factory=dict[str, int])
    infinite: Mapping[str, int] = field(default_factory=dict[str, int])
    voting: Mapping[str, int] = field(default_factory=dict[str, int])
    lengthless: int = 0
