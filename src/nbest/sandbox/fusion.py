"""A sandbox on another machine: the HTTP interface of SandboxFusion (`POST /run_code`).

Scripts are sent as they are. For calls and checks, `fusion_driver.py` is sent, which runs the program in a process of
its own there. What the server isolates, and from what, is its own matter: it runs all programs as one user, has files
of its own and, as usually set up, network access.
"""

import asyncio
import base64
import http.client
import json
import re
import secrets
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from nbest.errors import ConfigError, SandboxError
from nbest.sandbox.executions import Calls, Checks, Isolation, Job, Limits, Outcome, Sandbox, Script
from nbest.sandbox.jobs import as_text, read_check, read_end, read_return, read_seconds
from nbest.sandbox.turnstile import Turnstile
from nbest.sandbox.values import encode_value

_FOLDER = Path(__file__).parent
_TRIES = 3
_WAIT_SECONDS = 0.3
_QUEUE_SECONDS = 120.0
"""How long a request may wait at the server before it runs, beside the time that it may run."""
_START_SECONDS = 10.0
"""What the driver may take beside the time of its job: two interpreters start."""
_MEGABYTE = 1 << 20
_PRINTABLE = re.compile(r"[!-~]+")


@dataclass
class _Ending:
    """How a process on the server ended, as `read_end` wants to know it."""

    exit: Mapping[str, Any] | None
    excess: str = ""
    has_timed_out: bool = False
    is_killed: bool = False
    cpu_limit_seconds: float = float("inf")


class _Refusal(Exception):
    """A failure of the server that may pass."""


class FusionSandbox(Sandbox):
    """Runs jobs on the server at `url`, `workers` at a time.

    A request that fails (no connection, a status of 5xx or 429, the server's own error) is sent three times in all,
    then SandboxError. A user and password in the URL are sent as basic authorization and shown nowhere; ConfigError for
    a URL that is none. Limits of files and processes hold for calls and checks; for scripts the server has its own.
    """

    def __init__(self, url: str, workers: int):
        base, self._headers = _read_url(url)
        self._url = base if base.endswith("/run_code") else f"{base}/run_code"
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="nbest-fusion")
        self._turnstile = Turnstile()
        self._is_closed = threading.Event()

    async def run(self, job: Job, limits: Limits | None = None) -> Outcome:
        return await self._submit(self._turnstile.run, job, limits or Limits())

    async def run_alone(self, job: Job, limits: Limits | None = None) -> Outcome:
        return await self._submit(self._turnstile.run_alone, job, limits or Limits())

    def describe(self) -> Isolation:
        address = self._url.partition("://")[2] if self._headers else self._url
        return Isolation(f"fusion {address}", True, ("the server's own",), {})

    async def aclose(self) -> None:
        self._is_closed.set()
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)

    async def _submit(
        self, pass_through: Callable[[Callable[[], Outcome]], Outcome], job: Job, limits: Limits
    ) -> Outcome:
        try:
            future = self._executor.submit(pass_through, lambda: self._run(job, limits))
        except RuntimeError:
            raise SandboxError("the sandbox is closed") from None
        return await asyncio.wrap_future(future)

    def _run(self, job: Job, limits: Limits) -> Outcome:
        if isinstance(job, Script):
            return self._run_script(job, limits)
        return self._run_driver(job, limits)

    def _run_script(self, job: Script, limits: Limits) -> Outcome:
        seconds = limits.total_seconds or limits.wall_seconds
        result = self._post(job.source, job.stdin, seconds, limits.memory_bytes)
        stdout, stderr = str(result.get("stdout") or ""), str(result.get("stderr") or "")
        excess = next((name for name, text in (("stdout", stdout), ("stderr", stderr)) if _is_over(text, limits)), "")
        code = result.get("return_code")
        number = int(code) if isinstance(code, int) else 0
        exit_state = {"code": number if number >= 0 else None, "signal": -number if number < 0 else None}
        ending = _Ending(exit_state, excess, result.get("status") == "TimeLimitExceeded")
        raised = _find_raised(stderr) if number == 1 else None
        status, message = read_end(ending, limits, raised, is_complete=True)
        spent = result.get("execution_time")
        return Outcome(
            status,
            message,
            _cut(stdout, limits),
            _cut(stderr, limits),
            exit_code=exit_state["code"],
            seconds=read_seconds(spent),
        )

    def _run_driver(self, job: Calls | Checks, limits: Limits) -> Outcome:
        request = _make_request(job, limits)
        mark = request["mark"]
        started = time.monotonic()
        allowed_seconds = request["total_seconds"] + _START_SECONDS
        # The driver holds the limit of the program itself; two processes and their output need room beside it.
        memory_bytes = 2 * limits.memory_bytes + 4 * limits.output_bytes + 512 * _MEGABYTE
        driver = (_FOLDER / "fusion_driver.py").read_text(encoding="utf-8")
        response = self._post(driver, json.dumps(request), allowed_seconds, memory_bytes)
        parts = str(response.get("stdout") or "").split(mark)
        if len(parts) != 3:
            tail = str(response.get("stderr") or response.get("status")).strip().splitlines()[-1:] or ["no message"]
            raise SandboxError(f"SandboxFusion at {self._url} gave no result of a job: {tail[0][:300]}")
        try:
            return _read_result(json.loads(parts[1]), job, limits, time.monotonic() - started)
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
            fault = f"{type(error).__name__}: {error}"[:300]
            raise SandboxError(f"SandboxFusion at {self._url} gave a result that cannot be read: {fault}") from None

    def _post(self, code: str, stdin: str, seconds: float, memory_bytes: int) -> Mapping[str, Any]:
        """Send a request; returns the server's `run_result`. Raises SandboxError after the last try."""
        body = {
            "code": code,
            "language": "python",
            "stdin": stdin,
            "run_timeout": seconds,
            "compile_timeout": seconds,
            "memory_limit_MB": max(1, memory_bytes // _MEGABYTE),
        }
        reason = ""
        for number in range(_TRIES):
            if number and self._is_closed.wait(_WAIT_SECONDS * 2**number):
                break
            try:
                return _send(self._url, self._headers, body, seconds + _QUEUE_SECONDS)
            except _Refusal as refusal:
                reason = str(refusal)
        raise SandboxError(f"SandboxFusion at {self._url}: {reason or 'the sandbox is closed'}")


def _read_url(url: str) -> tuple[str, dict[str, str]]:
    """Return a URL without its user and password, and the headers that say them."""
    try:
        parts = urllib.parse.urlsplit(url)
        has_address = bool(parts.hostname) and parts.port != 0 and "@" not in parts.path + parts.query
    except ValueError:
        has_address = False
        parts = urllib.parse.SplitResult("", "", "", "", "")
    if not has_address or parts.scheme not in ("http", "https") or not _PRINTABLE.fullmatch(url):
        shown = "".join(url.rpartition("@")[1:])
        raise ConfigError(f"sandbox: got the URL {shown!r}; allowed: https://HOST or http://HOST:PORT/PATH")
    user, at, place = parts.netloc.rpartition("@")
    base = urllib.parse.urlunsplit(parts._replace(netloc=place)).rstrip("/")
    if not at:
        return base, {}
    token = base64.b64encode(urllib.parse.unquote_to_bytes(user)).decode()
    return base, {"Authorization": f"Basic {token}"}


def _send(url: str, headers: Mapping[str, str], body: Mapping[str, Any], timeout_seconds: float) -> Mapping[str, Any]:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    for name, value in headers.items():
        request.add_unredirected_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds) as response:
            answer = json.loads(response.read())
    except urllib.error.HTTPError as error:
        text = error.read(300).decode("utf-8", "replace")
        if error.code >= 500 or error.code == 429:
            raise _Refusal(f"status {error.code}: {text}") from None
        raise SandboxError(f"SandboxFusion at {url} refuses a request: status {error.code}: {text}") from None
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        raise _Refusal(f"{type(error).__name__}: {error}") from None
    if not isinstance(answer, dict):
        raise _Refusal("an answer that is no JSON object")
    fields = cast("dict[str, Any]", answer)
    result = fields.get("run_result")
    if fields.get("status") == "SandboxError" or not isinstance(result, dict):
        raise _Refusal(f"its own error: {str(fields.get('message'))[:300]}")
    return cast("dict[str, Any]", result)


