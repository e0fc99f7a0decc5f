"""What becomes of jobs, on every backend that works here."""

import asyncio
import contextlib
import os
import resource
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from nbest.errors import ConfigError, SandboxError
from nbest.sandbox import local
from nbest.sandbox.driving import WorkerProcess
from nbest.sandbox.executions import Call, Calls, Checks, Limits, Outcome, Script
from nbest.sandbox.jobs import read_check, read_end, read_return
from nbest.sandbox.local import LocalSandbox
from nbest.sandbox.opening import open_sandbox
from tests.sandbox.processes import list_descendants, wait_until

BRIEF = Limits(wall_seconds=1.0)


@pytest.mark.parametrize(
    ("source", "stdin", "status", "stdout", "message"),
    [
        ("print(sum(map(int, input().split())))", "1 2 3", "finished", "6\n", ""),
        ("import sys\nprint(len(sys.stdin.read()))", "ä" * 200_000, "finished", "200000\n", ""),
        ("print(input())", "", "raised", "", "EOFError"),
        ("print(1)\n1 / 0", "", "raised", "1\n", "ZeroDivisionError: division by zero"),
        ("def f(:", "", "raised", "", "SyntaxError"),
        ("print(1)\nraise SystemExit", "", "finished", "1\n", ""),
        ("import sys\nsys.exit(3)", "", "exited", "", "status 3"),
        ("import sys\nsys.exit('no')", "", "exited", "", "status 1"),
        ("import os\nos._exit(4)", "", "exited", "", "status 4"),
        ("import atexit\natexit.register(print, 'bye')", "", "finished", "bye\n", ""),
        ("import threading\nthreading.Timer(0.05, print, ['late']).start()", "", "finished", "late\n", ""),
        (
            "from concurrent.futures import ThreadPoolExecutor as E\nE(2).submit(print, 'pool')",
            "",
            "finished",
            "pool\n",
            "",
        ),
        ("if __name__ == '__main__':\n    print(__name__)", "", "finished", "__main__\n", ""),
        ("print('\\udcff')", "", "finished", "\ufffd\n", ""),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "", "killed", "", "SIGSEGV"),
        ("import ctypes\nctypes.string_at(0)", "", "killed", "", "SIGSEGV"),
        ("print('x', flush=True)\nwhile True: pass", "", "timed_out", "x\n", "within 1 s"),
        (
            "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    print(1)\nasyncio.run(f())",
            "",
            "finished",
            "1\n",
            "",
        ),
        ("open('/dev/null', 'w').write('x')\nprint('fine')", "", "finished", "fine\n", ""),
        ("import sys\nsys.stdin = open(0)\nprint(sys.stdin.readline())", "a\nb", "finished", "a\n\n", ""),
        ("import os\nprint(os.read(0, 5).decode())", "hello", "finished", "hello\n", ""),
    ],
)
async def test_scripts(sandbox: LocalSandbox, source: str, stdin: str, status: str, stdout: str, message: str) -> None:
    outcome = await sandbox.run(Script(source, stdin), BRIEF)
    assert (outcome.status, outcome.stdout) == (status, stdout), outcome
    assert message in outcome.message
    assert (outcome.message == "") == (status == "finished")
    assert outcome.seconds > 0


async def test_stderr_has_the_traceback_of_the_program_alone(sandbox: LocalSandbox) -> None:
    outcome = await sandbox.run(Script("def f():\n    raise ValueError('x')\nf()\n"))
    assert outcome.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert outcome.stderr.splitlines()[-1] == "ValueError: x"
    assert "nbest" not in outcome.stderr
    assert "sandbox" not in outcome.stderr


async def test_calls_give_values_and_errors_in_order(sandbox: LocalSandbox) -> None:
    source = (
        "count = 0\ndef f(x):\n    global count\n    count += 1\n    return count, x\n"
        "class Solution:\n    def g(self, items):\n        items.append(1)\n        return items\n"
    )
    arguments = [5]
    calls = (Call("f", ("a",)), Call("f"), Call("Solution.g", (arguments,)), Call("nope"), Call("f", ({1: (2,)},)))
    outcome = await sandbox.run(Calls(source, calls))
    assert outcome.status == "finished"
    assert [entry.value for entry in outcome.returns if entry.text] == [(1, "a"), [5, 1], (2, {1: (2,)})]
    assert arguments == [5]
    assert "missing 1 required positional argument" in outcome.returns[1].error
    assert outcome.returns[3].error == "NameError: name 'nope' is not defined by the program"
    with pytest.raises(ValueError, match="the call raised: NameError"):
        _ = outcome.returns[3].value


