"""Rank groups of programs by what they did: the part that all rules of selection by execution share.

A rule puts the candidates of a pool into groups and orders the groups. The first group wins, and the pick is its first
member. The order of the members is the same for every rule: those whose behaviour on all inputs is the most frequent in
the group first, then the lower index. So a group of programs that pass the same tests, of which some differ on other
inputs, is represented by what most of them do.

This module does not know sandboxes, tests or runs, and never sees a target. Shapes: C candidates by index, I inputs,
T tests, U public tests.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nbest.plurals import agree, show_part
from nbest.records import Usage


@dataclass(frozen=True, slots=True, eq=False)
class Behaviour:
    """What the programs of a pool did.

    `positions` [C] are the candidates' positions in the pool, ordered by index. `outputs` [C, I] numbers the behaviours
    on each input: equal numbers of a column are equal behaviour. `answered` [C, I] is whether the program returned a
    value or ran to its end. `passed` [C, T] is whether a program passes a test, `weights` [T] how often the test was
    written. `public` [C, U] is the same for the tests that the problem shows. `notes` say what was left out, `usage`
    what tests that a policy wrote for this pool have cost.
    """

    positions: NDArray[np.int64]
    outputs: NDArray[np.int64]
    answered: NDArray[np.bool_]
    passed: NDArray[np.bool_]
    weights: NDArray[np.int64]
    public: NDArray[np.bool_]
    notes: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)

    def take(self, members: Sequence[int]) -> "Behaviour":
        """Return the behaviour of some of the candidates, given by their numbers."""
        rows = np.array(members, dtype=np.int64)
        return Behaviour(
            self.positions[rows],
            self.outputs[rows],
            self.answered[rows],
            self.passed[rows],
            self.weights,
            self.public[rows],
            self.notes,
            self.usage,
        )

    def keep_public(self) -> "tuple[NDArray[np.int64], str]":
        """Return the numbers of the candidates that pass all tests of the problem, and a note.

        All candidates where the problem shows no tests, or where none passes them all.
        """
        count, everyone = self.public.shape[1], np.arange(len(self.positions))
        survivors = np.flatnonzero(self.public.all(axis=1))
        if not count or len(survivors) == len(everyone):
            return everyone, ""
        if not len(survivors):
            return everyone, "no program passes all public tests"
        count = len(survivors)
        return survivors, f"{show_part(count, len(everyone), 'program')} {agree(count, 'passes')} all public tests"


@dataclass(frozen=True, slots=True)
class Group:
    """Candidates that a rule does not tell apart, by their numbers; the first one is the pick.

    `score` orders groups, the highest first. `confidence` is between 0 and 1, None if the rule has none.
    """

    members: tuple[int, ...]
    score: float
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The groups of a pool, best first; none where the rule abstains, and `note` says why."""

    groups: tuple[Group, ...]
    note: str = ""


class Rule(Protocol):
    """Ranks the programs of a pool."""

    def rank(self, behaviour: Behaviour) -> Ranking:
        """Return the groups; at least one candidate has been run."""
        ...


def measure_agreement(behaviour: Behaviour, candidate: int) -> float:
    """Return the share of all programs' answers that are the candidate's: 1 where every program answers as it does.

    What ends in an exception or at a limit is no answer, and agrees with nothing.
    """
    if not behaviour.outputs.shape[1]:
        return 0.0
    same = (behaviour.outputs == behaviour.outputs[candidate]) & behaviour.answered & behaviour.answered[candidate]
    return float(same.mean())


def group_rows(rows: NDArray[np.generic], candidates: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the candidates with equal rows of `rows` [C, ...] together, groups and members in the order given."""
    groups: dict[bytes, list[int]] = {}
    for candidate in candidates:
        groups.setdefault(np.ascontiguousarray(rows[candidate]).tobytes(), []).append(int(candidate))
    return [tuple(members) for members in groups.values()]


def order_members(behaviour: Behaviour, members: Sequence[int]) -> tuple[int, ...]:
    """Return members of a group, the most frequent behaviour on all inputs first, then by index."""
    keys = {member: behaviour.outputs[member].tobytes() for member in members}
    counts = Counter(keys.values())
    return tuple(sorted(members, key=lambda member: (-counts[keys[member]], member)))


def rank_groups(behaviour: Behaviour, scores: Sequence[tuple[tuple[int, ...], float, float | None]]) -> list[Group]:
    """Return groups of (members, score, confidence), the highest score first.

    Of equal scores the group with more members goes first, then the one whose first member has the lowest index.
    """
    groups = [Group(order_members(behaviour, members), score, confidence) for members, score, confidence in scores]
    return sorted(groups, key=lambda group: (-group.score, -len(group.members), min(group.members)))
