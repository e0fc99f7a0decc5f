"""Ctrl-C and SIGTERM at random moments: a sentence, an exit code and no traceback; the next call finishes the work."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from nbest.storage.run import Run
from tests.training.scorer_runs import make_run as make_states_run
from tests.training.verified_runs import make_run, mixed

SIGNALS = int(os.environ.get("NBEST_TEST_SIGNALS", "2"))
"""How many signals each command gets, one per process: the first of them in the first second."""
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
SLOW_ANSWER = "\\sum_{{k=1}}^{{10^{{10}}}} \\frac{{{}}}{{k!}}"
"""Keeps math-verify busy until its time is up."""


@dataclass(frozen=True)
class Case:
    """A command in a folder of its own. `words` are its arguments and `read` what its result is."""

    name: str
    words: Sequence[str]
    read: Callable[[Path, str], Any]
    kept: str


def read_trajectories(folder: Path, _: str) -> Any:
    pools = list(Run.open(folder / "run").pools())
    return {t.id: (t.completion.text, t.completion.tokens.tolist()) for pool in pools for t in pool.trajectories}


def read_states(folder: Path, _: str) -> Any:
    run = Run.open(folder / "run")
    ids = sorted(run.done_states())
    return {key: np.round(entry.values, 2).tolist() for key, entry in zip(ids, run.states(ids), strict=True)}


def read_results(folder: Path, _: str) -> Any:
    run = Run.open(folder / "run")
    scores = {name: sorted((s.trajectory_id, s.value) for s in run.scores(name)) for name in run.scorers()}
    selections = {
        name: sorted((s.problem_id, s.index, s.answer) for s in run.selections(name)) for name in run.selectors()
    }
    return sorted((v.trajectory_id, v.correct, v.answer, v.note) for v in run.verdicts()), scores, selections


def read_output(_: Path, output: str) -> Any:
    return [line for line in output.splitlines() if "cost" not in line]


def read_report(folder: Path, _: str) -> Any:
    report = json.loads((folder / "run" / "report" / "report.json").read_text())
    names = sorted(path.name for path in (folder / "run" / "report").iterdir())
    return json.dumps(report, sort_keys=True).count("accuracy"), names


def read_export(folder: Path, _: str) -> Any:
    return (folder / "out.jsonl").read_text()


def read_tasks(folder: Path, _: str) -> Any:
    return pq.read_table(folder / "t.parquet").to_pylist()


def read_model(folder: Path, _: str) -> Any:
    metrics = json.loads(next((folder / "model").rglob("metrics.json")).read_text())
    return {name: round(value, 4) for name, value in metrics.items() if isinstance(value, float)}


def read_demo(folder: Path, _: str) -> Any:
    run = Run.open(folder / "demo")
    return len(run.done_trajectories()), len(run.done_verdicts()), run.scorers(), run.selectors()


SAMPLE = ("--n", "6", "--count", "12", "--max-tokens", "80")
CASES = [
    Case("sample", ["sample", "run", *SAMPLE], read_trajectories, "Kept: "),
    Case("encode", ["encode", "run", "--policy", "bundled:arithmetic"], read_states, "Kept: "),
    Case("verify", ["verify", "run"], read_results, "Kept: "),
    Case("score", ["score", "run", "-s", "mean-logprob", "-s", "min-logprob"], read_results, "Kept: "),
    Case("select", ["select", "run", "-s", "majority", "-s", "random"], read_results, "Kept: "),
    Case("compare", ["compare", "run"], read_output, "Files are written whole"),
    Case("report", ["report", "run"], read_report, "Files are written whole"),
    Case("import", ["import", "pools", "run", "pools.jsonl"], read_trajectories, "What was imported is kept"),
    Case("export", ["export", "run", "--out", "out.jsonl"], read_export, "Files are written whole"),
    Case("train", ["train", "scorer", "scorer.toml"], read_model, "checkpoints that were saved are kept"),
    Case("tasks", ["tasks", "build", "run", "--out", "t.parquet"], read_tasks, "Files are written whole"),
    Case(
        "demo",
        ["demo", "--count", "2", "--n", "2", "--training", "0", "--no-judge"],
        read_demo,
        "Everything that was finished is kept",
    ),
    Case("ask", ["ask", "--n", "4", "--max-tokens", "60"], read_output, "Without --run nothing is kept"),
]


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sampled")
    finish(["sample", "run", *SAMPLE, "--no-capture"], folder)
    return folder / "run"


@pytest.fixture(scope="module")
def verified(sampled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Path(shutil.copytree(sampled, tmp_path_factory.mktemp("verified") / "run"))
    finish(["verify", "run"], run.parent)
    return run


@pytest.fixture
def prepare(request: pytest.FixtureRequest) -> Callable[[Case, Path], None]:
    """Return a function that puts into a folder what a command needs."""

    def fill(case: Case, folder: Path) -> None:
        folder.mkdir()
        if case.name in ("encode", "verify", "score", "select", "compare", "report", "export"):
            name = "sampled" if case.name in ("encode", "verify") else "verified"
            shutil.copytree(request.getfixturevalue(name), folder / "run")
        elif case.name == "import":
            samples = [{"text": f"so it is \\boxed{{{i % 3}}}"} for i in range(20)]
            lines = [{"problem_id": f"p{p}", "question": "?", "target": "1", "samples": samples} for p in range(400)]
            (folder / "pools.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        elif case.name == "train":
            make_states_run(folder / "states", problems=20)
            (folder / "scorer.toml").write_text(SCORER)
        elif case.name == "tasks":
            make_run(folder / "run", {f"p{p}": mixed(2, 6) for p in range(40)})

    return fill


SCORER = """
out = "model"
epochs = 6
batch_trajectories = 8
accumulation = 1
learning_rate = 1e-2
evaluations = 3
[data]
runs = ["states"]
validation_share = 0.3
[model]
type = "step-mlp"
hidden_size = 16
"""


def start(
    words: Sequence[str], folder: Path, program: Sequence[str] = ("-m", "nbest"), **options: Any
) -> subprocess.Popen[str]:
    # A shell starts background programs with SIGINT ignored, and what is ignored stays so in their children.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, *program, *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            **options,
        )
    finally:
        signal.signal(signal.SIGINT, former)


def wait_for_handler(process: subprocess.Popen[str]) -> None:
    """Wait until the process handles SIGTERM: before that the interpreter itself is starting."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)
    raise AssertionError(f"it handles no signals: {process.communicate()}")


