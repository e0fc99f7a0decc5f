"""Finds the best isolation that this machine offers, and opens a sandbox with it."""

import platform
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from nbest.errors import ConfigError, SandboxError, UnavailableError
from nbest.sandbox.confinement import landlock_version
from nbest.sandbox.driving import WorkerProcess
from nbest.sandbox.executions import Sandbox
from nbest.sandbox.launching import SCRATCH_PREFIX, Backend, Launch
from nbest.sandbox.local import LocalSandbox, count_workers
from nbest.sandbox.packages import find_packages

BACKENDS: tuple[Backend, ...] = ("namespaces", "unprivileged")
"""The local backends that isolate, the best one first."""
SETTINGS = ("auto", *BACKENDS)


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a backend works on this machine; `obstacle` says why it does not, "" if it does."""

    backend: Backend
    obstacle: str


def probe(backend: Backend) -> Availability:
    """Try a backend by starting one worker with it."""
    return Availability(backend, _find_obstacle(backend))


def open_sandbox(
    backend: str = "auto",
    workers: int | None = None,
    *,
    allow_unsandboxed: bool = False,
    packages: Sequence[str] | None = None,
) -> Sandbox:
    """Open a sandbox.

    `backend` is `auto` (the best one that works), `namespaces`, `unprivileged`, or the URL of a SandboxFusion server.
    `workers` jobs run at a time (None: one per core). `packages` are what programs may import beside the standard
    library (see `nbest.sandbox.packages`). With `allow_unsandboxed` programs run with limits and without isolation
    where nothing isolates; `describe()` says so.

    Raises ConfigError for a backend that is none, UnavailableError if the backend, or with `auto` every backend, does
    not work here.
    """
    if backend.startswith(("http://", "https://")):
        from nbest.sandbox.fusion import FusionSandbox

        return FusionSandbox(backend, workers or count_workers())
    if backend not in SETTINGS:
        raise ConfigError(
            f"sandbox: got {backend!r}; allowed: {', '.join(SETTINGS)}, or the URL of a SandboxFusion server"
        )
    known = find_packages(packages)
    obstacles: list[str] = []
    for name in BACKENDS if backend == "auto" else (cast("Backend", backend),):
        obstacle = _find_obstacle(name)
        if not obstacle:
            return LocalSandbox(name, workers or count_workers(), known, landlock_version() > 0)
        obstacles.append(f"{name}: {obstacle}")
    if allow_unsandboxed:
        return LocalSandbox("none", workers or count_workers(), known, False)
    raise UnavailableError(
        "no isolation works on this machine, so programs are not run (" + "; ".join(obstacles) + "). `nbest doctor` "
        "says more. On a machine that may be damaged, --allow-unsandboxed runs them without isolation"
    )


def _find_obstacle(backend: Backend) -> str:
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "aarch64"):
        return f"it needs Linux on x86_64 or aarch64; this is {platform.system()} on {platform.machine()}"
    if backend == "namespaces" and shutil.which("bwrap") is None:
        return "bubblewrap is not installed (Debian and Ubuntu: apt install bubblewrap)"
    if backend == "unprivileged" and landlock_version() == 0:
        return "this kernel has no Landlock (it needs Linux 5.13 with Landlock enabled)"
    try:
        with tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX) as folder:
            WorkerProcess(Launch(backend, {}, landlock_version() > 0), None, folder).close()
    except (SandboxError, OSError) as error:
        return str(error)
    return ""
