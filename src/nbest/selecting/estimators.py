"""What `compare` needs of a selector: the expectation over the k-subsets of a problem's trajectories, by name.

Each selector's estimator stands in the file of the selector and states its rule: what wins, what abstains. Ties, which
the selector breaks by index, share the credit. All are exact but the weighted votes and the combined selector, which
are drawn where a k has too many subsets (`statistics/subsets.py`) and say so: their curve is a `SampledCurve`.

This module does not know runs, tables, intervals or any single selector.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nbest.errors import ConfigError
from nbest.plurals import agree, show_part
from nbest.protocols import Clusterer
from nbest.records import Kind
from nbest.registry import find_method, specs
from nbest.selecting.outcomes import Outcomes, Survey
from nbest.specs import Role, did_you_mean, load
from nbest.statistics.estimators import Curve, best_of_k

Estimator: TypeAlias = Callable[[Outcomes, Sequence[int]], Curve]
"""From one problem's outcomes and the subset sizes k to the expectations at each k; NaN if k is beyond the pool."""

Comparison: TypeAlias = Callable[[Outcomes], NDArray[np.float64]]
"""From one problem's outcomes to the numbers that a selector compares: of trajectories, or of answers."""


@dataclass(frozen=True, slots=True)
class EstimatorContext:
    """What an estimator may need: which answers are equal, the seed of drawn subsets, the full name of its scorer.

    `policy_hash` is the content hash of the policy that sampled, None if it is unknown; `where` names the run in
    messages.
    """

    equivalence: Clusterer
    seed: int = 0
    scorer: str = ""
    policy_hash: str | None = None
    where: str = "this run"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A selector in a comparison: what measuring needs to know of it.

    `scorers` are the full names of the scorers whose scores its estimator reads. `obstacle(survey, run)` says why a run
    cannot be measured by it, "" if it can. `compared` gives the numbers whose highest one wins in a whole pool, None
    if the selector compares none. `tells_draws` is False if its curve does not say how it was drawn. `is_blind`
    marks a selector that looks at neither answers nor scores: that it disagrees with others says nothing.
    """

    name: str
    estimate: Estimator
    scorers: tuple[str, ...] = ()
    role: Role = "competitor"
    obstacle: Callable[[Survey, str], str] = lambda survey, run: ""  # noqa: ARG005
    compared: Comparison | None = None
    tells_draws: bool = True
    is_blind: bool = False


def contestant(
    name: str, equivalence: Clusterer, seed: int = 0, *, policy_hash: str | None = None, where: str = "this run"
) -> Contestant:
    """Return a selector as a contestant, by its name (see `registry.py`); `seed` is for curves that draw subsets.

    `policy_hash` and `where` describe the run, as in `EstimatorContext`. Raises ConfigError for an unknown name or
    option, a selector without a curve, or one that was fitted on another policy.
    """
    spec, method = find_method("selector", name)
    options, scorers = spec.parse_options(method), tuple(spec.list_scorers(method))
    if spec.estimator is None:
        raise ConfigError(
            f"selector {name!r} has no curve: select with it first (`nbest select RUN -s {name}`), then compare its "
            f"selections as stored:{name}"
        )
    scorer = "" if method.scorer is None else str(method.scorer)
    context = EstimatorContext(equivalence, seed, scorer, policy_hash, where)
    estimate: Estimator = load(spec.estimator)(context, options)
    compared = None if spec.compared is None else spec.compared(context, options)

    def obstacle(survey: Survey, run: str) -> str:
        faults = [missing_scores(needed, survey, run) for needed in scorers]
        if spec.obstacle is not None and not any(faults):
            faults.append(spec.obstacle(survey, run, options, scorer))
        return next((f"{name}: {fault}" for fault in faults if fault), "")

    is_blind = spec.is_blind or spec.role == "chance"
    return Contestant(name, estimate, scorers, spec.role, obstacle, compared, is_blind=is_blind)


def default_contestants(survey: Survey) -> list[str]:
    """Return the names of the selectors that are compared on a run by default.

    They are those that read no scores, for every stored scorer the argmax and one vote, and the bound last.
    """
    plain = [
        spec for spec in specs("selector") if spec.estimator is not None and not (spec.reads_scores or spec.scorers)
    ]
    rivals = [spec.name for spec in plain if spec.role != "bound"]
    of_scores = [name for scorer in survey.unscored for name in (f"score:{scorer}", default_vote(survey, scorer))]
    return [*rivals, *of_scores, *(spec.name for spec in plain if spec.role == "bound")]


def default_vote(survey: Survey, scorer: str) -> str:
    """Return the weighted vote of a scorer in the default: `vote`, or `borda` where scores cannot be weights."""
    fits = not survey.negative.get(scorer, 0) and not survey.infinite.get(scorer, 0)
    return f"{'vote' if fits else 'borda'}:{scorer}"


def missing_scores(scorer: str, survey: Survey, run: str) -> str:
    """Return why the scores of a scorer cannot be used on a run; "" if they can."""
    if scorer not in survey.unscored:
        stored = ", ".join(survey.unscored) or "none"
        hint = did_you_mean(scorer, survey.unscored)
        return f"run {run} holds no scores of {scorer!r}; stored: {stored}.{hint}"
    if survey.unscored[scorer]:
        return (
            f"{show_part(survey.unscored[scorer], survey.problems, 'problem')} of run {run} "
            f"{agree(survey.unscored[scorer], 'has')} no score of {scorer!r}; score the rest first"
        )
    return ""


class RememberedClusters:
    """A `Clusterer` that keeps its last reply, so that many selectors of one problem ask about its answers once.

    A question about some of these answers only (of a resampled pool, say) gets their clusters among all of them.
    """

    def __init__(self, equivalence: Clusterer):
        self._equivalence = equivalence
        self._reply: dict[str | None, int | None] = {}
        self._kind: Kind = "math"

    def cluster(self, answers: Sequence[str | None], kind: Kind = "math") -> list[int | None]:
        if kind != self._kind or not self._reply.keys() >= set(answers):
            distinct = list(answers)
            self._reply = dict(zip(distinct, self._equivalence.cluster(distinct, kind), strict=True))
            self._kind = kind
        return [self._reply[answer] for answer in answers]

    def same(self, a: str, b: str, kind: Kind = "math") -> bool:
        return self._equivalence.same(a, b, kind)


def cluster_answers(outcomes: Outcomes, equivalence: Clusterer) -> NDArray[np.int64]:
    """Return the cluster [N] of each trajectory's answer, -1 = no answer. Each distinct string is asked about once."""
    answers = [answer for answer in dict.fromkeys(outcomes.answers) if answer is not None]
    numbers = dict(zip(answers, equivalence.cluster(answers, outcomes.kind), strict=True))
    clusters = [None if answer is None else numbers[answer] for answer in outcomes.answers]
    return np.array([-1 if cluster is None else cluster for cluster in clusters], dtype=np.int64)


def measure_lengths(outcomes: Outcomes) -> NDArray[np.int64]:
    """Return lengths [N] in the unit of this pool (`is_measured_in_tokens`); needs `characters` if it is not tokens."""
    is_tokens = is_measured_in_tokens(outcomes.sampled_tokens.tolist(), outcomes.failed.tolist())
    return outcomes.sampled_tokens if is_tokens else outcomes.characters


def is_measured_in_tokens(tokens: Sequence[int], failed: Sequence[bool]) -> bool:
    """Return whether every trajectory that did not fail has tokens: otherwise lengths of its pool are in characters."""
    return all(count > 0 for count, has_failed in zip(tokens, failed, strict=True) if not has_failed)


def rank_by(ranking: Callable[[Outcomes], NDArray[np.generic]]) -> Estimator:
    """Return the estimator of best-of-k by `ranking` [N], where a failed trajectory never wins."""

    def estimate(outcomes: Outcomes, ks: Sequence[int]) -> Curve:
        scores = np.where(outcomes.failed, np.nan, ranking(outcomes).astype(np.float64))
        return best_of_k(outcomes.correct, scores, ks)

    return estimate
