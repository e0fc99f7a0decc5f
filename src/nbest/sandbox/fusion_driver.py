"""The script that a SandboxFusion server runs for calls and checks: it starts a process for each of both sides.

Its standard input holds everything: the sources of `program.py` and `values.py`, the job, the limits, and a random mark
between which it prints the result. So neither is in a file that the program can read. The conversation is the one that
`program.py` describes. Standard library only; sent as text.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

BOOT = """
import os, sys, types
channel, sources = int(sys.argv[1]), sys.argv[2:]
for name, source in zip(("_nbest_values", "_nbest_program"), sources):
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, "/sandbox/program.py", "exec"), module.__dict__)
os.dup2(channel, 3)
os.closerange(4, 256)
sys.argv = [""]
module.prepare()
os._exit(module.run(3))
"""


class Process:
    """A process that runs one job of the channel. `end` has how it ended, once it did."""

    def __init__(self, request, cpu_seconds):
        self._limits = request["limits"]
        self._cpu_seconds = cpu_seconds
        ours, theirs = socket.socketpair()
        self._channel = ours
        self._received = bytearray()
        self._count = 0
        self.frames = []
        self.excess = ""
        self.has_timed_out = False
        self.is_killed = False
        self.outputs = {"stdout": bytearray(), "stderr": bytearray()}
        self._process = subprocess.Popen(
            [sys.executable, "-c", BOOT, str(theirs.fileno()), request["values"], request["program"]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            preexec_fn=self._limit,
        )
        theirs.close()
        self._readers = [
            threading.Thread(target=self._drain, args=(name, stream), daemon=True)
            for name, stream in (("stdout", self._process.stdout), ("stderr", self._process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _limit(self):
        values = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_AS: self._limits["memory_bytes"],
            resource.RLIMIT_FSIZE: self._limits["disk_bytes"],
            resource.RLIMIT_NOFILE: self._limits["open_files"],
            resource.RLIMIT_CPU: self._cpu_seconds,
        }
        for name, value in values.items():
            _, hard = resource.getrlimit(name)
            allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(name, (allowed, allowed))

    def _drain(self, name, stream):
        output, limit = self.outputs[name], self._limits["output_bytes"]
        while data := os.read(stream.fileno(), 1 << 16):
            output += data[: limit - len(output)]
            if len(output) >= limit:
                self.excess = self.excess or name
                self.kill()

    def kill(self):
        self.is_killed = True
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def send(self, frame):
        data = json.dumps(frame).encode()
        with contextlib.suppress(OSError):
            self._channel.sendall(struct.pack(">I", len(data)) + data)

    def receive(self, deadline):
        """Return the next message; None if the process ended, broke a limit or did not answer in time."""
        while not self.frames:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._channel], [], [], left)[0]:
                self.has_timed_out = True
                self.kill()
                return None
            try:
                data = self._channel.recv(1 << 16)
            except OSError:
                data = b""
            if not data or not self._read(data):
                return None
        return self.frames.pop(0)

    def _read(self, data):
        self._received += data
        self._count += len(data)
        if self._count > self._limits["output_bytes"]:
            return self._stop("returned values")
        while len(self._received) >= 4:
            (size,) = struct.unpack(">I", self._received[:4])
            if len(self._received) < 4 + size:
                break
            try:
                frame = json.loads(bytes(self._received[4 : 4 + size]))
            except (ValueError, RecursionError):
                frame = None
            if not isinstance(frame, dict):
                return self._stop("broken messages")
            del self._received[: 4 + size]
            self.frames.append(frame)
        return True

    def _stop(self, excess):
        self.excess = self.excess or excess
        self.kill()
        return False

    def end(self, deadline):
        """Wait until the process has ended, at most until the deadline; returns how it did."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.has_timed_out = self.has_timed_out or not self.is_killed
            self.kill()
            self._process.wait()
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for reader in self._readers:
            reader.join(1.0)
        code = self._process.returncode
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "exit": {
                "code": code if code >= 0 else None,
                "signal": -code if code < 0 else None,
                "cpu_seconds": used.ru_utime + used.ru_stime,
                "memory_bytes": used.ru_maxrss * 1024,
            },
            "excess": self.excess,
            "has_timed_out": self.has_timed_out,
            "is_killed": self.is_killed,
            "cpu_limit_seconds": self._cpu_seconds,
            "stdout": self.outputs["stdout"].decode("utf-8", "replace"),
            "stderr": self.outputs["stderr"].decode("utf-8", "replace"),
        }


class Clock:
    """The deadline of the part that is under way, and of the job."""

    def __init__(self, request):
        self._wall_seconds = request["limits"]["wall_seconds"]
        self._end = time.monotonic() + request["total_seconds"]
        self.restart()

    def restart(self):
        self.deadline = min(time.monotonic() + self._wall_seconds, self._end)


def run_calls(request):
    clock = Clock(request)
    process = Process(request, request["cpu_seconds"])
    process.send(request["job"])
    count, frames, raised = len(request["job"]["list"]), [], None
    while len(frames) < count and raised is None:
        frame = process.receive(clock.deadline)
        if frame is None:
            break
        if "raised" in frame:
            raised = frame["raised"]
        else:
            frames.append(frame)
            clock.restart()
    is_done = len(frames) == count
    if is_done:
        process.kill()
    return {"frames": frames, "raised": raised, "is_done": is_done, "end": process.end(clock.deadline)}


def run_checks(request):
    """Relay the calls of the test code to the program, each in its own process."""
    clock = Clock(request)
    program = Process(request, request["cpu_seconds"])
    program.send({"serve": request["job"]["source"]})
    first = program.receive(clock.deadline)
    if first is None or "ready" not in first:
        raised = None if first is None else str(first.get("raised"))
        return _end([], raised, program, None, "program", clock)
    clock.restart()
    tester = Process(request, request["cpu_seconds"])
    tester.send(request["job"])
    checks, has_answered = [], False
    is_stopping, count = request["job"]["is_stopping"], len(request["job"]["checks"])
    while len(checks) < count and not (is_stopping and checks and checks[-1].get("passed") is not True):
        frame = tester.receive(clock.deadline)
        if frame is None or "setup" in frame:
            raised = None if frame is None else str(frame["setup"])
            return _end(checks, raised, tester, program, "program" if has_answered else "checks", clock)
        if "check" in frame:
            checks.append(frame)
            has_answered = False
            clock.restart()
        elif "call" in frame:
            program.send(frame)
            reply = program.receive(clock.deadline)
            if reply is None:
                return _end(checks, None, program, tester, "program", clock)
            tester.send(clean_reply(reply))
            has_answered = True
    tester.kill()
    program.kill()
    tester.end(clock.deadline)
    result = _end(checks, None, program, None, "program", clock)
    return result | {"is_done": True}


def clean_reply(frame):
    """Return a program's reply with what a reply may have: a program writes to its channel what it likes."""
    if isinstance(frame.get("value"), str):
        return {"value": frame["value"]}
    return {name: str(frame.get(name, "")) for name in ("error", "kind", "text")}


def _end(checks, raised, cause, other, origin, clock):
    if other is not None:
        other.kill()
        other.end(clock.deadline)
    end = cause.end(clock.deadline)
    return {"frames": checks, "raised": raised, "is_done": False, "origin": origin, "end": end}


def main():
    request = json.loads(sys.stdin.buffer.read())
    # Without this, a program of the same user could read the memory of this process, and write to its files.
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
    result = run_checks(request) if "checks" in request["job"] else run_calls(request)
    mark = request["mark"]
    sys.stdout.write(f"\n{mark}{json.dumps(result)}{mark}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
