"""The verifier of programs: finds the program of each completion, runs it on the hidden tests, and says what failed.

Nothing is run where no isolation can be had. A verdict is False only where the program failed; what failed here (the
sandbox, the test data, a reference solution) leaves it at None, with the reason. This module does not know runs.
"""

import asyncio
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nbest.errors import DataError, UnavailableError
from nbest.programs.extraction import NO_PROGRAM, ExtractionRule, extract_program
from nbest.programs.tasks import code_task, read_problem_tests
from nbest.programs.tests import CodeTest
from nbest.protocols import Verifier
from nbest.records import CodeTask, Problem, Trajectory, Verdict
from nbest.sandbox.executions import Isolation, Sandbox, SandboxFactory
from nbest.verifying.code.errata import find_fault
from nbest.verifying.code.grades import Grade
from nbest.verifying.code.grading import grade_program, has_upstream_mode
from nbest.verifying.code.running import Runner
from nbest.verifying.code.settings import CodeSettings

DIFFERS = "LiveCodeBench's own runner says"
"""How the note begins that mode `both` adds to a verdict on which upstream's runner disagrees."""

_WORDS = {True: "right", False: "wrong", None: "ungraded"}


@dataclass(frozen=True, slots=True)
class ModeDifference:
    """A trajectory that the two modes grade differently, with the note of each."""

    trajectory_id: str
    true: bool | None
    upstream: bool | None
    true_note: str
    upstream_note: str

    def to_json(self) -> dict[str, Any]:
        return {
            "trajectory_id": self.trajectory_id,
            "true": self.true,
            "upstream": self.upstream,
            "true_note": self.true_note,
            "upstream_note": self.upstream_note,
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Gates:
    """How many problems, whose tests are then in memory, and how many programs are graded at a time in a loop."""

    loop: asyncio.AbstractEventLoop
    problems: asyncio.Semaphore
    programs: asyncio.Semaphore


class CodeVerifier(Verifier):
    """Grades programs in the sandbox that `open_sandbox` opens when the first is graded; it is closed with this object.

    `settings` are the mode and the limits. At most `programs` are graded at a time, of as many problems (None: twice
    the number of cores), in the order in which they came. Equal programs of a problem are run once. `differences` lists
    what the two modes grade differently, with mode `both`.
    """

    def __init__(self, open_sandbox: SandboxFactory, settings: CodeSettings | None = None, programs: int | None = None):
        self.settings = settings or CodeSettings()
        self.differences: list[ModeDifference] = []
        self._open_sandbox = open_sandbox
        self._sandbox: Sandbox | None = None
        self._obstacle = ""
        self._lock = threading.Lock()
        self._programs = programs or 2 * (os.cpu_count() or 1)
        self._gates: _Gates | None = None

    async def open(self) -> Isolation | None:
        """Open the sandbox, if that has not happened yet; return what isolates, or None if nothing can be run."""
        sandbox = await asyncio.to_thread(self._find_sandbox)
        return None if sandbox is None else sandbox.describe()

    def _find_sandbox(self) -> Sandbox | None:
        with self._lock:
            if self._sandbox is None and not self._obstacle:
                try:
                    self._sandbox = self._open_sandbox()
                except UnavailableError as error:
                    self._obstacle = str(error)
            return self._sandbox

    async def verify(self, problem: Problem, trajectories: Sequence[Trajectory]) -> list[Verdict]:
        """Return one verdict per trajectory, in order. Raises ConfigError for limits that the sandbox cannot hold."""
        async with self._find_gates().problems:
            return await self._verify(problem, trajectories)

    async def _verify(self, problem: Problem, trajectories: Sequence[Trajectory]) -> list[Verdict]:
        task = code_task(problem) or CodeTask()
        try:
            tests = await asyncio.to_thread(read_problem_tests, problem)
        except DataError as error:
            return _leave_ungraded(trajectories, f"the tests cannot be read: {error}")
        if not tests:
            return _leave_ungraded(trajectories, "the problem has no tests")
        sandbox = await asyncio.to_thread(self._find_sandbox)
        if sandbox is None:
            return _leave_ungraded(trajectories, f"not run: {self._obstacle}")
        runner = Runner(sandbox, self.settings)
        mode = self.settings.mode if has_upstream_mode(tests) else "true"
        grades = await self._grade_all(runner, trajectories, tests, task, mode == "upstream")
        if mode == "both":
            others = await self._grade_all(runner, trajectories, tests, task, True)
            grades = [
                self._compare(trajectory, grade, other)
                for trajectory, grade, other in zip(trajectories, grades, others, strict=True)
            ]
        fault = find_fault(problem)
        return [
            _make_verdict(trajectory, grade.correct, "; ".join(filter(None, (grade.note, fault and str(fault)))))
            for trajectory, grade in zip(trajectories, grades, strict=True)
        ]

    async def _grade_all(
        self,
        runner: Runner,
        trajectories: Sequence[Trajectory],
        tests: Sequence[CodeTest],
        task: CodeTask,
        is_upstream: bool,
    ) -> list[Grade]:
        """Return one grade per trajectory; each distinct program is run once."""
        rule: ExtractionRule = "livecodebench" if is_upstream else "default"
        programs = [extract_program(trajectory.completion.text, task, rule) for trajectory in trajectories]
        sources = [None if program is None else program.source for program in programs]
        distinct = [source for source in dict.fromkeys(sources) if source is not None]
        gates = self._find_gates()

        async def grade(source: str) -> Grade:
            async with gates.programs:
                return await grade_program(runner, source, tests, task, is_upstream)

        tasks = {source: asyncio.ensure_future(grade(source)) for source in distinct}
        try:
            await asyncio.gather(*tasks.values())
        finally:
            for task_of_program in tasks.values():
                task_of_program.cancel()
        return [Grade(False, NO_PROGRAM) if source is None else tasks[source].result() for source in sources]

    def _find_gates(self) -> "_Gates":
        """Return what limits the work at a time, in the loop that runs now."""
        loop = asyncio.get_running_loop()
        if self._gates is None or self._gates.loop is not loop:
            self._gates = _Gates(loop, asyncio.Semaphore(self._programs), asyncio.Semaphore(self._programs))
        return self._gates

    def _compare(self, trajectory: Trajectory, grade: Grade, other: Grade) -> Grade:
        """Return the grade of mode `true`, with a note where upstream's runner grades differently."""
        if grade.correct == other.correct:
            return grade
        notes = _make_storable(grade.note), _make_storable(other.note)
        difference = ModeDifference(trajectory.id, grade.correct, other.correct, *notes)
        self.differences.append(difference)
        reason = f" ({other.note})" if other.note else ""
        note = f"{DIFFERS} {_WORDS[other.correct]}{reason}"
        return Grade(grade.correct, "; ".join(filter(None, (grade.note, note))))

    async def aclose(self) -> None:
        with self._lock:
            sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            await sandbox.aclose()


def _leave_ungraded(trajectories: Sequence[Trajectory], note: str) -> list[Verdict]:
    return [_make_verdict(trajectory, None, note) for trajectory in trajectories]


def _make_verdict(trajectory: Trajectory, correct: bool | None, note: str) -> Verdict:
    return Verdict(trajectory.id, correct, None, _make_storable(note))


def _make_storable(note: str) -> str:
    """Return a note without lone surrogates, which no file can hold: a program writes into it what it likes."""
    return note.encode("utf-8", "backslashreplace").decode()
