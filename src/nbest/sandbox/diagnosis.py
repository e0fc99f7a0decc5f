"""What this machine offers to isolate programs, why the rest does not work, how to get it, and the proof by attacks."""

import ctypes
import errno
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbest.errors import SandboxError, UnavailableError
from nbest.sandbox.confinement import LIBC
from nbest.sandbox.executions import Isolation, Sandbox
from nbest.sandbox.hostile import HostileProgram
from nbest.sandbox.hostile_data import GROUP, HOSTILE_DATA
from nbest.sandbox.hostile_programs import HOSTILE_PROGRAMS
from nbest.sandbox.launching import Backend
from nbest.sandbox.opening import BACKENDS, open_sandbox, probe
from nbest.sandbox.proving import Bait, Proof, prove

_LANDLOCK_CREATE = 444
_APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
_NAMESPACES = Path("/proc/sys/user/max_user_namespaces")
_CLONE = Path("/proc/sys/kernel/unprivileged_userns_clone")


@dataclass(frozen=True, slots=True)
class BackendReport:
    """One backend on this machine. `obstacle` and `remedy` are "" where it works, `proofs` empty where it does not."""

    backend: Backend
    obstacle: str
    remedy: str
    isolation: Isolation | None
    proofs: tuple[Proof, ...]

    @property
    def works(self) -> bool:
        return not self.obstacle

    @property
    def is_sound(self) -> bool:
        """Whether it works and held every attack."""
        return self.works and all(proof.is_held for proof in self.proofs)

    def to_json(self) -> dict[str, Any]:
        isolation = self.isolation
        return {
            "backend": self.backend,
            "works": self.works,
            "obstacle": self.obstacle,
            "remedy": self.remedy,
            "layers": [] if isolation is None else list(isolation.layers),
            "packages": {} if isolation is None else isolation.packages,
            "held": sum(proof.is_held for proof in self.proofs),
            "total": len(self.proofs),
            "proofs": [proof.to_json() for proof in self.proofs],
        }


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All backends, the best one first, and the hostile test files, which concern every backend."""

    backends: tuple[BackendReport, ...]
    data: tuple[Proof, ...]

    @property
    def chosen(self) -> BackendReport | None:
        """The backend that `auto` takes."""
        return next((report for report in self.backends if report.works), None)

    def raise_faults(self) -> None:
        """Raise UnavailableError if nothing isolates here, SandboxError if what `auto` takes did not hold all."""
        chosen = self.chosen
        if chosen is None:
            raise UnavailableError("no isolation works on this machine, so nbest runs no programs here")
        names = [proof.name for proof in (*chosen.proofs, *self.data) if not proof.is_held]
        if names:
            raise SandboxError(f"the backend {chosen.backend} did not hold: {', '.join(names)}")

    def to_json(self) -> dict[str, Any]:
        chosen = self.chosen
        return {
            "auto": None if chosen is None else chosen.backend,
            "held": chosen is not None and chosen.is_sound and all(proof.is_held for proof in self.data),
            "backends": [report.to_json() for report in self.backends],
            "test_data": [proof.to_json() for proof in self.data],
        }


async def diagnose(
    on_proof: Callable[[int], None] = lambda _: None, programs: Sequence[HostileProgram] | None = None
) -> Diagnosis:
    """Try every backend, and run the hostile programs (None: all) in each that works, and read the hostile test files.

    `on_proof` is called after each with how many there are in all. Where a program gets through, it does what it tries
    to do: that is harmless for the host in nearly all cases, and the reason for the proof in all of them.
    """
    attacks = HOSTILE_PROGRAMS if programs is None else tuple(programs)
    tried: list[tuple[Backend, str]] = [(backend, probe(backend).obstacle) for backend in BACKENDS]
    total = len(HOSTILE_DATA) + sum(len(attacks) for _, obstacle in tried if not obstacle)
    data = tuple(_read_data(lambda: on_proof(total)))
    reports: list[BackendReport] = []
    for backend, obstacle in tried:
        if obstacle:
            reports.append(BackendReport(backend, obstacle, find_remedy(backend, obstacle), None, ()))
            continue
        async with open_sandbox(backend, workers=1) as sandbox:
            proofs = await _prove(sandbox, attacks, lambda: on_proof(total))
            reports.append(BackendReport(backend, "", "", sandbox.describe(), proofs))
    return Diagnosis(tuple(reports), data)


async def _prove(
    sandbox: Sandbox, attacks: Sequence[HostileProgram], on_proof: Callable[[], None]
) -> tuple[Proof, ...]:
    proofs: list[Proof] = []
    with Bait() as bait:
        async for proof in prove(sandbox, attacks, bait):
            proofs.append(proof)
            on_proof()
    return tuple(proofs)


def _read_data(on_proof: Callable[[], None]) -> list[Proof]:
    proofs: list[Proof] = []
    with tempfile.TemporaryDirectory(prefix="nbest-bait-") as folder:
        path = os.path.join(folder, "written")
        for case in HOSTILE_DATA:
            is_held, observed = case.is_held(path)
            if os.path.exists(path):
                is_held, observed = False, "it ran code, which wrote a file"
                os.unlink(path)
            proofs.append(Proof(case.name, GROUP, case.tries, is_held, observed, 0.0))
            on_proof()
    return proofs


def find_remedy(backend: Backend, obstacle: str) -> str:
    """Return what to do so that a backend works on this machine."""
    if "it needs Linux" in obstacle:
        return "run nbest on Linux, in a virtual machine or a container"
    if backend == "unprivileged":
        return _find_landlock_remedy()
    if "not installed" in obstacle:
        return "apt install bubblewrap (Fedora: dnf install bubblewrap)"
    if _read(_APPARMOR) == "1" and os.geteuid() != 0:
        return (
            "AppArmor forbids namespaces to programs without a profile, as Ubuntu does since 24.04. Allow bubblewrap: "
            "apt install apparmor-profiles; cp /usr/share/apparmor/extra-profiles/bwrap-userns-restrict "
            "/etc/apparmor.d/; apparmor_parser -r /etc/apparmor.d/bwrap-userns-restrict"
        )
    if _read(_CLONE) == "0":
        return "this kernel allows namespaces to root alone: sysctl kernel.unprivileged_userns_clone=1"
    if _read(_NAMESPACES) == "0":
        return "this kernel allows no user namespaces: sysctl user.max_user_namespaces=10000"
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return (
            "containers refuse namespaces by default. The backend unprivileged needs none; or start the container with "
            "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --cap-add SYS_ADMIN"
        )
    return "see what bubblewrap says: bwrap --ro-bind / / --unshare-all true"


def _find_landlock_remedy() -> str:
    if LIBC.syscall(_LANDLOCK_CREATE, None, 0, 1) >= 0:
        return ""
    reason = ctypes.get_errno()
    if reason == errno.EOPNOTSUPP:
        return "Landlock is off since the start of this kernel: add landlock to the list of lsm= on its command line"
    if reason == errno.EPERM:
        return "a filter of this container forbids Landlock: use a newer container engine, or allow its system calls"
    return "use Linux 5.13 or later, built with CONFIG_SECURITY_LANDLOCK"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
