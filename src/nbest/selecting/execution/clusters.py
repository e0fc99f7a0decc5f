"""Selectors that look at what programs answer: `behaviour`, the majority vote of code, and `mbr-exec`.

Rules
    Every program that answers at least one input votes. Programs with equal behaviour on all inputs are one cluster
    (AlphaCode, arXiv 2203.07814). `behaviour` picks from the largest cluster; `confidence` is its share of the votes.
    `mbr-exec` picks the program with the least expected loss, where every other program is as likely to be right as any
    (MBR-Exec, arXiv 2204.11454). The loss of two programs is the share of the inputs on which they do not give the same
    answer (`loss=soft`), or 1 if there is one such input (`loss=hard`, as in the paper). What ends in an exception or
    at a limit is equal to nothing there, not even to another exception. `confidence` is the share of all programs'
    answers that are those of the pick.
    Where the problem shows tests, programs that fail one do not vote, unless all do (`public=ignore`: they vote too).
    Ties: `ranking.py`.
    Without a program that answers any input the pool abstains.

This module does not know how programs run, and never sees a target.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nbest.plurals import agree, show_part
from nbest.selecting.execution.observing import ExecutionOptions
from nbest.selecting.execution.ranking import Behaviour, Ranking, group_rows, measure_agreement, rank_groups
from nbest.selecting.execution.selector import join_notes, make_spec
from nbest.specs import Spec


class ClusterOptions(ExecutionOptions):
    """`public` says whether programs that fail a test of the problem statement are left out."""

    public: Literal["filter", "ignore"] = "filter"


class RiskOptions(ClusterOptions):
    """`loss` of two programs: the share of the inputs on which they differ, or 1 if they differ at all."""

    loss: Literal["soft", "hard"] = "soft"


class ClusterRule:
    """Ranks clusters of equal behaviour by their size."""

    def __init__(self, options: ClusterOptions):
        self._options = options

    def rank(self, behaviour: Behaviour) -> Ranking:
        voters, note = find_voters(behaviour, self._options.public)
        if not len(voters):
            return Ranking((), "no program answers any input")
        clusters = group_rows(behaviour.outputs, voters.tolist())
        scores = [(members, float(len(members)), len(members) / len(voters)) for members in clusters]
        return Ranking(tuple(rank_groups(behaviour, scores)), note)


class RiskRule:
    """Ranks programs by their expected loss; equal programs share a group."""

    def __init__(self, options: RiskOptions):
        self._options = options

    def rank(self, behaviour: Behaviour) -> Ranking:
        voters, note = find_voters(behaviour, self._options.public)
        if not len(voters):
            return Ranking((), "no program answers any input")
        outputs, answered = behaviour.outputs[voters], behaviour.answered[voters]
        # Counts, because the rounding of means would decide between equal ones.
        agreement = np.zeros(len(voters), dtype=np.int64)
        for number in range(len(voters)):
            same = (outputs == outputs[number]) & answered & answered[number]
            agreement[number] = (same.all(axis=1) if self._options.loss == "hard" else same).sum()
        by_candidate = dict(zip(voters.tolist(), agreement.tolist(), strict=True))
        scores = [
            (members, by_candidate[members[0]], measure_agreement(behaviour, members[0]))
            for members in group_rows(behaviour.outputs, voters.tolist())
        ]
        return Ranking(tuple(rank_groups(behaviour, scores)), note)


def find_voters(behaviour: Behaviour, public: Literal["filter", "ignore"]) -> tuple[NDArray[np.int64], str]:
    """Return the numbers of the programs that answer an input and pass the public tests where any does; and a note."""
    everyone = np.arange(len(behaviour.positions))
    survivors, note = behaviour.keep_public() if public == "filter" else (everyone, "")
    voters = survivors[behaviour.answered[survivors].any(axis=1)]
    silent = len(survivors) - len(voters)
    programs = f"{show_part(silent, len(survivors), 'program')} {agree(silent, 'answers')}"
    return voters, join_notes(note, f"{programs} no input" if silent else "")


SPECS: tuple[Spec, ...] = (
    make_spec(
        "behaviour",
        ClusterRule,
        "The largest cluster of programs with equal behaviour: the majority vote of code.",
        "AlphaCode, arXiv 2203.07814",
        ClusterOptions,
        41,
    ),
    make_spec(
        "mbr-exec",
        RiskRule,
        "The program with the least expected loss: it answers most inputs as the others do.",
        "MBR-Exec, arXiv 2204.11454",
        RiskOptions,
        42,
    ),
)
