"""The selector by execution: it observes what the programs of a pool do, and picks from the group that ranks first.

Rules
    Candidates are the trajectories with a program; those that failed have none. What they do is observed as
    `observing.py` says, and ranked by a rule (`ranking.py`).
    Where nothing can be run, where no trajectory has a program, and where the rule has nothing to rank, the pool
    abstains and the note says why. A pool whose problem is not code is an UnavailableError.
    An error of the sandbox itself is raised: it says nothing about the programs.

This module does not know how programs are isolated, and never sees a target.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nbest.answers.extraction import answer_of
from nbest.errors import UnavailableError
from nbest.protocols import Selector
from nbest.records import Pool, Selection, WorkReport
from nbest.selecting.execution.observing import (
    ExecutionOptions,
    Observer,
    Unobserved,
    describe_candidates,
    read_candidates,
)
from nbest.selecting.execution.ranking import Behaviour, Rule
from nbest.selecting.scored import abstention
from nbest.specs import Need, Spec

NEEDS: frozenset[Need] = frozenset({"sandbox"})


class ExecutionSelector(Selector):
    """Picks the first member of the group that `rule` ranks highest."""

    def __init__(self, name: str, rule: Rule, observer: Observer):
        self.name = name
        self._rule = rule
        self._observer = observer

    def report(self) -> WorkReport:
        return self._observer.report()

    async def select(self, pool: Pool) -> Selection:
        behaviour = await observe_pool(pool, self._observer, self.name)
        if isinstance(behaviour, Selection):
            return behaviour
        ranking = self._rule.rank(behaviour)
        notes = join_notes(ranking.note, *behaviour.notes)
        if not ranking.groups:
            return Selection(pool.problem_id, None, usage=behaviour.usage, note=notes)
        group = ranking.groups[0]
        position = int(behaviour.positions[group.members[0]])
        answer = answer_of(pool.trajectories[position], pool)
        return Selection(pool.problem_id, position, answer, group.confidence, behaviour.usage, notes)


async def observe_pool(pool: Pool, observer: Observer, name: str) -> Behaviour | Selection:
    """Return what the programs of a pool did; an abstention with a note where nothing could be run.

    `name` is the selector's. Raises UnavailableError for a problem that is not code, SandboxError.
    """
    if pool.trajectories and pool.kind != "code":
        raise UnavailableError(
            f"selector {name!r} runs programs: problem {pool.problem_id!r} is of kind {pool.kind!r}, needed is code. "
            "Select by another selector, such as majority."
        )
    if all(trajectory.has_failed for trajectory in pool.trajectories):
        return abstention(pool)
    candidates = read_candidates(pool)
    if not candidates.positions:
        return abstention(pool, describe_candidates(pool))
    behaviour = await observer.observe(pool, candidates)
    if isinstance(behaviour, Unobserved):
        return replace(abstention(pool, behaviour.reason), usage=behaviour.usage)
    return behaviour


def join_notes(*notes: str) -> str:
    """Return the notes that say something, as one."""
    return "; ".join(note for note in notes if note)


def make_observer(context: Any, options: ExecutionOptions, name: str) -> Observer:
    """Return the observer of a selector, from the `BuildContext` it is built with. Raises ConfigError."""
    method = f"selector {name!r}"
    writer = context.require_writer(method) if asks_policy(options) else None
    return Observer(context.require_sandbox(method), options, writer)


def asks_policy(options: ExecutionOptions) -> bool:
    """Return whether a policy is asked to write tests."""
    return options.inputs == "policy"


def make_spec(
    name: str,
    rule: Callable[[Any], Rule],
    summary: str,
    source: str,
    options: type[ExecutionOptions],
    position: int,
) -> Spec:
    """Return the spec of a selector that picks by a rule."""

    def build(context: Any, values: ExecutionOptions, _: str) -> ExecutionSelector:
        return ExecutionSelector(name, rule(values), make_observer(context, values, name))

    return Spec(name, "selector", build, summary, source, options, NEEDS, asks_judge=asks_policy, position=position)