@pytest.mark.parametrize(
    ("source", "status", "count"),
    [
        ("def f(x):\n    while x: pass\n    return x", "timed_out", 1),
        ("import os\ndef f(x):\n    if x: os._exit(0)\n    return x", "exited", 1),
        ("import sys\ndef f(x):\n    if x: sys.exit(0)\n    return x", "finished", 3),
        ("1 / 0", "raised", 0),
        ("def f(x):\n    if x: return bytearray(10 ** 11)\n    return x", "finished", 3),
        ("def f(x):\n    return 'x' * 20_000_000 if x else x", "too_much_output", 1),
        ("import ctypes\ndef f(x):\n    return ctypes.string_at(0) if x else x", "killed", 1),
    ],
)
async def test_calls_that_end_early(sandbox: LocalSandbox, source: str, status: str, count: int) -> None:
    outcome = await sandbox.run(
        Calls(source, (Call("f", (0,)), Call("f", (1,)), Call("f", (0,)))), Limits(wall_seconds=2.0)
    )
    assert (outcome.status, len(outcome.returns)) == (status, count), outcome


async def test_each_call_has_the_wall_time(sandbox: LocalSandbox) -> None:
    source = "import time\ndef f(x):\n    time.sleep(x)\n    return x"
    calls = tuple(Call("f", (0.7,)) for _ in range(3))
    assert (await sandbox.run(Calls(source, calls), Limits(wall_seconds=2.0))).status == "finished"
    short = await sandbox.run(Calls(source, calls), Limits(wall_seconds=2.0, total_seconds=1.0))
    assert (short.status, len(short.returns)) == ("timed_out", 1)


CLASSES = (
    "class P:\n    def __init__(self, x):\n        self.x = x\ndef get(p):\n    return p.x\ndef key(x):\n"
    "    return {}[x]\n"
)


@pytest.mark.parametrize(
    ("source", "checks", "setup", "expected", "status", "origin"),
    [
        (CLASSES, ["assert get(P(3)) == 3", "assert get(P(x=4)) == N"], "N = 4", [True, True], "finished", "program"),
        (CLASSES, ["assert get(P(3)) == 4", "assert True"], "", [False], "finished", "program"),
        (
            CLASSES,
            ["try:\n    key(1)\nexcept KeyError as e:\n    assert e.args == ('1',), e.args"],
            "",
            [True],
            "finished",
            "program",
        ),
        (CLASSES, ["key(1)"], "", [False], "finished", "program"),
        ("1 / 0", ["assert True"], "", [], "raised", "program"),
        (CLASSES, ["assert True"], "1 / 0", [], "raised", "checks"),
        (CLASSES, ["while True: pass"], "", [], "timed_out", "checks"),
        (CLASSES, ["assert True", "get(P(1))\nwhile True: pass"], "", [True], "timed_out", "program"),
        ("def get(p):\n    while True: pass", ["get(1)"], "", [], "timed_out", "program"),
        ("import os\ndef get(p):\n    os._exit(0)", ["get(1)"], "", [], "exited", "program"),
        (CLASSES, ["def f(:"], "", [False], "finished", "program"),
        (CLASSES, ["import os\nos._exit(0)"], "", [], "exited", "checks"),
    ],
)
async def test_checks(
    sandbox: LocalSandbox, source: str, checks: list[str], setup: str, expected: list[bool], status: str, origin: str
) -> None:
    outcome = await sandbox.run(Checks(source, tuple(checks), ("P", "get", "key"), setup), BRIEF)
    assert [check.has_passed for check in outcome.checks] == expected, outcome
    assert (outcome.status, outcome.origin) == (status, origin), outcome


async def test_checks_go_on_if_they_are_not_stopping(sandbox: LocalSandbox) -> None:
    checks = Checks(CLASSES, ("assert get(P(1)) == 2", "assert get(P(1)) == 1"), ("P", "get"), is_stopping=False)
    assert [check.has_passed for check in (await sandbox.run(checks)).checks] == [False, True]


