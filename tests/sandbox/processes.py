"""What a sandbox could leave behind on this machine: processes, control groups, folders."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path


def list_descendants(pid: int) -> set[int]:
    """Return the running processes that descend from `pid`, zombies excluded."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            parents[int(folder.name)] = int(parent)
    descendants: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in descendants | {pid}} - descendants:
        descendants |= more
    return descendants


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def list_groups(pid: int) -> list[Path]:
    """Return the control groups that the process `pid` made."""
    return [path for pattern in ("*/", "*/*/", "") for path in Path("/sys/fs/cgroup").glob(f"{pattern}nbest-{pid}-*")]


def list_empty_groups(pid: int) -> list[Path]:
    """Return the control groups that the process `pid` made and no process is in."""
    empty: list[Path] = []
    for path in list_groups(pid):
        with contextlib.suppress(OSError):
            if not (path / "cgroup.procs").read_text():
                empty.append(path)
    return empty


def list_content(folder: Path) -> list[Path]:
    """Return what is in the folders of a folder."""
    return list(folder.glob("*/*"))


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def find_other_user() -> int | None:
    """Return a user that is not root, where this process can become one."""
    return 12_345 if os.geteuid() == 0 else None
