"""One warm worker as its parent sees it: starts children, feeds and reads them, holds their time and output limits.

Everything here blocks and belongs to one thread. What comes from a child is never trusted: a frame that is no frame
ends the child, and counts as the program's own doing.
"""

import contextlib
import json
import os
import resource
import selectors
import socket
import struct
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from nbest.errors import SandboxError
from nbest.sandbox.cgroups import ControlGroup
from nbest.sandbox.executions import Limits
from nbest.sandbox.launching import Launch

_READY_SECONDS = 20.0
_EXIT_SECONDS = 10.0
_DRAIN_SECONDS = 0.2
"""How long the outputs of an ended child are read where something else still holds them open."""
_CHUNK_BYTES = 1 << 16
_MOST_FRAMES = 1 << 14
"""How many messages of a child may wait: a program can send more than anybody asked for."""
REPORT_BYTES = 1 << 16
_MOST_FILES = 1 << 16


@dataclass(eq=False)
class Child:
    """A confined process: what it wrote so far, and how it ended.

    `frames` are the messages of its channel that have not been taken. `excess` names the output that passed its limit.
    """

    number: int
    channel: socket.socket
    stdin: int | None
    pending: memoryview
    outputs: dict[int, bytearray]
    output_bytes: int
    received: bytearray = field(default_factory=bytearray)
    received_bytes: int = 0
    frames: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    outgoing: bytearray = field(default_factory=bytearray)
    exit: Mapping[str, Any] | None = None
    excess: str = ""
    fault: str = ""
    is_killed: bool = False
    has_timed_out: bool = False
    cpu_limit_seconds: float = 0.0
    is_channel_open: bool = True
    stdout_file: int = -1
    stderr_file: int = -1

    def text(self, file: int) -> str:
        """Return what the child wrote to one of its output files."""
        return self.outputs.get(file, bytearray()).decode("utf-8", "replace")


