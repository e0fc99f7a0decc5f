"""One table: the expectation of every selector over the k-subsets of a problem's trajectories.

Each entry states the rule of the selector of the same name (`selecting/scored.py`, `selecting/voting.py`,
`selecting/weighted.py`) as an estimator: what wins, what abstains, and that ties, which the selector breaks by index,
share the credit. `oracle` is pass@k, the bound of all selectors; it needs verdicts, so it exists here only and cannot
be served. All are exact but the weighted votes, which are drawn where a k has too many subsets
(`statistics/subsets.py`) and say so: their curve is a `SampledCurve`.

This module does not know runs, tables or intervals.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nbest.errors import ConfigError
from nbest.records import derive_seed
from nbest.selecting.outcomes import Outcomes
from nbest.selecting.scored import is_measured_in_tokens
from nbest.statistics.estimators import Curve, best_of_k, majority_at_k
from nbest.statistics.subsets import weighted_vote_at_k
from nbest.statistics.votes import RULES
from nbest.verifying.equivalence import Clusterer

Estimator: TypeAlias = Callable[[Outcomes, Sequence[int]], Curve]

NAMES = ("first", "random", "majority", "longest", "shortest", "oracle")
"""Every selector that a run can be compared by, beside those of `SCORED` for its stored scores."""
SCORED = ("score", *RULES)
"""What stands before the colon of a selector by a stored score: its argmax, and the weighted votes of it."""
_ALLOWED = f"{', '.join(NAMES)}, {', '.join(f'{prefix}:NAME' for prefix in SCORED)}"


def check_names(selectors: Sequence[str]) -> None:
    """Raises ConfigError for names that no run can be compared by, all of them at once."""
    unknown = [name for name in selectors if name not in NAMES and not scorer_of(name)]
    faults = [f"selector {name!r} is none of {_ALLOWED}" for name in unknown]
    if not selectors:
        faults = [f"no selector was named; there are {_ALLOWED}"]
    if faults:
        raise ConfigError(faults)


def scorer_of(selector: str) -> str:
    """The NAME in `score:NAME` or `vote:NAME`, ...; empty where the selector is something else."""
    prefix, _, scorer = selector.partition(":")
    return scorer if prefix in SCORED else ""


def estimator(selector: str, equivalence: Clusterer, seed: int = 0) -> Estimator:
    """The estimator of a selector; `seed` fixes the subsets of those that draw some. Raises ConfigError for a name that
    is none."""
    check_names([selector])
    if selector == "majority":
        return lambda outcomes, ks: majority_at_k(outcomes.correct, clusters_of(outcomes, equivalence), ks)
    if scorer := scorer_of(selector):
        prefix = selector.partition(":")[0]
        if prefix in RULES:
            return _weighted_vote(prefix, scorer, equivalence, seed)
        return lambda outcomes, ks: _best(outcomes, outcomes.scores[scorer], ks)
    ranking = _RANKINGS[selector]
    return lambda outcomes, ks: _best(outcomes, ranking(outcomes), ks)


class RememberedClusters:
    """A `Clusterer` that keeps its last reply, so that many selectors of one problem ask about its answers once.

    Whoever asks about some of these answers only (a resampled pool does) is told their clusters among all of them.
    """

    def __init__(self, equivalence: Clusterer):
        self._equivalence = equivalence
        self._reply: dict[str | None, int | None] = {}

    def cluster(self, answers: Sequence[str | None]) -> list[int | None]:
        if not self._reply.keys() >= set(answers):
            asked = list(answers)
            self._reply = dict(zip(asked, self._equivalence.cluster(asked), strict=True))
        return [self._reply[answer] for answer in answers]

    def same(self, a: str, b: str) -> bool:
        return self._equivalence.same(a, b)


def clusters_of(outcomes: Outcomes, equivalence: Clusterer) -> NDArray[np.int64]:
    """[N] the number of each trajectory's answer; -1 = no answer. Each distinct string is looked at once."""
    places = {answer: place for place, answer in enumerate(dict.fromkeys(outcomes.answers)) if answer is not None}
    numbers = equivalence.cluster(list(places))
    cluster_of = dict(zip(places, numbers, strict=True))
    found = [None if answer is None else cluster_of[answer] for answer in outcomes.answers]
    return np.array([-1 if number is None else number for number in found], dtype=np.int64)


def lengths_of(outcomes: Outcomes) -> NDArray[np.int64]:
    """[N] lengths in the unit of this pool (`is_measured_in_tokens`); needs `characters` where it is not tokens."""
    is_tokens = is_measured_in_tokens(outcomes.sampled_tokens.tolist(), outcomes.failed.tolist())
    return outcomes.sampled_tokens if is_tokens else outcomes.characters


def _best(outcomes: Outcomes, ranking: NDArray[np.generic], ks: Sequence[int]) -> Curve:
    """Best-of-k by `ranking` [N], where a failed attempt never wins."""
    scores = np.where(outcomes.failed, np.nan, ranking.astype(np.float64))
    return best_of_k(outcomes.correct, scores, ks)


def _weighted_vote(prefix: str, scorer: str, equivalence: Clusterer, seed: int) -> Estimator:
    """The subsets differ from problem to problem and are the same for every rule and scorer."""

    def estimate(outcomes: Outcomes, ks: Sequence[int]) -> Curve:
        return weighted_vote_at_k(
            outcomes.correct,
            clusters_of(outcomes, equivalence),
            outcomes.scores[scorer],
            ks,
            RULES[prefix],
            seed=derive_seed(seed, outcomes.problem_id, 0),
        )

    return estimate


_RANKINGS: dict[str, Callable[[Outcomes], NDArray[np.generic]]] = {
    "first": lambda outcomes: -outcomes.indices,
    "random": lambda outcomes: np.zeros(len(outcomes.correct)),
    "longest": lambda outcomes: lengths_of(outcomes),
    "shortest": lambda outcomes: -lengths_of(outcomes),
    "oracle": lambda outcomes: outcomes.correct,
}