async def test_programs_share_nothing(sandbox: LocalSandbox) -> None:
    await sandbox.run(Script("import builtins, sys\nbuiltins.leak = 1\nsys.leak = 1\nsys.modules['leak'] = sys"))
    source = (
        "import sys\ntry:\n    print(leak)\nexcept NameError:\n    print(hasattr(sys, 'leak'), 'leak' in sys.modules)"
    )
    outcomes = await asyncio.gather(*(sandbox.run(Script(source)) for _ in range(4)))
    assert [outcome.stdout for outcome in outcomes] == ["False False\n"] * 4


async def test_programs_do_the_same_whenever_they_run(sandbox: LocalSandbox) -> None:
    source = "import random\nprint(random.random(), hash('a'), {'a', 'b', 'c'})"
    outcomes = await asyncio.gather(*(sandbox.run(Script(source)) for _ in range(4)))
    assert len({outcome.stdout for outcome in outcomes}) == 1


async def test_files_where_they_are_allowed(sandbox: LocalSandbox) -> None:
    source = (
        "open('a', 'w').write('x' * 1000)\nimport os\nos.mkdir('d')\nos.rename('a', 'd/b')\n"
        "print(len(open('d/b').read()), os.listdir())"
    )
    limits = Limits(disk_bytes=1 << 20)
    assert (await sandbox.run(Script(source), limits)).stdout == "1000 ['d']\n"
    assert (await sandbox.run(Script("import os\nprint(os.listdir())"), limits)).stdout == "[]\n"
    assert (await sandbox.run(Script(source))).status == "raised"


