"""Scorers that read only the numbers a sampler recorded: log-probabilities, confidences, certainties.

    name              higher is better                                      needs in the run
    mean-logprob      mean log-probability of the sampled tokens            logprobs
    min-logprob       the lowest of them                                    logprobs
    perplexity        minus exp(minus the mean)                             logprobs
    deepconf-mean     mean token confidence                                 confidences
    deepconf-tail     mean token confidence of the last 2048 tokens         confidences
    deepconf-bottom   mean of the lowest 10 % of windows of 2048 tokens     confidences
    deepconf-window   the lowest window of 2048 tokens                      confidences
    self-certainty    mean KL(uniform || policy) of the draws               certainties

Sources and signs
    DeepConf (arXiv 2508.15260, section 3; facebookresearch/deepconf, `analysis_offline.py`): token confidence is C =
    -(1/k) sum_j log P(j) over the k most probable tokens. HIGHER is better: a peaked distribution leaves little for the
    other k - 1. `Completion.confidences` holds the mean without the minus sign. The sign is added here, so these scores
    are never negative and can be the weights of votes. The published code rounds C and its windows to three decimals;
    here nothing is rounded.
    Self-certainty (arXiv 2502.18581): -(1/(T V)) sum_t sum_v log(V p_v). HIGHER is better; 0 = uniform.
    `perplexity` is negated, so that higher is better here too; it ranks trajectories as mean-logprob does, but its
    weights in a vote differ.

Rules
    A trajectory shorter than a window (or the tail) is one window (or tail) of all its tokens, as in the published
    code. Where all trajectories are that short, the four DeepConf scores are equal: choose a shorter window.
    A trajectory gets NaN and no steps where it failed, has no tokens, or has numbers that were not recorded or are not
    finite; `report().unscored` counts the reasons. UnavailableError is raised where none of a pool's trajectories that
    did not fail has the numbers.
    With a `splitter`, `Score.steps` holds the same measure of each step's own tokens (DeepConf: the mean confidence).

This module does not know texts, answers, runs or models. Shape: T tokens of a completion.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.plurals import show_any
from nbest.protocols import Scorer, StateSource, StepSplitter
from nbest.records import Pool, Score, Trajectory, WorkReport
from nbest.states.sources import NO_STATES
from nbest.statistics.logprobs import lowest_share_mean, step_features, window_means

Values: TypeAlias = NDArray[np.float64]
Rule: TypeAlias = Callable[[Values], float]
StepRule: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Source: TypeAlias = Literal["logprobs", "confidences", "certainties"]

_Kind = TypeVar("_Kind")

WINDOW_TOKENS = 2048
LOWEST_SHARE = 0.1
_MOST_FLOAT64, _MOST_FLOAT32 = 709.0, 88.0
"""The largest arguments whose exp() is still finite in each type."""

_NOUNS: Mapping[Source, str] = {
    "logprobs": "log-probabilities",
    "confidences": "token confidences",
    "certainties": "token certainties",
}
_MISSING = {
    "logprobs": (
        "log-probabilities of its sampled tokens",
        'Sample with policy.type = "transformers", which always keeps them, or import pools that have `logprobs`.',
    ),
    "confidences": (
        "top-k log-probabilities of its tokens",
        "Sample a run with `top_logprobs = 20` under [sampling] of its --config, or import pools with `confidences`.",
    ),
    "certainties": (
        "self-certainty of its tokens",
        "Sample a run with `self_certainty = true` under [sampling] of its --config, or import pools with "
        "`certainties`.",
    ),
}


@dataclass(frozen=True, slots=True)
class _Measure:
    """How the numbers [T] of one field, times `sign`, become a value, and `step_features` [S 4] of them scores [S]."""

    name: str
    source: Source
    rule: Rule
    step_rule: StepRule
    sign: float = 1.0


class RecordedScorer(Scorer):
    """Scores by one measure of the numbers that the sampler recorded; the base class of the scorers of this module."""

    def __init__(self, measure: _Measure, splitter: StepSplitter | None):
        self.name = measure.name
        self._measure = measure
        self._splitter = splitter
        self._unscored: Counter[str] = Counter()

    def report(self) -> WorkReport:
        """Return how many trajectories have no score, by reason."""
        return WorkReport(unscored=dict(self._unscored))

    async def score(self, pool: Pool, states: StateSource = NO_STATES) -> list[Score]:
        """Return one Score per trajectory, in pool order. Raises UnavailableError by the rules of this module."""
        del states
        reasons = _explain_unscored(pool, self._measure)
        scores = [
            Score(trajectory.id, math.nan)
            if position in reasons
            else _score_one(trajectory, self._measure, self._splitter)
            for position, trajectory in enumerate(pool.trajectories)
        ]
        self._unscored.update(reasons.values())
        return scores


class LogprobScorer(RecordedScorer):
    """Scores by the log-probabilities of the sampled tokens at temperature 1: mean, minimum or minus the perplexity.

    Perplexity is capped at e^709, where float64 ends. Raises ConfigError for an unknown `how`.
    """

    def __init__(self, how: Literal["mean", "min", "perplexity"] = "mean", *, splitter: StepSplitter | None = None):
        rules: dict[str, tuple[Rule, StepRule]] = {
            "mean": (_average, _read_step_means),
            "min": (lambda values: float(values.min()), lambda features: features[:, 1]),
            "perplexity": (_negate_perplexity, lambda features: -np.exp(np.minimum(-features[:, 0], _MOST_FLOAT32))),
        }
        name = "perplexity" if how == "perplexity" else f"{how}-logprob"
        super().__init__(_Measure(name, "logprobs", *_choose("how", how, rules)), splitter)


class DeepConfScorer(RecordedScorer):
    """Scores by token confidence (minus the mean of the top-k log-probabilities) of all tokens, the tail or windows.

    `kind`: `mean` of all tokens; `tail`, the mean of the last `tail` tokens; `bottom`, the mean of the lowest `share`
    of the means of all windows of `window` tokens, one token apart (that many windows rounded down, at least one);
    `window`, the lowest of these means. The defaults are the published ones. Raises ConfigError.
    """

    def __init__(
        self,
        kind: Literal["mean", "tail", "bottom", "window"] = "bottom",
        *,
        window: int = WINDOW_TOKENS,
        tail: int = WINDOW_TOKENS,
        share: float = LOWEST_SHARE,
        splitter: StepSplitter | None = None,
    ):
        faults = [
            f"{key}: must be at least 1 token, got {n}" for key, n in (("window", window), ("tail", tail)) if n < 1
        ]
        faults += [] if 0 < share <= 1 else [f"share: must be above 0 and at most 1, got {share}"]
        if faults:
            raise ConfigError(faults)
        rules: dict[str, Rule] = {
            "mean": _average,
            "tail": lambda values: _average(values[-tail:]),
            "bottom": lambda values: lowest_share_mean(window_means(values, window), share),
            "window": lambda values: float(window_means(values, window).min()),
        }
        rule = _choose("kind", kind, rules)
        super().__init__(_Measure(f"deepconf-{kind}", "confidences", rule, _read_step_means, sign=-1.0), splitter)


class SelfCertaintyScorer(RecordedScorer):
    """Scores by the mean over tokens of KL(uniform || policy), in nats (arXiv 2502.18581, which votes by Borda)."""

    def __init__(self, *, splitter: StepSplitter | None = None):
        super().__init__(_Measure("self-certainty", "certainties", _average, _read_step_means), splitter)


def _explain_unscored(pool: Pool, measure: _Measure) -> dict[int, str]:
    """Return why trajectories have nothing to score, by position in the pool. Raises UnavailableError."""
    candidates = [trajectory for trajectory in pool.trajectories if not trajectory.has_failed]
    if candidates and all(_read_numbers(trajectory, measure.source) is None for trajectory in candidates):
        what, fix = _MISSING[measure.source]
        raise UnavailableError(
            f"{measure.name}: problem {pool.problem_id!r} has no {what} ({measure.source!r}) in "
            f"{show_any(len(candidates), 'trajectory')} that did not fail. {fix}"
        )
    reasons = [_explain_missing_score(trajectory, measure.source) for trajectory in pool.trajectories]
    return {position: reason for position, reason in enumerate(reasons) if reason}


def _explain_missing_score(trajectory: Trajectory, source: Source) -> str:
    """Return why a trajectory has nothing to score, "" if it has."""
    numbers, noun = _read_numbers(trajectory, source), _NOUNS[source]
    if trajectory.has_failed:
        return "failed"
    if numbers is None:
        return f"no {noun}"
    if not len(numbers):
        return "no tokens"
    return "" if np.isfinite(numbers).all() else f"{noun} not finite"


def _score_one(trajectory: Trajectory, measure: _Measure, splitter: StepSplitter | None) -> Score:
    numbers = _read_numbers(trajectory, measure.source)
    assert numbers is not None
    values = numbers.astype(np.float64) * measure.sign
    steps = splitter(trajectory.completion) if splitter else []
    try:
        scores = measure.step_rule(step_features(values, steps)) if steps else ()
    except DataError as error:
        raise DataError(f"trajectory {trajectory.id!r}: {error}") from error
    return Score(trajectory.id, measure.rule(values), tuple(float(score) for score in scores))


def _read_numbers(trajectory: Trajectory, source: Source) -> NDArray[np.float32] | None:
    completion = trajectory.completion
    numbers = {
        "logprobs": completion.logprobs,
        "confidences": completion.confidences,
        "certainties": completion.certainties,
    }
    return numbers[source]


def _choose(setting: str, key: str, rules: Mapping[str, _Kind]) -> _Kind:
    if key not in rules:
        raise ConfigError(f"{setting}: {key!r} is none of {', '.join(rules)}")
    return rules[key]


def _average(values: Values) -> float:
    return float(values.mean())


def _negate_perplexity(values: Values) -> float:
    return -math.exp(min(-_average(values), _MOST_FLOAT64))


def _read_step_means(features: NDArray[np.float32]) -> NDArray[np.float32]:
    return features[:, 0]
