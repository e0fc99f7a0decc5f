"""Every hostile program on every backend, what may be left behind afterwards, and that the cases can fail."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nbest.sandbox.executions import Outcome, Script
from nbest.sandbox.hostile import HostileProgram
from nbest.sandbox.hostile_data import HOSTILE_DATA, HostileData
from nbest.sandbox.hostile_programs import HOSTILE_PROGRAMS
from nbest.sandbox.local import LocalSandbox
from nbest.sandbox.opening import BACKENDS, open_sandbox, probe
from nbest.sandbox.proving import Bait, prove_one
from tests.sandbox.processes import (
    find_other_user,
    is_running,
    list_content,
    list_descendants,
    list_empty_groups,
    list_groups,
    wait_until,
)

PROGRAMS = HOSTILE_PROGRAMS
DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
SOURCES = Path(__file__).parents[2] / "src"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
async def test_program_is_held(sandbox: LocalSandbox, bait: Bait, program: HostileProgram) -> None:
    proof = await prove_one(sandbox, program, bait)
    assert proof.is_held, proof.observed


@pytest.mark.parametrize("case", HOSTILE_DATA, ids=lambda case: case.name)
def test_data_is_refused(case: HostileData, tmp_path: Path) -> None:
    path = tmp_path / "written"
    is_held, observed = case.is_held(str(path))
    assert is_held, observed
    assert not path.exists()


def test_there_are_enough_cases_with_names_of_their_own() -> None:
    names = [entry.name for entry in (*PROGRAMS, *HOSTILE_DATA)]
    assert len(names) == len(set(names))
    assert len(PROGRAMS) >= 100
    assert len(HOSTILE_DATA) >= 15


def test_document_names_every_case_with_what_stops_it() -> None:
    attacks = DOCUMENT.read_text().partition("## Attacks\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", attacks, re.MULTILINE))
    assert rows == {entry.name: f"{entry.tries} | {entry.stopped_by}" for entry in (*PROGRAMS, *HOSTILE_DATA)}


HARMLESS = [program for program in PROGRAMS if program.is_harmless]


@pytest.mark.parametrize("program", HARMLESS, ids=lambda program: program.name)
def test_program_gets_through_without_a_sandbox(program: HostileProgram) -> None:
    """A case that could not fail would prove nothing."""
    with Bait() as bait, tempfile.TemporaryDirectory() as folder:
        job = bait.fill_job(program.job)
        assert isinstance(job, Script)
        run = subprocess.run([sys.executable, "-c", job.source], capture_output=True, text=True, cwd=folder, timeout=60)
        outcome = Outcome("finished" if run.returncode == 0 else "raised", stdout=run.stdout, stderr=run.stderr)
        assert bait.secret in run.stdout or bait.find_damage() or not program.is_held(outcome)


def test_some_programs_are_harmless_outside() -> None:
    assert len(HARMLESS) >= 8


def test_bait_notices_what_is_done_to_it() -> None:
    with Bait() as bait:
        assert bait.find_damage() == ""
        Path(bait.fill("@SECRET_FILE@")).write_text("changed")
        assert "file" in bait.find_damage()
    with Bait() as bait:
        os.kill(int(bait.fill("@VICTIM@")), signal.SIGSTOP)
        assert wait_until(lambda: "stopped" in bait.find_damage())
        os.kill(int(bait.fill("@VICTIM@")), signal.SIGKILL)
        assert wait_until(lambda: "ended" in bait.find_damage())
    with Bait() as bait:
        path = Path("/var/tmp") / bait.token
        path.touch()
        assert "was written" in bait.find_damage()
        path.unlink()


@pytest.mark.parametrize("backend", BACKENDS)
async def test_nothing_is_left_after_the_worst_programs(
    backend: str, bait: Bait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if obstacle := probe(backend).obstacle:
        pytest.skip(f"the backend {backend} does not work here: {obstacle}")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = list_descendants(os.getpid())
    names = {
        "fork-bomb-within-limits",
        "double-fork-daemon",
        "deep-folders",
        "locked-folders",
        "link-loops",
        "thread-bomb",
    }
    async with open_sandbox(backend, workers=1) as sandbox:
        await sandbox.run(Script("print(1)"))
        while_idle = list_descendants(os.getpid()) - before
        for program in PROGRAMS:
            if program.name in names:
                assert (await prove_one(sandbox, program, bait)).is_held
                assert wait_until(lambda: list_descendants(os.getpid()) - before == while_idle, 3.0)
        assert not list_content(tmp_path)
    assert wait_until(lambda: list_descendants(os.getpid()) <= before)
    assert wait_until(lambda: not list_empty_groups(os.getpid()))
    assert not os.listdir(tmp_path)


KILLED = """
import asyncio, sys
from nbest.sandbox.executions import Limits, Script
from nbest.sandbox.opening import open_sandbox