class WorkerProcess:
    """A running warm process. Raises SandboxError, from any method, once it does not answer any more."""

    def __init__(self, launch: Launch, group: ControlGroup | None, scratch: str):
        self._group = group
        self._limits: tuple[int, int] | None = None
        self._children: dict[int, Child] = {}
        self._count = 0
        self._is_closed = False
        with contextlib.ExitStack() as opened:
            if group is not None:
                opened.callback(group.remove)
            try:
                self._open(launch, scratch, opened)
            except OSError as error:
                raise SandboxError(f"the sandbox cannot be started: {error}") from None
            opened.pop_all()
        self._await_ready()
        self._selector.register(self._socket, selectors.EVENT_READ, None)

    def _open(self, launch: Launch, scratch: str, opened: contextlib.ExitStack) -> None:
        """Start the process; `opened` closes what was opened on the way."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened.callback(ours.close)
        with theirs:
            self._socket = ours
            self._selector = selectors.DefaultSelector()
            opened.callback(self._selector.close)
            self._process = subprocess.Popen(
                launch.command(theirs.fileno(), scratch),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    def _await_ready(self) -> None:
        self._socket.settimeout(_READY_SECONDS)
        try:
            data = self._socket.recv(REPORT_BYTES)
        except TimeoutError:
            data = b""
        self._socket.settimeout(None)
        if not data:
            self._process.kill()
            _, stderr = self._process.communicate()
            self.close()
            tail = stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise SandboxError(f"the sandbox cannot be started: {tail[0]}")

    def start(self, limits: Limits, cpu_seconds: float, stdin: bytes = b"") -> Child:
        """Start a confined child that reads `stdin`; its job goes to its channel."""
        self._set_group(limits)
        self._count += 1
        ours, theirs, pipes = _open_files()
        reading, writing = zip(*pipes, strict=True)
        files = [reading[0], writing[1], writing[2], theirs.fileno()]
        command = {"start": self._count, "limits": asdict(limits), "cpu_seconds": max(1, round(cpu_seconds + 1))}
        try:
            socket.send_fds(self._socket, [json.dumps(command).encode()], files)
        except OSError as error:
            for file in (writing[0], reading[1], reading[2]):
                os.close(file)
            ours.close()
            raise SandboxError(f"the sandbox has ended: {error}") from None
        finally:
            for file in files[:3]:
                os.close(file)
            theirs.close()
        outputs = {reading[1]: bytearray(), reading[2]: bytearray()}
        child = Child(self._count, ours, writing[0], memoryview(stdin), outputs, limits.output_bytes)
        child.stdout_file, child.stderr_file = reading[1], reading[2]
        child.cpu_limit_seconds = command["cpu_seconds"]
        self._children[child.number] = child
        ours.setblocking(False)
        for file in (*outputs, writing[0]):
            os.set_blocking(file, False)
        for file in outputs:
            self._selector.register(file, selectors.EVENT_READ, child)
        self._selector.register(ours, selectors.EVENT_READ, child)
        # Most inputs fit the pipe at once, and then nobody has to wait until it can be written to.
        if stdin:
            self._write_stdin(child)
        else:
            self._close_stdin(child)
        if child.stdin is not None:
            self._selector.register(child.stdin, selectors.EVENT_WRITE, child)
        return child

    def _set_group(self, limits: Limits) -> None:
        wanted = (limits.memory_bytes, limits.processes)
        if self._group is not None and wanted != self._limits:
            try:
                self._group.set_limits(*wanted)
            except OSError as error:
                raise SandboxError(f"the limits of the control group cannot be set: {error}") from None
            self._limits = wanted

    def send(self, child: Child, frame: Mapping[str, Any]) -> None:
        """Queue a frame for the child's channel."""
        if not child.is_channel_open:
            return
        data = json.dumps(frame).encode()
        is_waiting = bool(child.outgoing)
        child.outgoing += struct.pack(">I", len(data)) + data
        if not is_waiting:
            self._send_outgoing(child)
            if child.outgoing:
                self._selector.modify(child.channel, selectors.EVENT_READ | selectors.EVENT_WRITE, child)

    def step(self, deadline: float) -> bool:
        """Move data for all children until something happened; False if the deadline passed first."""
        events = self._selector.select(max(0.0, deadline - time.monotonic()))
        for key, mask in events:
            if key.data is None:
                self._read_report()
                continue
            child = cast(Child, key.data)
            if key.fileobj is child.channel:
                self._move_channel(child, mask)
            elif key.fileobj == child.stdin:
                self._write_stdin(child)
            else:
                self._read_output(child, cast(int, key.fileobj))
        return bool(events)

    def kill(self, child: Child) -> None:
        """Kill a child; its exit is reported later."""
        if child.exit is None and not child.is_killed:
            child.is_killed = True
            try:
                self._socket.send(json.dumps({"kill": child.number}).encode())
            except OSError as error:
                raise SandboxError(f"the sandbox has ended: {error}") from None

    def await_exit(self, child: Child) -> None:
        """Wait until a child has ended and everything that it wrote is read."""
        deadline = time.monotonic() + _EXIT_SECONDS
        while child.exit is None and not child.fault:
            if not self.step(deadline):
                raise SandboxError("the sandbox does not say how a program ended")
        while child.is_channel_open or any(self._is_watched(file) for file in child.outputs):
            if not self.step(time.monotonic() + _DRAIN_SECONDS):
                break
        self._forget(child)
        if child.fault:
            raise SandboxError(f"a program cannot be started in the sandbox: {child.fault}")

    def abandon(self) -> None:
        """End the process from another thread: whoever works with it gets a SandboxError."""
        self._process.kill()

    def close(self) -> None:
        """End the process and everything in it."""
        if self._is_closed:
            return
        self._is_closed = True
        for child in list(self._children.values()):
            self._forget(child)
        self._selector.close()
        with contextlib.suppress(OSError):
            self._socket.send(b'{"end": true}', socket.MSG_DONTWAIT)
        self._socket.close()
        process = getattr(self, "_process", None)
        if process is not None:
            try:
                process.wait(2.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stderr.close()
        if self._group is not None:
            self._group.remove()

    def _forget(self, child: Child) -> None:
        self._children.pop(child.number, None)
        self._close_stdin(child)
        for file in child.outputs:
            if self._is_watched(file):
                self._selector.unregister(file)
                os.close(file)
        self._close_channel(child)

    def _is_watched(self, file: Any) -> bool:
        return file in self._selector.get_map()

    def _close_stdin(self, child: Child) -> None:
        if child.stdin is not None:
            if self._is_watched(child.stdin):
                self._selector.unregister(child.stdin)
            os.close(child.stdin)
            child.stdin = None

    def _close_channel(self, child: Child) -> None:
        if child.is_channel_open:
            child.is_channel_open = False
            self._selector.unregister(child.channel)
            child.channel.close()

    def _read_report(self) -> None:
        data = self._socket.recv(REPORT_BYTES)
        if not data:
            raise SandboxError("the sandbox has ended unexpectedly")
        report = json.loads(data)
        child = self._children.get(report.get("exit", report.get("fault")))
        if child is None:
            return
        if "fault" in report:
            child.fault = report["message"]
        else:
            child.exit = report

    def _write_stdin(self, child: Child) -> None:
        assert child.stdin is not None
        try:
            written = os.write(child.stdin, child.pending[:_CHUNK_BYTES])
        except BlockingIOError:
            return
        except BrokenPipeError:
            written = len(child.pending)
        child.pending = child.pending[written:]
        if not child.pending:
            self._close_stdin(child)

    def _read_output(self, child: Child, file: int) -> None:
        try:
            data = os.read(file, _CHUNK_BYTES)
        except BlockingIOError:
            return
        buffer = child.outputs[file]
        buffer += data[: child.output_bytes - len(buffer)]
        if not data:
            self._selector.unregister(file)
            os.close(file)
        elif len(buffer) >= child.output_bytes:
            self._stop_for_excess(child, "stdout" if file == child.stdout_file else "stderr")

    def _stop_for_excess(self, child: Child, name: str) -> None:
        child.excess = child.excess or name
        self.kill(child)

    def _move_channel(self, child: Child, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._send_outgoing(child)
            if not child.outgoing:
                self._selector.modify(child.channel, selectors.EVENT_READ, child)
        if mask & selectors.EVENT_READ:
            self._read_channel(child)

    def _send_outgoing(self, child: Child) -> None:
        try:
            sent = child.channel.send(child.outgoing[:_CHUNK_BYTES])
            del child.outgoing[:sent]
        except BlockingIOError:
            pass
        except OSError:
            child.outgoing.clear()

    def _read_channel(self, child: Child) -> None:
        try:
            data = child.channel.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close_channel(child)
            return
        child.received += data
        child.received_bytes += len(data)
        if child.received_bytes > child.output_bytes:
            self._stop_for_excess(child, "returned values")
            child.received.clear()
            return
        while len(child.received) >= 4:
            (size,) = struct.unpack(">I", child.received[:4])
            if len(child.received) < 4 + size:
                break
            frame = _read_frame(bytes(child.received[4 : 4 + size]))
            del child.received[: 4 + size]
            if frame is None or len(child.frames) >= _MOST_FRAMES:
                child.excess = child.excess or "broken messages"
                self.kill(child)
                return
            child.frames.append(frame)


def raise_file_limit() -> None:
    """Let this process open as many files as it may: each running program needs some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _open_files() -> tuple[socket.socket, socket.socket, list[tuple[int, int]]]:
    """Return both ends of a child's channel, and three pipes."""
    pipes: list[tuple[int, int]] = []
    sockets: tuple[socket.socket, ...] = ()
    try:
        sockets = ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        for _ in range(3):
            pipes.append(os.pipe())  # noqa: PERF401 - those before a failure have to be closed
    except OSError as error:
        for end in sockets:
            end.close()
        for file in (file for pipe in pipes for file in pipe):
            os.close(file)
        raise SandboxError(f"a program cannot be started in the sandbox: {error}") from None
    return ours, theirs, pipes


def _read_frame(data: bytes) -> dict[str, Any] | None:
    try:
        frame = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", frame) if isinstance(frame, dict) else None
