"""Teaching a model too small to be told what to do the form of a judgement, before reinforcement learning.

First drills, written by program: numbers beside candidates, then "which candidate has this number?" over and over, from
few numbers without a prompt around them to all of them in prompts of the real form. Nothing about right and wrong is in
them; without them a small model never finds the candidate that has the answer it worked out. Then demonstrations: the
working of a right candidate as its own author wrote it, its answer, its number.

The words of a judgement (`Candidate 3`, `Judgment: 3`, each `\\boxed{...}` of `answers`) become tokens. This module
knows no reinforcement learning.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainingArguments

from nbest.errors import DataError
from nbest.judging.prompts import Thinking, render_genselect, show_candidate, write_judgement
from nbest.sampling.checkpoint import tokenize_message
from nbest.storage.run import Run
from nbest.training.callbacks import LogFile, find_checkpoint, silence
from nbest.training.policy import IGNORED, OrderedTrainer, make_batch
from nbest.training.settings import ColdStartConfig
from nbest.training.task_files import SelectionTask

MOST_CANDIDATES = 16
DRILL_STAGES = (
    (0.37, True, (4, 4), False),
    (0.45, False, (4, 4), False),
    (0.8, False, (2, 8), False),
    (1.0, False, (2, 8), True),
)
"""(until which share of the updates, only few numbers?, candidates from and to, in prompts of the real form?)."""
DRILL_ROWS, REAL_ROWS, QUESTIONS = 48, 16, 12
ATTEMPTS_EVERY, ATTEMPT_ROWS = 4, 24
"""Every so many batches of the drills is one of attempts."""
Example = tuple[list[int], list[int]]
"""Ids of the prompt, ids of what is to be learned."""


def add_words(model: Any, tokenizer: Any, answers: tuple[int, int]) -> None:
    """One token for each number of a candidate, with and without judgement, and for each boxed integer of `answers`.

    White space before them is part of them: an answer then stands right beside its candidate's number. Their embeddings
    are drawn as wide as the others.
    """
    boxed = [f"\\boxed{{{value}}}" for value in range(answers[0], answers[1] + 1)]
    words = [*_numbered("Candidate"), *_numbered("Judgment:"), *boxed]
    known = len(tokenizer)
    tokenizer.add_tokens([AddedToken(word, lstrip=True, normalized=False) for word in words])
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        weights = model.get_input_embeddings().weight
        drawn = torch.randn(len(tokenizer) - known, weights.shape[1], generator=torch.Generator().manual_seed(0))
        weights[known:] = drawn.to(weights) * weights[:known].std()


def _numbered(word: str) -> list[str]:
    return [f"{word} {place}" for place in range(MOST_CANDIDATES)]


class Drills(Dataset[dict[str, torch.Tensor]]):
    """Item i is batch i of the drills, the same on every run; only the answers asked for are learned. Batches of whole
    `attempts` come between them."""

    def __init__(self, tokenizer: Any, attempts: Sequence[Example], config: ColdStartConfig, seed: int):
        self._tokenizer, self._attempts, self._config, self._seed = tokenizer, attempts, config, seed
        self._numbers = list(range(config.answers[0], config.answers[1] + 1))
        self._few = random.Random(f"{seed}/few").sample(self._numbers, min(64, len(self._numbers)))
        asked = [*_numbered("Judgment:"), *(f"\\boxed{{{number}}}" for number in self._numbers)]
        self._asked = torch.tensor(tokenizer.convert_tokens_to_ids(asked))
        self._judgements = self._asked[:MOST_CANDIDATES]

    def __len__(self) -> int:
        return self._config.drill_updates

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = random.Random(f"{self._seed}/{index}")
        if index % ATTEMPTS_EVERY == ATTEMPTS_EVERY - 1:
            kept = rng.sample(self._attempts, min(ATTEMPT_ROWS, len(self._attempts)))
            return make_batch(kept, self._tokenizer.pad_token_id)
        share = (index + 1) / len(self)
        _, is_few, sizes, is_real = next(stage for stage in DRILL_STAGES if share <= stage[0])
        pool, size = self._few if is_few else self._numbers, rng.randint(*sizes)
        texts = [self._write(rng, rng.sample(pool, size), is_real) for _ in range(REAL_ROWS if is_real else DRILL_ROWS)]
        batch = make_batch([self._tokenize(*text, is_real) for text in texts], self._tokenizer.pad_token_id)
        learned = torch.isin(batch["labels"], self._asked if is_real else self._judgements)
        return batch | {"labels": torch.where(learned, batch["labels"], IGNORED)}

    def _write(self, rng: random.Random, numbers: list[int], is_real: bool) -> tuple[str, str]:
        shown = [f"\\boxed{{{number}}}" for number in numbers]
        questions = [rng.randrange(len(numbers)) for _ in range(QUESTIONS)]
        endings = (f"= {numbers[place]}.\n</think>" if is_real else "" for place in questions)
        asked = "".join(f"{e}\n\n{write_judgement(shown[p], p)}\n" for e, p in zip(endings, questions, strict=True))
        return render_genselect("", shown, style="compact"), asked

    def _tokenize(self, prompt: str, asked: str, is_real: bool) -> Example:
        ids = tokenize_message(self._tokenizer, prompt) if is_real else self._tokenizer(prompt)["input_ids"]
        return list(ids), list(self._tokenizer(asked)["input_ids"])


class Demonstrations(Dataset[dict[str, torch.Tensor]]):
    """Item i is batch i: rows of like length from a seeded, endless order of the examples."""

    def __init__(self, examples: Sequence[Example], pad: int, config: ColdStartConfig, seed: int):
        rng, size = random.Random(f"demonstrations/{seed}"), config.batch_tasks
        self._pad = pad
        self._batches = list[list[Example]]()
        while len(self._batches) < config.updates:
            order = sorted(rng.sample(examples, len(examples)), key=lambda example: sum(map(len, example)))
            batches = [order[at : at + size] for at in range(0, len(order), size)]
            self._batches += rng.sample(batches, len(batches))
        del self._batches[config.updates :]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return make_batch(self._batches[index], self._pad)


def write_demonstrations(
    tasks: Sequence[SelectionTask], config: ColdStartConfig, thinking: Thinking, seed: int
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(prompt, judgement) of up to `config.tasks` tasks: the working of a right candidate, what is shown of it, its
    number. And (problem, attempt) of their problems: one drawn of each pool, right or wrong.

    A candidate that closed no thinking has no working to show; a task without another is passed over. Raises DataError
    where the runs hold none of the candidates.
    """
    rng = random.Random(f"demonstrations/{seed}")
    chosen = [
        (task, rng.choice([place for place, is_right in enumerate(task.correct) if is_right]))
        for task in rng.sample(tasks, min(config.tasks, len(tasks)))
    ]
    texts, attempts = dict[str, str](), list[tuple[str, str]]()
    wanted, problems = {task.candidates[place] for task, place in chosen}, {task.problem_id for task, _ in chosen}
    for path in config.runs:
        prefix = f"{path.name}/" if len(config.runs) > 1 else ""  # as the tasks name candidates of several runs
        for pool in Run.open(path).pools(tokens=False):
            texts.update({id: t.completion.text for t in pool.trajectories if (id := prefix + t.id) in wanted})
            if pool.problem_id in problems:
                attempts.append((pool.prompt, rng.choice(pool.trajectories).completion.text))
    written = list[tuple[str, str]]()
    for task, place in chosen:
        working, mark, _ = texts.get(task.candidates[place], "").rpartition("</think>")
        if mark:
            shown = show_candidate(texts[task.candidates[place]], thinking)
            written.append((task.prompt, f"{working}{mark}\n\n{write_judgement(shown, place)}"))
    if not written:
        places = ", ".join(str(run) for run in config.runs)
        raise DataError(f"cold_start.runs: {places} hold no working of the candidates of these tasks; name the run(s)")
    return written, attempts


