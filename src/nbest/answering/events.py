"""The events of a question while it is answered, and the result that they end with.

For one question a stream holds, in this order: one `TrajectoryFinished` per trajectory (`finished` counts 1 to
`total`), one `Scored` per scorer that the selector reads, and one `Selected`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from nbest.records import Pool, Score, Selection, Trajectory, Usage


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The answer to one question, and the pool that it was selected from.

    `answer`, `text` and `index` (a position in `pool.trajectories`) describe the selected trajectory. All three
    are None if the selector abstained: `selection.note` says why, and nothing is picked in its place. `answer` is
    None as well where the selected text states no answer. `confidence` is the selector's own, where it has one.
    `answers` holds what each trajectory states, in pool order (None: nothing, or its sampling failed), `votes` how many
    of them state an answer equal to the selected one. `scores` holds, for each scorer that the selector read, one Score
    per trajectory in pool order. `usage` is what sampling and selecting cost together (see `nbest.BestOfN`).
    """

    answer: str | None
    text: str | None
    index: int | None
    confidence: float | None
    pool: Pool = field(repr=False)
    answers: tuple[str | None, ...]
    votes: int
    scores: Mapping[str, tuple[Score, ...]] = field(repr=False)
    selection: Selection
    usage: Usage


@dataclass(frozen=True, slots=True, eq=False)
class TrajectoryFinished:
    """A trajectory is complete: `finished` of `total`, in the order they finish.

    `answer` is what it states (None: nothing, or its sampling failed). `leader` is the answer that most of the
    finished trajectories state so far, with `votes` of them behind it; of equal ones the one stated first. None and 0
    as long as there is no answer.
    """

    finished: int
    total: int
    trajectory: Trajectory
    answer: str | None
    leader: str | None
    votes: int


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A scorer has scored the whole pool: one Score per trajectory, in pool order."""

    scorer: str
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """The last event: the selector has chosen or abstained."""

    result: Result


Event: TypeAlias = TrajectoryFinished | Scored | Selected
