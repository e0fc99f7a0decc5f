"""DAPO (arXiv 2503.14476) for selection tasks, on top of the GRPOTrainer of TRL.

TRL provides clip-higher, the token-level loss over the global batch, the soft punishment of long completions, the
masking of truncated ones, vLLM and resuming. This module adds:

- dynamic sampling: groups whose judgements are all right or all wrong give no gradient; they are dropped, and new tasks
  are drawn until the batch is full (at most `most_rounds` times);
- batches of whole groups, in the order they were drawn, so that the rows of a micro-batch share prompts;
- `share_prompts`: the forward pass computes each prompt once instead of once per rollout;
- rollouts by `SamplerRollouts` (`training/rollouts.py`), or by TRL's own vLLM modes.

Not supported: KL to a reference model, a value model, tools, images.

Shapes: B rows (rollouts), G rollouts of one task, P prompt tokens (padded on the left), C completion tokens (padded on
the right).
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from transformers import DynamicCache
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl.rewards.other_rewards import get_soft_overlong_punishment
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import split_tensor_dict

from nbest.records import Finish
from nbest.storage.outputs import write_file
from nbest.training.selection_rewards import JudgementText, reward_selection
from nbest.training.task_files import SelectionTask
from nbest.training.task_stream import TaskStream

STREAM_FILE = "task_stream.json"
RolloutRow = dict[str, Any]
"""The input of one rollout: `prompt` (messages), `task_index` (the position of its task in the stream), `task_id`,
`rollout_index` (the position of the rollout in its group), `correct` (the verdicts of the candidates)."""


def make_rows(index: int, task: SelectionTask, rollouts: int) -> list[RolloutRow]:
    """Return the rows of a group of `rollouts`; `index` is the position of the task in the stream."""
    prompt = [{"role": "user", "content": task.prompt}]
    fields = {"prompt": prompt, "task_index": index, "task_id": task.task_id, "correct": list(task.correct)}
    return [{**fields, "rollout_index": number} for number in range(rollouts)]


class DapoTrainer(GRPOTrainer):
    """A GRPOTrainer that fills each batch from `stream`; its dataset only determines the number of batches.

    `most_rounds` limits how often tasks are drawn for one batch; 1 switches dynamic sampling off. Each round after the
    first draws `oversampling` times as many groups as are missing; useful groups beyond a full batch are dropped. A
    batch that is still not full is filled with groups whose judgements are all right or all wrong. Their advantages
    are set to 0, whatever the punishment of long judgements adds to their rewards; the metrics count them. Without
    dynamic sampling no group is a filler, and the punishment counts in all of them.

    Every process needs whole groups: its rows of a generation batch must be a multiple of G.
    """

    model: Any
    args: GRPOConfig
    num_generations: int
    rollout_func: Any
    vllm_generation: Any
    eos_token_ids: Any
    _tokenizer: Any

    def __init__(
        self,
        model: Any,
        args: GRPOConfig,
        stream: TaskStream,
        most_rounds: int,
        share_prompts: bool = False,
        overlong_tokens: int = 0,
        oversampling: float = 1.0,
        **kwargs: Any,
    ):
        self.stream, self.most_rounds, self.share_prompts = stream, most_rounds, share_prompts
        self.oversampling = oversampling
        self._group_outputs: tuple[Any, ...] | None = None
        rewards: list[Callable[..., list[float]]] = [self.reward]
        if overlong_tokens:
            rewards.append(get_soft_overlong_punishment(int(args.max_completion_length or 0), overlong_tokens))
        super().__init__(model=model, reward_funcs=rewards, args=args, **kwargs)  # pyright: ignore[reportArgumentType]

    # Rewards

    def reward(
        self, completion_ids: Sequence[Sequence[int]], correct: Sequence[Sequence[bool]], **_: Any
    ) -> list[float]:
        """Return one reward per completion [B]: 1 for naming a right candidate, else 0."""
        return [reward for reward, _ in self._reward(completion_ids, correct)]

    def _reward(
        self, completions: Sequence[Sequence[int]], correct: Sequence[Sequence[bool]]
    ) -> list[tuple[float, str]]:
        return [reward_selection(self.read(ids, right)) for ids, right in zip(completions, correct, strict=True)]

    def read(self, tokens: Sequence[int], correct: Sequence[bool]) -> JudgementText:
        """Return a completion as text; its finish is "stop" if its last token is an end token, else "length"."""
        is_whole = len(tokens) > 0 and int(tokens[-1]) in {*self.eos_token_ids, self._tokenizer.pad_token_id}
        finish: Finish = "stop" if is_whole else "length"
        return JudgementText(self._tokenizer.decode(tokens, skip_special_tokens=False), finish, correct)

    # Dynamic sampling

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """Return the inputs of the next update, like TRL, but without shuffling rows, so that groups stay whole."""
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        parts = int(self.args.steps_per_generation or 1)
        if self._step % (parts * self.num_iterations) == 0 or self._buffered_inputs is None:
            batch = self._generate_and_score_completions(generation_batch)
            self._buffered_inputs = split_tensor_dict(batch, parts)
        return self._buffered_inputs[self._step % parts]

    def _generate_and_score_completions(self, inputs: list[Any]) -> Any:
        is_filler = torch.zeros(len(inputs), dtype=torch.bool)
        if self.model.training:
            inputs, self._group_outputs, is_filler = self._fill_batch(len(inputs) // self.num_generations)
        try:
            batch = super()._generate_and_score_completions(inputs)
        finally:
            self._group_outputs = None
        if self.most_rounds > 1:
            # A row of a filler gets 0 and not a smaller value, so that its group cannot teach to be short or long.
            batch["advantages"] = batch["advantages"].masked_fill(is_filler.to(batch["advantages"].device), 0.0)
        return batch

    def _generate(self, prompts: list[Any]) -> Any:
        return super()._generate(prompts) if self._group_outputs is None else self._group_outputs

    def _fill_batch(self, size: int) -> tuple[list[RolloutRow], tuple[Any, ...], Tensor]:
        """Draw `size` groups with unequal rewards.

        Returns their rows, what `_generate` returned for them, and which rows are fillers [B].

        In each round every process draws as many groups as the process that lacks the most, because an engine that
        spans several processes must be called by all of them.
        """
        useful_groups, spare_groups = list[_Group](), list[_Group]()
        faults, count, rounds = Counter[str](), 0, 0
        while (missing := self._gather_maximum(size - len(useful_groups))) > 0 and rounds < self.most_rounds:
            groups = self._draw_groups(math.ceil(missing * self.oversampling) if rounds else missing, faults)
            useful_groups += [group for group in groups if group.is_useful]
            spare_groups += [group for group in groups if not group.is_useful]
            count, rounds = count + len(groups), rounds + 1
        self._log_sampling(useful_groups, spare_groups, size, count, faults)
        groups = self._order_groups((useful_groups + spare_groups)[:size])
        rows = [row for group in groups for row in group.rows]
        is_filler = torch.tensor([not group.is_useful for group in groups for _ in group.rows])
        return rows, _join_outputs([group.outputs for group in groups]), is_filler

    def _order_groups(self, groups: "list[_Group]") -> "list[_Group]":
        """Sort the groups of each update by prompt length, so that micro-batches have little padding."""
        size = max(self.args.gradient_accumulation_steps * self._train_batch_size // self.num_generations, 1)
        parts = (groups[start : start + size] for start in range(0, len(groups), size))
        return [group for part in parts for group in sorted(part, key=lambda group: len(group.outputs[0][0]))]

    def _draw_groups(self, count: int, faults: Counter[str]) -> "list[_Group]":
        size = self.num_generations
        rows = [row for index, task in self.stream.take(count) for row in make_rows(index, task, size)]
        self._rows = rows
        outputs = super()._generate([row["prompt"] for row in rows])
        results = self._reward(outputs[1], [row["correct"] for row in rows])
        faults.update(fault for _, fault in results if fault)
        return [
            _Group(rows[i : i + size], _slice_outputs(outputs, i, i + size), [r for r, _ in results[i : i + size]])
            for i in range(0, len(rows), size)
        ]

    @property
    def rows(self) -> list[RolloutRow]:
        """The rows whose rollouts are being drawn; a rollout function derives its seeds from them."""
        return self._rows

    def _gather_maximum(self, count: int) -> int:
        """Return the largest `count` of all processes."""
        counts = self.accelerator.gather(torch.tensor([count], device=self.accelerator.device))
        return int(counts.max())  # pyright: ignore[reportAttributeAccessIssue]

    def _log_sampling(
        self, useful_groups: "list[_Group]", spare_groups: "list[_Group]", size: int, count: int, faults: Counter[str]
    ) -> None:
        """Log the metrics of this process: share of useful groups, rollouts per useful group, rewards and faults."""
        rollouts = count * self.num_generations
        metrics = {
            "sampling/useful_share": len(useful_groups) / max(count, 1),
            "sampling/rollouts_per_useful_group": rollouts / max(min(len(useful_groups), size), 1),
            "sampling/unfilled_groups": max(size - len(useful_groups), 0),
            "sampling/surplus_groups": max(len(useful_groups) - size, 0),
            "sampling/all_right_share": sum(group.rewards[0] > 0 for group in spare_groups) / max(count, 1),
            "judgements/reward": sum(sum(group.rewards) for group in useful_groups + spare_groups) / rollouts,
            "judgements/failed_share": sum(faults.values()) / rollouts,
        }
        for fault in ("unparsed", "out-of-range", "truncated"):
            metrics[f"judgements/{fault}"] = faults[fault]
        for name, value in metrics.items():
            self._metrics["train"][name].append(float(value))

    # Judgements of held-out tasks, and resuming

    def judge_tasks(self, tasks: Sequence[SelectionTask], temperature: float) -> list[JudgementText]:
        """Return one judgement per task, in the order of `tasks`, drawn at `temperature`.

        Each process draws its share of the judgements; all processes return all of them. An engine, and the counts of
        TRL, need equally many rows in every process, so the shares are filled up with tasks from the beginning, whose
        second judgements are dropped. Rows are numbered by their tasks: the draws do not depend on the number of
        processes.
        """
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        share = math.ceil(len(tasks) / processes)
        positions = [(rank + processes * number) % len(tasks) for number in range(share)]
        self._rows = [row for position in positions for row in make_rows(-1 - position, tasks[position], 1)]
        was_training = self.model.training
        self.model.eval()
        try:
            with self._set_temperature(temperature):
                outputs = GRPOTrainer._generate(self, [row["prompt"] for row in self._rows])
        finally:
            self.model.train(was_training)
        self._metrics["eval"].clear()
        texts = [self.read(ids, tasks[position].correct) for ids, position in zip(outputs[1], positions, strict=True)]
        by_position = dict[int, JudgementText]()
        for position, text in gather_object(list(zip(positions, texts, strict=True))):
            by_position.setdefault(position, text)
        return [by_position[position] for position in range(len(tasks))]

    @contextmanager
    def _set_temperature(self, temperature: float) -> Iterator[None]:
        engine = self.rollout_func if self.rollout_func is not None else self.vllm_generation
        previous = engine.temperature
        engine.temperature = temperature
        try:
            yield
        finally:
            engine.temperature = previous

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Written first: a checkpoint counts as complete once it has trainer_state.json, which is written last.
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            folder.mkdir(parents=True, exist_ok=True)
            write_file(folder / STREAM_FILE, json.dumps({"position": self.stream.position}))
        super()._save_checkpoint(model, trial)

    def resume(self, checkpoint: str | None) -> None:
        """Train to the end, from `checkpoint` (with its position in the stream) or from the beginning."""
        if checkpoint is not None:
            state = json.loads((Path(checkpoint) / STREAM_FILE).read_text(encoding="utf-8"))
            self.stream.position = int(state["position"])
        self.train(resume_from_checkpoint=checkpoint)

    # Shared prompts

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Tensor, attention_mask: Tensor, logits_to_keep: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        if not self.share_prompts:
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, *args, **kwargs
            )
        size = kwargs.get("batch_size") or len(input_ids)
        parts = [
            measure_logprobs(model, ids, mask, logits_to_keep, self.temperature)
            for ids, mask in zip(input_ids.split(size), attention_mask.split(size), strict=True)
        ]
        logprobs, entropies = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        return logprobs, entropies if kwargs.get("compute_entropy") else None, None


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """The G rollouts of one task: rows of inputs, their share of what `_generate` returned, and rewards."""

    rows: list[RolloutRow]
    outputs: tuple[Any, ...]
    rewards: list[float]

    @property
    def is_useful(self) -> bool:
        """Whether rewards differ, so that the group has advantages."""
        return min(self.rewards) < max(self.rewards)


def _slice_outputs(outputs: tuple[Any, ...], start: int, end: int) -> tuple[Any, ...]:
    """Return rows `start` to `end` of what `_generate` returned: lists with one entry per row, or empty values."""
    return tuple(part[start:end] if isinstance(part, list) and part else part for part in outputs)


def _join_outputs(parts: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(
        [row for part in column for row in part] if isinstance(column[0], list) else column[0]
        for column in zip(*parts, strict=True)
    )


def measure_logprobs(
    model: Any, input_ids: Tensor, attention_mask: Tensor, completion_tokens: int, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return log-probabilities and entropies [B C] of the completions, computing every distinct prompt once.

    `input_ids` and `attention_mask` are [B P+C] with prompts padded on the left; the last `completion_tokens` columns
    are the completion. The keys and values of a prompt are computed once and shared by all its rows, so the results and
    gradients equal those of one pass over whole rows, up to rounding.
    """
    width = input_ids.shape[1] - completion_tokens
    blank = int((attention_mask[:, :width].sum(0) == 0).sum())  # columns that are padding in every row
    ids, mask = input_ids[:, blank:], attention_mask[:, blank:]
    width -= blank
    prompts, first_rows, prompt_of_row = _find_prompts(ids[:, :width], mask[:, :width])
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    prompt_output = model(
        input_ids=prompts,
        attention_mask=mask[first_rows, :width],
        position_ids=positions[first_rows, :width],
        past_key_values=DynamicCache(),
        use_cache=True,
        logits_to_keep=1,
    )
    cache = prompt_output.past_key_values
    cache.batch_select_indices(prompt_of_row)
    completion_output = model(
        input_ids=ids[:, width:-1],
        attention_mask=mask[:, :-1],
        position_ids=positions[:, width:-1],
        past_key_values=cache,
        use_cache=True,
    )
    logits = torch.cat([prompt_output.logits[prompt_of_row], completion_output.logits], dim=1).float() / temperature
    logprobs = logits.log_softmax(-1)
    entropies = -(logprobs.exp() * logprobs).sum(-1)
    return logprobs.gather(-1, ids[:, width:, None])[..., 0], entropies


def _find_prompts(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the distinct prompts [U P] in order of appearance, the first row that has each [U], and the index of the
    prompt of each row [B].
    """
    keys = [tuple(row) for row in torch.where(mask.bool(), ids, -1).tolist()]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    prompt_of_row = torch.tensor([numbers[key] for key in keys], device=ids.device)
    first_rows = torch.tensor([keys.index(key) for key in numbers], device=ids.device)
    return ids[first_rows], first_rows, prompt_of_row
