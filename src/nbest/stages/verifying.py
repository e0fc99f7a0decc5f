"""The stage that grades: it checks every answer against its target."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from nbest.answers.counting import AnswerCounts
from nbest.errors import ConfigError
from nbest.measuring.trajectory_counts import TrajectoryCounts, add_counts, count_trajectories
from nbest.plugins import list_plugins
from nbest.protocols import Verifier
from nbest.records import Kind, Pool, Problem, Trajectory, Verdict
from nbest.stages.code_verdicts import (
    describe_code_verdicts,
    find_mode_difference,
    read_code_verdicts,
    record_code_verdicts,
    require_same_code_verdicts,
)
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
    run_stage,
)
from nbest.stages.redoing import drop_failed_verdicts
from nbest.stages.sandboxes import SandboxSettings
from nbest.stages.sharing import SharedWork, ignore_wait, share_work
from nbest.storage.done import DoneIds
from nbest.storage.run import Run
from nbest.storage.tables import VERDICTS
from nbest.verifying.code.settings import CodeSettings
from nbest.verifying.code.verifier import CodeVerifier


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The verdicts of a run, counted over all its trajectories; `ungraded` ones could not be checked.

    `answers` counts how their answers were read, `counts` those that no figure rests on. `redone` counts the ungraded
    verdicts that were dropped first (None: that was not requested). `code` says how programs were run, as recorded
    beside the verdicts (None: no program was), `mode_differences` the verdicts on which LiveCodeBench's own runner
    disagrees (None: it was not run), and `reasons` counts the ungraded programs by the reason.
    """

    run: Path
    trajectories: int
    right: int
    wrong: int
    ungraded: int
    answers: AnswerCounts = field(default_factory=AnswerCounts)
    counts: TrajectoryCounts = field(default_factory=TrajectoryCounts)
    redone: int | None = None
    code: Mapping[str, Any] | None = None
    mode_differences: Sequence[Mapping[str, Any]] | None = None
    reasons: Mapping[str, int] = field(default_factory=dict[str, int])

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
        if self.redone is not None:
            row["redone"] = self.redone
        if self.code is not None:
            row["code"] = dict(self.code)
        if self.mode_differences is not None:
            row["mode_differences"] = [dict(difference) for difference in self.mode_differences]
        return row | ({"ungraded_reasons": dict(self.reasons)} if self.reasons else {})


def verify(
    run: Run | str | Path,
    *,
    redo_failed: bool = False,
    sandbox: SandboxSettings | None = None,
    code: CodeSettings | None = None,
    on_progress: OnProgress = ignore_progress,
) -> VerifyReport:
    """Grade every trajectory that has no verdict yet; with `redo_failed` also those that are ungraded.

    Programs run in the sandbox of `sandbox` (None: the best isolation of this machine) under the settings `code`. Where
    nothing isolates they are not run, and stay ungraded.

    Raises UnavailableError if the run holds no trajectories, DataError, before anything is graded, if one of its
    targets cannot be read (see `nbest.verifying.targets`), and ConfigError for settings of programs that the run does
    not have, or that its stored verdicts were not made with.
    """
    has_settings = sandbox is not None or code is not None
    grader = CodeVerifier((sandbox or SandboxSettings()).open, code)
    work = _verify(open_run(run), path_of(run), grader, has_settings, code is not None, redo_failed, on_progress)
    return run_stage(path_of(run), work)


async def _verify(
    run: Run,
    path: Path,
    grader: CodeVerifier,
    has_settings: bool,
    has_mode: bool,
    redo_failed: bool,
    on_progress: OnProgress,
) -> VerifyReport:
    from nbest.verifying.dispatch import KindVerifier
    from nbest.verifying.targets import require_readable_targets

    report_activity("read the run", on_progress)
    total = require_trajectories(run)
    has_code = "code" not in list_plugins("verifier") and any(problem.kind == "code" for problem in run.problems())
    if has_settings and not has_code:
        raise ConfigError(f"{path}: it has no problems of kind 'code', which settings of programs belong to")
    verifiers: dict[Kind, Verifier] = {"code": grader} if has_code else {}
    async with grader, KindVerifier(verifiers=verifiers) as verifier:
        missing, redone = total - len(run.done_verdicts()), None
        if missing or redo_failed:
            report_activity("read the targets", on_progress)
            await asyncio.to_thread(require_readable_targets, run.problems(), verifier.equivalence, str(path))
        if redo_failed:
            if has_code:
                await _check_redoing(run, grader, on_progress)
            redone = await asyncio.to_thread(drop_failed_verdicts, run)
            missing += redone
        if has_code:
            await _record_code(run, grader, missing > 0, has_mode, on_progress)
        answers = AnswerCounts()
        on_done, on_wait = count_progress("verify", missing, on_progress), report_wait("verify", on_progress)
        await verify_run(run, verifier, on_done, answers, on_wait=on_wait)
    return _make_report(run, path, total, answers, redone, has_code)


async def _check_redoing(run: Run, grader: CodeVerifier, on_progress: OnProgress) -> None:
    """Raise ConfigError, before ungraded verdicts are dropped, for settings that the others were not made with."""
    are_graded = {verdict.correct is not None for verdict in run.verdicts()}
    if False not in are_graded:
        return
    report_activity("open the sandbox", on_progress)
    isolation = await grader.open()
    if isolation is not None and True in are_graded:
        require_same_code_verdicts(run, describe_code_verdicts(grader.settings, isolation))


async def _record_code(
    run: Run, grader: CodeVerifier, is_working: bool, has_mode: bool, on_progress: OnProgress
) -> None:
    """Open the sandbox where something is to be graded, and record how. Raises ConfigError as `verify`.

    `has_mode`: the mode was requested, rather than being the default.
    """
    stored = read_code_verdicts(run)
    if is_working:
        report_activity("open the sandbox", on_progress)
        isolation = await grader.open()
        if isolation is not None:
            await asyncio.to_thread(record_code_verdicts, run, describe_code_verdicts(grader.settings, isolation))
    elif stored is not None and stored.get("mode") != grader.settings.mode and has_mode:
        raise ConfigError(
            f"{run.path}: every trajectory is graded, in mode {stored.get('mode')!r}. To grade in mode "
            f"{grader.settings.mode!r}, remove the verdicts first: nbest drop {quote(str(run.path))} verdicts"
        )


def _make_report(
    run: Run, path: Path, total: int, answers: AnswerCounts, redone: int | None, has_code: bool
) -> VerifyReport:
    grades: dict[bool | None, int] = {True: 0, False: 0, None: 0}
    code = read_code_verdicts(run) if has_code else None
    differences: list[Mapping[str, Any]] = []
    reasons = Counter[str]()
    for verdict in run.verdicts():
        grades[verdict.correct] += 1
        if has_code and verdict.correct is None:
            reasons[verdict.note] += 1
        if code is not None and (difference := find_mode_difference(verdict)) is not None:
            differences.append(difference)
    with run.connect(large=()) as connection:
        counts = add_counts(count_trajectories(connection).values())
    is_both = code is not None and code.get("mode") == "both"
    return VerifyReport(
        path,
        total,
        grades[True],
        grades[False],
        grades[None],
        answers,
        counts,
        redone,
        code,
        differences if is_both else None,
        dict(reasons.most_common()),
    )


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