async def test_processes_where_they_are_allowed(sandbox: LocalSandbox) -> None:
    job = Script(
        "import multiprocessing as m\nif __name__ == '__main__':\n    import os\n    pid = os.fork()\n"
        "    if not pid:\n        os._exit(7)\n    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    limits = Limits(processes=3)
    if sandbox.describe().backend == "namespaces":
        assert (await sandbox.run(job, limits)).stdout == "7\n"
    else:
        with pytest.raises(ConfigError, match=r"processes: got 3; .* Use the backend 'namespaces'"):
            await sandbox.run(job, limits)


@pytest.mark.parametrize(
    ("source", "limits", "status"),
    [
        ("x = bytearray(300 << 20)", Limits(memory_bytes=200 << 20), "out_of_memory"),
        ("x = bytearray(100 << 20)", Limits(memory_bytes=200 << 20), "finished"),
        ("print('x' * 2000)", Limits(output_bytes=1000), "too_much_output"),
        ("print('x' * 900)", Limits(output_bytes=1000), "finished"),
        ("import os\n[os.dup(0) for _ in range(20)]", Limits(open_files=16), "raised"),
        ("import os\n[os.dup(0) for _ in range(20)]", Limits(open_files=64), "finished"),
        ("import time\ntime.sleep(0.5)", Limits(wall_seconds=0.2), "timed_out"),
        ("import time\ntime.sleep(0.5)", Limits(wall_seconds=5.0, total_seconds=0.2), "timed_out"),
    ],
)
async def test_limits(sandbox: LocalSandbox, source: str, limits: Limits, status: str) -> None:
    assert (await sandbox.run(Script(source), limits)).status == status


async def test_processor_time_is_limited_apart_from_wall_time(sandbox: LocalSandbox) -> None:
    source = (
        "import hashlib, threading\nblock = bytes(1 << 26)\ndef burn():\n    while True: hashlib.sha256(block)\n"
        "for _ in range(8): threading.Thread(target=burn).start()\n"
    )
    outcome = await sandbox.run(Script(source), Limits(wall_seconds=2.0))
    assert outcome.status == "timed_out"


@pytest.mark.parametrize(
    "name", ["wall_seconds", "total_seconds", "memory_bytes", "processes", "open_files", "output_bytes"]
)
async def test_limits_have_to_be_positive(sandbox: LocalSandbox, name: str) -> None:
    values: dict[str, Any] = {name: 0, "disk_bytes": -1}
    with pytest.raises(ConfigError, match=rf"{name}: got 0(?s:.)*disk_bytes: got -1"):
        await sandbox.run(Script(""), Limits(**values))


async def test_a_worker_that_dies_is_replaced_and_its_job_run_again(sandbox: LocalSandbox) -> None:
    async with open_sandbox(sandbox.describe().backend, workers=1) as own:
        await own.run(Script("print(1)"))
        before = list_descendants(os.getpid())
        job = asyncio.create_task(
            own.run(Script("import time\ntime.sleep(1)\nprint('again')"), Limits(wall_seconds=20.0))
        )
        await asyncio.to_thread(wait_until, lambda: len(list_descendants(os.getpid())) > len(before))
        for worker in list(own._open):  # pyright: ignore
            for pid in list_descendants(worker._process.pid) | {worker._process.pid}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        assert (await job).stdout == "again\n"
        assert (await own.run(Script("print(2)"))).stdout == "2\n"


async def test_a_worker_that_always_dies_is_an_error_and_no_outcome(
    sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Outcome:
        raise SandboxError("it broke")

    async with open_sandbox(sandbox.describe().backend, workers=1) as own:
        monkeypatch.setattr("nbest.sandbox.local.run_job", fail)
        with pytest.raises(SandboxError, match="it broke"):
            await own.run(Script("print(1)"))
        monkeypatch.undo()
        assert (await own.run(Script("print(1)"))).stdout == "1\n"


async def test_one_job_runs_alone(sandbox: LocalSandbox) -> None:
    source = "import time\nprint(time.monotonic())\ntime.sleep(0.3)\nprint(time.monotonic())"
    limits = Limits(wall_seconds=20.0)
    together = [sandbox.run(Script(source), limits) for _ in range(3)]
    outcomes = await asyncio.gather(
        *together, sandbox.run_alone(Script(source), limits), *(sandbox.run(Script(source), limits),)
    )
    spans = [tuple(map(float, outcome.stdout.split())) for outcome in outcomes]
    start, end = spans[3]
    others = spans[:3] + spans[4:]
    assert all(other_end <= start or other_start >= end for other_start, other_end in others)


async def test_a_cancelled_caller_leaves_a_sandbox_that_works(sandbox: LocalSandbox) -> None:
    task = asyncio.create_task(sandbox.run(Script("while True: pass"), BRIEF))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await sandbox.run(Script("print(1)"))).stdout == "1\n"


async def test_closing_ends_what_runs(sandbox: LocalSandbox) -> None:
    own = open_sandbox(sandbox.describe().backend, workers=1)
    await own.run(Script(""))
    task = asyncio.create_task(own.run(Script("while True: pass"), Limits(wall_seconds=60.0)))
    await asyncio.sleep(0.2)
    started = time.monotonic()
    await own.aclose()
    assert time.monotonic() - started < 20
    with pytest.raises(SandboxError):
        await task
    with pytest.raises(SandboxError, match="the sandbox is closed"):
        await own.run(Script(""))


async def test_description(sandbox: LocalSandbox) -> None:
    await sandbox.run(Script(""))
    isolation = sandbox.describe()
    assert isolation.is_isolated
    assert "seccomp" in isolation.layers
    assert {"landlock", "namespaces"} & set(isolation.layers)
    assert set(isolation.packages) >= {"python", "numpy"}


KILLED = "ended by signal SIGKILL, which the program sent to itself or this machine sent for want of memory"


async def test_a_kill_without_memory_is_no_lack_of_memory(sandbox: LocalSandbox) -> None:
    outcome = await sandbox.run(Script("import os\nos.kill(os.getpid(), 9)"), BRIEF)
    assert (outcome.status, outcome.message) == ("killed", KILLED)


@pytest.mark.parametrize(
    ("part", "processes", "status"),
    [(0.5, 1, "killed"), (0.89, 1, "killed"), (0.95, 1, "out_of_memory"), (0.1, 3, "out_of_memory")],
)
def test_memory_near_the_limit_is_what_a_kill_is_for(part: float, processes: int, status: str) -> None:
    limits = Limits(memory_bytes=1 << 30, processes=processes)
    ending = Ended({"signal": 9, "memory_bytes": int(part * (1 << 30))})
    assert read_end(ending, limits, None, is_complete=True)[0] == status


@dataclass
class Ended:
    exit: Mapping[str, Any] | None
    excess: str = ""
    has_timed_out: bool = False
    is_killed: bool = False
    cpu_limit_seconds: float = 10.0


async def test_signals_without_a_name(sandbox: LocalSandbox) -> None:
    outcome = await sandbox.run(Script("import os\nos.kill(os.getpid(), 40)"), BRIEF)
    assert (outcome.status, outcome.message) == ("killed", "ended by signal 40")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(10**400, 0.0), (float("inf"), 0.0), (float("nan"), 0.0), (-1, 0.0), (1e7, 0.0), ("1", 0.0), (2, 2.0), (0.5, 0.5)],
)
def test_times_that_a_program_writes(written: Any, seconds: float) -> None:
    assert read_return({"value": "1", "seconds": written}).seconds == seconds
    assert read_check({"passed": True, "seconds": written}).seconds == seconds


