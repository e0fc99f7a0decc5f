"""Teach the form of a judgement to a model that is too small for instructions, before reinforcement learning.

Drills come first. A drill is a generated text: a list of candidates that are plain numbers, then many questions of the
form "which candidate is this number?". The drills begin with few numbers and no prompt, and end with all numbers in
real prompts. They say nothing about which candidate is right, but without them a small model never learns to name the
candidate that has the answer it computed. Demonstrations come second: the reasoning of a right candidate as its author
wrote it, then its answer and its number.

The words of a judgement (`Candidate 3`, `Judgment: 3`, each `\\boxed{...}` of `answers`) become tokens. This module
does not know reinforcement learning.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainingArguments

from nbest.answers.extraction import answer_of
from nbest.answers.reasoning import CLOSE_TAG, split_reasoning
from nbest.config import CandidateThinking
from nbest.errors import DataError
from nbest.judging.prompts import render_genselect, show_candidate, write_judgement
from nbest.records import user_message
from nbest.sampling.tokenizing import tokenize_messages
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
"""Per stage: the share of all updates at which it ends, whether only few numbers occur, the range of the number of
candidates, and whether the prompts are real."""
DRILL_ROWS, REAL_ROWS, QUESTIONS = 48, 16, 12
SOLUTIONS_EVERY, SOLUTION_ROWS = 4, 24
"""One batch in `SOLUTIONS_EVERY` holds `SOLUTION_ROWS` whole solutions instead of drills."""
Example = tuple[list[int], list[int]]
"""The token ids of a prompt, and of the text to be learned after it."""


def add_words(model: Any, tokenizer: Any, answers: tuple[int, int]) -> None:
    """Add a token for each `Candidate N`, each `Judgment: N` and each boxed integer in the range `answers`.

    The tokens include the white space before them, so that an answer is adjacent to the number of its candidate. The
    new embeddings are random with the same standard deviation as the existing ones.
    """
    boxed = [f"\\boxed{{{value}}}" for value in range(answers[0], answers[1] + 1)]
    words = [*_number_words("Candidate"), *_number_words("Judgment:"), *boxed]
    size = len(tokenizer)
    tokenizer.add_tokens([AddedToken(word, lstrip=True, normalized=False) for word in words])
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        weights = model.get_input_embeddings().weight
        embeddings = torch.randn(len(tokenizer) - size, weights.shape[1], generator=torch.Generator().manual_seed(0))
        weights[size:] = embeddings.to(weights) * weights[:size].std()


def _number_words(word: str) -> list[str]:
    return [f"{word} {number}" for number in range(MOST_CANDIDATES)]


class Drills(Dataset[dict[str, torch.Tensor]]):
    """The batches of the drills: item i is the same in every run. The loss covers only the answers to the questions.

    One batch in `SOLUTIONS_EVERY` holds whole `solutions` instead.
    """

    def __init__(self, tokenizer: Any, solutions: Sequence[Example], config: ColdStartConfig, seed: int):
        self._tokenizer, self._solutions, self._config, self._seed = tokenizer, solutions, config, seed
        self._numbers = list(range(config.answers[0], config.answers[1] + 1))
        self._few_numbers = random.Random(f"{seed}/few").sample(self._numbers, min(64, len(self._numbers)))
        words = [*_number_words("Judgment:"), *(f"\\boxed{{{number}}}" for number in self._numbers)]
        self._answer_ids = torch.tensor(tokenizer.convert_tokens_to_ids(words))
        self._judgement_ids = self._answer_ids[:MOST_CANDIDATES]

    def __len__(self) -> int:
        return self._config.drill_updates

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = random.Random(f"{self._seed}/{index}")
        if index % SOLUTIONS_EVERY == SOLUTIONS_EVERY - 1:
            rows = rng.sample(self._solutions, min(SOLUTION_ROWS, len(self._solutions)))
            return make_batch(rows, self._tokenizer.pad_token_id)
        share = (index + 1) / len(self)
        _, is_few, sizes, is_real = next(stage for stage in DRILL_STAGES if share <= stage[0])
        pool, size = self._few_numbers if is_few else self._numbers, rng.randint(*sizes)
        texts = [self._write(rng, rng.sample(pool, size), is_real) for _ in range(REAL_ROWS if is_real else DRILL_ROWS)]
        batch = make_batch([self._tokenize(*text, is_real) for text in texts], self._tokenizer.pad_token_id)
        is_learned = torch.isin(batch["labels"], self._answer_ids if is_real else self._judgement_ids)
        return batch | {"labels": torch.where(is_learned, batch["labels"], IGNORED)}

    def _write(self, rng: random.Random, numbers: list[int], is_real: bool) -> tuple[str, str]:
        candidates = [f"\\boxed{{{number}}}" for number in numbers]
        questions = [rng.randrange(len(numbers)) for _ in range(QUESTIONS)]
        endings = (f"= {numbers[index]}.\n{CLOSE_TAG}" if is_real else "" for index in questions)
        judgements = (write_judgement(candidates[index], index) for index in questions)
        text = "".join(f"{ending}\n\n{judgement}\n" for ending, judgement in zip(endings, judgements, strict=True))
        return render_genselect("", candidates, style="compact"), text

    def _tokenize(self, prompt: str, text: str, is_real: bool) -> Example:
        message = user_message(prompt)
        ids = tokenize_messages(self._tokenizer, message) if is_real else self._tokenizer(prompt)["input_ids"]
        return list(ids), list(self._tokenizer(text)["input_ids"])


class Demonstrations(Dataset[dict[str, torch.Tensor]]):
    """The batches of the demonstrations: rows of similar length, in a seeded order that repeats the examples."""

    def __init__(self, examples: Sequence[Example], pad: int, config: ColdStartConfig, seed: int):
        rng, size = random.Random(f"demonstrations/{seed}"), config.batch_tasks
        self._pad = pad
        self._batches = list[list[Example]]()
        while len(self._batches) < config.updates:
            order = sorted(rng.sample(examples, len(examples)), key=lambda example: sum(map(len, example)))
            batches = [order[start : start + size] for start in range(0, len(order), size)]
            self._batches += rng.sample(batches, len(batches))
        del self._batches[config.updates :]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return make_batch(self._batches[index], self._pad)


def write_demonstrations(
    tasks: Sequence[SelectionTask], config: ColdStartConfig, thinking: CandidateThinking, seed: int
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return demonstrations and solutions for up to `config.tasks` tasks.

    A demonstration is (prompt, judgement), where the judgement has the reasoning of a right candidate, its text as the
    prompt shows it, and its number. A solution is (problem, text of a trajectory), one per problem, right or wrong.
    Tasks whose candidate has no finished reasoning are skipped. Raises DataError if the runs hold none of the
    candidates.
    """
    rng = random.Random(f"demonstrations/{seed}")
    choices = [
        (task, rng.choice([index for index, is_right in enumerate(task.correct) if is_right]))
        for task in rng.sample(tasks, min(config.tasks, len(tasks)))
    ]
    texts, answers, solutions = dict[str, str](), dict[str, str | None](), list[tuple[str, str]]()
    ids, problems = {task.candidates[index] for task, index in choices}, {task.problem_id for task, _ in choices}
    for path in config.runs:
        prefix = f"{path.name}/" if len(config.runs) > 1 else ""  # the form of ids in tasks from several runs
        for pool in Run.open(path).pools(tokens=False):
            members = {id: t for t in pool.trajectories if (id := prefix + t.id) in ids}
            texts.update({id: trajectory.completion.text for id, trajectory in members.items()})
            answers.update({id: answer_of(trajectory, pool) for id, trajectory in members.items()})
            if pool.problem_id in problems:
                solutions.append((pool.prompt, rng.choice(pool.trajectories).completion.text))
    demonstrations = list[tuple[str, str]]()
    for task, index in choices:
        id = task.candidates[index]
        reasoning, closer, _ = split_reasoning(texts.get(id, ""))
        if closer:
            answer = show_candidate(texts[id], thinking, answer=answers[id])
            demonstrations.append((task.prompt, f"{reasoning}{closer}\n\n{write_judgement(answer, index)}"))
    if not demonstrations:
        runs = ", ".join(str(run) for run in config.runs)
        raise DataError(
            f"cold_start.runs: {runs} hold no reasoning of the candidates of these tasks; give the runs that the tasks "
            "were built from"
        )
    return demonstrations, solutions


