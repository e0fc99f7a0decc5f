"""What the whole pools of one run show beside accuracy: which selector is right where, ties, lengths, confidence.

Reads the run once more, one problem at a time. Everything here is about the whole pool of each problem (not
about subsets of it), so every selector has one value per problem: 1 right, 0 wrong, between them the share of right
ones among equally good picks.

This module does not know tables, charts or several runs. Shapes: P problems, N graded trajectories of one.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from nbest.measuring.outcomes import MEASURED_COLUMNS, read_outcomes
from nbest.measuring.ranking import pool_auc
from nbest.measuring.trajectory_counts import TrajectoryCounts, add_counts, count_trajectories
from nbest.report.reliability import Confidences
from nbest.selecting.estimators import Contestant, RememberedClusters, cluster_answers
from nbest.selecting.outcomes import Outcomes
from nbest.storage.run import Run

CONTESTED = 0.5
"""From this spread on, a problem counts as one on which selectors disagree; a tie for half of the credit is enough."""
_CERTAIN = 1e-9

_FINISHES = "SELECT finish, count(*) FROM trajectories GROUP BY finish ORDER BY finish"
_PICKS = """
    WITH positioned AS (
        SELECT id, problem_id, row_number() OVER (PARTITION BY problem_id ORDER BY "index") - 1 AS position
        FROM trajectories
    )
    SELECT s.selector, s."index" IS NULL, s.confidence, v.correct, s.note
    FROM selections s
    LEFT JOIN positioned t ON t.problem_id = s.problem_id AND t.position = s."index"
    LEFT JOIN verdicts v ON v.trajectory_id = t.id
    ORDER BY s.selector, s.problem_id
