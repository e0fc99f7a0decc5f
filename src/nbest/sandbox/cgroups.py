"""One control group per worker, where they are writable: memory and the number of tasks of all its processes together.

A worker runs the processes of one job at a time, so the limits of its group are those of the job. Version 2 of the
interface and version 1 (folders `memory` and `pids`) are both understood. Groups that a killed process left behind are
removed by the next one.
"""

import contextlib
import itertools
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_PREFIX = "nbest-"
_OWN_BYTES = 256 << 20
"""What the warm process itself and the working directories in memory may take beside the program."""
_OWN_TASKS = 8
_NUMBERS, _LOCK = itertools.count(), threading.Lock()


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """The group of one worker: its folders, and the files that hold its limits."""

    folders: tuple[Path, ...]
    memory_file: Path
    tasks_file: Path

    def set_limits(self, memory_bytes: int, processes: int) -> None:
        """Set the limits of the next job."""
        self.memory_file.write_text(str(memory_bytes + _OWN_BYTES))
        self.tasks_file.write_text(str(processes + 64 + _OWN_TASKS))

    def remove(self) -> None:
        """Remove the folders once their processes have ended; waits at most a second."""
        for folder in self.folders:
            deadline = time.monotonic() + 1.0
            while folder.exists():
                with contextlib.suppress(OSError):
                    folder.rmdir()
                if time.monotonic() > deadline:
                    break
                time.sleep(0.002)


def take_number() -> int:
    """Return the next number for a worker of this process, whichever sandbox it belongs to."""
    with _LOCK:
        return next(_NUMBERS)


def make_group(number: int) -> ControlGroup | None:
    """Return a new group for worker `number` of this process; None where no group can be made."""
    name = f"{_PREFIX}{os.getpid()}-{number}"
    try:
        if (ROOT / "cgroup.controllers").exists():
            return _make_unified(name)
        if (ROOT / "memory").is_dir() and (ROOT / "pids").is_dir():
            return _make_separate(name)
    except OSError:
        return None
    return None


def _make_unified(name: str) -> ControlGroup | None:
    own = next((line[3:].strip() for line in _read_lines("/proc/self/cgroup") if line.startswith("0::")), "/")
    parent = ROOT / own.lstrip("/")
    if not {"memory", "pids"} <= set((parent / "cgroup.subtree_control").read_text().split()):
        return None
    _remove_abandoned(parent)
    folder = parent / name
    folder.mkdir(exist_ok=True)
    return ControlGroup((folder,), folder / "memory.max", folder / "pids.max")


def _make_separate(name: str) -> ControlGroup | None:
    folders = (ROOT / "memory" / name, ROOT / "pids" / name)
    for folder in folders:
        _remove_abandoned(folder.parent)
        folder.mkdir(exist_ok=True)
    return ControlGroup(folders, folders[0] / "memory.limit_in_bytes", folders[1] / "pids.max")


def _remove_abandoned(parent: Path) -> None:
    """Remove the groups of processes that are gone."""
    for folder in parent.glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


def _read_lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
