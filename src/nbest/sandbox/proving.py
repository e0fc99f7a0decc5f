"""Proves a sandbox by running the hostile programs in it: what they did, and what they did to a bait on this machine.

The bait is a secret in a file and in the environment, sockets of several kinds, and a process: whatever a program does
to them counts as not held, whatever the program itself says.
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nbest.errors import ConfigError
from nbest.sandbox.executions import Calls, Checks, Job, Outcome, Sandbox, Script
from nbest.sandbox.hostile import HostileProgram

_SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of one hostile program: whether it was held, and what stopped it, or what it did."""

    name: str
    group: str
    tries: str
    is_held: bool
    observed: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "group": self.group,
            "tries": self.tries,
            "held": self.is_held,
            "observed": self.observed,
            "seconds": self.seconds,
        }


class Bait:
    """What hostile programs are after, in a folder of its own; a context manager.

    `find_damage` says what was read, changed, reached or ended since it was set up, "" for nothing.
    """

    def __init__(self) -> None:
        self.token = f"nbest-bait-{secrets.token_hex(8)}"
        half, other_half = secrets.token_hex(12), secrets.token_hex(12)
        self.secret = half + other_half
        self._halves = (half, other_half)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Bait":
        # In a home or below /var/tmp, so that a sandbox with a /tmp of its own does not hide it by accident.
        self._folder = Path(
            tempfile.mkdtemp(prefix="nbest-bait-", dir="/var/tmp" if os.path.isdir("/var/tmp") else None)
        )
        self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._file = self._folder / "secret"
        self._file.write_text(self.secret)
        os.utime(self._file, (1_000_000_000, 1_000_000_000))
        os.environ["NBEST_BAIT"] = self.secret
        self._stack.callback(os.environ.pop, "NBEST_BAIT", None)
        self._tcp = self._open(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        self._udp = self._open(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        self._unix = self._open(socket.AF_UNIX, socket.SOCK_STREAM, str(self._folder / "socket"))
        self._abstract = self._open(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{self.token}")
        self._victim = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)"])
        self._stack.callback(self._end_victim)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self, family: int, kind: int, address: Any) -> socket.socket:
        bait = self._stack.enter_context(socket.socket(family, kind))
        bait.bind(address)
        bait.setblocking(False)
        if kind == socket.SOCK_STREAM:
            bait.listen()
        return bait

    def _end_victim(self) -> None:
        self._victim.kill()
        self._victim.wait()

    def fill(self, source: str) -> str:
        """Replace the words between @ signs."""
        facts = {
            "SECRET_FILE": str(self._file),
            "PACKAGE_FILE": __file__,
            "PARENT": str(os.getpid()),
            "VICTIM": str(self._victim.pid),
            "TCP_PORT": str(self._tcp.getsockname()[1]),
            "UDP_PORT": str(self._udp.getsockname()[1]),
            "UNIX_PATH": str(self._folder / "socket"),
            "ABSTRACT": self.token,
            "TOKEN": self.token,
            "HALF": self._halves[0],
            "OTHER_HALF": self._halves[1],
        }
        for name, value in facts.items():
            source = source.replace(f"@{name}@", value)
        return source

    def fill_job(self, job: Job) -> Job:
        return replace(job, source=self.fill(job.source))

    def find_damage(self) -> str:
        """Return what happened to the bait, "" for nothing."""
        return "; ".join([*self._find_changes(), *self._find_visitors(), *self._find_files()])

    def _find_changes(self) -> Iterable[str]:
        try:
            status = self._file.stat()
            is_same = self._file.read_text() == self.secret and status.st_mtime == 1_000_000_000
            is_same = is_same and status.st_uid == os.geteuid() and status.st_mode & 0o077 in (0, 0o044, 0o064)
        except OSError:
            is_same = False
        if not is_same:
            yield "a file of the host was changed"
        if self._victim.poll() is not None:
            yield "a process of the host was ended"
        elif Path(f"/proc/{self._victim.pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt":
            yield "a process of the host was stopped"

    def _find_visitors(self) -> Iterable[str]:
        for name, bait in (("TCP", self._tcp), ("unix", self._unix), ("abstract", self._abstract)):
            with contextlib.suppress(BlockingIOError):
                bait.accept()[0].close()
                yield f"a {name} socket of the host was reached"
        with contextlib.suppress(BlockingIOError):
            self._udp.recv(100)
            yield "a UDP socket of the host was reached"

    def _find_files(self) -> Iterable[str]:
        for folder in ("/tmp", "/dev/shm", "/var/tmp", "/run", "/", os.getcwd()):
            with contextlib.suppress(OSError):
                for name in os.listdir(folder):
                    if name.startswith(self.token):
                        yield f"{folder}/{name} was written"


async def prove(sandbox: Sandbox, programs: Iterable[HostileProgram], bait: Bait) -> AsyncIterator[Proof]:
    """Run every program, one after another, and yield what became of it. Raises SandboxError if the sandbox failed."""
    for program in programs:
        yield await prove_one(sandbox, program, bait)


async def prove_one(sandbox: Sandbox, program: HostileProgram, bait: Bait) -> Proof:
    """Run one program, and look at its outcome and at the bait."""
    try:
        outcome = await sandbox.run(bait.fill_job(program.job), program.limits)
    except ConfigError as error:
        # What the sandbox does not offer, it does not run: a program with several processes, for example.
        return Proof(program.name, program.group, program.tries, True, f"not run: {error}"[:_SHOWN_CHARACTERS], 0.0)
    damage = bait.find_damage()
    if bait.secret in _all_text(outcome):
        damage = "; ".join(filter(None, [damage, "a secret of the host was read"]))
    is_held = not damage and program.is_held(outcome)
    observed = damage or _describe(program.job, outcome)
    return Proof(program.name, program.group, program.tries, is_held, observed, outcome.seconds)


def _all_text(outcome: Outcome) -> str:
    values = [entry.text or entry.error for entry in outcome.returns]
    return "\n".join(
        [outcome.stdout, outcome.stderr, outcome.message, *values, *(check.error for check in outcome.checks)]
    )


def _describe(job: Job, outcome: Outcome) -> str:
    """Return in one line how a program ended."""
    if isinstance(job, Script) and outcome.status == "finished":
        lines = outcome.stdout.strip().splitlines()
        line = next((line for line in lines if not line.startswith("REFUSED")), lines[0] if lines else "no output")
        text = f"refused: {line.removeprefix('REFUSED').strip()}" if line.startswith("REFUSED") else line
    elif isinstance(job, Calls) and outcome.status == "finished":
        text = f"answered {', '.join(entry.text or entry.error for entry in outcome.returns)}"
    elif isinstance(job, Checks) and outcome.checks:
        text = f"checks: {', '.join('passed' if check.has_passed else check.error for check in outcome.checks)}"
    else:
        text = f"{outcome.status}: {outcome.message}"
    return text.rstrip(": ")[:_SHOWN_CHARACTERS]