async def test_a_program_cannot_shorten_the_time_of_its_calls(sandbox: LocalSandbox) -> None:
    source = "import time\ntime.perf_counter = lambda: 0.0\ndef f(x):\n    time.sleep(x)\n    return x"
    outcome = await sandbox.run(Calls(source, (Call("f", (0.4,)), Call("f", (0.0,)))), Limits(wall_seconds=5.0))
    first, second = (entry.seconds for entry in outcome.returns)
    assert 0.4 <= first < 5.0
    assert second < 0.4


@pytest.mark.parametrize("kind", ["StopIteration", "StopAsyncIteration", "GeneratorExit"])
async def test_an_exception_of_the_program_ends_no_loop_of_the_checks(sandbox: LocalSandbox, kind: str) -> None:
    source = f"def f(x):\n    raise {kind}\ndef g(x):\n    raise LookupError"
    checks = ("assert all(map(lambda x: f(x) == x, [1, 2]))", "try:\n    g(1)\nexcept LookupError:\n    pass")
    outcome = await sandbox.run(Checks(source, checks, ("f", "g"), is_stopping=False))
    assert [check.has_passed for check in outcome.checks] == [False, True]


async def test_closing_while_a_worker_starts_ends_that_worker(
    sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = open_sandbox(sandbox.describe().backend, workers=1)
    is_starting, may_go = threading.Event(), threading.Event()
    started: list[WorkerProcess] = []

    def start(*arguments: Any) -> WorkerProcess:
        started.append(WorkerProcess(*arguments))
        is_starting.set()
        assert may_go.wait(20)
        return started[0]

    monkeypatch.setattr(local, "WorkerProcess", start)
    task = asyncio.create_task(own.run(Script("while True: pass"), Limits(wall_seconds=60.0)))
    await asyncio.to_thread(is_starting.wait, 20)
    closing = asyncio.create_task(own.aclose())
    assert await asyncio.to_thread(wait_until, lambda: own._is_closed)  # pyright: ignore
    may_go.set()
    await asyncio.wait_for(closing, 20)
    with pytest.raises(SandboxError):
        await task
    assert len(started) == 1
    assert started[0]._process.returncode is not None  # pyright: ignore


async def test_without_free_files_a_job_is_an_error_and_nothing_stays_open(sandbox: LocalSandbox) -> None:
    async with open_sandbox(sandbox.describe().backend, workers=1) as own:
        assert (await own.run(Script("print(1)"))).stdout == "1\n"
        before = len(os.listdir("/proc/self/fd"))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(map(int, os.listdir("/proc/self/fd")))
        try:
            for extra in range(1, 8):
                resource.setrlimit(resource.RLIMIT_NOFILE, (highest + extra, hard))
                with contextlib.suppress(SandboxError):
                    await own.run(Script("print(1)"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            with pytest.raises(SandboxError, match=r"cannot be started.*Too many open files"):
                await own.run(Script("print(1)"))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert len(os.listdir("/proc/self/fd")) <= before
        assert (await own.run(Script("print(1)"))).stdout == "1\n"


def test_a_sandbox_may_open_as_many_files_as_this_process_may() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        open_sandbox(workers=1, allow_unsandboxed=True).close()  # pyright: ignore
        now = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert now == (min(hard, 1 << 16) if hard != resource.RLIM_INFINITY else 1 << 16, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
