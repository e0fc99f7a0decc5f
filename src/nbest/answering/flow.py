"""Answer one question: draw its pool, score it, select.

Everything here runs on one event loop. This module does not know how settings are read, how a policy is loaded, where
a pool is kept, or how callers on other threads wait.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TypeAlias

from nbest.answering.events import Event, Result, Scored, Selected, TrajectoryFinished
from nbest.answering.keeping import Keeper
from nbest.answering.opening import Session
from nbest.answers.extraction import answer_of
from nbest.errors import EngineError
from nbest.plurals import show_count
from nbest.programs.tasks import code_task
from nbest.protocols import Clusterer, Sampler
from nbest.records import (
    Message,
    Pool,
    Problem,
    Score,
    Selection,
    Trajectory,
    Usage,
    derive_seed,
    trajectory_id,
)

OnEvent: TypeAlias = Callable[[Event], None]


class Tally:
    """Counts the answers of a pool's trajectories as they finish."""

    def __init__(self, equivalence: Clusterer, problem: Problem, total: int):
        self._equivalence, self._total = equivalence, total
        self._problem = problem
        self._finished = 0
        self._counts: Counter[str] = Counter()

    async def add(self, trajectory: Trajectory) -> TrajectoryFinished:
        """Count one more trajectory and return its event."""
        answer = None if trajectory.has_failed else answer_of(trajectory, self._problem)
        self._finished += 1
        if answer is not None:
            self._counts[answer] += 1
        leader, votes = await self._find_leader()
        return TrajectoryFinished(self._finished, self._total, trajectory, answer, leader, votes)

    async def _find_leader(self) -> tuple[str | None, int]:
        """Return the answer with the most votes and their number; in a tie, the one stated first."""
        answers = list(self._counts)
        if not answers:
            return None, 0
        clusters = await asyncio.to_thread(self._equivalence.cluster, answers, self._problem.kind)
        votes: Counter[int] = Counter()
        first_answers: dict[int, str] = {}
        for answer, cluster in zip(answers, clusters, strict=True):
            if cluster is not None:
                votes[cluster] += self._counts[answer]
                first_answers.setdefault(cluster, answer)
        if not votes:
            return None, 0
        # Clusters are numbered by first appearance, and `max` takes the first of equal ones.
        leader = max(sorted(votes), key=lambda cluster: votes[cluster])
        return first_answers[leader], votes[leader]


async def answer_problem(
    session: Session, keeper: Keeper, problem: Problem, messages: Sequence[Message], on_event: OnEvent | None = None
) -> Result:
    """Draw the pool of one problem, score it and select from it.

    `on_event` is called with every event, in order; if it is None, no votes are counted on the way. Cancelling this
    cancels unfinished draws; `keeper` has the finished ones. Raises what the policy, a scorer or the selector raises.
    """
    start = time.perf_counter()
    tally = Tally(session.equivalence, problem, session.plan.n)
    trajectories: list[Trajectory] = []
    async with aclosing(_draw(session, keeper, problem, messages)) as finished:
        async for trajectory in finished:
            trajectories.append(trajectory)
            if on_event is not None:
                on_event(await tally.add(trajectory))
    pool = _make_pool(problem, trajectories, session.plan.n)
    usage = _count_usage(session.sampler, pool, time.perf_counter() - start)
    # Scores are looked up by trajectory id: questions of one id take turns.
    async with session.turns.take(problem.id):
        try:
            scores = await _score(session, keeper, pool, on_event)
            selection = await session.selector.select(pool)
        finally:
            session.forget_scores(pool)
    await keeper.keep_selection(selection)
    result = await _make_result(session, pool, scores, selection, usage)
    if on_event is not None:
        on_event(Selected(result))
    return result


async def _draw(
    session: Session, keeper: Keeper, problem: Problem, messages: Sequence[Message]
) -> AsyncGenerator[Trajectory, None]:
    """Yield the trajectories that `keeper` has stored, then the others as they finish."""
    stored_trajectories = await keeper.begin(problem, session.plan.n)
    for trajectory in stored_trajectories:
        yield trajectory
    missing = sorted(set(range(session.plan.n)) - {trajectory.index for trajectory in stored_trajectories})
    index_by_seed = {derive_seed(session.plan.seed, problem.id, index): index for index in missing}
    if not index_by_seed:
        return
    try:
        async with aclosing(session.sampler.sample(messages, list(index_by_seed), session.params)) as completions:
            async for seed, completion in completions:
                index = index_by_seed[seed]
                trajectory = Trajectory(trajectory_id(problem.id, index), problem.id, index, seed, completion)
                await keeper.keep_trajectory(trajectory)
                yield trajectory
    finally:
        await keeper.flush()


def _make_pool(problem: Problem, trajectories: Sequence[Trajectory], n: int) -> Pool:
    members = tuple(sorted(trajectories, key=lambda trajectory: trajectory.index))
    indices = [trajectory.index for trajectory in members]
    if indices != list(range(n)):
        raise EngineError(
            f"problem {problem.id!r}: the sampler gave the trajectories {indices}, not one for each of its "
            f"{show_count(n, 'seed')}"
        )
    return Pool(problem.id, problem.prompt, members, problem.kind, problem.answer_rule, code_task(problem))


async def _score(
    session: Session, keeper: Keeper, pool: Pool, on_event: OnEvent | None
) -> dict[str, tuple[Score, ...]]:
    """Score the pool with every scorer that the selector reads, and put the scores where it looks them up."""
    states = keeper.states_of(pool)
    pool_scores: dict[str, tuple[Score, ...]] = {}
    for name, scorer in session.scorers.items():
        scores = tuple(await scorer.score(pool, states))
        session.scores[name].update((score.trajectory_id, score) for score in scores)
        await keeper.keep_scores(name, scores)
        pool_scores[name] = scores
        if on_event is not None:
            on_event(Scored(name, scores))
    return pool_scores


def _count_usage(sampler: Sampler, pool: Pool, seconds: float) -> Usage:
    """Return what the trajectories cost; the prompt counts for each of them, as everywhere in nbest."""
    usage = Usage(seconds=seconds)
    for trajectory in pool.trajectories:
        counts = trajectory.completion.count_usage()
        flops = sampler.count_flops(counts.prompt_tokens, counts.sampled_tokens)
        usage += Usage(counts.prompt_tokens, counts.sampled_tokens, flops)
    return usage


async def _make_result(
    session: Session, pool: Pool, scores: dict[str, tuple[Score, ...]], selection: Selection, usage: Usage
) -> Result:
    answers = tuple(None if trajectory.has_failed else answer_of(trajectory, pool) for trajectory in pool.trajectories)
    index, answer, text, votes = selection.index, None, None, 0
    if index is not None:
        if not 0 <= index < len(answers):
            raise EngineError(
                f"problem {pool.problem_id!r}: the selector picked index {index} of "
                f"{show_count(len(answers), 'trajectory')}"
            )
        answer = answers[index] if selection.answer is None else selection.answer
        text = pool.trajectories[index].completion.text
        clusters = await asyncio.to_thread(session.equivalence.cluster, answers, pool.kind)
        votes = 0 if clusters[index] is None else clusters.count(clusters[index])
    return Result(
        answer, text, index, selection.confidence, pool, answers, votes, scores, selection, usage + selection.usage
    )
