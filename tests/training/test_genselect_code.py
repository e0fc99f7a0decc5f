"""The published recipe for code from end to end, at small scale: pools of programs, tasks, training, selection."""

import random
from pathlib import Path

import pytest
import torch
from transformers import Qwen3ForCausalLM

from nbest.cli import main
from nbest.config import load_config, parse_config
from nbest.named_configs import find_named_config
from nbest.records import Completion, Problem, Trajectory, Verdict, trajectory_id
from nbest.storage.run import Run
from nbest.training.genselect import train_genselect
from nbest.training.policy import make_batch
from nbest.training.settings import SelectionTrainingConfig
from nbest.training.task_files import load_tasks
from tests.training.selector_runs import build_model, load_tokenizer

pytestmark = [
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

PROBLEMS = 8
REASONING = "I think it is {number}."


def make_code_run(path: Path) -> Run:
    """A verified run: per problem two right and four wrong programs, and one completion without a program."""
    run = Run.create(path, {"identity": {"made": "by a test"}, "info": {}})
    names = [f"c{number}" for number in range(PROBLEMS)]
    meta = {"entry_point": "f"}
    run.write_problems(
        [Problem(name, f"Write f(x), which adds {at}.", None, "code", meta=meta) for at, name in enumerate(names)]
    )
    for at, name in enumerate(names):
        bodies = [f"x + {at}", f"{at} + x", *(f"x + {at + step}" for step in range(1, 5))]
        texts = [f"{REASONING.format(number=at)}\n```python\ndef f(x):\n    return {body}\n```" for body in bodies]
        rows = [(trajectory_id(name, index), index, text) for index, text in enumerate([*texts, "No program."])]
        run.append_trajectories(
            [Trajectory(id, name, at, at, Completion(text, finish="stop")) for id, at, text in rows]
        )
        run.append_verdicts([Verdict(id, index < 2) for id, index, _ in rows])
    return run


def save_random_judge(folder: Path, prompts: list[str]) -> Path:
    """A tiny model of random weights, taught only to end with `Judgment: 0` or `Judgment: 1`."""
    tokenizer = load_tokenizer()
    model, draw = build_model(window_tokens=8192), random.Random(0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        for prompt in prompts[:2]
    ]
    for _ in range(40):
        answers = [[*tokenizer(f"Judgment: {draw.randrange(2)}")["input_ids"], tokenizer.eos_token_id] for _ in ids]
        optimiser.zero_grad()
        model(**make_batch(list(zip(ids, answers, strict=True)), tokenizer.pad_token_id)).loss.backward()
        optimiser.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.argv", ["nbest", *map(str, words)])
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


def test_the_recipe_for_code_from_pools_to_selections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trl")
    run = make_code_run(tmp_path / "run")
    # The tasks, as the recipe's own comment builds them.
    words = ("--out", tmp_path / "code.parquet", "--tokenizer", "bundled:arithmetic", "--validation-share", 0.25)
    words += ("--per-problem", 1, "--most", 4)
    assert call(monkeypatch, "tasks", "build", run.path, *words) == 0
    tasks = list(load_tasks(tmp_path / "code.train.parquet"))
    assert tasks
    for task in tasks:
        # Windows of extracted code only: neither the reasoning nor a completion without a program is shown.
        assert "def f(x):" in task.prompt
        assert "I think" not in task.prompt
        assert "No program" not in task.prompt
        assert 0 < sum(task.correct) <= len(task.correct) / 2
    # The recipe itself, smaller: model, numbers of prompts, rollouts and updates, and the precision of this machine.
    # The first update of its warm-up has a learning rate of 0.
    recipe = find_named_config("genselect_qwen3_1p7b_code")
    values = load_config(SelectionTrainingConfig, recipe.path).model_dump()
    judge = save_random_judge(tmp_path / "judge", [task.prompt for task in tasks])
    values |= {"out": tmp_path / "out", "model": str(judge), "save_every": 1}
    values["data"] |= {
        "tasks": [tmp_path / "code.train.parquet"],
        "validation_tasks": [tmp_path / "code.validation.parquet"],
    }
    values["rollouts"] |= {"engine": "in-process", "prompts": 2, "group": 4, "max_tokens": 12}
    values["dapo"] |= {"overlong_tokens": 3}
    values["optimiser"] |= {"updates": 3, "micro_rows": 4, "bf16": False, "gradient_checkpointing": False}
    train_genselect(parse_config(SelectionTrainingConfig, values, "a small run of the recipe"))
    model = tmp_path / "out" / "model"
    assert (model / "selection.json").is_file()
    before, after = (Qwen3ForCausalLM.from_pretrained(folder).state_dict() for folder in (judge, model))
    assert any(not torch.equal(before[name], after[name]) for name in before)
    # The trained model judges the programs of the run.
    words = ("-s", "genselect-tournament", "--judge", model, "--json", tmp_path / "selected.json")
    assert call(monkeypatch, "select", run.path, *words) == 0
    selections = list(Run.open(run.path).selections("genselect-tournament"))
    assert len(selections) == PROBLEMS
    picks = [selection.index for selection in selections if selection.index is not None]
    assert picks
    # Position 6 has no program.
    assert 6 not in picks
