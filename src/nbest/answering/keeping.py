"""Where the pools of questions are stored: nowhere, unless there is a run folder (see `run_keeping.py`)."""

from collections.abc import Mapping, Sequence

from nbest.protocols import StateSource
from nbest.records import Pool, Problem, Score, Selection, Trajectory
from nbest.states.sources import CapturedSource


class Keeper:
    """Stores nothing beyond the result. `origin` names the policy of the trajectories' hidden states."""

    def __init__(self, origin: Mapping[str, str]):
        self._origin = origin

    async def begin(self, problem: Problem, n: int) -> list[Trajectory]:
        """Return the trajectories of this problem with an index below `n` that were drawn earlier."""
        del problem, n
        return []

    async def keep_trajectory(self, trajectory: Trajectory) -> None:
        """Keep a trajectory. It may be written later, together with others, at the latest by `flush`."""
        del trajectory

    async def flush(self) -> None:
        """Write what is not written yet."""

    def states_of(self, pool: Pool) -> StateSource:
        """Return the hidden states of the pool's trajectories."""
        return CapturedSource(pool.trajectories, self._origin)

    async def keep_scores(self, scorer: str, scores: Sequence[Score]) -> None:
        """Keep the scores of one pool."""
        del scorer, scores

    async def keep_selection(self, selection: Selection) -> None:
        """Keep the selection of one pool."""
        del selection
