"""Training of a generative selector: the plan of its batches, what is refused, SIGKILL, the command."""

import importlib.util
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback, TrainerState
from trl import import_utils

from nbest.cli import main
from nbest.config import load_config
from nbest.errors import ConfigError, DataError, MissingExtraError
from nbest.training import cold_start, genselect
from nbest.training.dapo import STREAM_FILE
from nbest.training.genselect import (
    BatchPlan,
    build_trainer,
    check_vllm,
    load_trainable,
    make_training_arguments,
    plan_batches,
    train_genselect,
)
from nbest.training.selection_rewards import measure_accuracy
from nbest.training.settings import SelectionTrainingConfig
from tests.training.selector_runs import (
    make_config,
    make_tasks,
    parse_selection,
    save_judge,
    save_model,
    write_tasks,
)
from tests.training.verified_runs import make_run

pytestmark = [
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "src" / "nbest" / "configs" / "genselect"
CONTEXT = multiprocessing.get_context("forkserver")

# The plan of batches


def plan(processes: int = 1, **sections: Any) -> BatchPlan:
    return plan_batches(make_config(Path("out"), **sections), processes)


PUBLISHED = {"prompts": 128, "group": 16}


def test_the_published_batch_on_eight_processes() -> None:
    # 128 x 16 = 2,048 rows; 256 a process; micro-batches of 8: 32 of them, 8 for each of 4 updates.
    optimiser = {"updates_per_batch": 4, "micro_rows": 8, "updates": 8}
    assert plan(8, rollouts=PUBLISHED, optimiser=optimiser, save_every=4) == BatchPlan(32, 8)
    # In one process: 2,048 / 8 = 256 micro-batches, 64 an update.
    assert plan(1, rollouts=PUBLISHED, optimiser=optimiser, save_every=4) == BatchPlan(256, 64)
    # One update a batch takes all of them.
    optimiser = {"updates_per_batch": 1, "micro_rows": 16, "updates": 8}
    assert plan(8, rollouts=PUBLISHED, optimiser=optimiser) == BatchPlan(16, 16)


def test_the_plan_reads_how_many_processes_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(Path("out"), rollouts={"prompts": 8, "group": 4}, optimiser={"micro_rows": 2})
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert plan_batches(config) == BatchPlan(4, 2)  # 32 rows, 8 a process, 4 micro-batches, 2 updates
    monkeypatch.delenv("WORLD_SIZE")
    assert plan_batches(config) == BatchPlan(16, 8)


FAULTS: list[tuple[str, int, dict[str, Any]]] = [
    (r"rollouts\.prompts: 4 must be a multiple of the number of processes \(3\)", 3, {}),
    (r"optimiser\.micro_rows: 4 prompts x 4 rollouts = 16 rows do not split", 1, {"optimiser": {"micro_rows": 3}}),
    (
        r"save_every and optimiser\.updates: 3 and 2 must be multiples of updates_per_batch \(2\)",
        1,
        {"save_every": 3},
    ),
    (r"save_every and optimiser\.updates: 2 and 5 must be multiples", 1, {"optimiser": {"updates": 5}}),
    (r"dapo\.clip_high: 0\.1 must be at least clip_low \(0\.2\)", 1, {"dapo": {"clip_high": 0.1}}),
    (r"dapo\.overlong_tokens: 24 must be below rollouts\.max_tokens \(24\)", 1, {"dapo": {"overlong_tokens": 24}}),
    (
        r"dapo\.filter_overlong: it leaves truncated .* overlong_tokens = 8 punishes them",
        1,
        {"dapo": {"overlong_tokens": 8, "filter_overlong": True}},
    ),
    (r"rollouts\.sleep_mode: only a vLLM beside the trainer", 1, {"rollouts": {"sleep_mode": True}}),
    (r"rollouts\.server_url: engine 'vllm-server' needs the address", 1, {"rollouts": {"engine": "vllm-server"}}),
]


@pytest.mark.parametrize(("message", "processes", "sections"), FAULTS, ids=[fault[0][:24] for fault in FAULTS])
def test_a_fault_of_the_plan_is_named(message: str, processes: int, sections: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(processes, **sections)


def test_all_faults_of_the_plan_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        plan(
            3,
            save_every=3,
            rollouts={"engine": "vllm-server"},
            dapo={"clip_high": 0.1, "overlong_tokens": 30},
        )
    fault_text = str(caught.value)
    names = ("rollouts.prompts:", "micro_rows:", "save_every", "clip_high:", "overlong_tokens:", "server_url:")
    assert [name for name in names if name in fault_text] == list(names)


def test_edges_that_are_allowed() -> None:
    plan(
        dapo={"clip_high": 0.2, "overlong_tokens": 23, "filter_overlong": False},
        rollouts={"engine": "vllm-server", "server_url": "http://x"},
    )
    plan(rollouts={"engine": "vllm-colocate", "sleep_mode": True})
    plan(dapo={"overlong_tokens": 0, "filter_overlong": False})


def test_shared_prompts_and_checkpointing_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="share_prompts"):
        plan(optimiser={"share_prompts": True, "gradient_checkpointing": True})


def test_settings_reach_the_trainer(tmp_path: Path) -> None:
    config = make_config(
        tmp_path,
        rollouts={"temperature": 1.5, "top_p": 0.9},
        dapo={"clip_low": 0.1, "clip_high": 0.4, "token_loss": False, "filter_overlong": False},
    )
    settings = make_training_arguments(config)
    assert (settings.beta, settings.scale_rewards, settings.num_iterations) == (0.0, "group", 1)
    assert (settings.epsilon, settings.epsilon_high, settings.temperature, settings.top_p) == (
        0.1,
        0.4,
        1.5,
        0.9,
    )
    assert (settings.loss_type, settings.mask_truncated_completions) == ("grpo", False)
    assert (settings.steps_per_generation, settings.gradient_accumulation_steps) == (4, 2)
    assert (settings.use_vllm, settings.max_completion_length, settings.num_generations) == (
        False,
        24,
        4,
    )
    usual = make_training_arguments(make_config(tmp_path))
    assert (usual.epsilon, usual.epsilon_high, usual.loss_type) == (0.2, 0.28, "dapo")
    assert usual.mask_truncated_completions


def test_settings_of_vllm_reach_the_trainer(tmp_path: Path) -> None:
    usual = make_training_arguments(make_config(tmp_path, rollouts={"engine": "vllm-colocate"}))
    assert (usual.use_vllm, usual.vllm_mode, usual.vllm_enable_sleep_mode) == (True, "colocate", False)
    assert (usual.vllm_importance_sampling_correction, usual.vllm_importance_sampling_mode) == (True, "token_truncate")
    assert (usual.vllm_importance_sampling_clip_max, usual.vllm_gpu_memory_utilization) == (3.0, 0.3)
    rollouts = {
        "engine": "vllm-colocate",
        "sleep_mode": True,
        "memory_share": 0.6,
        "importance_correction": "sequence-mask",
        "importance_cap": 2.0,
    }
    settings = make_training_arguments(make_config(tmp_path, rollouts=rollouts))
    assert (settings.vllm_enable_sleep_mode, settings.vllm_gpu_memory_utilization) == (True, 0.6)
    assert (settings.vllm_importance_sampling_mode, settings.vllm_importance_sampling_clip_max) == (
        "sequence_mask",
        2.0,
    )
    off = make_training_arguments(
        make_config(tmp_path, rollouts={"engine": "vllm-colocate", "importance_correction": "off"})
    )
    assert not off.vllm_importance_sampling_correction


@pytest.mark.parametrize(
    "version", ["0.21.9", "0.22.0", "0.28.1", "0.31.0", "0.31.0+cu129", "0.31.1", "0.32.0", "0.33.0"]
)
def test_versions_of_vllm_are_refused_where_trl_warns(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(genselect, "version", lambda _: version)
    monkeypatch.setattr(import_utils, "_is_package_available", lambda *_, **__: (True, version))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import_utils.is_vllm_available()
    if not caught:
        check_vllm()
        return
    with pytest.raises(ConfigError, match=rf"vLLM {re.escape(version)} is installed.*vLLM 0\.22\.0 to 0\.31\.0"):
        check_vllm()


def test_a_recipe_with_vllm_says_what_is_missing(workspace: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    if importlib.util.find_spec("vllm") is not None:
        pytest.skip("vLLM is installed")
    config = parse_selection(values_of(workspace, tmp_path / "out", rollouts={"engine": "vllm-colocate"}))
    with pytest.raises(MissingExtraError, match=r"vllm is not installed.*nbest\[train-vllm\]"):
        train_genselect(config)


@pytest.mark.parametrize("name", ["math", "code"])
def test_the_published_recipes(name: str) -> None:
    recipe = load_config(SelectionTrainingConfig, CONFIGS / f"genselect_qwen3_1p7b_{name}.toml")
    # arXiv 2602.02143: Qwen3-1.7B, AdamW 1e-6, 128 prompts, 16 rollouts for math and 8 for code, T 1.5, 16,384 tokens;
    # arXiv 2503.14476: clipping 0.2 and 0.28, token-level loss, soft overlong punishment.
    assert (recipe.model, recipe.optimiser.learning_rate) == ("Qwen/Qwen3-1.7B", 1e-6)
    rollouts = recipe.rollouts
    assert (rollouts.prompts, rollouts.group) == (128, 16 if name == "math" else 8)
    assert (rollouts.temperature, rollouts.top_p, rollouts.max_tokens) == (1.5, 1.0, 16_384)
    dapo = recipe.dapo
    # The soft punishment replaces the filtering in DAPO (section 3.4), and a judgement gets one of the two.
    assert (dapo.clip_low, dapo.clip_high, dapo.token_loss, dapo.filter_overlong) == (0.2, 0.28, True, False)
    assert dapo.most_rounds > 1
    assert dapo.overlong_tokens > 0
    plan_batches(recipe, 8)


def test_the_recipes_of_small_selectors_fit_one_process() -> None:
    for name in ("genselect_arithmetic", "genselect_arithmetic_weak"):
        plan_batches(load_config(SelectionTrainingConfig, CONFIGS / f"{name}.toml"), 1)


# What is refused before a model is trained


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `judge` (a tiny model that names candidates), `tasks.parquet` and `held_out.parquet`."""
    folder = tmp_path_factory.mktemp("selection")
    save_judge(folder / "judge")
    write_tasks(folder / "tasks.parquet", make_tasks(20))
    write_tasks(folder / "held_out.parquet", make_tasks(6, first=20))
    return folder


def values_of(workspace: Path, out: Path, **sections: Any) -> dict[str, Any]:
    """A run of 6 updates, two a batch, a checkpoint and a validation every two."""
    values: dict[str, Any] = {
        "out": str(out),
        "model": str(workspace / "judge"),
        "save_every": 2,
        "data": {
            "tasks": [str(workspace / "tasks.parquet")],
            "validation_tasks": [str(workspace / "held_out.parquet")],
            "validate_every": 2,
        },
        "rollouts": {"engine": "in-process", "prompts": 4, "group": 4, "temperature": 1.0, "max_tokens": 16},
        "dapo": {"overlong_tokens": 4, "most_rounds": 3},
        "optimiser": {"updates": 6, "updates_per_batch": 2, "micro_rows": 8, "learning_rate": 3e-3},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section} if isinstance(section, dict) else section
    return values


def test_task_files_of_different_styles_are_not_mixed(workspace: Path, tmp_path: Path) -> None:
    other = write_tasks(tmp_path / "published.parquet", make_tasks(6), style="published")
    config = parse_selection(values_of(workspace, tmp_path / "out", data={"validation_tasks": [str(other)]}))
    with pytest.raises(ConfigError, match=r"tasks\.parquet has .*'compact'.*published\.parquet has .*'published'"):
        train_genselect(config)
    other = write_tasks(tmp_path / "thinking.parquet", make_tasks(6), thinking="keep")
    config = parse_selection(
        values_of(workspace, tmp_path / "out", data={"tasks": [str(workspace / "tasks.parquet"), str(other)]})
    )
    with pytest.raises(ConfigError, match=r"thinking\.parquet has .*'keep'"):
        train_genselect(config)
    assert not (tmp_path / "out" / "model").exists()


def test_tasks_that_are_not_there_are_named(workspace: Path, tmp_path: Path) -> None:
    config = parse_selection(
        values_of(workspace, tmp_path / "out", data={"tasks": [str(tmp_path / "nowhere.parquet")]})
    )
    with pytest.raises(DataError, match=r"nowhere\.parquet: there is no such file"):
        train_genselect(config)


def test_a_plan_that_does_not_fit_is_refused_first(workspace: Path, tmp_path: Path) -> None:
    config = parse_selection(values_of(workspace, tmp_path / "out", model="nowhere", optimiser={"micro_rows": 3}))
    with pytest.raises(ConfigError, match="micro_rows"):
        train_genselect(config)


def test_a_model_without_chat_template_is_refused(workspace: Path, tmp_path: Path) -> None:
    bare = save_model(tmp_path / "bare", has_template=False)
    config = parse_selection(values_of(workspace, tmp_path / "out", model=str(bare)))
    with pytest.raises(ConfigError, match=r"bare' has no chat template"):
        train_genselect(config)


def test_a_model_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="empty' could not be loaded as a causal language model"):
        load_trainable(str(tmp_path / "empty"), make_config(tmp_path))


def test_weights_are_trained_in_float32_whatever_is_computed_in_bfloat16(workspace: Path, tmp_path: Path) -> None:
    model, _ = load_trainable(str(workspace / "judge"), make_config(tmp_path, optimiser={"bf16": True}))
    assert model.dtype == torch.float32


# SIGKILL


@dataclass(frozen=True)
class Kill:
    """Where a training process ends itself by SIGKILL: behind update `update` of the stage `stage` (the folder of its
    checkpoints), or while it writes the checkpoint of that update."""

    stage: str
    update: int
    is_writing: bool = False


class KillAt(TrainerCallback):
    def __init__(self, kill: Kill):
        self.kill = kill

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if (Path(args.output_dir).name, state.global_step) == (self.kill.stage, self.kill.update):
            os.kill(os.getpid(), signal.SIGKILL)


def kill_while_writing(update: int) -> None:
    """What says that a checkpoint is whole is written last; it is not written."""
    write = TrainerState.save_to_json

    def write_or_die(self: TrainerState, path: str) -> None:
        if self.global_step == update:
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, path)

    TrainerState.save_to_json = write_or_die  # type: ignore[method-assign]


def train_here(values: dict[str, Any], kill: Kill | None) -> None:
    cold_start.DRILL_ROWS, cold_start.REAL_ROWS, cold_start.SOLUTION_ROWS, cold_start.QUESTIONS = 2, 2, 2, 2
    arguments = cold_start.TrainingArguments
    cold_start.TrainingArguments = lambda **options: arguments(**{**options, "save_steps": 4})  # type: ignore[assignment]
    if kill is not None and kill.is_writing:
        kill_while_writing(kill.update)
    config = parse_selection(values)
    trained = train_genselect(config, [KillAt(kill)] if kill is not None and not kill.is_writing else [])
    with (config.out / "told.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(dict(trained.metrics)) + "\n")


def train_in_turn(jobs: Connection) -> None:
    """Each job in a process of its own, forked from this one, which has imported what they need and run nothing."""
    torch.set_num_threads(1)
    while (job := jobs.recv()) is not None:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                train_here(*job)
                status = 0
            except BaseException:  # noqa: BLE001
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        jobs.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


Train = Callable[..., int]


@pytest.fixture(scope="module")
def train() -> Iterator[Train]:
    """`train(values, kill)`: how a process ended that trained alone."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=train_in_turn, args=(theirs,))
    process.start()
    theirs.close()

    def run(values: dict[str, Any], kill: Kill | None = None) -> int:
        ours.send((values, kill))
        return ours.recv()

    yield run
    ours.send(None)
    process.join()


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def validations(out: Path) -> list[dict[str, Any]]:
    return [line for line in read_lines(out / "log.jsonl") if "validation_accuracy" in line]


def last_validation(out: Path) -> dict[str, Any]:
    return validations(out)[-1]


def weights_of(out: Path) -> bytes:
    return (out / "model" / "model.safetensors").read_bytes()


def told_by(out: Path) -> list[Any]:
    """What each finished process returned."""
    return read_lines(out / "told.jsonl")


KILLED = -signal.SIGKILL


def test_a_run_that_was_killed_ends_as_one_that_never_was(workspace: Path, tmp_path: Path, train: Train) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    kills = [
        Kill("checkpoints", 1),  # before the first checkpoint
        Kill("checkpoints", 3),  # between two
        Kill("checkpoints", 4, is_writing=True),
        None,
    ]
    # Rounds enough to fill every batch: an update of fillers alone has no gradient.
    dapo = {"most_rounds": 8}
    assert train(values_of(workspace, whole, dapo=dapo)) == 0
    assert [train(values_of(workspace, broken, dapo=dapo), kill) for kill in kills] == [KILLED, KILLED, KILLED, 0]
    # Something was learned, from more tasks than fit into the batches: the place in the stream had to be found again.
    updates = [line for line in read_lines(whole / "log.jsonl") if "grad_norm" in line]
    assert [line["update"] for line in updates] == [1, 2, 3, 4, 5, 6]
    assert min(line["grad_norm"] for line in updates) > 0
    assert weights_of(whole) != (workspace / "judge" / "model.safetensors").read_bytes()
    streams = [json.loads((out / "checkpoints" / "checkpoint-6" / STREAM_FILE).read_text()) for out in (whole, broken)]
    assert streams[0]["position"] > 12
    assert streams[0] == streams[1]

    assert weights_of(broken) == weights_of(whole)
    assert validations(broken) == validations(whole)
    assert read_lines(broken / "judgements.jsonl") == read_lines(whole / "judgements.jsonl")
    assert [line["update"] for line in read_lines(broken / "log.jsonl") if "grad_norm" in line] == [1, 2, 3, 4, 5, 6]
    assert told_by(broken) == told_by(whole)
    assert [line["update"] for line in validations(whole)] == [0, 2, 4, 6]
    about = json.loads((broken / "model" / "selection.json").read_text())
    expected = {"style": "compact", "thinking": "answer", "window": 8, "max_tokens": 16, "temperature": 0.6}
    assert {name: about[name] for name in expected} == expected


def test_a_finished_run_that_is_run_again_is_left_as_it_is(workspace: Path, tmp_path: Path, train: Train) -> None:
    values = values_of(workspace, tmp_path / "out", optimiser={"updates": 2})
    assert train(values) == 0
    before = weights_of(tmp_path / "out")
    assert train(values) == 0
    assert weights_of(tmp_path / "out") == before


def test_a_finished_run_that_is_run_again_tells_the_same(workspace: Path, tmp_path: Path, train: Train) -> None:
    values = values_of(workspace, tmp_path / "out", optimiser={"updates": 2})
    assert [train(values), train(values)] == [0, 0]
    first, again = told_by(tmp_path / "out")
    assert first
    assert again == first


def test_a_cold_start_that_was_killed_ends_as_one_that_never_was(workspace: Path, tmp_path: Path, train: Train) -> None:
    text = "<think>\n1 + {} = {}.\n</think>\n\n\\boxed{{{}}}"
    pools = {
        task.problem_id: [(text.format(p, p + 1, p + 1), right) for p, right in enumerate(task.correct)]
        for task in make_tasks(20)
    }
    make_run(tmp_path / "run", pools)
    start = save_model(tmp_path / "start")
    counts = {"drill_updates": 10, "tasks": 20, "updates": 4, "batch_tasks": 5}

    def values(out: Path) -> dict[str, Any]:
        cold = {"runs": [str(tmp_path / "run")], "answers": [0, 60], **counts}
        made_short = {"optimiser": {"updates": 2}, "rollouts": {"max_tokens": 8}}
        return values_of(workspace, out, model=str(start), cold_start=cold, **made_short)

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    kills = [Kill("drills", 6), Kill("demonstrations", 3), Kill("checkpoints", 1), None]  # checkpoints every 4
    assert train(values(whole)) == 0
    assert [train(values(broken), kill) for kill in kills] == [KILLED, KILLED, KILLED, 0]
    taught = [(out / "cold_start" / "model" / "model.safetensors").read_bytes() for out in (whole, broken)]
    assert taught[0] == taught[1]
    assert taught[0] != (start / "model.safetensors").read_bytes()
    assert weights_of(broken) == weights_of(whole)
    assert last_validation(broken) == last_validation(whole)


# Several processes


def test_two_processes_share_the_tasks_of_each_batch(workspace: Path, tmp_path: Path) -> None:
    values = values_of(workspace, tmp_path / "out", optimiser={"updates": 2, "micro_rows": 4})
    config = write_toml(tmp_path / "run.toml", values)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [
        "--cpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
    ]
    command = [sys.executable, "-m", "accelerate.commands.launch", *launch, "--main_process_port", str(port)]
    words = ["-m", "nbest", "train", "genselect", str(config), "--json", str(tmp_path / "report.json")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1"}
    completed = subprocess.run(
        [*command, *words], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert completed.returncode == 0, completed.stderr[-2000:]
    lines = read_lines(tmp_path / "out" / "log.jsonl")  # of the main process alone
    assert [line["update"] for line in lines if "grad_norm" in line] == [1, 2]
    assert [line["validation_tasks"] for line in lines if "validation_accuracy" in line] == [6, 6]
    assert json.loads((tmp_path / "report.json").read_text())["model"] == str(tmp_path / "out" / "model")
    # Each process has two of the four groups: it took at least two tasks of its share of the stream.
    stream = json.loads((tmp_path / "out" / "checkpoints" / "checkpoint-2" / STREAM_FILE).read_text())
    assert stream["position"] >= 2


# The command


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.argv", ["nbest", *map(str, words)])
    try:
        main()
    except SystemExit as completed:
        return completed.code if isinstance(completed.code, int) else 0
    return 0


def write_toml(path: Path, values: dict[str, Any]) -> Path:
    plain = {name: value for name, value in values.items() if not isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in plain.items()]
    for name, section in values.items():
        if isinstance(section, dict):
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_the_command_trains(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_toml(tmp_path / "run.toml", values_of(workspace, tmp_path / "out", optimiser={"updates": 2}))
    assert call(monkeypatch, "train", "genselect", config, "--json", tmp_path / "told.json") == 0
    fault_text = json.loads((tmp_path / "told.json").read_text())
    assert fault_text["model"] == str(tmp_path / "out" / "model")
    line = last_validation(tmp_path / "out")
    assert line["update"] == 2
    assert fault_text["metrics"] == {name: line[name] for name in fault_text["metrics"]}
    assert {"validation_accuracy", "validation_failed_share"} <= set(fault_text["metrics"])
    output = capsys.readouterr()
    assert "held-out tasks" in output.out
    assert f"{line['validation_accuracy']:.3f}" in output.out
    assert "Traceback" not in output.err


def test_tasks_that_two_processes_cannot_share_evenly(workspace: Path, tmp_path: Path) -> None:
    # 33 validation tasks on 2 processes: one has 17, the other 16.
    tasks = make_tasks(33, first=20)
    held_out = write_tasks(tmp_path / "odd.parquet", tasks)
    values = values_of(
        workspace,
        tmp_path / "out",
        data={"validation_tasks": [str(held_out)]},
        optimiser={"updates": 2, "micro_rows": 4},
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    result = subprocess.run(
        [*command, "-m", "nbest", "train", "genselect", write_toml(tmp_path / "run.toml", values)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    lines = validations(tmp_path / "out")
    assert [line["update"] for line in lines] == [0, 2]
    assert [line["validation_tasks"] for line in lines] == [33, 33]
    # Before the first update the judgements are those of one process, each counted once.
    config = parse_selection({**values, "out": str(tmp_path / "alone")})
    model, tokenizer = load_trainable(config.model, config)
    trainer = build_trainer(config, model, tokenizer, make_tasks(20))
    judgements = trainer.judge_tasks(tasks, config.data.validation_temperature)
    trainer.rollout_func.close()
    assert lines[0]["validation_accuracy"] == measure_accuracy(judgements).accuracy
    rows = [row for row in read_lines(tmp_path / "out" / "judgements.jsonl") if row["update"] == 0]
    assert [row["judgement"] for row in rows] == [judgement.text for judgement in judgements[: len(rows)]]


def test_the_command_names_an_unknown_key(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_toml(tmp_path / "run.toml", values_of(workspace, tmp_path / "out", dapo={"clip_higher": 0.3}))
    assert call(monkeypatch, "train", "genselect", config) == ConfigError.exit_code
    assert "dapo.clip_higher: unknown key" in capsys.readouterr().err


def test_without_trl_the_command_says_what_to_install(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_toml(tmp_path / "run.toml", values_of(workspace, tmp_path / "out"))
    monkeypatch.setitem(sys.modules, "trl", None)
    for name in [name for name in sys.modules if name.startswith("trl.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("genselect", "dapo"):
        monkeypatch.delitem(sys.modules, f"nbest.training.{name}")
    assert call(monkeypatch, "train", "genselect", config) == MissingExtraError.exit_code
    assert "trl is not installed. It comes with an extra: pip install 'nbest[train]'" in capsys.readouterr().err
