"""The client of SandboxFusion against a server of the same interface, which runs scripts in subprocesses."""

import asyncio
import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from nbest.errors import ConfigError, SandboxError
from nbest.sandbox import fusion
from nbest.sandbox.executions import Call, Calls, Checks, Job, Limits, Sandbox, Script
from nbest.sandbox.fusion import FusionSandbox
from nbest.sandbox.hostile_results import FORGERIES
from nbest.sandbox.opening import open_sandbox

LIMITS = Limits(wall_seconds=2.0, output_bytes=1 << 20)


class Server(ThreadingHTTPServer):
    """Answers `POST /run_code`. The first `failures` of its requests get `failure`.

    That is a status, or "error", "cut", "short" or "no http".
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.failures = 0
        self.failure: int | str = 500
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore

    def log_message(self, *_: Any) -> None: ...

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        self.server.authorizations.append(self.headers["Authorization"])
        if self.server.failures:
            self.server.failures -= 1
            if self.server.failure == "short":
                self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n{")
                return
            if self.server.failure == "no http":
                self.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")
                return
            if self.server.failure == "cut":
                self.connection.close()
                return
            if isinstance(self.server.failure, int):
                self._answer(self.server.failure, {"detail": "no"})
                return
            self._answer(200, {"status": "SandboxError", "message": "the pool is full", "run_result": None})
            return
        assert self.path == "/run_code"
        assert body["language"] == "python"
        self._answer(200, _run(body))

    def _answer(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _run(body: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {"execution_time": 0.1, "return_code": None}
    try:
        run = subprocess.run(
            [sys.executable, "-c", body["code"]],
            input=body["stdin"],
            capture_output=True,
            text=True,
            timeout=body["run_timeout"],
        )
    except subprocess.TimeoutExpired as error:
        result |= {"status": "TimeLimitExceeded", "stdout": (error.stdout or b"").decode(), "stderr": ""}
        return {"status": "Failed", "message": "", "run_result": result}
    result |= {"status": "Finished", "return_code": run.returncode, "stdout": run.stdout, "stderr": run.stderr}
    return {"status": "Failed" if run.returncode else "Success", "message": "", "run_result": result}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as opened:
        thread = threading.Thread(target=opened.serve_forever)
        thread.start()
        yield opened
        opened.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "_WAIT_SECONDS", 0.01)


async def run(server: Server, job: Job, limits: Limits = LIMITS) -> Any:
    async with FusionSandbox(server.url, 2) as sandbox:
        assert isinstance(sandbox, Sandbox)
        return await sandbox.run(job, limits)


@pytest.mark.parametrize(
    ("source", "status", "stdout", "message"),
    [
        ("print(sum(map(int, input().split())))", "finished", "6\n", ""),
        ("print(1)\n1 / 0", "raised", "1\n", "ZeroDivisionError: division by zero"),
        ("raise MemoryError", "out_of_memory", "", "MemoryError"),
        ("import sys\nsys.exit(3)", "exited", "", "status 3"),
        ("import sys\nsys.exit(1)", "exited", "", "status 1"),
        ("import os\nos.kill(os.getpid(), 11)", "killed", "", "SIGSEGV"),
        ("import os\nos.kill(os.getpid(), 9)", "out_of_memory", "", "memory"),
        ("while True: pass", "timed_out", "", "within 2 s"),
        ("print('x' * 2_000_000)", "too_much_output", "x" * (1 << 20), "stdout"),
    ],
)
async def test_scripts(server: Server, source: str, status: str, stdout: str, message: str) -> None:
    outcome = await run(server, Script(source, "1 2 3"))
    assert (outcome.status, outcome.stdout) == (status, stdout)
    assert message in outcome.message
    assert server.requests[0]["run_timeout"] == 2.0
    assert server.requests[0]["memory_limit_MB"] == 2048


SOURCE = (
    "class S:\n    def g(self, items):\n        items.append(1)\n        return items\ndef f(x):\n"
    "    print('noise')\n    return x, {x: (x,)}\n"
)


async def test_calls(server: Server) -> None:
    calls = (Call("f", (1,)), Call("S.g", ([0],)), Call("f"), Call("nope"))
    outcome = await run(server, Calls(SOURCE, calls))
    assert outcome.status == "finished"
    assert [entry.value for entry in outcome.returns if entry.text] == [(1, {1: (1,)}), [0, 1]]
    assert "missing 1 required" in outcome.returns[2].error
    assert outcome.returns[3].error.startswith("NameError")
    assert outcome.stdout in ("", "noise\n")


@pytest.mark.parametrize(
    ("source", "status", "count"),
    [
        ("def f(x):\n    while x: pass\n    return x", "timed_out", 1),
        ("import os\ndef f(x):\n    if x: os._exit(0)\n    return x", "exited", 1),
        ("1 / 0", "raised", 0),
        ("def f(x):\n    return 'x' * 2_000_000 if x else x", "too_much_output", 1),
        (
            "import os, time\ndef f(x):\n    if x: os.write(3, b'garbage ' * 9)\n    time.sleep(x * 60)\n    return x",
            "timed_out",
            1,
        ),
        ("def f(x):\n    if x: x = bytearray(10**11)\n    return 0", "finished", 3),
    ],
)
async def test_calls_that_end_early(server: Server, source: str, status: str, count: int) -> None:
    outcome = await run(server, Calls(source, (Call("f", (0,)), Call("f", (1,)), Call("f", (0,)))))
    assert (outcome.status, len(outcome.returns)) == (status, count), outcome


@pytest.mark.parametrize(
    ("source", "checks", "setup", "expected", "status", "origin"),
    [
        (
            SOURCE,
            ["assert f(1) == (1, {1: (1,)})", "assert f(2)[0] == N"],
            "N = 3",
            [True, False],
            "finished",
            "program",
        ),
        (SOURCE, ["assert True"], "1 / 0", [], "raised", "checks"),
        (SOURCE, ["while True: pass"], "", [], "timed_out", "checks"),
        ("import os\ndef f(x): os._exit(0)", ["f(1)"], "", [], "exited", "program"),
        ("1 / 0", ["f(1)"], "", [], "raised", "program"),
    ],
)
async def test_checks(
    server: Server, source: str, checks: list[str], setup: str, expected: list[bool], status: str, origin: str
) -> None:
    outcome = await run(server, Checks(source, tuple(checks), ("f",), setup))
    assert [check.has_passed for check in outcome.checks] == expected, outcome
    assert (outcome.status, outcome.origin) == (status, origin)


NAMES = (
    "print-success",
    "exit-in-call",
    "equal-to-all",
    "patched-builtins",
    "end-of-checks",
    "hang-the-checks",
    "replace-modules",
)
NAMES += ("write-results-to-channel", "find-answer-in-memory", "call-lying-class", "call-forged-frame")


@pytest.mark.parametrize("name", NAMES)
async def test_forged_results(server: Server, name: str) -> None:
    program = next(entry for entry in FORGERIES if entry.name == name)
    outcome = await run(server, program.job)
    assert program.is_held(outcome), outcome


async def test_printed_results_are_not_the_result(server: Server) -> None:
    source = (
        "import json, os, sys\ndef f(x):\n    fake = json.dumps({'frames': [{'value': '7'}], 'is_done': True})\n"
        "    for file in (1, 2):\n        os.write(file, f'nbest-0{fake}nbest-0'.encode())\n"
        "    print(sys.argv, os.environ.get('mark'))\n    return 0\n"
    )
    outcome = await run(server, Calls(source, (Call("f", (1,)),)))
    assert [entry.value for entry in outcome.returns] == [0]
    marks = {json.loads(body["stdin"])["mark"] for body in server.requests}
    assert all(mark not in outcome.stdout and mark not in body["code"] for mark in marks for body in server.requests)


@pytest.mark.parametrize("failure", [500, 503, 429, "error", "cut", "short", "no http"])
async def test_faults_of_the_server_are_tried_again(server: Server, failure: int | str) -> None:
    server.failures, server.failure = 2, failure
    assert (await run(server, Script("print(1)"))).stdout == "1\n"
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (500, "status 500"),
        ("error", "the pool is full"),
        ("cut", "SandboxFusion at"),
        ("short", "IncompleteRead"),
        ("no http", "BadStatusLine"),
    ],
)
async def test_faults_that_stay_are_errors_and_no_outcomes(server: Server, failure: int | str, text: str) -> None:
    server.failures, server.failure = 99, failure
    with pytest.raises(SandboxError, match=text):
        await run(server, Script("print(1)"))
    assert len(server.requests) == 3


async def test_refused_requests_are_not_tried_again(server: Server) -> None:
    server.failures, server.failure = 99, 422
    with pytest.raises(SandboxError, match="refuses a request: status 422"):
        await run(server, Script("print(1)"))
    assert len(server.requests) == 1


async def test_no_server() -> None:
    async with FusionSandbox("http://127.0.0.1:9/run_code", 1) as sandbox:
        with pytest.raises(SandboxError, match=r"SandboxFusion at http://127.0.0.1:9/run_code: URLError"):
            await sandbox.run(Script("print(1)"))
    with pytest.raises(SandboxError, match="closed"):
        await sandbox.run(Script(""))


async def test_the_mark_is_missing_where_the_driver_failed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "_make_request", lambda *_: {"mark": "m", "total_seconds": 1})
    with pytest.raises(SandboxError, match=r"gave no result of a job: KeyError"):
        await run(server, Calls("", (Call("f"),)))


async def test_description_hides_a_password() -> None:
    sandbox = FusionSandbox("https://user:secret@host.example/", 1)
    isolation = sandbox.describe()
    assert isolation.backend == "fusion host.example/run_code"
    assert isolation.is_isolated
    await sandbox.aclose()


async def test_jobs_run_together_and_alone(server: Server) -> None:
    async with FusionSandbox(server.url, 2) as sandbox:
        jobs = [sandbox.run(Script(f"print({number})")) for number in range(4)]
        outcomes = await asyncio.gather(*jobs, sandbox.run_alone(Script("print('alone')")))
    assert [outcome.stdout for outcome in outcomes] == ["0\n", "1\n", "2\n", "3\n", "alone\n"]


async def test_user_and_password_are_sent_and_not_shown(server: Server) -> None:
    url = server.url.replace("://", "://me:s%40cret@")
    async with FusionSandbox(url, 1) as sandbox:
        assert (await sandbox.run(Script("print(1)"))).stdout == "1\n"
        assert base64.b64decode(str(server.authorizations[0]).removeprefix("Basic ")) == b"me:s@cret"
        server.failures = 99
        with pytest.raises(SandboxError) as caught:
            await sandbox.run(Script("print(1)"))
    assert "cret" not in str(caught.value) + sandbox.describe().backend


@pytest.mark.parametrize(
    "url", ["http://host:eighty", "http://me:secret@host:99999", "http://", "http://a b", "http://me:1/secret@host"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError, match=r"sandbox: got the URL '.*allowed: http") as caught:
        open_sandbox(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("printed", ['{"frames": [', "{}", "[]", '{"end": {"exit": 1}}', "[" * 100_000])
async def test_results_that_cannot_be_read_are_errors(
    server: Server, monkeypatch: pytest.MonkeyPatch, printed: str
) -> None:
    monkeypatch.setattr(fusion, "_send", lambda *_: {"stdout": f"|{printed}|"})
    monkeypatch.setattr(fusion, "_make_request", lambda *_: {"mark": "|", "total_seconds": 1})
    with pytest.raises(SandboxError, match="gave a result that cannot be read"):
        await run(server, Calls("", (Call("f"),)))
