"""A judge that writes tests: what selectors by execution run programs on where `inputs=policy` asks for it.

Rules
    A problem is asked about once per command and number of tests, with a seed of its own: every selector gets the same
    tests, and each is charged with their whole cost, so that costs do not depend on the order of selectors.
    A reply without a test is tried again as any judgement is. Where every try failed there are no tests, and the note
    says why.

This module does not know how programs run, and never sees a target.
"""

import asyncio

from nbest.judging.candidates import JudgeSettings
from nbest.judging.writing_prompts import parse_tests, render_tests
from nbest.records import CodeTask, Completion, Pool, WorkReport
from nbest.selecting.execution.writing import TestWriter, WrittenTests


class JudgeTestWriter(TestWriter):
    """Asks the judge of `settings` for tests. Closing it leaves the judge open."""

    def __init__(self, settings: JudgeSettings):
        self._settings = settings
        self._tasks: dict[tuple[str, int], asyncio.Task[WrittenTests]] = {}

    def report(self) -> WorkReport:
        return self._settings.judge.report()

    async def write(self, pool: Pool, count: int) -> WrittenTests:
        key = (pool.problem_id, count)
        task = self._tasks.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.ensure_future(self._write(pool, count))
            self._tasks[key] = task
        # One of several that wait for the same tests may be cancelled without the others.
        return await asyncio.shield(task)

    async def _write(self, pool: Pool, count: int) -> WrittenTests:
        task = pool.code or CodeTask()
        conversation = self._settings.judge.open(pool.problem_id)

        def read(completion: Completion) -> tuple[list[str] | None, str]:
            # Of a reply that was cut, the tests before the cut are whole.
            tests = parse_tests(completion.text, task)
            fault = "truncated" if completion.finish == "length" else "unparsed"
            return (tests, "") if tests else (None, fault)

        tests = await conversation.ask(render_tests(pool.prompt, task, count), f"tests {count}", read)
        if tests is None:
            faults = ", ".join(f"{number} {fault}" for fault, number in sorted(conversation.failed.items()))
            return WrittenTests((), conversation.usage, f"the policy wrote no test that can be read ({faults})")
        return WrittenTests(tuple(tests[:count]), conversation.usage)
