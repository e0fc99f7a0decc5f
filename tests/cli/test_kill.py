"""SIGKILL and a full disk while sampling: the run that is finished later is the run that was never stopped."""

import multiprocessing
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from nbest.config import SampleConfig, parse_config
from nbest.errors import StorageError
from nbest.records import Trajectory
from nbest.storage.run import Run
from nbest.training.settings import ModelShape

KILLS = 10
N, COUNT = 6, 24
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch", "transformers", "nbest.sampling.transformers", "nbest.cli.stages"])


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of random weights: what it writes is nonsense of any length, which is all that matters here."""
    import torch

    from nbest.training.policy import build_model, build_tokenizer, save_policy

    shape = ModelShape(hidden_size=16, layers=1, heads=2, kv_heads=1, head_size=8, mlp_size=16, vocabulary=320)
    torch.manual_seed(0)
    tokenizer = build_tokenizer(shape, seed=1)
    return save_policy(build_model(shape, tokenizer), tokenizer, tmp_path_factory.mktemp("policy") / "model")


def sample(run: Path, model: Path) -> None:
    """One process that samples, writing a part every few trajectories so that there is something to interrupt."""
    import torch

    from nbest import stages
    from nbest.stages import flow

    torch.set_num_threads(1)
    flow.FLUSH_TRAJECTORIES, flow.OPEN_PROBLEMS = 8, 3
    sampling = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_tokens": 60, "capture": [-1], "top_logprobs": 5}
    values = {
        "n": N,
        "problems": {"count": COUNT},
        "policy": {"model": str(model), "batch_rows": 16},
        "sampling": sampling,
    }
    stages.sample(run, parse_config(SampleConfig, values, "test"))


def start(run: Path, policy: Path) -> multiprocessing.process.BaseProcess:
    process = CONTEXT.Process(target=sample, args=(run, policy))
    process.start()
    return process


def finish(run: Path, policy: Path) -> None:
    process = start(run, policy)
    process.join(120)
    assert process.exitcode == 0


def contents(path: Path) -> dict[str, Trajectory]:
    run = Run.open(path)
    by_id = {trajectory.id: trajectory for pool in run.pools() for trajectory in pool.trajectories}
    assert sum(len(pool.trajectories) for pool in run.pools()) == len(by_id)
    return by_id


def count_parts(run: Path) -> int:
    return len(list((run / "trajectories").glob("part-*"))) if run.exists() else 0


def test_a_run_killed_ten_times_equals_one_never_stopped(tmp_path: Path, policy: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(whole, policy)
    rng = random.Random(0)
    kills = 0
    for _ in range(KILLS):
        before = count_parts(killed)
        process = start(killed, policy)
        deadline = time.monotonic() + 60
        # Somewhere between the loading of the model and a part or two after the last kill.
        while (
            count_parts(killed) < before + rng.choice((0, 1, 2)) and process.is_alive() and time.monotonic() < deadline
        ):
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.15))
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
    assert kills >= 5
    finish(killed, policy)

    first, second = contents(whole), contents(killed)
    assert len(first) == N * COUNT
    assert first.keys() == second.keys()
    for key, expected in first.items():
        by_id = second[key]
        assert by_id.seed == expected.seed
        assert by_id.completion.text == expected.completion.text
        assert by_id.completion.tokens.tolist() == expected.completion.tokens.tolist()
        np.testing.assert_allclose(by_id.completion.logprobs, expected.completion.logprobs, atol=1e-4)
    ids = sorted(first)
    states = {path: dict(zip(ids, Run.open(path).states(ids), strict=True)) for path in (whole, killed)}
    for key in first:
        assert states[whole][key].steps == states[killed][key].steps
        np.testing.assert_allclose(states[killed][key].values, states[whole][key].values, atol=2e-2, rtol=2e-2)


def count_rows(run: Path) -> int:
    """All rows of the parts, also those of which another one with the same id is read."""
    return sum(pq.read_metadata(path).num_rows for path in (run / "trajectories").glob("part-*"))


def test_two_processes_do_no_work_twice(tmp_path: Path, policy: Path) -> None:
    run = tmp_path / "run"
    processes = [start(run, policy) for _ in range(2)]
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert len(contents(run)) == count_rows(run) == N * COUNT
    assert not (run / ".claims").exists()


def test_a_process_takes_over_what_a_killed_one_had_claimed(tmp_path: Path, policy: Path) -> None:
    run = tmp_path / "run"
    first = start(run, policy)
    while not (run / ".claims").exists():
        time.sleep(0.002)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGSTOP)
    second = start(run, policy)
    deadline = time.monotonic() + 60
    # The second one draws all that the first one has not claimed, and waits for the rest.
    while count_parts(run) < (COUNT - 4) * N // 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.5)
    assert second.is_alive()
    assert len(contents(run)) < N * COUNT
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    second.join(60)
    assert second.exitcode == 0
    assert len(contents(run)) == count_rows(run) == N * COUNT


def run_command(*words: str) -> None:
    import sys

    from nbest.cli import main

    sys.argv = ["nbest", *words]
    main()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, too small for the run."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"mounting a small disk is refused here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(
    small_disk: Path, policy: Path, tmp_path: Path
) -> None:
    config = tmp_path / "sample.toml"
    config.write_text(
        f'n = 8\n[problems]\ncount = 12\n[policy]\nmodel = "{policy}"\n'
        "[sampling]\ntemperature = 1.0\ntop_p = 1.0\ntop_k = 0\nmax_tokens = 60\ncapture = [-1]\n"
    )
    words = ("sample", str(small_disk / "run"), "--config", str(config))
    process = CONTEXT.Process(target=run_command, args=words)
    process.start()
    process.join(120)
    assert process.exitcode == StorageError.exit_code
    assert len(contents(small_disk / "run")) < 96
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    again = CONTEXT.Process(target=run_command, args=words)
    again.start()
    again.join(120)
    assert again.exitcode == 0
    assert len(contents(small_disk / "run")) == 96
