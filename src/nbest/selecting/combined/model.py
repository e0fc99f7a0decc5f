"""A fitted mixture of votes and scores: which cluster of equal answers is right, and how sure that is.

Two stages, both fitted by `selecting/combined/fit.py` on validation pools of many sizes. (1) A conditional logit
chooses among the clusters: P(cluster) = softmax(weights . columns), columns from `features.py`. (2) A logistic
model of the choice (how clear it was, how good its scores are, how large the pool) gives a number, and a calibration
map turns that number into the probability that the choice is right.

A model is a small JSON file. This module does not know pools, runs or verdicts.
Shapes: D draws (pools of one size), n candidates, C clusters, S scorers, F columns, G choice columns.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from nbest.errors import ConfigError
from nbest.former_name import renew
from nbest.plurals import show_count
from nbest.selecting.combined.features import SCORE_COLUMNS, NormalScores, column_names, describe_clusters
from nbest.statistics.calibration import IsotonicMap, PlattMap
from nbest.storage.outputs import check_output, write_file

Values: TypeAlias = NDArray[np.float64]

KIND = "nbest combined selector"
FORMAT = 1
CLEAREST = 8.0
"""The largest log-odds of a choice: beyond it a probability says nothing more."""
_TIE_DIGITS = 9
_CHOICE_PLAIN = ("log_odds", "is_only", "share", "log_n", "log_answers", "answered", "log_odds*log_n", "share*log_n")
_CHOICE_SCORE = ("best", "mean", "pool_best", "pool_mean")


def _no_facts() -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What the model says of D pools: `chosen` [D] cluster, -1 if nobody voted; `confidence` [D] that it is right
    (0 if nobody voted); `signal` [D] the log-odds before calibration; `chances` [D C] of the clusters."""

    chosen: NDArray[np.int64]
    confidence: Values
    signal: Values
    chances: Values


@dataclass(frozen=True, slots=True)
class CombinedModel:
    """The fitted numbers. `weights` [F] and `doubt` [G] fit the columns as they are (their scales are folded in).

    `scorers` [S] names the scores it needs, `scales` [S] their maps to normal scores, `main` the one that picks a
    member of the chosen cluster. `policy` is the content hash of the policy whose pools it was fitted on, where known;
    `about` holds the facts of the fit.
    """

    scorers: tuple[str, ...]
    main: str
    scales: tuple[NormalScores, ...]
    weights: tuple[float, ...]
    doubt: tuple[float, ...]
    intercept: float
    calibration: IsotonicMap | PlattMap
    policy: str | None = None
    about: Mapping[str, Any] = field(default_factory=_no_facts)

    @property
    def main_row(self) -> int | None:
        """The row of the main scorer in an array of scores [S ...]; None for a model of votes alone."""
        return self.scorers.index(self.main) if self.scorers else None

    def normalise(self, scores: Values) -> Values:
        """Return the raw scores [S D n] (NaN = none) as normal scores."""
        scaled = [scale(row) for scale, row in zip(self.scales, scores, strict=True)]
        return np.stack(scaled) if scaled else np.zeros(scores.shape)

    def decide(self, labels: NDArray[np.int64], scores: Values, clusters: int) -> Decision:
        """Choose in each of D pools. `labels` [D n] (negative = no answer), `scores` [S D n] raw, NaN = none.

        Of clusters that tie (to nine digits) the one with the lowest number is chosen.
        """
        columns, votes = describe_clusters(labels, self.normalise(scores), clusters)
        chosen, chances = choose(columns, votes, np.array(self.weights))
        signal = describe_choices(columns, votes, chances, chosen, labels.shape[1]) @ np.array(self.doubt)
        signal = signal + self.intercept
        has_votes = chosen >= 0
        return Decision(chosen, np.where(has_votes, self.calibration(signal), 0.0), signal, chances)

    def save(self, path: str | Path) -> None:
        """Write the model as JSON. Raises ConfigError for a path inside a run, StorageError if the disk refuses."""
        kind = "isotonic" if isinstance(self.calibration, IsotonicMap) else "platt"
        content = {
            "kind": KIND,
            "format": FORMAT,
            **asdict(self),
            "about": dict(self.about),
            "columns": column_names(self.scorers),
            "choice_columns": choice_names(self.scorers),
            "calibration": {"kind": kind, **asdict(self.calibration)},
        }
        check_output(Path(path))
        write_file(Path(path), json.dumps(content, indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "CombinedModel":
        """Read what `save` wrote. Raises ConfigError naming the file for any other content."""
        try:
            content = json.loads(Path(path).read_bytes())
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror}); `nbest train combined` makes one") from error
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: it is not whole JSON ({error}); fit the combined selector again") from error
        try:
            return _read_model(content)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"field {error} is missing" if isinstance(error, KeyError) else str(error)
            raise ConfigError(f"{path}: {reason}; fit it again with `nbest train combined`") from error


