from pathlib import Path

import pytest

from nbest.errors import SandboxError, UnavailableError
from nbest.sandbox import diagnosis, opening
from nbest.sandbox.diagnosis import diagnose, find_remedy
from nbest.sandbox.executions import Script
from nbest.sandbox.hostile import HostileProgram, is_refused
from nbest.sandbox.hostile_data import HOSTILE_DATA
from nbest.sandbox.hostile_programs import HOSTILE_PROGRAMS
from nbest.sandbox.opening import BACKENDS, probe

NAMES = ("fork-bomb", "read-secret", "udp", "print-success")
PROGRAMS = tuple(program for program in HOSTILE_PROGRAMS if program.name in NAMES)
LEAK = HostileProgram("leak", "test", "prints what it has read", "nothing", Script("print('ESCAPED')"), is_refused)


def skip_without_isolation() -> None:
    if all(probe(backend).obstacle for backend in BACKENDS):
        pytest.skip("no isolation works here")


async def test_every_backend_that_works_is_proven() -> None:
    skip_without_isolation()
    totals: list[int] = []
    result = await diagnose(totals.append, PROGRAMS)
    working = [report for report in result.backends if report.works]
    assert [report.backend for report in result.backends] == list(BACKENDS)
    for report in working:
        assert [proof.name for proof in report.proofs] == [program.name for program in PROGRAMS]
        assert report.is_sound
    assert result.chosen is working[0]
    assert totals == [len(HOSTILE_DATA) + len(working) * len(PROGRAMS)] * (
        len(HOSTILE_DATA) + len(working) * len(PROGRAMS)
    )
    assert result.to_json()["held"] is True
    result.raise_faults()


async def test_an_attack_that_gets_through_is_an_error() -> None:
    skip_without_isolation()
    result = await diagnose(programs=[*PROGRAMS[:1], LEAK])
    assert result.chosen is not None
    assert not result.chosen.is_sound
    assert result.chosen.proofs[1].observed == "ESCAPED"
    assert result.to_json()["held"] is False
    with pytest.raises(SandboxError, match=r"did not hold: leak$"):
        result.raise_faults()


async def test_no_isolation_is_an_error_with_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_find_obstacle", lambda backend: f"{backend} is not installed")
    result = await diagnose(programs=[])
    assert result.chosen is None
    assert result.to_json()["auto"] is None
    assert "bubblewrap" in result.backends[0].remedy
    with pytest.raises(UnavailableError, match="no isolation works"):
        result.raise_faults()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"_APPARMOR": "1"}, "bwrap-userns-restrict"),
        ({"_CLONE": "0"}, "kernel.unprivileged_userns_clone=1"),
        ({"_NAMESPACES": "0"}, "user.max_user_namespaces"),
    ],
)
def test_remedies_for_what_forbids_namespaces(
    files: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(diagnosis.os, "geteuid", lambda: 1000)
    for name in ("_APPARMOR", "_CLONE", "_NAMESPACES"):
        path = tmp_path / name
        if name in files:
            path.write_text(files[name] + "\n")
        monkeypatch.setattr(diagnosis, name, path)
    assert expected in find_remedy("namespaces", "setting up uid map: Permission denied")


@pytest.mark.parametrize(("code", "expected"), [(38, "Linux 5.13"), (95, "lsm="), (1, "filter of this container")])
def test_remedies_for_landlock(code: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Kernel:
        def syscall(self, *_: object) -> int:
            return -1

    monkeypatch.setattr(diagnosis, "LIBC", Kernel())
    monkeypatch.setattr(diagnosis.ctypes, "get_errno", lambda: code)
    assert expected in find_remedy("unprivileged", "this kernel has no Landlock")
    assert find_remedy("unprivileged", "it needs Linux on x86_64").startswith("run nbest on Linux")
