# pyright: standard
"""Observe the programs of a pool: run every distinct program once, on the same inputs and tests.

Inputs and tests are what the problem shows, what a policy wrote beforehand (`CodeTask.generated_tests`), or what a
policy is asked to write (`writing.py`). Hidden tests stand in `Problem.tests`, which no pool has. How a test becomes
inputs is defined in `planning.py`, what a program does on an input in `running.py`.

This module does not know rules of selection, and never sees a target.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from nbest.config import Count, Section
from nbest.loop_thread import gather_all
from nbest.plurals import show_count
from nbest.programs.extraction import extract_program
from nbest.protocols import Managed
from nbest.records import CodeTask, Pool, Usage, WorkReport
from nbest.sandbox.executions import Sandbox
from nbest.selecting.execution.planning import Plan, ProgramTest, make_plan
from nbest.selecting.execution.ranking import Behaviour
from nbest.selecting.execution.running import Input, ProgramRunner, Reply
from nbest.selecting.execution.statements import find_functions, find_names
from nbest.selecting.execution.writing import TestWriter, WrittenTests

InputSource: TypeAlias = Literal["auto", "public", "generated", "policy"]
"""Where inputs come from: `auto` = what the problem shows and what was generated, `policy` = what it shows and what a
policy is asked to write."""


class ExecutionOptions(Section):
    """The options of all selectors by execution.

    `inputs` says where inputs and tests come from, `seconds` is the time limit of a program on one input, `most` the
    largest number of inputs. `count` is the number of tests that a policy is asked to write (`inputs=policy`).
    """

    inputs: InputSource = "auto"
    seconds: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    most: Count = 200
    count: Count = 20

    @model_validator(mode="after")
    def _check_count(self) -> Self:
        if "count" in self.model_fields_set and self.inputs != "policy":
            raise ValueError(f"count: it belongs to inputs=policy; inputs is {self.inputs!r}. Leave it out")
        return self


@dataclass(frozen=True, slots=True)
class Candidates:
    """The programs of a pool: `positions` in the pool by index, and the source of each."""

    positions: tuple[int, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unobserved:
    """Why nothing could be run, and what was spent on finding that out."""

    reason: str
    usage: Usage = field(default_factory=Usage)


class Observer(Managed):
    """Runs the programs of pools in `sandbox`; `writer` writes tests where the options ask for that.

    Neither belongs to the observer: closing it leaves them open.
    """

    def __init__(self, sandbox: Sandbox, options: ExecutionOptions, writer: TestWriter | None = None):
        self._runner = ProgramRunner(sandbox, options.seconds)
        self._options = options
        self._writer = writer

    def report(self) -> WorkReport:
        return WorkReport() if self._writer is None else self._writer.report()

    async def observe(self, pool: Pool, candidates: Candidates) -> Behaviour | Unobserved:
        """Return what the programs did, or why nothing can be run. Raises SandboxError, EngineError."""
        task = pool.code or CodeTask()
        written = WrittenTests(tuple(task.generated_tests))
        if self._options.inputs == "policy" and self._writer is not None:
            written = await self._writer.write(pool, self._options.count)
        elif self._options.inputs == "public":
            written = WrittenTests(())
        shown = () if self._options.inputs == "generated" else task.public_tests
        plan = make_plan(task, shown, written.tests, self._options.most)
        if plan.is_empty:
            return Unobserved(_explain_nothing(self._options.inputs, written, plan), written.usage)
        behaviour = await self._run(task, candidates, plan)
        notes = tuple(note for note in (written.note, *plan.notes) if note)
        return Behaviour(**behaviour, notes=notes, usage=written.usage)

    async def run_inputs(self, sources: Sequence[str], inputs: Sequence[Input]) -> list[list[Reply]]:
        """Return the replies of each program on all inputs."""
        return await gather_all([self._runner.run(source, inputs) for source in sources])

    async def _run(self, task: CodeTask, candidates: Candidates, plan: Plan) -> dict[str, np.ndarray]:
        distinct = list(dict.fromkeys(candidates.sources))
        numbers = {source: number for number, source in enumerate(distinct)}
        rows = np.array([numbers[source] for source in candidates.sources], dtype=np.int64)
        replies = await self.run_inputs(distinct, plan.inputs)
        public, written = await gather_all(
            [self._check(task, distinct, replies, plan.public), self._check(task, distinct, replies, plan.written)]
        )
        outputs = await asyncio.to_thread(_number_replies, replies, len(plan.inputs))
        answered = np.array([[reply.has_answered for reply in row] for row in replies], dtype=np.bool_)
        answered = answered.reshape(len(distinct), len(plan.inputs))
        if not plan.inputs:
            # No test makes a call that can be read from it: which tests a program passes is all that is seen of it.
            answered = np.concatenate([public, written], axis=1)
            outputs = answered.astype(np.int64)
        return {
            "positions": np.array(candidates.positions, dtype=np.int64),
            "outputs": outputs[rows],
            "answered": answered[rows],
            "passed": written[rows],
            "weights": np.array([test.weight for test in plan.written], dtype=np.int64),
            "public": public[rows],
        }

    async def _check(
        self, task: CodeTask, sources: Sequence[str], replies: Sequence[Sequence[Reply]], tests: Sequence[ProgramTest]
    ) -> np.ndarray:
        """Return which programs pass which tests, bool [programs, tests]."""
        passed = np.zeros((len(sources), len(tests)), dtype=np.bool_)
        by_setup: dict[str, list[int]] = {}
        for column, test in enumerate(tests):
            if test.statement is None:
                for row, replied in enumerate(replies):
                    passed[row, column] = test.holds(replied)
            else:
                by_setup.setdefault(test.setup, []).append(column)
        for setup, columns in by_setup.items():
            statements = [tests[column].statement or "" for column in columns]
            names = find_names([setup, *statements])
            calls = [
                self._runner.check(source, statements, find_functions(source, task.entry_point, names), setup)
                for source in sources
            ]
            results = await gather_all(calls)
            passed[:, columns] = np.array(results, dtype=np.bool_)
        return passed


def read_candidates(pool: Pool) -> Candidates:
    """Return the programs of a pool; trajectories that failed and completions without a program have none."""
    order = sorted(range(len(pool.trajectories)), key=lambda position: pool.trajectories[position].index)
    positions: list[int] = []
    sources: list[str] = []
    for position in order:
        trajectory = pool.trajectories[position]
        program = None if trajectory.has_failed else extract_program(trajectory.completion.text, pool.code)
        if program is not None:
            positions.append(position)
            sources.append(program.source)
    return Candidates(tuple(positions), tuple(sources))


def _number_replies(replies: Sequence[Sequence[Reply]], count: int) -> np.ndarray:
    """Return int64 [programs, inputs]: equal behaviour on an input has equal numbers."""
    outputs = np.zeros((len(replies), count), dtype=np.int64)
    for column in range(count):
        numbers: dict[str, int] = {}
        for row, replied in enumerate(replies):
            outputs[row, column] = numbers.setdefault(replied[column].behaviour, len(numbers))
    return outputs


def _explain_nothing(source: InputSource, written: WrittenTests, plan: Plan) -> str:
    if source == "policy":
        return f"no input to run programs on: {written.note or 'the policy wrote no test that can be read'}"
    unreadable = f" ({'; '.join(plan.notes)})" if plan.notes else ""
    advice = "with inputs=policy a judge writes tests (--judge MODEL)"
    missing = {
        "auto": "the problem shows no tests and none were generated",
        "public": "the problem shows no tests",
        "generated": "no tests were generated",
    }[source]
    return f"no input to run programs on: {missing}{unreadable}; {advice}"


def describe_candidates(pool: Pool) -> str:
    """Return the note of a pool without a program."""
    return f"none of {show_count(len(pool.trajectories), 'trajectory')} has a program"
