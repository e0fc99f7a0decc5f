"""DAPO (arXiv 2503.14476) on TRL's GRPOTrainer, for selection tasks.

TRL has clip-higher, the token-level loss over the global batch, the soft punishment of long completions, the masking
of truncated ones, vLLM and resuming. Added here:

- dynamic sampling: groups whose judgements are all right or all wrong teach nothing; they are dropped, and new tasks
  are drawn until the batch is full (`most_rounds`);
- batches of whole groups, in the order they were drawn, so that the rows of a micro-batch share prompts;
- `share_prompts`: the forward pass reads each prompt once and not once a rollout;
- rollouts by a `Rollouts` of ours (`training/rollouts.py`), or by TRL's own vLLM modes.

Left out: KL to a reference model, value model, tools, images.

Shapes: B rows (rollouts), G rollouts of one task, P prompt tokens (padded on the left), C completion tokens (padded on
the right).
"""

import json
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
from nbest.training.selection_rewards import JudgedText, reward_selection
from nbest.training.task_files import SelectionTask
from nbest.training.task_stream import TaskStream

STREAM_FILE = "task_stream.json"
Row = dict[str, Any]
"""One rollout still to be drawn: `prompt` (messages), `place` and `attempt` in the stream, `correct`."""


def make_rows(place: int, task: SelectionTask, rollouts: int) -> list[Row]:
    prompt = [{"role": "user", "content": task.prompt}]
    about = {"prompt": prompt, "place": place, "task_id": task.task_id, "correct": list(task.correct)}
    return [{**about, "attempt": attempt} for attempt in range(rollouts)]


