import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nbest.errors import ConfigError, UnavailableError
from nbest.sandbox import cgroups, local, opening
from nbest.sandbox.cgroups import make_group, take_number
from nbest.sandbox.driving import WorkerProcess
from nbest.sandbox.executions import Call, Calls, Limits, Sandbox, Script
from nbest.sandbox.fusion import FusionSandbox
from nbest.sandbox.launching import Launch
from nbest.sandbox.local import LocalSandbox
from nbest.sandbox.opening import open_sandbox, probe
from nbest.sandbox.packages import find_packages, list_versions
from tests.sandbox.processes import is_running, wait_until


def test_unknown_backend() -> None:
    with pytest.raises(
        ConfigError, match=r"sandbox: got 'docker'; allowed: auto, namespaces, unprivileged, or the URL of a Sand"
    ):
        open_sandbox("docker")


async def test_url_is_a_server() -> None:
    sandbox = open_sandbox("http://127.0.0.1:9")
    assert isinstance(sandbox, FusionSandbox)
    assert isinstance(sandbox, Sandbox)
    await sandbox.aclose()


def test_auto_takes_the_best_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_find_obstacle", lambda name: "" if name == "unprivileged" else "no")
    sandbox = open_sandbox()
    assert isinstance(sandbox, LocalSandbox)
    assert sandbox.describe().backend == "unprivileged"
    sandbox.close()


async def test_without_isolation_nothing_runs_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_find_obstacle", lambda name: f"no {name}")
    with pytest.raises(
        UnavailableError,
        match=r"namespaces: no namespaces; unprivileged: no unprivileged.*nbest doctor.*--allow-unsandboxed",
    ):
        open_sandbox()
    with pytest.raises(UnavailableError, match="namespaces: no namespaces\\)"):
        open_sandbox("namespaces")
    async with open_sandbox(allow_unsandboxed=True) as sandbox:
        isolation = sandbox.describe()
        assert (isolation.backend, isolation.is_isolated) == ("none", False)
        outcome = await sandbox.run(Script("print(open('/proc/self/comm').read() != '')"))
        assert outcome.stdout == "True\n"
        assert (await sandbox.run(Script("while True: pass"), Limits(wall_seconds=0.5))).status == "timed_out"


@pytest.mark.parametrize(
    ("attribute", "value", "backend", "text"),
    [
        ((platform, "system"), lambda: "Darwin", "namespaces", "it needs Linux on x86_64 or aarch64; this is Darwin"),
        ((platform, "machine"), lambda: "riscv64", "unprivileged", "it needs Linux on x86_64 or aarch64"),
        ((shutil, "which"), lambda _: None, "namespaces", "bubblewrap is not installed"),
        ((opening, "landlock_version"), lambda: 0, "unprivileged", "this kernel has no Landlock"),
    ],
)
def test_obstacles(
    monkeypatch: pytest.MonkeyPatch, attribute: tuple[object, str], value: object, backend: opening.Backend, text: str
) -> None:
    monkeypatch.setattr(*attribute, value)
    assert text in probe(backend).obstacle


def test_a_sandbox_that_does_not_start_says_what_the_command_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert probe("namespaces").obstacle == "the sandbox cannot be started: bwrap: setting up uid map: Permission denied"


def test_packages_that_are_missing_are_all_named() -> None:
    with pytest.raises(
        ConfigError, match=r"(?s)package 'no-such-a' is not installed.*pip install no-such-a.*'no-such-b'"
    ):
        find_packages(["numpy", "no-such-a", "no-such-b"])


def test_versions_for_a_manifest() -> None:
    packages = find_packages(["numpy"])
    assert list_versions(packages) == {"python": platform.python_version(), "numpy": packages["numpy"].version}
    assert find_packages([]) == {}


async def test_programs_import_the_packages_and_no_others(sandbox: LocalSandbox) -> None:
    source = (
        "def f(name):\n    try:\n        return __import__(name).__name__\n    except ImportError as error:\n"
        "        return type(error).__name__\ndef g():\n    import numpy\n"
        "    return int(numpy.linalg.inv(numpy.eye(3) / 2).sum())\n"
    )
    names = ["json", "sqlite3", "numpy", "nbest", "torch", "pip", "pytest", "confinement", "worker"]
    outcome = await sandbox.run(
        Calls(source, (*(Call("f", (name,)) for name in names), Call("g"))), Limits(wall_seconds=20.0)
    )
    assert [entry.value for entry in outcome.returns] == ["json", "sqlite3", "numpy", *["ModuleNotFoundError"] * 6, 6]


