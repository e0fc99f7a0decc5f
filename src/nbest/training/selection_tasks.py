"""Selection tasks: which candidates of a verified pool are put before a generative selector, and in which order.

A task is 2 to `most` distinct candidates of one problem, at least one right and at most half right. The number of
candidates is drawn from a normal distribution truncated to [2, most] (on whole numbers), the number of right ones
evenly from what the pool and the rule allow, the candidates and their order evenly. Each task has a random generator of
its own, seeded by (seed, problem id, task number) and read by `random()` alone, which Python keeps the same everywhere:
a task depends on neither machine nor order of work.

This module does not know files, tokenizers, prompts or models.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from nbest.judging.prompts import show_candidate
from nbest.records import Kind, Trajectory, derive_seed
from nbest.training.settings import TasksConfig

REDRAWS = 32
"""How often a task is drawn again whose candidates are those of an earlier task of its problem."""

CODE_CANDIDATE_TOKENS = 12_288


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """A trajectory under the id it has in tasks, and its verdict: `is_correct` None = could not be judged."""

    id: str
    trajectory: Trajectory
    is_correct: bool | None
    answer: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SourcePool:
    """All attempts at one problem, of one run or of several."""

    problem_id: str
    prompt: str
    kind: Kind
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An attempt as it is shown. `answer` is what its verdict read."""

    id: str
    text: str
    is_correct: bool
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class TaskChoice:
    """`places` of a task's candidates in the list they were chosen from, in the order shown; `number` from 0."""

    number: int
    places: tuple[int, ...]


def measure_pass_rate(pool: SourcePool) -> float | None:
    """The share of right ones among the judged attempts that did not fail, cut ones and duplicates included.

    None where there is no such attempt.
    """
    verdicts = [a.is_correct for a in pool.attempts if not _is_failed(a) and a.is_correct is not None]
    return sum(verdicts) / len(verdicts) if verdicts else None


def gather_candidates(pool: SourcePool, settings: TasksConfig) -> tuple[list[Candidate], Counter[str]]:
    """The distinct candidates of a pool in its order, and how many attempts were left out for which reason.

    Of attempts that are shown with the same text the first stays; where their verdicts contradict each other, none.
    """
    left_out: Counter[str] = Counter()
    found: dict[bytes, Candidate] = {}
    contradicted: set[bytes] = set()
    for attempt in pool.attempts:
        reason = _find_obstacle(attempt, settings)
        text = "" if reason else show_candidate(attempt.trajectory.completion.text, settings.thinking, pool.kind)
        if reason or not text:
            left_out[reason or "nothing to show"] += 1
            continue
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        candidate = Candidate(attempt.id, text, bool(attempt.is_correct), attempt.answer)
        first = found.setdefault(key, candidate)
        if first is not candidate:
            left_out["duplicate"] += 1
        if first.is_correct != candidate.is_correct:
            contradicted.add(key)
    left_out["contradictory verdicts"] += len(contradicted)
    return [candidate for key, candidate in found.items() if key not in contradicted], +left_out


def find_fault(pass_rate: float | None, candidates: Sequence[Candidate], settings: TasksConfig) -> str:
    """Why a problem gives no tasks; empty where it does."""
    right = sum(candidate.is_correct for candidate in candidates)
    if pass_rate is None:
        return "no judged attempt"
    if pass_rate >= settings.max_pass_rate:
        return "pass rate not below the limit"
    if len(candidates) < settings.solutions:
        return "too few distinct candidates"
    if not right:
        return "no right candidate"
    return "" if right < len(candidates) else "no wrong candidate"


def choose_tasks(problem_id: str, candidates: Sequence[Candidate], settings: TasksConfig) -> Iterator[TaskChoice]:
    """Up to `per_problem` tasks, no two with the same candidates.

    Needs a right and a wrong candidate. Fewer come where a pool is so small that new sets are not found.
    """
    right = [place for place, candidate in enumerate(candidates) if candidate.is_correct]
    wrong = [place for place, candidate in enumerate(candidates) if not candidate.is_correct]
    seen: set[frozenset[int]] = set()
    for number in range(settings.per_problem):
        rng = Random(derive_seed(settings.seed, problem_id, number))
        for _ in range(REDRAWS):
            places = _draw(rng, right, wrong, settings)
            if frozenset(places) not in seen:
                seen.add(frozenset(places))
                yield TaskChoice(number, places)
                break


def draw_count(rng: Random, top: int, mean: float, deviation: float) -> int:
    """A whole number in [2, top] with probability in proportion to the normal density at it."""
    exponents = [-((count - mean) ** 2) / (2 * deviation**2) for count in range(2, top + 1)]
    weights = [math.exp(exponent - max(exponents)) for exponent in exponents]
    rest = rng.random() * math.fsum(weights)
    for count, weight in enumerate(weights, start=2):
        rest -= weight
        if rest < 0:
            return count
    return top


def _draw(rng: Random, right: Sequence[int], wrong: Sequence[int], settings: TasksConfig) -> tuple[int, ...]:
    # At most half right: no more than twice as many candidates as there are wrong ones.
    top = min(settings.most, len(right) + len(wrong), 2 * len(wrong))
    count = draw_count(rng, top, settings.mean_candidates, settings.sd_candidates)
    fewest, most = max(1, count - len(wrong)), min(len(right), count // 2)
    of_right = fewest + _below(rng, most - fewest + 1)
    chosen = _shuffle(rng, right)[:of_right] + _shuffle(rng, wrong)[: count - of_right]
    return tuple(_shuffle(rng, chosen))


def _below(rng: Random, limit: int) -> int:
    return min(int(rng.random() * limit), limit - 1)


def _shuffle(rng: Random, places: Sequence[int]) -> list[int]:
    """Fisher and Yates."""
    shuffled = list(places)
    for last in range(len(shuffled) - 1, 0, -1):
        other = _below(rng, last + 1)
        shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
    return shuffled


def _is_failed(attempt: Attempt) -> bool:
    return attempt.trajectory.completion.finish == "error"


def _find_obstacle(attempt: Attempt, settings: TasksConfig) -> str:
    if _is_failed(attempt):
        return "failed"
    if attempt.is_correct is None:
        return "could not be judged"
    return "truncated" if attempt.trajectory.completion.finish == "length" and not settings.truncated else ""
