"""How a warm worker is started: the command line of each backend, and the files that a program can read."""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

Backend: TypeAlias = Literal["namespaces", "unprivileged", "none"]

FOLDER = Path(__file__).parent
_FILES = ("worker.py", "program.py", "values.py", "confinement.py", "system_calls.py", "scratch.py")
PRELOADED = (
    *("abc", "bisect", "collections", "collections.abc", "copy", "dataclasses", "datetime", "decimal", "enum"),
    *(
        "fractions",
        "functools",
        "heapq",
        "io",
        "itertools",
        "json",
        "math",
        "operator",
        "random",
        "re",
        "string",
        "struct",
    ),
    *("time", "types", "typing", "traceback", "linecache", "contextlib"),
)
"""Modules of the standard library that programs often import: loaded once per worker, so a fork has them already.

Each makes every fork a little slower, so those that few programs import are not among them.
"""
FIRST_USER, USERS = 2_000_000, 1_000
"""User ids of the programs of the first worker where nbest runs as root, and how many each worker uses in turn."""
SCRATCH_BYTES = 256 << 20
"""The size of the memory that a worker's working directories share, in the backend of namespaces."""

SCRATCH_PREFIX = "nbest-sandbox-"
"""How the names of the folders begin in which workers make working directories; they remove no other."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package that programs may import: its version, and its top-level names with the folder that holds each."""

    version: str
    folders: Mapping[str, str]
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Launch:
    """What starts one worker. `cgroups` are folders that the process enters first."""

    backend: Backend
    packages: Mapping[str, Package]
    has_landlock: bool
    cgroups: tuple[Path, ...] = ()
    number: int = 0

    def command(self, socket: int, scratch: str) -> list[str]:
        """Return the command line; `socket` is the file that the worker reads, `scratch` where it makes folders."""
        is_apart = self.backend == "namespaces"
        is_root = os.geteuid() == 0
        # Different for every nbest on this machine: the kernel counts the processes of a user, whoever started them.
        first_user = FIRST_USER + (os.getpid() % 10_000 * 64 + self.number % 64) * USERS
        settings: dict[str, Any] = {
            "socket": socket,
            "parent": os.getpid(),
            "landlock": self.has_landlock and self.backend != "none",
            "readable": list_readable(self.packages),
            "scratch": "/tmp" if is_apart else scratch,
            "scratch_prefix": SCRATCH_PREFIX,
            "users": [first_user, USERS] if is_apart and is_root else None,
            "own_users": is_apart and not is_root,
            "own_processes": is_apart,
            "packages": {
                name: folder for package in self.packages.values() for name, folder in package.folders.items()
            },
            "preload": PRELOADED,
        }
        python = [find_python(), "-s", "-S", "-P", "-B", str(FOLDER / "worker.py"), json.dumps(settings)]
        inner = [*list_namespaces(self.packages, is_root), *python] if is_apart else python
        return [*_enter(self.cgroups), *inner]


def find_python() -> str:
    """Return the interpreter that runs programs: the one behind this environment."""
    return os.path.realpath(sys.executable)


def list_readable(packages: Mapping[str, Package]) -> list[str]:
    """Return the files and folders that a program can read: the standard library, shared libraries, the packages."""
    libraries = [path for path in ("/usr/lib", "/usr/lib64", "/lib", "/lib64") if os.path.exists(path)]
    # Of the interpreter itself, not of the environment: an environment's folder also holds what is installed there.
    own = [os.path.dirname(os.__file__), os.path.join(os.path.dirname(os.path.dirname(find_python())), "lib")]
    return list(dict.fromkeys([*own, *libraries, *(path for package in packages.values() for path in package.paths)]))


def list_namespaces(packages: Mapping[str, Package], is_root: bool) -> list[str]:
    """Return the part of the command that makes namespaces, with a file system of what a program can read."""
    binds: list[str] = []
    devices = ("/dev/null", "/dev/urandom")
    paths = [*list_readable(packages), find_python(), *(str(FOLDER / name) for name in _FILES)]
    # bubblewrap would make the folders on the way for root alone.
    for folder in sorted({str(parent) for path in (*paths, *devices) for parent in Path(path).parents} - {"/"}):
        binds += ["--perms", "0755", "--dir", folder]
    for path in paths:
        if os.path.islink(path) and path in ("/lib", "/lib64"):
            binds += ["--symlink", os.readlink(path), path]
        else:
            binds += ["--ro-bind", path, path]
    for device in devices:
        binds += ["--dev-bind", device, device]
    apart = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    if is_root:
        kept = ("CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETPCAP")
        rights = ["--cap-drop", "ALL", *(part for name in kept for part in ("--cap-add", name))]
    else:
        rights = ["--unshare-user", "--disable-userns", "--cap-drop", "ALL"]
    return [
        shutil.which("bwrap") or "bwrap",
        *apart,
        *rights,
        *("--die-with-parent", "--new-session", "--hostname", "sandbox"),
        *binds,
        *("--perms", "0555", "--size", str(SCRATCH_BYTES), "--tmpfs", "/tmp", "--chdir", "/", "--remount-ro", "/"),
        "--",
    ]


def _enter(cgroups: Sequence[Path]) -> list[str]:
    """Return the start of a command that runs the rest inside `cgroups`."""
    if not cgroups:
        return []
    # The shell stays outside the groups, and removes them when the worker has ended, also where nbest was killed.
    script = (
        '( while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs" || exit 70; shift; done; shift; exec "$@" ); code=$?; '
        'while [ "$1" != -- ]; do for wait in 0 0.01 0.05 0.2 1; do sleep $wait; rmdir "$1" 2> /dev/null && break; '
        '[ -d "$1" ] || break; done; shift; done; exit $code'
    )
    return ["/bin/sh", "-c", script, "sh", *map(str, cgroups), "--"]
