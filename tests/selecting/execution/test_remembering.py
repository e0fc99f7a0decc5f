import asyncio

import pytest

from nbest.errors import SandboxError
from nbest.sandbox.executions import Call, Calls, Checks, Limits, Script
from nbest.selecting.execution.remembering import RememberingSandbox
from tests.selecting.execution.sandboxes import PlainSandbox

JOBS = [
    Script("print(input())", "a"),
    Calls("def f(x): return [x, {1}, 'ö\\udc80']", (Call("f", (1,)), Call("f", ("x",)))),
    Checks("def f(x): return x", ("assert f(1) == 1", "assert f(1) == 2"), ("f",), is_stopping=False),
]


@pytest.mark.parametrize("job", JOBS)
async def test_the_same_job_runs_once_also_in_a_later_command(job, tmp_path):
    inner = PlainSandbox()
    async with RememberingSandbox(inner, tmp_path) as sandbox:
        first = await sandbox.run(job)
        assert await sandbox.run(job, Limits()) == first
    assert (len(inner.jobs), inner.is_closed) == (1, True)
    later = PlainSandbox()
    async with RememberingSandbox(later, tmp_path) as sandbox:
        assert await sandbox.run(job) == first
    assert later.jobs == []


async def test_what_changes_a_job_makes_it_run():
    inner = PlainSandbox()
    async with RememberingSandbox(inner) as sandbox:
        calls = Calls("def f(x): return x", (Call("f", (1,)),))
        await sandbox.run(calls)
        await sandbox.run(Calls("def f(x): return x ", calls.calls))
        await sandbox.run(Calls(calls.source, (Call("f", (True,)),)))
        await sandbox.run(Calls(calls.source, (Call("f", (1,)), Call("f", (1,)))))
        await sandbox.run(calls, Limits(wall_seconds=2.0))
        await sandbox.run_alone(calls)
        checks = JOBS[2]
        await sandbox.run(checks)
        await sandbox.run(Checks(checks.source, checks.checks, checks.functions, "import os", is_stopping=False))
        await sandbox.run(Checks(checks.source, checks.checks, checks.functions, is_stopping=True))
    assert len(inner.jobs) == 9


async def test_other_packages_are_another_world(tmp_path):
    for packages, runs in (({"python": "3.11"}, 1), ({"python": "3.12"}, 1), ({"python": "3.11"}, 0)):
        inner = PlainSandbox(packages)
        async with RememberingSandbox(inner, tmp_path) as sandbox:
            await sandbox.run(JOBS[0])
        assert len(inner.jobs) == runs


async def test_a_job_asked_for_twice_at_once_runs_once():
    inner = PlainSandbox()
    async with RememberingSandbox(inner) as sandbox:
        first, second = await asyncio.gather(sandbox.run(JOBS[0]), sandbox.run(JOBS[0]))
    assert first == second
    assert len(inner.jobs) == 1


async def test_one_who_stops_waiting_takes_nothing_from_the_others():
    inner = PlainSandbox()
    async with RememberingSandbox(inner) as sandbox:
        waiting = [asyncio.ensure_future(sandbox.run(JOBS[0])) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        assert (await waiting[1]).status == "finished"


async def test_a_failure_of_the_sandbox_is_not_remembered():
    inner = PlainSandbox(broken=SandboxError("no worker"))
    async with RememberingSandbox(inner) as sandbox:
        with pytest.raises(SandboxError):
            await sandbox.run(JOBS[0])
        inner.broken = None
        assert (await sandbox.run(JOBS[0])).status == "finished"


async def test_a_damaged_file_is_ignored_and_its_jobs_run_again(tmp_path):
    async with RememberingSandbox(PlainSandbox(), tmp_path) as sandbox:
        first = await sandbox.run(JOBS[1])
    (path,) = (tmp_path / ".executions").iterdir()
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        inner = PlainSandbox()
        sandbox = RememberingSandbox(inner, tmp_path)
        assert await sandbox.run(JOBS[1]) == first
        assert len(inner.jobs) == 1, position


async def test_a_run_that_cannot_be_written_loses_nothing_but_the_memory(tmp_path):
    (tmp_path / ".executions").write_text("a file where the folder would be")
    async with RememberingSandbox(PlainSandbox(), tmp_path) as sandbox:
        assert (await sandbox.run(JOBS[0])).stdout == "a\n"