"""


@dataclass(frozen=True, slots=True)
class ProblemFinding:
    """One problem with at least one graded trajectory: pool size, how many are right, and each selector's value.

    A selector that has no value there is left out of `values`. `answers` holds (answer, how many gave it, how many of
    these are right), most frequent first, None = no answer; it is empty where selectors agree.
    """

    problem_id: str
    candidates: int
    right: int
    values: Mapping[str, float]
    answers: tuple[tuple[str | None, int, int], ...] = ()


def spread_of(values: Collection[float]) -> float:
    """Return the largest difference between two selectors on one problem; 0 for none."""
    return max(values) - min(values) if values else 0.0


@dataclass(slots=True)
class SelectorCounts:
    """On how many problems (whole pools) a selector met ties, and on how many it picked nothing.

    `ties` = several candidates were equally good for its vote or score, None where it compares none; `deciding_ties` =
    right and wrong ones were among them, which share the credit; `abstained` = it picked nothing.
    """

    ties: int | None = None
    deciding_ties: int = 0
    abstained: int = 0


@dataclass(slots=True)
class StoredPicks:
    """What `nbest select` wrote for one selector; `notes` counts its notes, one per problem."""

    problems: int = 0
    abstained: int = 0
    right: int = 0
    wrong: int = 0
    notes: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """The findings on the pools of one run.

    `informed` names the selectors whose disagreement says something, without bounds and blind ones. `lengths`
    are those of `right` and of `wrong` trajectories in `length_unit`; `confidences` has one entry per source.
    """

    problems: tuple[ProblemFinding, ...]
    informed: tuple[str, ...]
    trajectories: TrajectoryCounts
    finishes: Mapping[str, int]
    counts: Mapping[str, SelectorCounts]
    picks: Mapping[str, StoredPicks]
    lengths: Mapping[str, NDArray[np.int64]]
    length_unit: str
    confidences: tuple[Confidences, ...]


def examine(
    run: Run,
    contestants: Sequence[Contestant],
    scorers: Sequence[str],
    clusterer: RememberedClusters,
    has_tokens: bool,
) -> Findings:
    """Read the whole pools of `run` by the estimator of every contestant, and the confidence of `scorers`.

    Lengths are read in characters unless `has_tokens`. The run must be verified.
    """
    connection = run.connect(large=MEASURED_COLUMNS)
    try:
        columns = list(dict.fromkeys([*scorers, *(name for contestant in contestants for name in contestant.scorers)]))
        gathering = _Gathering(contestants, scorers, clusterer)
        for outcomes in read_outcomes(connection, columns, with_characters=not has_tokens):
            gathering.add(outcomes)
        trajectories = add_counts(count_trajectories(connection).values())
        finishes = {str(name): int(count) for name, count in connection.execute(_FINISHES).fetchall()}
        picks, selection_confidences = _read_picks(connection)
    finally:
        connection.close()
    right, wrong = (np.concatenate(parts) if parts else np.zeros(0, np.int64) for parts in gathering.lengths)
    return Findings(
        problems=tuple(gathering.problems),
        informed=tuple(gathering.informed),
        trajectories=trajectories,
        finishes=finishes,
        counts=gathering.counts,
        picks=picks,
        lengths={"right": right, "wrong": wrong},
        length_unit="tokens" if has_tokens else "characters",
        confidences=(*gathering.confidences(), *selection_confidences),
    )


class _Gathering:
    """Collects the findings, problem by problem."""

    def __init__(self, contestants: Sequence[Contestant], scorers: Sequence[str], clusterer: RememberedClusters):
        self._clusterer = clusterer
        self._contestants = contestants
        self._scores: dict[str, list[tuple[NDArray[np.float64], NDArray[np.bool_]]]] = {name: [] for name in scorers}
        self._aucs: dict[str, list[float]] = {name: [] for name in scorers}
        self._vote_shares: dict[str, list[tuple[float, float]]] = {}
        self.informed = [c.name for c in contestants if c.role != "bound" and not c.is_blind]
        self.problems: list[ProblemFinding] = []
        self.counts = {contestant.name: SelectorCounts() for contestant in contestants}
        self.lengths: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])

    def add(self, outcomes: Outcomes) -> None:
        self._add_lengths(outcomes)
        size = len(outcomes.correct)
        if not size:
            return
        values: dict[str, float] = {}
        for contestant in self._contestants:
            curve = contestant.estimate(outcomes, [size])
            value = float(curve.accuracy[0])
            if not math.isnan(value):  # a stored pick may be missing or ungraded
                values[contestant.name] = value
                self._examine_selector(contestant, outcomes, value, float(curve.abstained[0]))
        spread = spread_of([values[name] for name in self.informed if name in values])
        answers = _count_answers(outcomes, self._clusterer) if spread >= CONTESTED else ()
        right = int(outcomes.correct.sum())
        self.problems.append(ProblemFinding(outcomes.problem_id, size, right, values, answers))
        for name, pools in self._scores.items():
            is_scored = ~np.isnan(outcomes.scores[name]) & ~outcomes.failed
            pools.append((outcomes.scores[name][is_scored], outcomes.correct[is_scored]))
            if (area := pool_auc(outcomes, name)) is not None:
                self._aucs[name].append(area)

    def confidences(self) -> list[Confidences]:
        """Return the vote shares of the baseline, then the scores of each scorer."""
        sources: list[Confidences] = []
        for name, pairs in self._vote_shares.items():
            shares = np.array(pairs, dtype=np.float64)
            sources.append(Confidences(name, "problem", shares[:, 0], shares[:, 1], meaning="share of votes"))
        for name, pools in self._scores.items():
            if any(len(values) for values, _ in pools):
                values = np.concatenate([values for values, _ in pools])
                right = np.concatenate([correct for _, correct in pools]).astype(np.float64)
                sources.append(Confidences(name, "trajectory", values, right, self._aucs[name]))
        return sources

    def _add_lengths(self, outcomes: Outcomes) -> None:
        """Store the lengths of right and wrong trajectories; a pool whose lengths are all 0 holds none."""
        is_graded = ~outcomes.failed
        lengths = outcomes.sampled_tokens if not outcomes.characters.any() else outcomes.characters
        if lengths.any():
            self.lengths[0].append(lengths[is_graded & outcomes.correct])
            self.lengths[1].append(lengths[is_graded & ~outcomes.correct])

    def _examine_selector(self, contestant: Contestant, outcomes: Outcomes, value: float, abstained: float) -> None:
        """Count ties and abstentions, and keep the share of votes for the answer that the baseline picks."""
        counts = self.counts[contestant.name]
        counts.abstained += abstained > _CERTAIN
        if contestant.role == "chance":
            return
        counts.deciding_ties += _CERTAIN < value < 1 - _CERTAIN
        if contestant.compared is None:
            return
        numbers = contestant.compared(outcomes)
        counts.ties = (counts.ties or 0) + (_count_highest(numbers) > 1)
        if contestant.role == "baseline" and len(numbers):
            share = float(numbers.max()) / len(outcomes.correct)
            self._vote_shares.setdefault(contestant.name, []).append((share, value))


def _count_answers(outcomes: Outcomes, clusterer: RememberedClusters) -> tuple[tuple[str | None, int, int], ...]:
    groups: dict[int, list[int]] = {}
    for position, number in enumerate(cluster_answers(outcomes, clusterer).tolist()):
        groups.setdefault(number, []).append(position)
    order = sorted(groups, key=lambda number: (number < 0, -len(groups[number]), groups[number][0]))
    return tuple(
        (outcomes.answers[groups[n][0]] if n >= 0 else None, len(groups[n]), int(outcomes.correct[groups[n]].sum()))
        for n in order
    )


def _count_highest(numbers: NDArray[np.float64]) -> int:
    """Return how many of the numbers that a selector compares are the highest, within rounding."""
    if not len(numbers):
        return 0
    top = numbers.max()
    is_highest = numbers >= top - _CERTAIN * abs(top) if np.isfinite(top) else numbers == top
    return int(np.count_nonzero(is_highest))


def _read_picks(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, StoredPicks], list[Confidences]]:
    """Return what each stored selector picked, and the confidences it stated."""
    picks: dict[str, StoredPicks] = {}
    cases: dict[str, list[tuple[float, float]]] = {}
    rows: list[tuple[Any, ...]] = connection.execute(_PICKS).fetchall()
    for selector, has_abstained, confidence, correct, note in rows:
        counts = picks.setdefault(str(selector), StoredPicks())
        counts.problems += 1
        counts.abstained += bool(has_abstained)
        counts.right += correct is True
        counts.wrong += correct is False
        if note:
            counts.notes[str(note)] = counts.notes.get(str(note), 0) + 1
        if confidence is not None and correct is not None:
            cases.setdefault(str(selector), []).append((float(confidence), float(correct)))
    confidences: list[Confidences] = []
    for name, pairs in cases.items():
        table = np.array(pairs, dtype=np.float64)
        confidences.append(Confidences(f"selected by {name}", "problem", table[:, 0], table[:, 1]))
    return picks, confidences
