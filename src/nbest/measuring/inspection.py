"""One pool of a run as plain values: its answers, its trajectories, and which one each selector picked.

This module does not know terminals or pages; whoever shows a pool draws these values.
"""

from dataclasses import asdict, dataclass
from typing import Any

from nbest.answers.extraction import answer_of
from nbest.errors import DataError
from nbest.protocols import Clusterer
from nbest.records import Kind, Pool, Problem, Trajectory, Verdict
from nbest.storage.lookup import PoolLookup
from nbest.storage.run import Run


@dataclass(frozen=True, slots=True)
class TrajectoryView:
    """What is shown of a trajectory. `correct` None = ungraded, or not verified yet."""

    index: int
    answer: str | None
    correct: bool | None
    sampled_tokens: int
    finish: str
    mean_logprob: float | None
    scores: dict[str, float]
    text: str


@dataclass(frozen=True, slots=True)
class AnswerGroup:
    """The candidates whose answers count as equal, in votes and for grades; `answer` None = none was stated."""

    answer: str | None
    indices: list[int]
    correct: bool | None


@dataclass(frozen=True, slots=True)
class PoolPage:
    """What is shown of a pool. `picks` holds (selector, trajectory index or None where it abstained, note)."""

    problem: Problem
    candidates: list[TrajectoryView]
    answers: list[AnswerGroup]
    picks: list[tuple[str, int | None, str]]

    @property
    def scorers(self) -> list[str]:
        return sorted({name for candidate in self.candidates for name in candidate.scores})

    def candidate_at(self, index: int | None) -> TrajectoryView:
        """Return the candidate with this index; without one the first pick of a selector, else the first candidate.

        Raises DataError where no candidate has this index.
        """
        if index is None:
            index = next((pick for _, pick, _ in self.picks if pick is not None), self.candidates[0].index)
        for candidate in self.candidates:
            if candidate.index == index:
                return candidate
        indices = f"{self.candidates[0].index} to {self.candidates[-1].index}"
        raise DataError(f"problem {self.problem.id!r} has no trajectory of index {index}; there are {indices}")

    def correct_at(self, index: int | None) -> bool | None:
        """Return the grade of the candidate with this index; None where it is ungraded or there is no index."""
        return None if index is None else self.candidate_at(index).correct

    def to_json(self) -> dict[str, Any]:
        return {
            "problem_id": self.problem.id,
            "prompt": self.problem.prompt,
            "target": self.problem.target,
            "answers": [asdict(group) for group in self.answers],
            "picks": [{"selector": name, "index": index, "note": note} for name, index, note in self.picks],
            "candidates": [asdict(candidate) for candidate in self.candidates],
        }


def inspect_pool(run: Run, problem: str, equivalence: Clusterer) -> PoolPage:
    """Return the page of a problem, named by its id or its position in the run. Raises DataError for an unknown one."""
    lookup = PoolLookup(run)
    record = lookup.find_problem(problem)
    pool = lookup.read_pool(record)
    ids = [trajectory.id for trajectory in pool.trajectories]
    verdicts = {verdict.trajectory_id: verdict for verdict in lookup.read_verdicts(ids)}
    scores: dict[str, dict[str, float]] = {id: {} for id in ids}
    for name in run.scorers():
        for score in lookup.read_scores(name, ids):
            scores[score.trajectory_id][name] = score.value
    candidates = [_view(t, pool, verdicts.get(t.id), scores[t.id]) for t in pool.trajectories]
    return PoolPage(record, candidates, _group(candidates, equivalence, pool.kind), _picks(run, lookup, pool))


def _view(trajectory: Trajectory, pool: Pool, verdict: Verdict | None, scores: dict[str, float]) -> TrajectoryView:
    completion = trajectory.completion
    has_logprobs = completion.logprobs is not None and len(completion.logprobs) > 0
    return TrajectoryView(
        index=trajectory.index,
        answer=verdict.answer if verdict is not None else answer_of(trajectory, pool),
        correct=verdict.correct if verdict is not None else None,
        sampled_tokens=completion.count_usage().sampled_tokens,
        finish=completion.finish,
        mean_logprob=float(completion.logprobs.mean()) if has_logprobs and completion.logprobs is not None else None,
        scores=scores,
        text=completion.text,
    )


def _group(candidates: list[TrajectoryView], equivalence: Clusterer, kind: Kind) -> list[AnswerGroup]:
    """Return the groups, largest first; of equal size the one stated first, and those without an answer last."""
    numbers = equivalence.cluster([candidate.answer for candidate in candidates], kind)
    members: dict[int | None, list[TrajectoryView]] = {}
    for candidate, number in zip(candidates, numbers, strict=True):
        members.setdefault(number, []).append(candidate)
    order = sorted(members, key=lambda number: (number is None, -len(members[number]), members[number][0].index))
    groups = [members[number] for number in order]
    return [AnswerGroup(group[0].answer, [view.index for view in group], group[0].correct) for group in groups]


def _picks(run: Run, lookup: PoolLookup, pool: Pool) -> list[tuple[str, int | None, str]]:
    picks: list[tuple[str, int | None, str]] = []
    for name in run.selectors():
        selection = lookup.read_selection(name, pool.problem_id)
        if selection is not None:
            index = None if selection.index is None else pool.trajectories[selection.index].index
            picks.append((name, index, selection.note))
    return picks
