"""What the whole pools of one run show beside accuracy: who is right where, ties, missing answers, lengths, confidence.

Streams over the run once more, one problem at a time. Everything here is about the whole pool of each problem (not
about subsets of it), so every selector has one value a problem: 1 right, 0 wrong, between them the share of right ones
among equally good picks.

This module does not know tables, charts or several runs. Shapes: P problems, N judged trajectories of one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from nbest.measuring.outcomes import read_outcomes
from nbest.report.reliability import Confidences
from nbest.selecting.estimators import Estimator, RememberedClusters, clusters_of, lengths_of, scorer_of
from nbest.selecting.outcomes import Outcomes
from nbest.statistics.ranking import auc
from nbest.statistics.votes import RULES, hold_vote, make_ballot
from nbest.storage.run import Run

VOTE_SHARE = "majority"
PLAIN = ("oracle", "random", "first", "longest", "shortest")
"""Selectors whose disagreement with others says nothing: a bound, and picks that look at no answer and no score."""
CONTESTED = 0.5
"""From this spread on a problem counts as one on which selectors disagree: ties with half of the credit included."""
_CERTAIN = 1e-9

_FINISHES = "SELECT finish, count(*) FROM trajectories GROUP BY finish ORDER BY finish"
_PICKS = """
    WITH placed AS (
        SELECT id, problem_id, row_number() OVER (PARTITION BY problem_id ORDER BY "index") - 1 AS place
        FROM trajectories
    )
    SELECT s.selector, s."index" IS NULL, s.confidence, v.correct, s.note
    FROM selections s
    LEFT JOIN placed t ON t.problem_id = s.problem_id AND t.place = s."index"
    LEFT JOIN verdicts v ON v.trajectory_id = t.id
    ORDER BY s.selector, s.problem_id