def teach_judging(
    model: Any,
    tokenizer: Any,
    demonstrations: Sequence[tuple[str, str]],
    solutions: Sequence[tuple[str, str]],
    config: ColdStartConfig,
    out: Path,
    seed: int,
    callbacks: Sequence[TrainerCallback] = (),
) -> None:
    """Train `model` in place on drills, then on demonstrations; each stage resumes from its last checkpoint under
    `out`.
    """

    def tokenize(prompt: str, text: str) -> Example:
        ids = tokenize_messages(tokenizer, user_message(prompt))
        return ids, [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]

    drills = Drills(tokenizer, [tokenize(*solution) for solution in solutions], config, seed)
    examples = [tokenize(*demonstration) for demonstration in demonstrations]
    demonstration_batches = Demonstrations(examples, tokenizer.pad_token_id, config, seed)
    for name, batches, rate, schedule in (
        ("drills", drills, config.drill_rate, "constant_with_warmup"),
        ("demonstrations", demonstration_batches, config.learning_rate, "linear"),
    ):
        trainer = OrderedTrainer(
            model=model,
            args=TrainingArguments(
                output_dir=str(out / name),
                per_device_train_batch_size=1,  # an item of the dataset is a whole batch
                max_steps=len(batches),
                learning_rate=rate,
                lr_scheduler_type=schedule,
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