def choice_names(scorers: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the G columns of `describe_choices`, in order."""
    return _CHOICE_PLAIN + tuple(f"{name}:{column}" for name in scorers for column in _CHOICE_SCORE)


def choose(columns: Values, votes: NDArray[np.int64], weights: Values) -> tuple[NDArray[np.int64], Values]:
    """Return the chosen clusters [D], -1 if there are no votes, and the chances [D C] of all.

    `columns` are [D C F], `votes` [D C].
    """
    if not votes.shape[1]:
        return np.full(len(votes), -1, dtype=np.int64), np.zeros(votes.shape)
    utilities = np.where(votes > 0, np.round(columns @ weights, _TIE_DIGITS), -np.inf)
    chosen = np.argmax(utilities, axis=1)
    is_empty = (votes == 0).all(axis=1)
    highest = np.where(is_empty, 0.0, utilities.max(axis=1))
    grown = np.exp(utilities - highest[:, None])
    return np.where(is_empty, -1, chosen), grown / np.maximum(grown.sum(axis=1, keepdims=True), 1e-300)


def describe_choices(
    columns: Values, votes: NDArray[np.int64], chances: Values, chosen: NDArray[np.int64], candidates: int
) -> Values:
    """Return the columns [D G] that say whether the chosen cluster of each pool of `candidates` is right.

    They are zeros without votes.
    """
    if not votes.shape[1]:
        return np.zeros((len(votes), len(_CHOICE_PLAIN) + _count_scorers(columns) * len(_CHOICE_SCORE)))
    rows = np.arange(len(votes))
    picks = np.maximum(chosen, 0)
    voters = np.maximum(votes.sum(axis=1), 1)
    answers = np.maximum((votes > 0).sum(axis=1), 1)
    chance = np.clip(chances[rows, picks], 1e-12, 1 - 1e-12)
    odds = np.where(answers > 1, np.clip(np.log(chance / (1 - chance)), -CLEAREST, CLEAREST), 0.0)
    share, log_n = votes[rows, picks] / voters, np.log2(voters)
    features = [odds, answers == 1, share, log_n, np.log2(answers), voters / candidates, odds * log_n, share * log_n]
    for scorer in range(_count_scorers(columns)):
        start = 4 + scorer * len(SCORE_COLUMNS)
        best, mean = columns[:, :, start], columns[:, :, start + 1]
        highest = np.where(votes > 0, best, -np.inf).max(axis=1)
        features += [best[rows, picks], mean[rows, picks], highest, (mean * votes).sum(axis=1) / voters]
    return np.where((chosen >= 0)[:, None], np.stack(features, axis=1), 0.0)


def _count_scorers(columns: Values) -> int:
    return (columns.shape[-1] // 2 - 4) // len(SCORE_COLUMNS)


def _read_model(content: Any) -> CombinedModel:
    """Return the model. Raises KeyError, TypeError or ValueError for what is not a whole model of this version."""
    if not isinstance(content, dict) or renew(str(cast("dict[str, Any]", content).get("kind"))) != KIND:
        raise ValueError("this is not a combined selector")
    fields = cast("dict[str, Any]", content)
    if fields["format"] != FORMAT:
        raise ValueError(f"format {fields['format']!r} is not known here, only {FORMAT}")
    scorers = tuple(str(name) for name in fields["scorers"])
    for stored, expected in (("columns", column_names(scorers)), ("choice_columns", choice_names(scorers))):
        if tuple(fields[stored]) != expected:
            raise ValueError(f"{stored} are not those of this version for the scorers {', '.join(scorers)}")
    scales = tuple(
        NormalScores(_read_ascending_numbers(scale["x"]), _read_numbers(scale["z"], len(scale["x"])))
        for scale in fields["scales"]
    )
    if len(scales) != len(scorers) or (scorers and fields["main"] not in scorers):
        raise ValueError(f"scales and main do not fit the {show_count(len(scorers), 'scorer')}")
    return CombinedModel(
        scorers=scorers,
        main=str(fields["main"]),
        scales=scales,
        weights=_read_numbers(fields["weights"], len(fields["columns"])),
        doubt=_read_numbers(fields["doubt"], len(fields["choice_columns"])),
        intercept=_read_numbers([fields["intercept"]], 1)[0],
        calibration=_read_calibration(fields["calibration"]),
        policy=None if fields["policy"] is None else str(fields["policy"]),
        about=dict(fields["about"]),
    )


def _read_calibration(fields: Mapping[str, Any]) -> IsotonicMap | PlattMap:
    if fields["kind"] == "platt":
        slope, intercept = _read_numbers([fields["slope"], fields["intercept"]], 2)
        return PlattMap(slope, intercept)
    if fields["kind"] != "isotonic":
        raise ValueError(f"calibration.kind {fields['kind']!r} is neither isotonic nor platt")
    isotonic = IsotonicMap(_read_ascending_numbers(fields["x"]), _read_numbers(fields["y"], len(fields["x"])))
    if min(isotonic.y) < 0 or max(isotonic.y) > 1:
        raise ValueError("calibration.y: probabilities must lie within 0 and 1")
    return isotonic


def _read_numbers(values: Any, length: int) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if len(numbers) != length or not np.isfinite(numbers).all():
        raise ValueError(f"expected {show_count(length, 'finite number')}, got {len(numbers)}")
    return numbers


def _read_ascending_numbers(values: Any) -> tuple[float, ...]:
    knots = _read_numbers(values, len(values))
    if not knots or any(a >= b for a, b in pairwise(knots)):
        raise ValueError("knots must be ascending numbers, at least one")
    return knots