class DapoTrainer(GRPOTrainer):
    """GRPOTrainer that fills each batch from `stream`; its dataset is only a count of batches.

    `most_rounds` of drawing for one batch; 1 is no dynamic sampling. What is lacking then is filled up with groups of
    equal rewards, which have no advantage, and counted.

    Needs whole groups in every process: rows of a generation batch there have to be a multiple of G.
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
        **kwargs: Any,
    ):
        self.stream, self.most_rounds, self.share_prompts = stream, most_rounds, share_prompts
        self._ready: tuple[Any, ...] | None = None
        rewards: list[Callable[..., list[float]]] = [self.reward]
        if overlong_tokens:
            rewards.append(get_soft_overlong_punishment(int(args.max_completion_length or 0), overlong_tokens))
        super().__init__(model=model, reward_funcs=rewards, args=args, **kwargs)  # pyright: ignore[reportArgumentType]

    # Rewards

    def reward(
        self, completion_ids: Sequence[Sequence[int]], correct: Sequence[Sequence[bool]], **_: Any
    ) -> list[float]:
        """1 for naming a right candidate, else 0, for each completion [B]."""
        return [reward for reward, _ in self._judge(completion_ids, correct)]

    def _judge(
        self, completions: Sequence[Sequence[int]], correct: Sequence[Sequence[bool]]
    ) -> list[tuple[float, str]]:
        return [reward_selection(self.read(ids, right)) for ids, right in zip(completions, correct, strict=True)]

    def read(self, tokens: Sequence[int], correct: Sequence[bool]) -> JudgedText:
        """A completion as text; it stopped by itself where its last token is an end token."""
        is_whole = len(tokens) > 0 and int(tokens[-1]) in {*self.eos_token_ids, self._tokenizer.pad_token_id}
        finish: Finish = "stop" if is_whole else "length"
        return JudgedText(self._tokenizer.decode(tokens, skip_special_tokens=False), finish, correct)

    # Dynamic sampling

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """As TRL's, but rows stay in their order, so that groups stay whole."""
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        parts = int(self.args.steps_per_generation or 1)
        if self._step % (parts * self.num_iterations) == 0 or self._buffered_inputs is None:
            batch = self._generate_and_score_completions(generation_batch)
            self._buffered_inputs = split_tensor_dict(batch, parts)
        return self._buffered_inputs[self._step % parts]

    def _generate_and_score_completions(self, inputs: list[Any]) -> Any:
        if self.model.training:
            inputs, self._ready = self._fill_batch(len(inputs) // self.num_generations)
        try:
            return super()._generate_and_score_completions(inputs)
        finally:
            self._ready = None

    def _generate(self, prompts: list[Any]) -> Any:
        return super()._generate(prompts) if self._ready is None else self._ready

    def _fill_batch(self, wanted: int) -> tuple[list[Row], tuple[Any, ...]]:
        """`wanted` groups with unequal rewards (rows of inputs, what `_generate` returns for them).

        All processes draw the same number of groups in each round, as the one that lacks most: an engine that works
        over several processes has to be called by all of them.
        """
        kept, spare = list[_Group](), list[_Group]()
        faults, drawn, rounds = Counter[str](), 0, 0
        while (lacking := self._most(wanted - len(kept))) > 0 and rounds < self.most_rounds:
            groups = self._draw_groups(lacking, faults)
            kept += [group for group in groups if group.is_useful]
            spare += [group for group in groups if not group.is_useful]
            drawn, rounds = drawn + len(groups), rounds + 1
        self._tell_sampling(kept, spare, wanted, drawn, faults)
        groups = self._order_groups((kept + spare)[:wanted])
        rows = [row for group in groups for row in group.rows]
        return rows, _join_parts([group.parts for group in groups])

    def _order_groups(self, groups: "list[_Group]") -> "list[_Group]":
        """Prompts of like length side by side within each update, so that little of a micro-batch is padding."""
        size = max(self.args.gradient_accumulation_steps * self._train_batch_size // self.num_generations, 1)
        parts = (groups[at : at + size] for at in range(0, len(groups), size))
        return [group for part in parts for group in sorted(part, key=lambda group: len(group.parts[0][0]))]

    def _draw_groups(self, count: int, faults: Counter[str]) -> "list[_Group]":
        size = self.num_generations
        rows = [row for place, task in self.stream.take(count) for row in make_rows(place, task, size)]
        self._rows = rows
        drawn = super()._generate([row["prompt"] for row in rows])
        judged = self._judge(drawn[1], [row["correct"] for row in rows])
        faults.update(fault for _, fault in judged if fault)
        return [
            _Group(rows[at : at + size], _cut_parts(drawn, at, at + size), [r for r, _ in judged[at : at + size]])
            for at in range(0, len(rows), size)
        ]

    @property
    def rows(self) -> list[Row]:
        """The rows whose rollouts are being drawn: a rollout function looks its seeds up here."""
        return self._rows

    def _most(self, count: int) -> int:
        counts = self.accelerator.gather(torch.tensor([count], device=self.accelerator.device))
        return int(counts.max())  # pyright: ignore[reportAttributeAccessIssue]

    def _tell_sampling(
        self, kept: "list[_Group]", spare: "list[_Group]", wanted: int, drawn: int, faults: Counter[str]
    ) -> None:
        """Metrics of this process: share of groups that were useful, rollouts drawn for one useful group."""
        useful = max(min(len(kept), wanted), 1)
        told = {
            "sampling/kept_share": len(kept) / max(drawn, 1),
            "sampling/rollouts_a_useful_group": drawn * self.num_generations / useful,
            "sampling/unfilled_groups": max(wanted - len(kept), 0),
            "sampling/all_right_share": sum(group.rewards[0] > 0 for group in spare) / max(drawn, 1),
            "judgements/reward": sum(sum(group.rewards) for group in kept + spare) / (drawn * self.num_generations),
            "judgements/failed_share": sum(faults.values()) / (drawn * self.num_generations),
        }
        for fault in ("unparsed", "out-of-range", "truncated"):
            told[f"judgements/{fault}"] = faults[fault]
        for name, value in told.items():
            self._metrics["train"][name].append(float(value))

    # Judgements of held-out tasks, and going on

    def judge_tasks(self, tasks: Sequence[SelectionTask], temperature: float) -> list[JudgedText]:
        """One judgement a task at `temperature`; each process judges its share, all get all."""
        mine = tasks[self.accelerator.process_index :: self.accelerator.num_processes]
        self._rows = [row for place, task in enumerate(mine) for row in make_rows(-1 - place, task, 1)]
        was_training = self.model.training
        self.model.eval()
        try:
            with self._drawing_at(temperature):
                drawn = GRPOTrainer._generate(self, [row["prompt"] for row in self._rows])
        finally:
            self.model.train(was_training)
        self._metrics["eval"].clear()
        judged = [self.read(ids, task.correct) for ids, task in zip(drawn[1], mine, strict=True)]
        return gather_object(judged)

    @contextmanager
    def _drawing_at(self, temperature: float) -> Iterator[None]:
        engine = self.rollout_func if self.rollout_func is not None else self.vllm_generation
        before = engine.temperature
        engine.temperature = temperature
        try:
            yield
        finally:
            engine.temperature = before

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Before the rest: a checkpoint counts as whole when its trainer_state.json is there, which is written last.
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / STREAM_FILE).write_text(json.dumps({"position": self.stream.position}), encoding="utf-8")
        super()._save_checkpoint(model, trial)

    def resume(self, checkpoint: str | None) -> None:
        """Trains to the end, from `checkpoint` (with its place in the stream) or from the beginning."""
        if checkpoint is not None:
            held = json.loads((Path(checkpoint) / STREAM_FILE).read_text(encoding="utf-8"))
            self.stream.position = int(held["position"])
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
        logprobs, entropies = (torch.cat(each) for each in zip(*parts, strict=True))
        return logprobs, entropies if kwargs.get("compute_entropy") else None, None


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """The G rollouts of one task: rows of inputs, its share of what `_generate` returned, and rewards."""

    rows: list[Row]
    parts: tuple[Any, ...]
    rewards: list[float]

    @property
    def is_useful(self) -> bool:
        return min(self.rewards) < max(self.rewards)


def _cut_parts(drawn: tuple[Any, ...], start: int, end: int) -> tuple[Any, ...]:
    """Rows `start` to `end` of what `_generate` returned: lists with an entry a row; everything else is empty here."""
    return tuple(part[start:end] if isinstance(part, list) and part else part for part in drawn)


def _join_parts(parts: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(
        [row for part in column for row in part] if isinstance(column[0], list) else column[0]
        for column in zip(*parts, strict=True)
    )


def measure_logprobs(
    model: Any, input_ids: Tensor, attention_mask: Tensor, completion_tokens: int, temperature: float
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies [B C] of the completions, every distinct prompt computed once.

    `input_ids` and `attention_mask` [B P+C], prompts padded on the left; the last `completion_tokens` columns are the
    completion. Same numbers as one pass over whole rows (up to rounding), gradients included: the keys and values of
    a prompt are computed once and handed to all its rows.
    """
    width = input_ids.shape[1] - completion_tokens
    blank = int((attention_mask[:, :width].sum(0) == 0).sum())  # columns that are padding in every row
    ids, mask = input_ids[:, blank:], attention_mask[:, blank:]
    width -= blank
    prompts, first, which = _find_prompts(ids[:, :width], mask[:, :width])
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    read = model(
        input_ids=prompts,
        attention_mask=mask[first, :width],
        position_ids=positions[first, :width],
        past_key_values=DynamicCache(),
        use_cache=True,
        logits_to_keep=1,
    )
    cache = read.past_key_values
    cache.batch_select_indices(which)
    written = model(
        input_ids=ids[:, width:-1],
        attention_mask=mask[:, :-1],
        position_ids=positions[:, width:-1],
        past_key_values=cache,
        use_cache=True,
    )
    logits = torch.cat([read.logits[which], written.logits], dim=1).float() / temperature
    every = logits.log_softmax(-1)
    entropies = -(every.exp() * every).sum(-1)
    return every.gather(-1, ids[:, width:, None])[..., 0], entropies


def _find_prompts(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(distinct prompts [U P], the first row of each [U], which of them each row has [B]), in order of appearance."""
    keys = [tuple(row) for row in torch.where(mask.bool(), ids, -1).tolist()]
    places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    which = torch.tensor([places[key] for key in keys], device=ids.device)
    first = torch.tensor([keys.index(key) for key in places], device=ids.device)
    return ids[first], first, which
