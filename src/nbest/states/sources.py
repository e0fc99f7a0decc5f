"""The `StateSource` of hidden states in memory: those that a sampler has just captured.

This module does not know files, models or scorers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from nbest.errors import UnavailableError
from nbest.records import HiddenStates, StatesEntry, Trajectory
from nbest.storage.bfloat16 import from_bfloat16, to_bfloat16


class CapturedSource:
    """The hidden states that trajectories carry in `Completion.states`.

    `origin` describes their policy (`sampling.policies.origin_of`). Values are rounded to the precision of a run's
    parts (bf16), so that a scorer returns the same scores for captured and for stored states.
    """

    def __init__(self, trajectories: Sequence[Trajectory], origin: Mapping[str, str]):
        self._states = {t.id: states for t in trajectories if (states := t.completion.states) is not None}
        self._origin = origin

    @property
    def is_empty(self) -> bool:
        return not self._states

    def find(self, trajectory_id: str) -> StatesEntry | None:
        states = self._states.get(trajectory_id)
        if states is None:
            return None
        return StatesEntry(len(states.steps), states.layers, self._origin, "the policy")

    def read(self, trajectory_ids: Iterable[str]) -> Iterator[HiddenStates]:
        for key in trajectory_ids:
            if key not in self._states:
                raise UnavailableError(f"no hidden states of {key!r}: the policy captured none")
            states = self._states[key]
            yield replace(states, values=from_bfloat16(to_bfloat16(states.values)))


NO_STATES = CapturedSource((), {})
"""The source for scorers that read no hidden states."""
