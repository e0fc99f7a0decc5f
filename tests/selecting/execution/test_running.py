import pytest

from nbest.errors import SandboxError
from nbest.sandbox.executions import Call, Calls, Outcome, Return
from nbest.sandbox.values import encode_value
from nbest.selecting.execution.running import MOST_STARTS, ProgramRunner, _make_calls
from tests.selecting.execution.sandboxes import PlainSandbox


async def run(source, *inputs, sandbox=None):
    sandbox = sandbox or PlainSandbox()
    calls = [value if isinstance(value, str) else Call("f", value) for value in inputs]
    replies = await ProgramRunner(sandbox, 1.0).run(source, calls)
    return [reply.behaviour for reply in replies], sandbox


async def test_equal_values_are_equal_behaviour():
    first, sandbox = await run("def f(x): return {x: 1.0}", (1,), ("a",))
    second, _ = await run("def f(x): return {float(x) if x == 1 else x: True}", (1,), ("a",))
    assert first == second
    assert len(sandbox.jobs) == 1
    other, _ = await run("def f(x): return [x]", (1,), ("a",))
    assert other[0] != first[0]


async def test_exceptions_are_behaviour_by_their_type():
    source = "def f(x):\n    if x:\n        raise ValueError(x)\n    return 1 / x"
    behaviours, sandbox = await run(source, (1,), (2,), (0,))
    assert behaviours == ["raised ValueError", "raised ValueError", "raised ZeroDivisionError"]
    assert len(sandbox.jobs) == 1


@pytest.mark.parametrize(
    ("source", "behaviour"),
    [("def f(x:", "raised SyntaxError"), ("1 / 0", "raised ZeroDivisionError"), ("x = 1", "raised NameError")],
)
async def test_a_program_that_cannot_be_called_behaves_so_on_every_input(source, behaviour):
    behaviours, sandbox = await run(source, (1,), (2,))
    assert behaviours == [behaviour, behaviour]
    assert len(sandbox.jobs) == 1


async def test_the_calls_behind_one_that_ended_the_process_are_made():
    source = "def f(x):\n    if x == 2:\n        hang()\n    if x == 3:\n        stop()\n    return x"
    behaviours, sandbox = await run(source, (1,), (2,), (4,), (3,), (5,))
    assert behaviours == ["returned 1", "timed_out", "returned 4", "exited", "returned 5"]
    assert [len(job.calls) for job in sandbox.jobs] == [5, 3, 1]


async def test_a_program_that_never_ends_is_not_waited_for_once_per_input():
    behaviours, sandbox = await run("def f(x):\n    hang()", *[(number,) for number in range(50)])
    assert behaviours == ["timed_out"] * 50
    assert len(sandbox.jobs) == MOST_STARTS


async def test_output_is_compared_without_white_space_at_the_ends():
    first, _ = await run("print(input().upper() + '  ')\nprint()", "a", "b")
    second, _ = await run("print(input().upper())", "a", "b")
    assert first == second == ["printed A", "printed B"]
    failed, _ = await run("print(1)\n1 / 0", "a")
    assert failed == ["raised ZeroDivisionError"]


async def test_checks_behind_one_that_ended_the_process_are_run():
    runner = ProgramRunner(PlainSandbox(), 1.0)
    statements = ["assert f(1) == 1", "f(2)", "assert f(1) == 2", "assert f(1) == one"]
    source = "def f(x):\n    if x == 2:\n        hang()\n    return x"
    assert await runner.check(source, statements, ("f",), "one = 1") == [True, False, False, True]
    assert await runner.check("def f(x:", statements, ("f",), "one = 1") == [False] * 4


async def test_a_method_runs_as_graders_run_it():
    source = "class Solution:\n    def run(self, x: List[int]) -> int:\n        return sum(x)"
    replies = await ProgramRunner(PlainSandbox(), 1.0).run(source, [Call("Solution.run", ([1, 2],))])
    assert [reply.behaviour for reply in replies] == ["returned 3"]


class Starved(PlainSandbox):
    """Runs out of time beside other jobs, and not alone."""

    async def run(self, job, limits=None):  # noqa: ARG002
        return Outcome("timed_out", seconds=1.0, cpu_seconds=0.01)

    async def run_alone(self, job, limits=None):  # noqa: ARG002
        self.alone += 1
        assert isinstance(job, Calls)
        return Outcome("finished", returns=(Return(encode_value(7)),))


async def test_a_program_that_got_no_processor_runs_again_alone():
    sandbox = Starved()
    behaviours, _ = await run("def f(x): return 7", (1,), sandbox=sandbox)
    assert behaviours == ["returned 7"]
    assert sandbox.alone == 1


async def test_an_error_of_the_sandbox_is_raised():
    with pytest.raises(SandboxError, match="no worker"):
        await run("def f(x): return x", (1,), sandbox=PlainSandbox(broken=SandboxError("no worker")))


def test_calls_of_several_functions_keep_their_names():
    source = "class Solution:\n    def a(self, x): return x\n    def b(self, x): return x\n\ndef g(x): return x\n"
    calls = [Call("Solution.a", (1,)), Call("g", (2,)), Call("Solution.b", (3,))]
    job = _make_calls(source, calls)
    assert [call.function for call in job.calls] == ["Solution.a", "g", "Solution.b"]
    assert job.source.count("class Solution") == 1
