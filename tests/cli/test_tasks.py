"""`nbest tasks build`: from runs to files, reports and refusals."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from nbest.errors import DataError
from nbest.training.task_files import load_tasks, read_build_info
from tests.training.verified_runs import make_run, mixed

Command = Callable[..., Any]
FLAGS = ("--tokenizer", "bundled:arithmetic", "--style", "compact")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "weak", {f"p{n}": mixed(2, 6) for n in range(6)} | {"easy": mixed(6, 1)}).path


def test_a_build_is_told(nbest: Command, run: Path, tmp_path: Path):
    out = tmp_path / "tasks.parquet"
    result = nbest("tasks", "build", run, "--out", out, *FLAGS, "--thinking", "keep", "--most", "4", "--json", "-")
    assert result.code == 0, result.err
    assert result.json["files"] == {"all": str(out)}
    assert result.json["problems"] == {"seen": 7, "used": 6, "unused": {"pass rate not below the limit": 1}}
    tasks = load_tasks(out)
    assert result.json["tasks"]["total"] == len(tasks)
    assert set(result.json["candidates_per_task"]) <= {"2", "3", "4"}
    assert read_build_info(out)["thinking"] == "keep"
    for words in ("problems used", "not used: pass rate", "accuracy of a random choice", "position", "tasks.parquet"):
        assert words in result.err


def test_the_same_command_gives_the_same_file(nbest: Command, run: Path, tmp_path: Path):
    for name in ("a.parquet", "b.parquet"):
        assert nbest("tasks", "build", run, "--out", tmp_path / name, *FLAGS).code == 0
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_several_runs_and_a_config(nbest: Command, run: Path, tmp_path: Path):
    other = make_run(tmp_path / "strong", {f"p{n}": [("another way to 1", True)] for n in range(6)}).path
    (tmp_path / "tasks.toml").write_text('style = "compact"\ntokenizer = "bundled:arithmetic"\nper_problem = 2\n')
    out = tmp_path / "tasks.parquet"
    words = ("tasks", "build", run, f"big={other}", "--out", out, "--config", tmp_path / "tasks.toml")
    result = nbest(*words, "--validation-share", "0.4", "--seed", "3", "--json", "-")
    assert result.code == 0, result.err
    both = [task for path in result.json["files"].values() for task in load_tasks(Path(path))]
    ids = {id for task in both for id in task.candidates}
    assert {id.split("/")[0] for id in ids} == {"weak", "big"}
    assert len({task.task_id for task in both}) == len(both) == 12
    assert read_build_info(tmp_path / "tasks.train.parquet")["settings"]["seed"] == 3


def test_for_verl(nbest: Command, run: Path, tmp_path: Path):
    out = tmp_path / "verl" / "tasks.parquet"
    result = nbest("tasks", "build", run, "--out", out, *FLAGS, "--format", "verl", "--json", "-")
    assert result.code == 0, result.err
    assert pq.read_schema(out).names == ["data_source", "prompt", "ability", "reward_model", "extra_info"]
    assert Path(result.json["files"]["reward"]).name == "reward_genselect.py"
    assert "compute_score" in (tmp_path / "verl" / "reward_genselect.py").read_text()
    with pytest.raises(DataError, match="written for verl"):
        load_tasks(out)


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--out", "a.txt"], 2, "ends in .parquet"),
        (["--out", "a.parquet", "--style", "fancy"], 2, "command line: style"),
        (["--out", "a.parquet", "--most", "1"], 2, "command line: most"),
        (["--out", "a.parquet", "--validation-share", "1.5"], 2, "validation_share"),
        (["--out", "a.parquet", "--format", "csv"], 2, "nbest, verl"),
        (["--out", "a.parquet", "--tokenizer", "bundled:nonesuch"], 2, "bundled:nonesuch"),
        (["--out", "a.parquet", "--max-pass-rate", "0.01"], 5, "7 pass rate not below the limit"),
        (["--out", "a.parquet", "--solutions", "9"], 5, "6 too few distinct candidates"),
    ],
)
def test_what_is_refused(
    nbest: Command, run: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], code: int, message: str
):
    monkeypatch.chdir(run.parent)
    result = nbest("tasks", "build", run, *FLAGS, *flags)
    assert (result.code, message in result.err) == (code, True), result.err
    assert not list(run.parent.glob("*.parquet"))
    assert not list(run.parent.glob(".*.tmp"))


def _build_and_die(run: Path, out: Path) -> None:
    from nbest.training.settings import TasksConfig
    from nbest.training.source_pools import open_sources
    from nbest.training.task_building import build_tasks
    from nbest.training.task_files import NbestFormat

    def die(_: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    settings = TasksConfig(tokenizer="bundled:arithmetic", style="compact")
    build_tasks(open_sources([str(run)]), out, settings, NbestFormat(), die)


def test_a_killed_build_leaves_the_old_file(nbest: Command, run: Path, tmp_path: Path):
    out = tmp_path / "tasks.parquet"
    assert nbest("tasks", "build", run, "--out", out, *FLAGS, "--per-problem", "1").code == 0
    before = out.read_bytes()
    process = multiprocessing.get_context("spawn").Process(target=_build_and_die, args=(run, out))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert out.read_bytes() == before
    assert nbest("tasks", "build", run, "--out", out, *FLAGS).code == 0
    assert len(load_tasks(out)) == 24


def test_without_a_tokenizer_nothing_is_counted_and_no_hub_is_asked(
    nbest: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.HfApi", None)
    out, counted = tmp_path / "tasks.parquet", tmp_path / "counted.parquet"
    result = nbest("tasks", "build", run, "--out", out, "--style", "compact", "--json", "-")
    assert result.code == 0, result.err
    assert "not counted without --tokenizer" in result.err
    assert result.json["prompt_tokens"] == {"mean": None, "p95": None, "max": None}
    tasks = load_tasks(out)
    assert {task.prompt_tokens for task in tasks} == {None}
    build_info = read_build_info(out)
    assert (build_info["tokenizer"], "tokenizer_hash" in build_info) == (None, False)
    assert build_info["settings"]["max_prompt_tokens"] is None
    assert nbest("tasks", "build", run, "--out", counted, *FLAGS).code == 0
    assert [task.prompt for task in load_tasks(counted)] == [task.prompt for task in tasks]
    assert read_build_info(counted)["settings"]["max_prompt_tokens"] == 16_384


@pytest.mark.parametrize("limit", ["--max-prompt-tokens", "--max-candidate-tokens"])
def test_a_token_limit_needs_a_tokenizer(nbest: Command, run: Path, tmp_path: Path, limit: str):
    result = nbest("tasks", "build", run, "--out", tmp_path / "tasks.parquet", limit, "100")
    assert result.code == 2
    assert f"{limit[2:].replace('-', '_')} count tokens, and no tokenizer is named" in result.err