"""


@dataclass(frozen=True, slots=True)
class ProblemFinding:
    """One problem with at least one judged trajectory: pool size, how many are right, and the value of each selector
    that has one there.

    `answers` holds (answer, how many gave it, how many of these are right), most frequent first, None = no answer; it
    is kept only where selectors disagree (`spread_of`).
    """

    problem_id: str
    candidates: int
    right: int
    values: Mapping[str, float]
    answers: tuple[tuple[str | None, int, int], ...] = ()


def spread_of(values: Mapping[str, float]) -> float:
    """The largest difference between two selectors that compete: bounds and plain picks are left out."""
    competing = [value for name, value in values.items() if name not in PLAIN]
    return max(competing) - min(competing) if competing else 0.0


@dataclass(slots=True)
class SelectorCounts:
    """Problems (whole pools) on which a selector had equally good candidates: for its vote or score (`ties`, None where
    the rule has none), and so that right and wrong ones were among them (`deciding_ties`, which share the credit);
    `abstained` = problems on which it picked nothing."""

    ties: int | None = None
    deciding_ties: int = 0
    abstained: int = 0


@dataclass(slots=True)
class StoredPicks:
    """What `nbest select` wrote for one selector; `notes` counts what it said, problem by problem."""

    problems: int = 0
    abstained: int = 0
    right: int = 0
    wrong: int = 0
    notes: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """All of one run. `trajectories` counts them by what became of them; `lengths` are [.] of right and wrong ones in
    `length_unit`; `confidences` one entry a source."""

    problems: tuple[ProblemFinding, ...]
    trajectories: Mapping[str, int]
    finishes: Mapping[str, int]
    counts: Mapping[str, SelectorCounts]
    picks: Mapping[str, StoredPicks]
    right_lengths: NDArray[np.int64]
    wrong_lengths: NDArray[np.int64]
    length_unit: str
    confidences: tuple[Confidences, ...]


def examine(
    run: Run,
    estimators: Mapping[str, tuple[Estimator, Sequence[str]]],
    scorers: Sequence[str],
    clusterer: RememberedClusters,
    has_tokens: bool,
) -> Findings:
    """Reads the pools of `run` by the estimator of every selector, given with the scorers it reads, and the confidence
    of `scorers`. `has_tokens` False = lengths are read in characters. The run must be verified."""
    connection = run.connect()
    try:
        read = list(dict.fromkeys([*scorers, *(name for _, needed in estimators.values() for name in needed)]))
        gathering = _Gathering({name: made for name, (made, _) in estimators.items()}, scorers, clusterer)
        for outcomes in read_outcomes(connection, read, with_characters=not has_tokens):
            gathering.add(outcomes)
        finishes = {str(name): int(count) for name, count in connection.execute(_FINISHES).fetchall()}
        picks, stated = _read_picks(connection)
    finally:
        connection.close()
    right, wrong = (np.concatenate(parts) if parts else np.zeros(0, np.int64) for parts in gathering.lengths)
    return Findings(
        problems=tuple(gathering.problems),
        trajectories=gathering.trajectories,
        finishes=finishes,
        counts=gathering.counts,
        picks=picks,
        right_lengths=right,
        wrong_lengths=wrong,
        length_unit="tokens" if has_tokens else "characters",
        confidences=(*gathering.confidences(), *stated),
    )


class _Gathering:
    """Takes problem by problem."""

    def __init__(self, estimators: Mapping[str, Estimator], scorers: Sequence[str], clusterer: RememberedClusters):
        self._clusterer = clusterer
        self._estimators = estimators
        self._cases: dict[str, list[tuple[NDArray[np.float64], NDArray[np.bool_]]]] = {name: [] for name in scorers}
        self._shares: list[tuple[float, float]] = []
        self.problems: list[ProblemFinding] = []
        self.counts = {name: SelectorCounts() for name in estimators}
        kinds: tuple[str, ...] = ("judged", "right", "wrong", "without_answer", "failed", "unjudged")
        self.trajectories: dict[str, int] = dict.fromkeys(kinds, 0)
        self.lengths: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])

    def add(self, outcomes: Outcomes) -> None:
        self._count(outcomes)
        size = len(outcomes.correct)
        if not size:
            return
        values: dict[str, float] = {}
        for name, estimate in self._estimators.items():
            curve = estimate(outcomes, [size])
            if not math.isnan(value := float(curve.accuracy[0])):  # a stored pick may be missing or not judged
                values[name] = value
                self._count_ties(name, outcomes, value, float(curve.abstained[0]))
        answers = _count_answers(outcomes, self._clusterer) if spread_of(values) >= CONTESTED else ()
        right = int(outcomes.correct.sum())
        self.problems.append(ProblemFinding(outcomes.problem_id, size, right, values, answers))
        self._collect_confidence(outcomes, values)

    def confidences(self) -> list[Confidences]:
        found: list[Confidences] = []
        if self._shares:
            shares = np.array(self._shares, dtype=np.float64)
            found.append(Confidences(VOTE_SHARE, "problem", shares[:, 0], shares[:, 1]))
        for name, pools in self._cases.items():
            if any(len(values) for values, _ in pools):
                values = np.concatenate([values for values, _ in pools])
                right = np.concatenate([correct for _, correct in pools]).astype(np.float64)
                ranked = [area for values, correct in pools if (area := auc(correct, values)) is not None]
                found.append(Confidences(name, "trajectory", values, right, ranked))
        return found

    def _count(self, outcomes: Outcomes) -> None:
        held = ~outcomes.failed
        right = int(outcomes.correct.sum())
        silent = sum(1 for answer, is_held in zip(outcomes.answers, held, strict=True) if is_held and answer is None)
        found = {
            "judged": int(held.sum()),
            "right": right,
            "wrong": int(held.sum()) - right,
            "without_answer": silent,
            "failed": int(outcomes.failed.sum()),
            "unjudged": outcomes.unjudged,
        }
        for name, count in found.items():
            self.trajectories[name] += count
        lengths = outcomes.sampled_tokens if not outcomes.characters.any() else outcomes.characters
        self.lengths[0].append(lengths[held & outcomes.correct])
        self.lengths[1].append(lengths[held & ~outcomes.correct])

    def _count_ties(self, name: str, outcomes: Outcomes, value: float, abstained: float) -> None:
        counted = self.counts[name]
        counted.abstained += abstained > _CERTAIN
        if name == "random":
            return
        counted.deciding_ties += _CERTAIN < value < 1 - _CERTAIN
        at_the_top = _tied(name, outcomes, self._clusterer)
        if at_the_top is not None:
            counted.ties = (counted.ties or 0) + (at_the_top > 1)

    def _collect_confidence(self, outcomes: Outcomes, values: Mapping[str, float]) -> None:
        for name, pools in self._cases.items():
            scored = ~np.isnan(outcomes.scores[name]) & ~outcomes.failed
            pools.append((outcomes.scores[name][scored], outcomes.correct[scored]))
        if VOTE_SHARE in values:
            votes = clusters_of(outcomes, self._clusterer)
            if (votes >= 0).any():
                share = int(np.bincount(votes[votes >= 0]).max()) / len(votes)
                self._shares.append((share, values[VOTE_SHARE]))


def _count_answers(outcomes: Outcomes, clusterer: RememberedClusters) -> tuple[tuple[str | None, int, int], ...]:
    groups: dict[int, list[int]] = {}
    for place, number in enumerate(clusters_of(outcomes, clusterer).tolist()):
        groups.setdefault(number, []).append(place)
    order = sorted(groups, key=lambda number: (number < 0, -len(groups[number]), groups[number][0]))
    return tuple(
        (outcomes.answers[groups[n][0]] if n >= 0 else None, len(groups[n]), int(outcomes.correct[groups[n]].sum()))
        for n in order
    )


def _tied(name: str, outcomes: Outcomes, clusterer: RememberedClusters) -> int | None:
    """How many stand at the top: answers for a vote, trajectories for a score or a length; None = no such notion."""
    prefix, scorer = name.partition(":")[0], scorer_of(name)
    if name == "majority":
        votes = clusters_of(outcomes, clusterer)
        return _at_top(np.bincount(votes[votes >= 0]).astype(np.float64))
    if prefix in RULES and scorer:
        ballot = make_ballot(clusters_of(outcomes, clusterer), outcomes.scores[scorer])
        totals = hold_vote(ballot, RULES[prefix], np.ones((1, len(ballot)), dtype=np.bool_)).weights[0]
        return _at_top(totals) if len(ballot) else 0
    if scorer:
        return _at_top(outcomes.scores[scorer][~np.isnan(outcomes.scores[scorer]) & ~outcomes.failed])
    if name in ("longest", "shortest"):
        lengths = lengths_of(outcomes)[~outcomes.failed].astype(np.float64)
        return _at_top(lengths if name == "longest" else -lengths)
    return None


def _at_top(values: NDArray[np.float64]) -> int:
    if not len(values):
        return 0
    top = values.max()
    return int(np.count_nonzero((values >= top - _CERTAIN * abs(top)) if np.isfinite(top) else values == top))


def _read_picks(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, StoredPicks], list[Confidences]]:
    picks: dict[str, StoredPicks] = {}
    stated: dict[str, list[tuple[float, float]]] = {}
    rows: list[tuple[Any, ...]] = connection.execute(_PICKS).fetchall()
    for selector, is_silent, confidence, correct, note in rows:
        kept = picks.setdefault(str(selector), StoredPicks())
        kept.problems += 1
        kept.abstained += bool(is_silent)
        kept.right += correct is True
        kept.wrong += correct is False
        if note:
            kept.notes[str(note)] = kept.notes.get(str(note), 0) + 1
        if confidence is not None and correct is not None:
            stated.setdefault(str(selector), []).append((float(confidence), float(correct)))
    found: list[Confidences] = []
    for name, cases in stated.items():
        table = np.array(cases, dtype=np.float64)
        found.append(Confidences(f"selected by {name}", "problem", table[:, 0], table[:, 1]))
    return picks, found