async def test_without_packages_nothing_but_the_standard_library(sandbox: LocalSandbox) -> None:
    async with open_sandbox(sandbox.describe().backend, workers=1, packages=[]) as own:
        assert (await own.run(Script("import numpy"))).message == "ModuleNotFoundError: No module named 'numpy'"
        assert set(own.describe().packages) == {"python"}


def test_groups_of_processes_that_are_gone_are_removed() -> None:
    group = make_group(900)
    if group is None:
        pytest.skip("no control group can be made here")
    folder = group.folders[0]
    gone = folder.parent / "nbest-4194304-0"
    gone.mkdir()
    assert folder.exists()
    other = make_group(901)
    assert other is not None
    assert not gone.exists()
    for entry in (group, other):
        entry.set_limits(1 << 28, 3)
        entry.remove()
    assert not any(path.exists() for entry in (group, other) for path in entry.folders)


def test_no_group_where_there_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    assert make_group(0) is None
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    assert make_group(0) is None


def test_unified_groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    monkeypatch.setattr(cgroups, "_read_lines", lambda _: ["0::/own.slice"])
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    (tmp_path / "own.slice").mkdir()
    (tmp_path / "own.slice" / "cgroup.subtree_control").write_text("memory\n")
    assert make_group(3) is None
    (tmp_path / "own.slice" / "cgroup.subtree_control").write_text("cpu memory pids\n")
    group = make_group(3)
    assert group is not None
    group.set_limits(1 << 20, 2)
    assert int((group.folders[0] / "memory.max").read_text()) > 1 << 20
    assert int((group.folders[0] / "pids.max").read_text()) > 2


def test_a_probe_leaves_no_folder_and_removes_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[str] = []

    class Recorded(WorkerProcess):
        def __init__(self, launch: Launch, group: None, scratch: str):
            given.append(scratch)
            super().__init__(launch, group, scratch)

    monkeypatch.setattr(opening, "WorkerProcess", Recorded)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if probe("unprivileged").obstacle:
        pytest.skip("the backend does not work here")
    assert [Path(folder).parent for folder in given] == [tmp_path]
    assert tmp_path.is_dir()
    assert not list(tmp_path.iterdir())


def test_a_worker_that_is_replaced_leaves_the_folder_of_all(tmp_path: Path) -> None:
    folder = tmp_path / "nbest-sandbox-x"
    folder.mkdir()
    WorkerProcess(Launch("none", {}, False), None, str(folder)).close()
    assert folder.is_dir()


@pytest.mark.parametrize(("name", "is_left"), [("nbest-sandbox-x", False), ("of-somebody", True)])
def test_a_worker_without_a_parent_removes_the_folder_of_all_and_no_other(
    tmp_path: Path, name: str, is_left: bool
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    source = (
        "import os, signal, sys\nfrom nbest.sandbox.driving import WorkerProcess\n"
        "from nbest.sandbox.launching import Launch\n"
        "worker = WorkerProcess(Launch('none', {}, False), None, sys.argv[1])\n"
        "print(worker._process.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run([sys.executable, "-c", source, str(folder)], capture_output=True, text=True)
    assert wait_until(lambda: not is_running(int(run.stdout)))
    assert folder.exists() == is_left


def test_workers_of_two_sandboxes_have_numbers_of_their_own() -> None:
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda _: take_number(), range(200)))
    assert len(set(numbers)) == 200


async def test_two_sandboxes_share_no_number(sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of a worker names its control group and the users of its programs."""
    numbers: list[int] = []

    def launch(*arguments: Any) -> Launch:
        made = Launch(*arguments)
        numbers.append(made.number)
        return made

    monkeypatch.setattr(local, "Launch", launch)
    backend = sandbox.describe().backend
    async with open_sandbox(backend, workers=1) as first, open_sandbox(backend, workers=1) as second:
        for own in (first, second):
            assert (await own.run(Script("print(1)"))).stdout == "1\n"
    assert len(set(numbers)) == len(numbers) == 2
