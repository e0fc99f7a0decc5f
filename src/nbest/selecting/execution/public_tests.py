"""The selector `public-tests`: programs that pass the tests of the problem statement first.

Rules
    The program that passes most public tests wins, so that those that pass all of them go before all others. Of equal
    ones the one with the lowest index (`tie=index`), or the most frequent behaviour on all inputs and then the lowest
    index (`tie=behaviour`).
    `confidence` is the share of the programs that pass the same public tests as the pick and behave as it does on all
    inputs.
    A problem that shows no tests, and a pool in which no program passes one, abstains.

This module does not know how programs run, and never sees a target.
"""

from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from nbest.plurals import show_count
from nbest.selecting.execution.observing import ExecutionOptions
from nbest.selecting.execution.ranking import Behaviour, Group, Ranking, order_members
from nbest.selecting.execution.selector import join_notes, make_spec
from nbest.specs import Spec


class PublicTestsOptions(ExecutionOptions):
    """`tie` decides between programs that pass equally many public tests."""

    tie: Literal["index", "behaviour"] = "index"

    @model_validator(mode="after")
    def _check_inputs(self) -> Self:
        if self.inputs == "generated":
            raise ValueError(
                "inputs: got 'generated', which leaves out the public tests; allowed: auto, public, policy"
            )
        return self


class PublicTestsRule:
    """Ranks programs by the number of public tests that they pass."""

    def __init__(self, options: PublicTestsOptions):
        self._options = options

    def rank(self, behaviour: Behaviour) -> Ranking:
        total = behaviour.public.shape[1]
        if not total:
            return Ranking((), "the problem shows no tests")
        counts = behaviour.public.sum(axis=1)
        if not counts.any():
            return Ranking((), f"no program passes any of {show_count(total, 'public test')}")
        groups = [
            self._make_group(behaviour, counts, int(count)) for count in sorted(set(counts.tolist()), reverse=True)
        ]
        most = int(counts.max())
        note = "" if most == total else f"no program passes more than {most} of {show_count(total, 'public test')}"
        tied = len(groups[0].members)
        equal = f"{show_count(tied, 'program')} pass equally many public tests" if tied > 1 else ""
        return Ranking(tuple(groups), join_notes(note, equal))

    def _make_group(
        self, behaviour: Behaviour, counts: "np.ndarray[tuple[int], np.dtype[np.int64]]", count: int
    ) -> Group:
        members = [int(member) for member in np.flatnonzero(counts == count)]
        if self._options.tie == "behaviour":
            members = list(order_members(behaviour, members))
        same = (behaviour.outputs == behaviour.outputs[members[0]]).all(axis=1)
        same &= (behaviour.public == behaviour.public[members[0]]).all(axis=1)
        return Group(tuple(members), float(count), float(same.mean()))


SPECS: tuple[Spec, ...] = (
    make_spec(
        "public-tests",
        PublicTestsRule,
        "The first program that passes all tests of the problem statement.",
        "",
        PublicTestsOptions,
        40,
    ),
)
