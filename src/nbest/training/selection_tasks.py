"""Choose the candidates of selection tasks: which trajectories of a verified pool are shown, and in which order.

A task has 2 to `most` distinct candidates of one problem, at least one right and at most half right. The number of
candidates is drawn from a normal distribution truncated to [2, most] (on whole numbers), the number of right ones
uniformly from the numbers that the pool and the rule allow, the candidates and their order uniformly. Each task has its
own random generator, seeded by (seed, problem id, task number) and read by `random()` alone, whose sequence is the same
in every version of Python: a task depends neither on the machine nor on the order of work.

This module does not know files, tokenizers, prompts or models.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from nbest.answers.extraction import answer_of
from nbest.judging.prompts import show_candidate
from nbest.records import CodeTask, Kind, Trajectory, derive_seed
from nbest.training.settings import TasksConfig

REDRAWS = 32
"""How often a task is redrawn if an earlier task of its problem has the same candidates."""

CODE_CANDIDATE_TOKENS = 12_288
"""The default limit on the length of candidates that are code."""


@dataclass(frozen=True, slots=True, eq=False)
class GradedTrajectory:
    """A trajectory under its id in tasks, with its verdict: `is_correct` is None if it is ungraded."""

    id: str
    trajectory: Trajectory
    is_correct: bool | None
    answer: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SourcePool:
    """All trajectories of one problem, from one run or from several."""

    problem_id: str
    prompt: str
    kind: Kind
    trajectories: tuple[GradedTrajectory, ...]
    answer_rule: str = "default"
    code: CodeTask | None = None


@dataclass(frozen=True, slots=True)
class TaskCandidate:
    """A trajectory as the prompt of a task shows it. `answer` is the answer that its verdict was given for."""

    id: str
    text: str
    is_correct: bool
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class TaskChoice:
    """The choice of one task: `indices` into the list of candidates, in the order shown; `number` counts from 0."""

    number: int
    indices: tuple[int, ...]


def measure_pass_rate(pool: SourcePool) -> float | None:
    """Return the share of right trajectories among the graded ones that did not fail.

    Truncated trajectories and duplicates count. None if there is no graded trajectory.
    """
    verdicts = [t.is_correct for t in pool.trajectories if not _has_failed(t) and t.is_correct is not None]
    return sum(verdicts) / len(verdicts) if verdicts else None


def gather_candidates(pool: SourcePool, settings: TasksConfig) -> tuple[list[TaskCandidate], Counter[str]]:
    """Return the distinct candidates of a pool in its order, and how many trajectories were excluded for which reason.

    Of trajectories that are shown with the same text, the first is taken; if their verdicts contradict each other,
    none.
    """
    exclusions: Counter[str] = Counter()
    candidates: dict[bytes, TaskCandidate] = {}
    contradictions: set[bytes] = set()
    for member in pool.trajectories:
        reason = _find_obstacle(member, settings)
        text = "" if reason else _show(member, pool, settings)
        if reason or not text:
            exclusions[reason or "nothing to show"] += 1
            continue
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        candidate = TaskCandidate(member.id, text, bool(member.is_correct), member.answer)
        first = candidates.setdefault(key, candidate)
        if first is not candidate:
            exclusions["duplicate"] += 1
        if first.is_correct != candidate.is_correct:
            contradictions.add(key)
    exclusions["contradictory verdicts"] += len(contradictions)
    return [candidate for key, candidate in candidates.items() if key not in contradictions], +exclusions


def _show(member: GradedTrajectory, pool: SourcePool, settings: TasksConfig) -> str:
    answer = answer_of(member.trajectory, pool) if settings.thinking == "answer" else None
    return show_candidate(member.trajectory.completion.text, settings.thinking, pool.kind, answer, pool.code)


def find_fault(pass_rate: float | None, candidates: Sequence[TaskCandidate], settings: TasksConfig) -> str:
    """Return the reason why a problem gives no tasks; an empty string if it gives tasks."""
    right = sum(candidate.is_correct for candidate in candidates)
    if pass_rate is None:
        return "no graded trajectory"
    if pass_rate >= settings.max_pass_rate:
        return "pass rate not below the limit"
    if len(candidates) < settings.solutions:
        return "too few distinct candidates"
    if not right:
        return "no right candidate"
    return "" if right < len(candidates) else "no wrong candidate"


def choose_tasks(problem_id: str, candidates: Sequence[TaskCandidate], settings: TasksConfig) -> Iterator[TaskChoice]:
    """Yield up to `per_problem` tasks, no two with the same set of candidates.

    Requires a right and a wrong candidate. A small pool may give fewer tasks, because its distinct sets are few.
    """
    right = [index for index, candidate in enumerate(candidates) if candidate.is_correct]
    wrong = [index for index, candidate in enumerate(candidates) if not candidate.is_correct]
    candidate_sets: set[frozenset[int]] = set()
    for number in range(settings.per_problem):
        rng = Random(derive_seed(settings.seed, problem_id, number))
        for _ in range(REDRAWS):
            indices = _draw_candidates(rng, right, wrong, settings)
            if frozenset(indices) not in candidate_sets:
                candidate_sets.add(frozenset(indices))
                yield TaskChoice(number, indices)
                break


def draw_count(rng: Random, most: int, mean: float, deviation: float) -> int:
    """Draw a whole number in [2, most] with probability proportional to the normal density at it."""
    exponents = [-((count - mean) ** 2) / (2 * deviation**2) for count in range(2, most + 1)]
    weights = [math.exp(exponent - max(exponents)) for exponent in exponents]
    remainder = rng.random() * math.fsum(weights)
    for count, weight in enumerate(weights, start=2):
        remainder -= weight
        if remainder < 0:
            return count
    return most


def _draw_candidates(rng: Random, right: Sequence[int], wrong: Sequence[int], settings: TasksConfig) -> tuple[int, ...]:
    """Return the candidates of one task in the order shown, drawn from the indices of right and of wrong candidates."""
    # At most half of the candidates are right, so a task has at most twice as many candidates as there are wrong ones.
    size_limit = min(settings.most, len(right) + len(wrong), 2 * len(wrong))
    count = draw_count(rng, size_limit, settings.mean_candidates, settings.sd_candidates)
    least_right, most_right = max(1, count - len(wrong)), min(len(right), count // 2)
    right_count = least_right + _draw_below(rng, most_right - least_right + 1)
    indices = _shuffle(rng, right)[:right_count] + _shuffle(rng, wrong)[: count - right_count]
    return tuple(_shuffle(rng, indices))


def _draw_below(rng: Random, limit: int) -> int:
    """Draw a whole number in [0, limit) uniformly."""
    return min(int(rng.random() * limit), limit - 1)


def _shuffle(rng: Random, indices: Sequence[int]) -> list[int]:
    """Return a uniform permutation (Fisher-Yates)."""
    shuffled = list(indices)
    for last in range(len(shuffled) - 1, 0, -1):
        index = _draw_below(rng, last + 1)
        shuffled[last], shuffled[index] = shuffled[index], shuffled[last]
    return shuffled


def _has_failed(member: GradedTrajectory) -> bool:
    return member.trajectory.completion.finish == "error"


def _find_obstacle(member: GradedTrajectory, settings: TasksConfig) -> str:
    if _has_failed(member):
        return "failed"
    if member.is_correct is None:
        return "ungraded"
    return "truncated" if member.trajectory.completion.finish == "length" and not settings.truncated else ""
