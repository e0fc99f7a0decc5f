"""What verl is given: its columns, and a reward that reads judgements as we do."""

import importlib.util
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from nbest.config import load_config
from nbest.errors import StorageError
from nbest.judging.prompts import parse_genselect
from nbest.named_configs import find_config
from nbest.training.settings import SelectionTrainingConfig
from nbest.training.task_files import SelectionTask, TaskFiles, TaskRecord
from nbest.training.verl_export import REWARD_FILE, VerlFormat, write_reward

ROOT = Path(__file__).parents[2]
COMMAND = ROOT / "src" / "nbest" / "configs" / "launch" / "verl_genselect_dapo.sh"
PUBLISHED = {
    "data.train_batch_size": "128",
    "data.max_prompt_length": "16384",
    "data.max_response_length": "16384",
    "actor_rollout_ref.actor.optim.lr": "1e-6",
    "actor_rollout_ref.rollout.temperature": "1.5",
    "actor_rollout_ref.rollout.top_p": "1.0",
    "actor_rollout_ref.actor.clip_ratio_low": "0.2",
    "actor_rollout_ref.actor.clip_ratio_high": "0.28",
    "actor_rollout_ref.actor.loss_agg_mode": "token-mean",
    "algorithm.filter_groups.enable": "True",
    "algorithm.filter_groups.metric": "acc",
    "reward.reward_kwargs.overlong_buffer_cfg.enable": "True",
    "reward.reward_kwargs.overlong_buffer_cfg.len": "3277",
    "reward.reward_kwargs.max_resp_len": "16384",
}
TEXTS = [
    "Judgment: 0",
    "Judgement: 2",
    "**Judgment: 1**",
    "Judgment: **1**",
    "Judgment: [2]",
    "Judgment: [ 2 ]",
    "Judgment:1 and later Judgment: 0",
    "<think>Judgment: 2</think> so Judgment: 1",
    "<think>Judgment: 2</think> nothing",
    "<think>Judgment: 2",
    "judgment: 1",
    "Judgment: -1",
    "Judgment: 3",
    "Judgment: 00001",
    "Judgment: 12345678901234567890",
    "Judgment: one",
    "Judgment : 2",
    "Judgment: \\boxed{2}",
    "Judgment: (2)",
    "Judgment: 1 or 2",
    "Judgment: tie",
    "<THINKING>Judgment: 2</THINKING> so Judgment: 1",
    "[THINK]Judgment: 2[/THINK] so **Judgment:** 1",
    "Judgment: 1.9",
    "Judgment:\n1",
    "Judgment: ٢",
    "",
    "__import__('os').system('false')",
]


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The written file, loaded as verl loads it: by its path."""
    path = write_reward(tmp_path_factory.mktemp("verl"))
    spec = importlib.util.spec_from_file_location("custom_module", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("count", [1, 3])
def test_judgements_are_read_as_here(reward: Any, text: str, count: int):
    ours = parse_genselect(text, count)
    assert reward.read_judgement(text, count) == (ours.index, ours.fault)


def test_rewards(reward: Any):
    truth = json.dumps({"count": 3, "right": [0, 2]})
    for text, points, fault in [
        ("Judgment: 2", 1.0, ""),
        ("Judgment: 1", 0.0, ""),
        ("Judgment: 3", 0.0, "out-of-range"),
        ("I like 2", 0.0, "unparsed"),
        ("Judgment: " + "9" * 5000, 0.0, "out-of-range"),
    ]:
        reward_fields = reward.compute_score("nbest/genselect", text, truth, extra_info={})
        assert reward_fields == {"score": points, "acc": points, "fault": fault}


def test_rows_are_those_of_verl(tmp_path: Path):
    task = SelectionTask("p/task-0", "p", "Which?", ("p#3", "p#1"), (False, True), 9)
    path = tmp_path / "a.parquet"
    with TaskFiles({"train": path}, VerlFormat(), {}) as files:
        files.write(TaskRecord(task, "code", "train"))
    assert pq.read_table(path).to_pylist() == [
        {
            "data_source": "nbest/genselect",
            "prompt": [{"role": "user", "content": "Which?"}],
            "ability": "code",
            "reward_model": {"style": "rule", "ground_truth": '{"count": 2, "right": [1]}'},
            "extra_info": {
                "split": "train",
                "index": 0,
                "task_id": "p/task-0",
                "problem_id": "p",
                "candidates": ["p#3", "p#1"],
                "correct": [False, True],
                "prompt_tokens": 9,
            },
        }
    ]


def test_a_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(StorageError):
        write_reward(tmp_path / "nowhere")


@pytest.mark.parametrize(("kind", "rollouts"), [("math", "16"), ("code", "8")])
def test_the_command_has_the_published_settings(tmp_path: Path, kind: str, rollouts: str):
    (tmp_path / "python3").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "python3").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    output = subprocess.run(
        ["bash", str(COMMAND), "trainer.nnodes=2"],
        env={"PATH": path, "TASKS": "tasks/mine", "KIND": kind},
        capture_output=True,
        text=True,
        check=True,
    )
    words = output.stdout.split("\n")
    assert words[:2] == ["-m", "verl.trainer.main_ppo"]
    reward_fields = dict(word.lstrip("+").split("=", 1) for word in words[2:] if word)
    assert {key: reward_fields[key] for key in PUBLISHED} == PUBLISHED
    assert reward_fields["actor_rollout_ref.rollout.n"] == rollouts
    assert reward_fields["data.train_files"] == "tasks/mine.train.parquet"
    assert reward_fields["reward.custom_reward_function.path"] == f"tasks/{REWARD_FILE}"
    assert reward_fields["trainer.nnodes"] == "2"


def test_the_command_wants_its_tasks():
    output = subprocess.run(["bash", str(COMMAND)], env={"PATH": os.environ["PATH"]}, capture_output=True, check=False)
    assert output.returncode != 0
    assert b"TASKS" in output.stderr


def settings_of(command: str, kind: str, folder: Path) -> dict[str, str]:
    """The settings that the script passes to verl."""
    (folder / "python3").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (folder / "python3").chmod(0o755)
    output = subprocess.run(
        ["bash", command],
        env={"PATH": f"{folder}:{os.environ['PATH']}", "TASKS": "tasks/mine", "KIND": kind},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(word.lstrip("+").split("=", 1) for word in output.stdout.split("\n")[2:] if word)


ACTOR, ROLLOUT, OVERLONG = (
    "actor_rollout_ref.actor",
    "actor_rollout_ref.rollout",
    "reward.reward_kwargs.overlong_buffer_cfg",
)
SAME = {
    "data.train_batch_size": "rollouts.prompts",
    "data.gen_batch_size": "rollouts.prompts",
    "data.max_response_length": "rollouts.max_tokens",
    "reward.reward_kwargs.max_resp_len": "rollouts.max_tokens",
    "algorithm.filter_groups.max_num_gen_batches": "dapo.most_rounds",
    f"{ACTOR}.clip_ratio_low": "dapo.clip_low",
    f"{ACTOR}.clip_ratio_high": "dapo.clip_high",
    f"{OVERLONG}.len": "dapo.overlong_tokens",
    f"{ACTOR}.optim.lr": "optimiser.learning_rate",
    f"{ACTOR}.optim.lr_warmup_steps": "optimiser.warmup_updates",
    f"{ACTOR}.optim.weight_decay": "optimiser.weight_decay",
    f"{ROLLOUT}.n": "rollouts.group",
    f"{ROLLOUT}.temperature": "rollouts.temperature",
    f"{ROLLOUT}.top_p": "rollouts.top_p",
    f"{ROLLOUT}.val_kwargs.temperature": "data.validation_temperature",
    f"{ROLLOUT}.val_kwargs.top_p": "rollouts.top_p",
    "trainer.test_freq": "data.validate_every",
    "trainer.save_freq": "save_every",
}
"""A key of verl, and the setting of the recipe that has the same value."""
FIXED = {
    "algorithm.adv_estimator": "grpo",
    "algorithm.use_kl_in_reward": "False",
    "algorithm.kl_ctrl.kl_coef": "0.0",
    "algorithm.filter_groups.enable": "True",
    "algorithm.filter_groups.metric": "acc",
    f"{ACTOR}.use_kl_loss": "False",
    f"{ACTOR}.kl_loss_coef": "0.0",
    f"{ACTOR}.entropy_coeff": "0",
    f"{ACTOR}.loss_agg_mode": "token-mean",
    f"{ACTOR}.grad_clip": "1.0",
    f"{OVERLONG}.enable": "True",
    f"{OVERLONG}.penalty_factor": "1.0",
    "reward.reward_manager.name": "dapo",
}
"""Keys of verl whose value the trainer of nbest has built in."""
DIFFERENT = {
    f"{ACTOR}.clip_ratio_c": None,
    f"{ROLLOUT}.gpu_memory_utilization": "rollouts.memory_share",
    "trainer.total_epochs": "optimiser.updates",
}
"""Keys of verl that differ from the recipe, with its setting if it has one."""
PLACES = ("data.", "trainer.", "reward.custom_reward_function.", "actor_rollout_ref.model.", f"{OVERLONG}.log")
"""What has no counterpart because it names files, logs and machines, or how verl splits a batch over them."""
BATCHING = (
    "dynamic_bsz",
    "max_token_len_per_gpu",
    "max_num_batched_tokens",
    ".rollout.name",
    ".top_k",
    "do_sample",
    ".val_kwargs.n",
)


def value_of(recipe: SelectionTrainingConfig, name: str) -> float:
    value: Any = recipe
    for part in name.split("."):
        value = getattr(value, part)
    return float(value)


@pytest.mark.parametrize("kind", ["math", "code"])
def test_the_script_and_the_recipe_agree_in_every_setting_that_is_not_listed(tmp_path: Path, kind: str) -> None:
    recipe = load_config(SelectionTrainingConfig, find_config(f"genselect_qwen3_1p7b_{kind}", "genselect"))
    settings = settings_of(str(COMMAND), kind, tmp_path)
    assert {key: float(settings[key]) for key in SAME} == {key: value_of(recipe, name) for key, name in SAME.items()}
    assert {key: settings[key] for key in FIXED} == FIXED
    # One update per batch: as many prompts in an update as in a step.
    assert settings[f"{ACTOR}.ppo_mini_batch_size"] == settings["data.train_batch_size"]
    assert recipe.optimiser.updates_per_batch == 1
    assert recipe.dapo.token_loss
    assert not recipe.dapo.filter_overlong  # verl's reward manager punishes, and masks nothing
    page = (ROOT / "docs" / "genselect.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for key, name in DIFFERENT.items():
        assert name is None or float(settings[key]) != value_of(recipe, name)
        short = f"`{key.rpartition('.')[2]}={settings[key]}`"
        assert any(short in row and (name is None or f"`{name}" in row) for row in rows), short
    known = {*SAME, *FIXED, *DIFFERENT, f"{ACTOR}.ppo_mini_batch_size"}
    unknown = [
        key
        for key in settings
        if key not in known and not key.startswith(PLACES) and not any(b in key for b in BATCHING)
    ]
    assert unknown == []
