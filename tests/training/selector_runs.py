"""Tiny selectors, selection tasks and scripted rollouts: what the trainer of generative selectors is tested on."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from nbest.config import parse_config
from nbest.judging.prompts import render_genselect
from nbest.records import trajectory_id
from nbest.sampling.checkpoint import locate_checkpoint
from nbest.training.policy import make_batch
from nbest.training.settings import SelectionTrainingConfig
from nbest.training.task_files import NbestFormat, SelectionTask, TaskFiles, TaskRecord

Row = dict[str, Any]


def load_tokenizer() -> Any:
    """That of the bundled policy: 640 tokens, a chat template, digits one by one."""
    return AutoTokenizer.from_pretrained(locate_checkpoint("bundled:arithmetic"))


def build_model(seed: int = 0, vocabulary: int = 640, window_tokens: int = 256) -> Qwen3ForCausalLM:
    """Two layers of width 32 with random weights, wide enough that its words are not all alike."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=48,
        max_position_embeddings=window_tokens,
        initializer_range=0.1,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    return Qwen3ForCausalLM(config)


def save_model(folder: Path, has_template: bool = True) -> Path:
    tokenizer = load_tokenizer()
    if not has_template:
        tokenizer.chat_template = None
    build_model().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_judge(folder: Path, updates: int = 60) -> Path:
    """A model that answers anything with `Judgment: 0` to `Judgment: 3` at random: half the groups are useful."""
    model, tokenizer = build_model(), load_tokenizer()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    draw = random.Random(0)
    prompts = [read_prompt(tokenizer, [{"role": "user", "content": task.prompt}]) for task in make_tasks(8)]
    for _ in range(updates):
        answers = [[*tokenizer(f"Judgment: {draw.randrange(4)}")["input_ids"], tokenizer.eos_token_id] for _ in prompts]
        batch = make_batch(list(zip(prompts, answers, strict=True)), tokenizer.pad_token_id)
        optimiser.zero_grad()
        model(**batch).loss.backward()
        optimiser.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tasks(count: int, candidates: int = 4, first: int = 0) -> list[SelectionTask]:
    """Task t asks for 1 + t, its right candidate stands at place t % `candidates`; prompts differ in length."""
    tasks = list[SelectionTask]()
    for t in range(first, first + count):
        right = t % candidates
        texts = [f"\\boxed{{{1 + t if position == right else 50 + t + position}}}" for position in range(candidates)]
        problem = f"What is {' + '.join(['1', *['1'] * (t % 5)])} + {t - t % 5}?"
        name = f"p{t}"
        tasks.append(
            SelectionTask(
                task_id=f"{name}/0",
                problem_id=name,
                prompt=render_genselect(problem, texts, style="compact"),
                candidates=tuple(trajectory_id(name, position) for position in range(candidates)),
                correct=tuple(position == right for position in range(candidates)),
                prompt_tokens=60,
            )
        )
    return tasks


def write_tasks(path: Path, tasks: Sequence[SelectionTask], **about: str) -> Path:
    metadata = {"style": "compact", "thinking": "answer", "kind": "math", **about}
    with TaskFiles({"train": path}, NbestFormat(), metadata) as files:
        for task in tasks:
            files.write(TaskRecord(task, "math", "train"))
    return path


def parse_selection(values: dict[str, Any]) -> SelectionTrainingConfig:
    return parse_config(SelectionTrainingConfig, values, "test")


def make_config(out: Path, **sections: Any) -> SelectionTrainingConfig:
    """A batch of 4 tasks x 4 rollouts, two updates of two micro-batches of 4 rows each; sections are merged in."""
    values: dict[str, Any] = {
        "out": out,
        "model": "unused",
        "save_every": 2,
        "data": {"tasks": ["unused.parquet"]},
        "rollouts": {"engine": "in-process", "prompts": 4, "group": 4, "temperature": 1.0, "max_tokens": 24},
        "dapo": {"overlong_tokens": 0, "filter_overlong": True, "most_rounds": 3},
        "optimiser": {"updates": 2, "updates_per_batch": 2, "micro_rows": 4, "learning_rate": 1e-3},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section} if isinstance(section, dict) else section
    return parse_selection(values)


class ScriptedRollouts:
    """A `rollout_func` whose rollout of a row is what `write` says: its text, and whether it ended by itself.

    `rounds` keeps the places in the stream of each call, in the order drawn."""

    def __init__(self, write: Callable[[Row], tuple[str, bool]], tokenizer: Any):
        self.temperature = 1.0
        self.rounds: list[list[int]] = []
        self._write, self._tokenizer = write, tokenizer

    def __call__(self, prompts: Sequence[Any], trainer: Any) -> dict[str, list[Any]]:
        assert [row["prompt"] for row in trainer.rows] == list(prompts)
        self.rounds.append(list(Counter(row["task_index"] for row in trainer.rows)))
        completions = [self.encode(row) for row in trainer.rows]
        return {
            "prompt_ids": [read_prompt(self._tokenizer, row["prompt"]) for row in trainer.rows],
            "completion_ids": completions,
            "logprobs": [[0.0] * len(ids) for ids in completions],
        }

    def encode(self, row: Row) -> list[int]:
        text, is_whole = self._write(row)
        ids = list(self._tokenizer(text)["input_ids"])
        return [*ids, self._tokenizer.eos_token_id] if is_whole else ids


def read_prompt(tokenizer: Any, messages: Any) -> list[int]:
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))


def name_candidate(row: Row, is_right: bool) -> str:
    """A judgement that names the first right, or the first wrong, candidate of a row."""
    return f"Judgment: {row['correct'].index(is_right)}"