async def main():
    async with open_sandbox(sys.argv[1], workers=2) as sandbox:
        await sandbox.run(Script("print(1)"))
        print("running", flush=True)
        limits = Limits(wall_seconds=600, disk_bytes=1 << 20, processes=int(sys.argv[2]))
        source = '''
import os, time
open("file", "w").write("x" * 1000)
os.makedirs("a/b/c")
for _ in range(int("@COUNT@") - 1):
    if not os.fork():
        os.setsid()
        time.sleep(600)
time.sleep(600)
'''.replace("@COUNT@", sys.argv[2])
        await asyncio.gather(*(sandbox.run(Script(source), limits) for _ in range(2)))

asyncio.run(main())
"""


@pytest.mark.parametrize(("backend", "processes"), [("namespaces", 3), ("namespaces", 1), ("unprivileged", 1)])
def test_nothing_is_left_when_nbest_is_killed(backend: str, processes: int, tmp_path: Path) -> None:
    if obstacle := probe(backend).obstacle:
        pytest.skip(f"the backend {backend} does not work here: {obstacle}")
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, backend, str(processes)],
        stdout=subprocess.PIPE,
        env=environment,
        cwd=tmp_path.parent,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"running\n"
        least = 2 + 2 * processes
        assert wait_until(lambda: len(list_descendants(run.pid)) >= least)
        descendants = list_descendants(run.pid)
        run.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not any(map(is_running, descendants))), [pid for pid in descendants if is_running(pid)]
    assert wait_until(lambda: not list_groups(run.pid))
    assert wait_until(lambda: not list(tmp_path.iterdir()))


ORDINARY = """
import asyncio, sys
from nbest.sandbox.hostile_programs import HOSTILE_PROGRAMS
from nbest.sandbox.opening import open_sandbox, probe
from nbest.sandbox.proving import Bait, prove

NAMES = set(sys.argv[2].split(","))

async def main():
    obstacle = probe(sys.argv[1]).obstacle
    if obstacle:
        print("SKIP", obstacle)
        return
    with Bait() as bait:
        async with open_sandbox(sys.argv[1], workers=1, packages=[]) as sandbox:
            async for proof in prove(sandbox, [entry for entry in HOSTILE_PROGRAMS if entry.name in NAMES], bait):
                print("HELD" if proof.is_held else "NOT HELD", proof.name, proof.observed, flush=True)

asyncio.run(main())
"""
CHOSEN = (
    "fork-bomb,fork-bomb-within-limits,thread-bomb,one-block,write-without-permission,deep-folders,locked-folders,"
    "read-secret,link-to-secret,read-proc,change-metadata,signal-others,signal-by-file,tcp,abstract-socket,print-success"
)


@pytest.mark.parametrize("backend", BACKENDS)
def test_backend_holds_for_an_ordinary_user(backend: str) -> None:
    user = find_other_user()
    if user is None:
        pytest.skip("these tests run as an ordinary user already")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = _find_python(user, [os.path.realpath(sys.executable), f"/usr/bin/{version}"])
    if python is None:
        pytest.skip(f"no {version} here that another user may run")
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    environment = {
        "PYTHONPATH": f"{SOURCES}:{packages}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/tmp",
        "PATH": "/usr/bin:/bin",
    }
    run = subprocess.run(
        [python, "-c", ORDINARY, backend, CHOSEN],
        env=environment,
        user=user,
        group=user,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = run.stdout.splitlines()
    if lines and lines[0].startswith("SKIP"):
        pytest.skip(lines[0])
    if "Permission denied" in run.stderr or "ModuleNotFoundError" in run.stderr:
        pytest.skip("another user may not read this environment")
    assert [line for line in lines if not line.startswith("HELD")] == [], run.stderr
    assert len(lines) == len(CHOSEN.split(",")), run.stderr


def _find_python(user: int, candidates: list[str]) -> str | None:
    for path in filter(shutil.which, candidates):
        try:
            subprocess.run(
                [path, "-c", ""], user=user, group=user, extra_groups=[], check=True, cwd="/", capture_output=True
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return path
    return None
