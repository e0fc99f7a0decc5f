"""Drop the results of a stage that failed, so that the stage makes them again.

A verdict has failed if it is ungraded: it timed out or could not be compared. A score has failed if it is NaN although
the trajectory did not fail and, where a judge gives the scores, has an answer. A selection has failed if it is an
abstention or was made without a judgement. A score or selection that lacks some of its judgements has failed, too. The
rows that failed are removed from the run, and everything else stays.
"""

import math
from collections.abc import Collection, Generator
from contextlib import contextmanager
from time import sleep

from nbest.answers.extraction import answer_of
from nbest.judging.selectors import LOST_JUDGEMENTS, NO_JUDGEMENT
from nbest.records import Score, Selection, Skip, Verdict
from nbest.storage.claims import Claims
from nbest.storage.removal import drop_rows
from nbest.storage.run import Run
from nbest.storage.tables import SCORES, SELECTIONS, SKIPS, VERDICTS

_POLL_SECONDS = 0.1


def drop_failed_verdicts(run: Run) -> int:
    """Drop the verdicts that are ungraded; return their number. Raises DamagedRunError, StorageError."""

    def is_failed(verdict: Verdict) -> bool:
        return verdict.correct is None

    with _alone(run, "verdicts"):
        return drop_rows(run.path / "verdicts", VERDICTS, is_failed)


def drop_failed_scores(run: Run, name: str, has_judge: bool) -> int:
    """Drop the scores that are NaN, except where there never can be one, and those that lack judgements.

    Returns their number. Raises as above.
    """
    with _alone(run, f"scores/{name}"):
        missing = {score.trajectory_id for score in run.scores(name) if math.isnan(score.value)}
        ids = _find_scorable(run, missing, has_judge)

        def is_failed(score: Score) -> bool:
            is_missing = score.trajectory_id in ids and math.isnan(score.value)
            return is_missing or bool(LOST_JUDGEMENTS.search(score.note))

        return drop_rows(run.path / "scores" / name, SCORES, is_failed)


def drop_failed_selections(run: Run, name: str) -> int:
    """Drop the abstentions and the selections without a judgement or with fewer than were asked for.

    Returns their number. Raises as above.
    """

    def is_failed(selection: Selection) -> bool:
        has_lost = bool(LOST_JUDGEMENTS.search(selection.note))
        return selection.index is None or selection.note.startswith(NO_JUDGEMENT) or has_lost

    with _alone(run, f"selections/{name}"):
        return drop_rows(run.path / "selections" / name, SELECTIONS, is_failed)


def drop_skips(run: Run, policy: str | None) -> int:
    """Drop the reasons of another policy for which trajectories have no states, or with None all; return their number.

    These trajectories are tried again. Raises as above.
    """

    def is_other(skip: Skip) -> bool:
        return policy is None or skip.policy != policy

    with _alone(run, "skips"):
        return drop_rows(run.skips_folder, SKIPS, is_other)


def _find_scorable(run: Run, trajectory_ids: Collection[str], has_judge: bool) -> set[str]:
    """Return those of these trajectories that did not fail and, for a judge, have an answer."""
    if not trajectory_ids:
        return set()
    return {
        trajectory.id
        for pool in run.pools(tokens=False)
        for trajectory in pool.trajectories
        if trajectory.id in trajectory_ids
        and not trajectory.has_failed
        and not (has_judge and answer_of(trajectory, pool) is None)
    }


@contextmanager
def _alone(run: Run, key: str) -> Generator[None]:
    """Wait until no other process drops results under this key, and keep others from it meanwhile."""
    with Claims(run.path) as claims:
        while not claims.take(f"redo {key}"):
            sleep(_POLL_SECONDS)
        yield