def teach_judging(
    model: Any,
    tokenizer: Any,
    demonstrations: Sequence[tuple[str, str]],
    attempts: Sequence[tuple[str, str]],
    config: ColdStartConfig,
    out: Path,
    seed: int,
    callbacks: Sequence[TrainerCallback] = (),
) -> None:
    """Drills, then demonstrations, `model` in place; each goes on from its last checkpoint under `out`."""

    def tokenize(prompt: str, text: str) -> Example:
        return tokenize_message(tokenizer, prompt), [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]

    drills = Drills(tokenizer, [tokenize(*attempt) for attempt in attempts], config, seed)
    examples = [tokenize(*demonstration) for demonstration in demonstrations]
    shown = Demonstrations(examples, tokenizer.pad_token_id, config, seed)
    for name, batches, rate, kind in (
        ("drills", drills, config.drill_rate, "constant_with_warmup"),
        ("demonstrations", shown, config.learning_rate, "linear"),
    ):
        trainer = OrderedTrainer(
            model=model,
            args=TrainingArguments(
                output_dir=str(out / name),
                per_device_train_batch_size=1,  # an item of the dataset is a whole batch
                max_steps=len(batches),
                learning_rate=rate,
                lr_scheduler_type=kind,
                warmup_steps=30,
                weight_decay=0.0,
                adam_beta2=0.95,
                max_grad_norm=1.0,
                logging_steps=10,
                save_steps=200,
                save_total_limit=1,
                seed=seed,
                use_cpu=not torch.cuda.is_available(),
                report_to=[],
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=batches,
            data_collator=lambda items: items[0],
            callbacks=[LogFile(out / f"{name}.jsonl"), *callbacks],
        )
        silence(trainer)
        trainer.train(resume_from_checkpoint=find_checkpoint(out / name))
