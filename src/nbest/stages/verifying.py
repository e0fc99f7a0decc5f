"""The stage that grades: check every answer against its target."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbest.protocols import Verifier
from nbest.records import Problem, Trajectory, Verdict
from nbest.stages.flow import (
    OnDone,
    OnProgress,
    count_progress,
    ignore_progress,
    open_run,
    path_of,
    require_trajectories,
    run_to_end,
    work_through,
)
from nbest.storage.run import Run


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The verdicts of a run, counted over all its trajectories; `ungraded` ones could not be checked."""

    run: Path
    trajectories: int
    right: int
    wrong: int
    ungraded: int

    def to_json(self) -> dict[str, Any]:
        return {
            "run": str(self.run),
            "trajectories": self.trajectories,
            "right": self.right,
            "wrong": self.wrong,
            "unjudged": self.ungraded,
        }


def verify(run: Run | str | Path, *, on_progress: OnProgress = ignore_progress) -> VerifyReport:
    """Grade every trajectory that has no verdict yet. Raises UnavailableError where the run holds no trajectories."""
    return run_to_end(_verify(open_run(run), path_of(run), on_progress))


async def _verify(run: Run, path: Path, on_progress: OnProgress) -> VerifyReport:
    from nbest.verifying.dispatch import KindVerifier

    total = require_trajectories(run)
    async with KindVerifier() as verifier:
        missing = total - len(run.done_verdicts())
        await verify_run(run, verifier, count_progress("verify", missing, on_progress))
    counts: dict[bool | None, int] = {True: 0, False: 0, None: 0}
    for verdict in run.verdicts():
        counts[verdict.correct] += 1
    return VerifyReport(path, total, counts[True], counts[False], counts[None])


async def verify_run(run: Run, verifier: Verifier, on_done: OnDone) -> None:
    """Grade every trajectory that has no verdict yet."""
    done = run.done_verdicts()
    problems = {problem.id: problem for problem in run.problems()}

    def missing() -> Iterator[tuple[Problem, list[Trajectory]]]:
        for pool in run.pools(tokens=False):
            trajectories = [trajectory for trajectory in pool.trajectories if trajectory.id not in done]
            if trajectories:
                yield problems[pool.problem_id], trajectories

    async def verify_pool(item: tuple[Problem, list[Trajectory]]) -> AsyncGenerator[list[Verdict], None]:
        yield await verifier.verify(*item)

    async def write(verdicts: list[Verdict]) -> None:
        await asyncio.to_thread(run.append_verdicts, verdicts)
        on_done(len(verdicts), 0)

    await work_through(missing(), verify_pool, write)
