"""One pool of a run as plain values: its answers, its candidates, and which one each selector picked.

This module does not know terminals or pages; whoever shows a pool draws these values.
"""

from dataclasses import asdict, dataclass
from typing import Any

from nbest.errors import DataError
from nbest.records import Pool, Problem, Trajectory, Verdict
from nbest.storage.run import Run
from nbest.text.answers import answer_of
from nbest.verifying.equivalence import Clusterer


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trajectory as it is shown. `correct` None = not judged, or not verified yet."""

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
    """Candidates with one answer, by the relation that votes and grades; `answer` None = none was stated."""

    answer: str | None
    indices: list[int]
    correct: bool | None


@dataclass(frozen=True, slots=True)
class PoolPage:
    """`picks` holds (selector, trajectory index or None where it abstained, note)."""

    problem: Problem
    candidates: list[Candidate]
    answers: list[AnswerGroup]
    picks: list[tuple[str, int | None, str]]

    @property
    def scorers(self) -> list[str]:
        return sorted({name for candidate in self.candidates for name in candidate.scores})

    def candidate_at(self, index: int | None) -> Candidate:
        """The one with this index; without one the first pick of a selector, else the first candidate."""
        if index is None:
            index = next((at for _, at, _ in self.picks if at is not None), self.candidates[0].index)
        for candidate in self.candidates:
            if candidate.index == index:
                return candidate
        known = f"{self.candidates[0].index} to {self.candidates[-1].index}"
        raise DataError(f"problem {self.problem.id!r} has no trajectory of index {index}; there are {known}")

    def correct_at(self, index: int | None) -> bool | None:
        return None if index is None else self.candidate_at(index).correct

    def to_json(self) -> dict[str, Any]:
        return {
            "problem_id": self.problem.id,
            "prompt": self.problem.prompt,
            "target": self.problem.target,
            "answers": [asdict(group) for group in self.answers],
            "picks": [{"selector": name, "index": at, "note": note} for name, at, note in self.picks],
            "candidates": [asdict(candidate) for candidate in self.candidates],
        }


def inspect_pool(run: Run, problem: str, equivalence: Clusterer) -> PoolPage:
    """The page of a problem, given by its id or its position in the run. Raises DataError where there is none."""
    found = _find_problem(run, problem)
    pool = next(iter(run.pools([found.id])))
    ids = {trajectory.id for trajectory in pool.trajectories}
    verdicts = {v.trajectory_id: v for v in run.verdicts() if v.trajectory_id in ids}
    scores: dict[str, dict[str, float]] = {id: {} for id in ids}
    for name in run.scorers():
        for score in run.scores(name):
            if score.trajectory_id in ids:
                scores[score.trajectory_id][name] = score.value
    candidates = [_candidate(t, pool, verdicts.get(t.id), scores[t.id]) for t in pool.trajectories]
    return PoolPage(found, candidates, _group(candidates, equivalence), _picks(run, pool))


def _find_problem(run: Run, problem: str) -> Problem:
    if problem.isdecimal():
        for position, each in enumerate(run.problems()):
            if position == int(problem):
                return each
    return run.problem(problem)


def _candidate(trajectory: Trajectory, pool: Pool, verdict: Verdict | None, scores: dict[str, float]) -> Candidate:
    completion = trajectory.completion
    has_logprobs = completion.logprobs is not None and len(completion.logprobs) > 0
    return Candidate(
        index=trajectory.index,
        answer=verdict.answer if verdict is not None else answer_of(trajectory, pool.kind),
        correct=verdict.correct if verdict is not None else None,
        sampled_tokens=completion.count_usage().sampled_tokens,
        finish=completion.finish,
        mean_logprob=float(completion.logprobs.mean()) if has_logprobs and completion.logprobs is not None else None,
        scores=scores,
        text=completion.text,
    )


def _group(candidates: list[Candidate], equivalence: Clusterer) -> list[AnswerGroup]:
    """Largest first; of equal size, the one stated first; those without an answer last."""
    numbers = equivalence.cluster([candidate.answer for candidate in candidates])
    members: dict[int | None, list[Candidate]] = {}
    for candidate, number in zip(candidates, numbers, strict=True):
        members.setdefault(number, []).append(candidate)
    order = sorted(members, key=lambda number: (number is None, -len(members[number]), members[number][0].index))
    return [AnswerGroup(m[0].answer, [c.index for c in m], m[0].correct) for m in (members[n] for n in order)]


def _picks(run: Run, pool: Pool) -> list[tuple[str, int | None, str]]:
    picks: list[tuple[str, int | None, str]] = []
    for name in run.selectors():
        for selection in run.selections(name):
            if selection.problem_id == pool.problem_id:
                at = None if selection.index is None else pool.trajectories[selection.index].index
                picks.append((name, at, selection.note))
    return picks