def _make_request(job: Calls | Checks, limits: Limits) -> dict[str, Any]:
    """Return what the driver reads."""
    if isinstance(job, Calls):
        count = len(job.calls)
        listed = [[call.function, [encode_value(argument) for argument in call.arguments]] for call in job.calls]
        content: dict[str, Any] = {"calls": job.source, "list": listed}
    else:
        count = len(job.checks)
        content = {
            "source": job.source,
            "checks": list(job.checks),
            "setup": job.setup,
            "functions": list(job.functions),
            "is_stopping": job.is_stopping,
        }
    total_seconds = limits.total_seconds or limits.wall_seconds * max(1, count)
    return {
        "mark": f"nbest-{secrets.token_hex(32)}",
        "values": (_FOLDER / "values.py").read_text(encoding="utf-8"),
        "program": (_FOLDER / "program.py").read_text(encoding="utf-8"),
        "job": content,
        "limits": asdict(limits),
        "total_seconds": total_seconds,
        "cpu_seconds": max(1, round(total_seconds + 1)),
    }


def _read_result(result: Mapping[str, Any], job: Calls | Checks, limits: Limits, seconds: float) -> Outcome:
    end = result["end"]
    exit_state = cast("dict[str, Any]", end["exit"])
    ending = _Ending(exit_state, end["excess"], end["has_timed_out"], end["is_killed"], float(end["cpu_limit_seconds"]))
    is_done = bool(result["is_done"])
    is_finished = is_done and not ending.excess
    status, message = ("finished", "") if is_finished else read_end(ending, limits, as_text(result["raised"]), is_done)
    frames = cast("list[dict[str, Any]]", result["frames"])
    return Outcome(
        status,
        message,
        end["stdout"],
        end["stderr"],
        returns=tuple(map(read_return, frames)) if isinstance(job, Calls) else (),
        checks=tuple(map(read_check, frames)) if isinstance(job, Checks) else (),
        origin="checks" if result.get("origin") == "checks" else "program",
        exit_code=exit_state.get("code"),
        seconds=seconds,
        cpu_seconds=float(exit_state["cpu_seconds"]),
        memory_bytes=int(exit_state["memory_bytes"]),
    )


def _is_over(text: str, limits: Limits) -> bool:
    return len(text.encode("utf-8", "surrogatepass")) > limits.output_bytes


def _cut(text: str, limits: Limits) -> str:
    return text.encode("utf-8", "surrogatepass")[: limits.output_bytes].decode("utf-8", "replace")


def _find_raised(stderr: str) -> str | None:
    """Return the last line of a traceback; None if there is none."""
    lines = stderr.strip().splitlines()
    return lines[-1] if any(line.startswith("Traceback (most recent call last)") for line in lines) else None
