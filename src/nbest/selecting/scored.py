"""Selectors that give each trajectory one number and pick the highest: first, random, longest, shortest, score:NAME.

Rules that hold for all of them
    The trajectory with the highest number wins; of equal ones, the one with the lowest index. (Evaluation lets ties
    share the credit: its expectation is over the order of the samples as well.)
    A failed attempt (`finish="error"`) never wins. An empty pool, or one where every attempt failed, abstains.

A pool is never changed and its order does not matter: rules look at `Trajectory.index`, while `Selection.index` is a
position in `pool.trajectories`. This module does not know targets, verdicts, runs or models; the bound by verdicts
(`oracle`) is an estimator of evaluation and no selector.
"""

from collections.abc import Mapping, Sequence

from nbest.errors import UnavailableError
from nbest.records import Pool, Score, Selection, Trajectory, derive_seed
from nbest.text.answers import answer_of


class FirstSelector:
    """Picks the trajectory with the lowest index that did not fail: what one sample alone would have given."""

    name = "first"

    async def select(self, pool: Pool) -> Selection:
        return pick_highest(pool, [0.0] * len(pool.trajectories))


class RandomSelector:
    """Picks uniformly at random: a draw fixed by `seed`, the pool's id and the trajectories' own ids and indices.

    The same pool gives the same pick on every machine and in any order of its trajectories. Evaluation does not use
    this draw but its expectation.
    """

    name = "random"

    def __init__(self, seed: int = 0):
        self.seed = seed

    async def select(self, pool: Pool) -> Selection:
        pool_seed = derive_seed(self.seed, pool.problem_id, 0)
        lots = [derive_seed(pool_seed, each.id, each.index) for each in pool.trajectories]
        return pick_highest(pool, lots)


class LengthSelector:
    """Picks the longest trajectory, or the shortest: by sampled tokens.

    Where an attempt of the pool that could win has no tokens (text sampled elsewhere), the whole pool is measured in
    characters of text, and the note says so: one unit a pool.
    """

    def __init__(self, is_longest: bool):
        self.is_longest = is_longest
        self.name = "longest" if is_longest else "shortest"

    async def select(self, pool: Pool) -> Selection:
        tokens = [len(each.completion.tokens) for each in pool.trajectories]
        failed = [has_failed(each) for each in pool.trajectories]
        note = ""
        if is_measured_in_tokens(tokens, failed):
            lengths = tokens
        else:
            lengths = [len(each.completion.text) for each in pool.trajectories]
            note = "measured in characters: not every attempt has tokens"
        return pick_highest(pool, lengths if self.is_longest else [-length for length in lengths], note)


class ScoreSelector:
    """Picks the trajectory with the highest stored score of one scorer.

    `scores` maps trajectory ids to scores; a lazy mapping that reads them on demand will do. Trajectories without a
    score cannot win while another has one, and the note counts them. Where no attempt that could win has a score,
    the pool was not scored: UnavailableError names the run, the scorer and how many are missing. A score that is NaN
    counts as missing.
    """

    def __init__(self, scorer: str, scores: Mapping[str, Score], run: str = ""):
        self.scorer = scorer
        self.name = f"score:{scorer}"
        self._scores = scores
        self._run = run

    async def select(self, pool: Pool) -> Selection:
        found = [self._scores.get(each.id) for each in pool.trajectories]
        values = [None if score is None or score.value != score.value else score.value for score in found]
        able = [value for value, each in zip(values, pool.trajectories, strict=True) if not has_failed(each)]
        missing = able.count(None)
        if able and missing == len(able):
            where = f"run {self._run}" if self._run else "the mapping given"
            raise UnavailableError(
                f"{where} has no score of {self.scorer!r} for any of the {missing} trajectories of problem "
                f"{pool.problem_id!r}. Score this run first, or select by another scorer."
            )
        note = f"{missing} of {len(able)} attempts have no score of {self.scorer!r}" if missing else ""
        return pick_highest(pool, values, note)


def has_failed(trajectory: Trajectory) -> bool:
    """Whether this attempt failed: it is data, but it never wins and never votes."""
    return trajectory.completion.finish == "error"


def is_measured_in_tokens(tokens: Sequence[int], failed: Sequence[bool]) -> bool:
    """The unit of a pool's lengths: tokens where every attempt that did not fail has some, characters otherwise."""
    return all(count > 0 for count, is_out in zip(tokens, failed, strict=True) if not is_out)


def pick_highest(pool: Pool, values: Sequence[float | None], note: str = "") -> Selection:
    """The selection of the highest of `values` (one a trajectory; None = cannot win); abstains where none can win."""
    positions = [
        place
        for place, (each, value) in enumerate(zip(pool.trajectories, values, strict=True))
        if value is not None and not has_failed(each)
    ]
    if not positions:
        return abstention(pool)

    def rank(place: int) -> tuple[float, int]:
        value = values[place]
        assert value is not None
        return (value, -pool.trajectories[place].index)

    best = max(positions, key=rank)
    return Selection(pool.problem_id, best, answer_of(pool.trajectories[best], pool.kind), note=note)


def abstention(pool: Pool, note: str = "") -> Selection:
    """The selection that picks nothing, with the reason."""
    reason = note or (f"all {len(pool.trajectories)} attempts failed" if pool.trajectories else "the pool is empty")
    return Selection(pool.problem_id, None, note=reason)