def finish(words: Sequence[str], folder: Path) -> str:
    process = start(words, folder)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_signal_at_any_moment(case: Case, prepare: Callable[[Case, Path], None], tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    prepare(case, whole)
    prepare(case, stopped)
    begin = time.monotonic()
    expected = case.read(whole, finish(case.words, whole))
    seconds = time.monotonic() - begin
    draw = random.Random(case.name)
    for number in range(SIGNALS):
        chosen = draw.choice(list(CODES))
        delay = draw.uniform(0, 0.8) if number == 0 else draw.uniform(0, seconds)
        process = start(case.words, stopped)
        wait_for_handler(process)
        time.sleep(delay)
        process.send_signal(chosen)
        out, err = process.communicate(timeout=60)
        about = f"{signal.Signals(chosen).name} after {delay:.3f} s: {out}\n{err}"
        assert "Traceback" not in err, about
        assert "Exception ignored" not in err, about
        # It may have finished already; while the interpreter exits, the system ends the process.
        if process.returncode not in (0, -chosen):
            assert process.returncode == CODES[chosen], about
            assert "stopped" in err, about
            assert case.kept in err, about
    assert case.read(stopped, finish(case.words, stopped)) == expected
    assert not list(stopped.rglob(".claims"))


@pytest.fixture
def slow_run(tmp_path: Path) -> Path:
    """A run that takes minutes to verify, after a first problem that takes no time."""
    texts = [[f"\\boxed{{{SLOW_ANSWER.format(p)}}}" for p in range(20)] for _ in range(3)]
    pools = [[f"\\boxed{{{number}}}" for number in range(5)], *texts]
    lines = [
        {"problem_id": f"p{p}", "question": "?", "target": "1", "samples": [{"text": text} for text in pool]}
        for p, pool in enumerate(pools)
    ]
    (tmp_path / "pools.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    finish(["import", "pools", "run", "pools.jsonl"], tmp_path)
    return tmp_path / "run"


def wait_for_worker(process: subprocess.Popen[str]) -> int:
    """Wait until a child of the process is busy with a request; return its id."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for child in Path(f"/proc/{process.pid}/task/{process.pid}").parent.glob("*/children"):
            for pid in map(int, child.read_text().split()):
                limits = Path(f"/proc/{pid}/status").read_text()
                # The worker handles the signal of its clock when it has started.
                caught = next(line for line in limits.splitlines() if line.startswith("SigCgt:"))
                if int(caught.split()[1], 16) >> (signal.SIGVTALRM - 1) & 1:
                    time.sleep(0.5)
                    return pid
        time.sleep(0.01)
    raise AssertionError("no worker process has started")


def has_ended(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
            return True
        time.sleep(0.02)
    return False


def test_verify_ends_within_a_second_while_its_worker_is_busy(slow_run: Path) -> None:
    process = start(["verify", "run"], slow_run.parent)
    worker = wait_for_worker(process)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - begin < 1.5  # a second, and the load of other tests
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "stopped. Kept: verify 5 of 65, everything that was stored before." in err
    assert has_ended(worker)
    verdicts = list(Run.open(slow_run).verdicts())
    # What ended the worker is not written as a verdict.
    assert len(verdicts) == 5
    assert all(verdict.correct is not None for verdict in verdicts)


def test_a_signal_to_all_processes_of_a_terminal_writes_no_verdict(slow_run: Path) -> None:
    process = start(["verify", "run"], slow_run.parent, start_new_session=True)
    wait_for_worker(process)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(20) == 130
    process.communicate()
    assert len(list(Run.open(slow_run).verdicts())) == 5


HANGING = """
import time
from nbest.cli.signals import handle_signals
from nbest.interruption import INTERRUPTION

with handle_signals(["verify", "run"]), INTERRUPTION.protect_results():
    print("ready", flush=True)
    while True:
        try:
            time.sleep(100)
        except KeyboardInterrupt:
            pass
"""
"""A command that goes on with writing its results for ever."""


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    process = start(["-c", HANGING], tmp_path, program=[])
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert time.monotonic() - begin < 0.5
    assert process.returncode == 130
    assert err.splitlines() == [
        "stopping: what was finished is being written. Press Ctrl-C again to end at once.",
        "stopped. Kept: everything that was stored before. Run the same command again to continue.",
    ]


WRITING = """
import asyncio, time
from pathlib import Path
from nbest.cli.signals import handle_signals
from nbest.stages.flow import run_to_end, work_through

async def work(item):
    yield [item]
    print("ready", flush=True)
    {wait}

async def write(results):
    await asyncio.to_thread(time.sleep, 1.5)
    Path("written").write_text(str(results))

async def main():
    await work_through(iter([1]), work, write)

with handle_signals(["verify", "run"]):
    run_to_end(main())
"""
"""A stage whose results take longer to write than a command has to unwind."""


@pytest.mark.parametrize("wait", ["await asyncio.sleep(100)", "time.sleep(100)"], ids=["waiting", "blocked"])
def test_results_are_written_before_the_end(tmp_path: Path, wait: str) -> None:
    process = start(["-c", WRITING.format(wait=wait)], tmp_path, program=[])
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - begin < 5
    assert process.returncode == 143
    assert "Traceback" not in err
    assert "stopped by SIGTERM. Kept: " in err
    assert (tmp_path / "written").read_text() == "[1]"


def test_what_a_shell_has_ignored_stays_ignored() -> None:
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen([sys.executable, "-m", "nbest", "methods"], stdout=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, former)
    wait_for_handler(process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "majority" in out
