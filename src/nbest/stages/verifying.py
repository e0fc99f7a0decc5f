"""The stage that grades: it checks every answer against its target."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbest.answers.counting import AnswerCounts
from nbest.measuring.trajectory_counts import TrajectoryCounts, add_counts, count_trajectories
from nbest.protocols import Verifier
from nbest.records import Pool, Problem, Trajectory, Verdict
from nbest.stages.flow import (
    OnDone,
    OnProgress,
    count_progress,
    ignore_progress,
    open_run,
    path_of,
    report_activity,
    report_wait,
    require_trajectories,
    run_to_end,
)
from nbest.stages.redoing import drop_failed_verdicts
from nbest.stages.sharing import SharedWork, ignore_wait, share_work
from nbest.storage.done import DoneIds
from nbest.storage.run import Run
from nbest.storage.tables import VERDICTS


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The verdicts of a run, counted over all its trajectories; `ungraded` ones could not be checked.

    `answers` counts how their answers were read, `counts` those that no figure rests on. `redone` counts the ungraded
    verdicts that were dropped first (None: that was not requested).
    """

    run: Path
    trajectories: int
    right: int
    wrong: int
    ungraded: int
    answers: AnswerCounts = field(default_factory=AnswerCounts)
    counts: TrajectoryCounts = field(default_factory=TrajectoryCounts)
    redone: int | None = None

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "run": str(self.run),
            "trajectories": self.trajectories,
            "right": self.right,
            "wrong": self.wrong,
            "ungraded": self.ungraded,
            "answers": self.answers.to_json(),
            "counts": self.counts.to_json(),
        }
        return row if self.redone is None else row | {"redone": self.redone}


def verify(
    run: Run | str | Path, *, redo_failed: bool = False, on_progress: OnProgress = ignore_progress
) -> VerifyReport:
    """Grade every trajectory that has no verdict yet; with `redo_failed` also those that are ungraded.

    Raises UnavailableError if the run holds no trajectories, and DataError, before anything is graded, if one of its
    targets cannot be read (see `nbest.verifying.targets`).
    """
    return run_to_end(_verify(open_run(run), path_of(run), redo_failed, on_progress))


async def _verify(run: Run, path: Path, redo_failed: bool, on_progress: OnProgress) -> VerifyReport:
    from nbest.verifying.dispatch import KindVerifier
    from nbest.verifying.targets import require_readable_targets

    report_activity("read the run", on_progress)
    total = require_trajectories(run)
    async with KindVerifier() as verifier:
        missing, redone = total - len(run.done_verdicts()), None
        if missing or redo_failed:
            report_activity("read the targets", on_progress)
            await asyncio.to_thread(require_readable_targets, run.problems(), verifier.equivalence, str(path))
        if redo_failed:
            redone = await asyncio.to_thread(drop_failed_verdicts, run)
            missing += redone
        answers = AnswerCounts()
        on_done, on_wait = count_progress("verify", missing, on_progress), report_wait("verify", on_progress)
        await verify_run(run, verifier, on_done, answers, on_wait=on_wait)
    grades: dict[bool | None, int] = {True: 0, False: 0, None: 0}
    for verdict in run.verdicts():
        grades[verdict.correct] += 1
    with run.connect(large=()) as connection:
        counts = add_counts(count_trajectories(connection).values())
    return VerifyReport(path, total, grades[True], grades[False], grades[None], answers, counts, redone)


async def verify_run(
    run: Run,
    verifier: Verifier,
    on_done: OnDone,
    answers: AnswerCounts | None = None,
    *,
    on_wait: Callable[[int], None] = ignore_wait,
) -> None:
    """Grade every trajectory that has no verdict yet; `answers` counts how the answers of all are read."""
    done = DoneIds(run.path / "verdicts", VERDICTS)
    problems = {problem.id: problem for problem in run.problems()}

    def read(problem_ids: Collection[str] | None) -> Iterator[tuple[str, Pool]]:
        for pool in run.pools(problem_ids, tokens=False):
            if answers is not None and problem_ids is None:
                for trajectory in pool.trajectories:
                    answers.add(trajectory, pool)
            yield pool.problem_id, pool

    def plan(pool: Pool, ids: Collection[str]) -> tuple[Problem, list[Trajectory]] | None:
        trajectories = [trajectory for trajectory in pool.trajectories if trajectory.id not in ids]
        return (problems[pool.problem_id], trajectories) if trajectories else None

    async def verify_pool(item: tuple[Problem, list[Trajectory]]) -> AsyncGenerator[list[Verdict], None]:
        yield await verifier.verify(*item)

    async def write(verdicts: list[Verdict]) -> None:
        await asyncio.to_thread(run.append_verdicts, verdicts)
        on_done(len(verdicts), 0)

    work = SharedWork(run.path, "verdicts", done, read, plan, verify_pool, write)
    await share_work(work, on_wait=on_wait)
