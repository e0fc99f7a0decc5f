"""Scores by a process or outcome reward model of Hugging Face, which reads question and response.

This module batches and computes. `families.py` says what a model reads, `inputs.py` writes it, `windows.py` handles
trajectories that do not fit, and `checkpoint.py` loads the weights. None of them knows runs, targets or other scorers.

Shapes: B rows, T tokens, K positions of rewards, D hidden size.
"""

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor

from nbest.errors import ConfigError, DataError, EngineError
from nbest.plurals import show_count
from nbest.protocols import Scorer, StateSource
from nbest.records import Pool, Score, Trajectory, Usage, WorkReport
from nbest.scoring.aggregation import Aggregation, aggregate
from nbest.scoring.reward.checkpoint import RewardCheckpoint, load_reward_checkpoint
from nbest.scoring.reward.families import RewardFamily, Thinking, TooLong
from nbest.scoring.reward.inputs import RewardInput, read_steps
from nbest.scoring.reward.windows import check_too_long, plan_inputs
from nbest.states.encoder import batch_by_length
from nbest.states.sources import NO_STATES

_REASONS = {"empty": "failed or no steps", "skipped": "too long"}
"""Why a trajectory has no score, by the name under which it is counted."""


class RewardModelScorer(Scorer):
    """Scores by a reward model.

    For a process model `Score.steps` are the rewards of the steps (of the last ones, where "truncate-left-steps" left
    earlier ones out) and `value` is their aggregate; for an outcome model `steps` is empty and `value` its reward.
    A trajectory with nothing to score (it failed, has no step, or was skipped as too long) has value NaN and no steps.

    Scores do not depend on what else is in the batch, up to rounding: rows are padded on the right, behind every
    position that is read, and attention is causal and masked.
    """

    def __init__(
        self,
        model: str | RewardCheckpoint,
        family: str | RewardFamily | None = None,
        aggregation: Aggregation | None = None,
        too_long: TooLong | None = None,
        thinking: Thinking | None = None,
        batch_tokens: int = 16_384,
        reference: str | None = None,
    ):
        """Load the model, or use one that is loaded already.

        `model` is a local folder, a hub id, or a RewardCheckpoint (`load_reward_checkpoint` takes dtype, device and
        revision; `describe_reward_checkpoint` takes a model in memory). A `family`, `aggregation`, `too_long` or
        `thinking` of None is that of the model's family. `too_long` says what happens to a trajectory longer than the
        model's window (see `windows.py`). `reference` is the model that an "implicit" family divides by. `batch_tokens`
        bounds a forward pass, padding included; a longer row is a batch of its own. Raises ConfigError.
        """
        if batch_tokens < 1:
            raise ConfigError(f"batch_tokens: got {batch_tokens}; it must be at least 1")
        if thinking is not None and thinking not in get_args(Thinking):
            raise ConfigError(f"thinking: got {thinking!r}; allowed are {list(get_args(Thinking))}")
        self.checkpoint = (
            load_reward_checkpoint(model, family, reference=reference) if isinstance(model, str) else model
        )
        self.family = self.checkpoint.family
        if family is not None and family not in (self.family, self.family.name):
            raise ConfigError(f"family: got {family!r} for a checkpoint of family {self.family.name!r}")
        check_too_long(too_long or self.family.too_long, self.family)
        self.name = self.family.name
        self.aggregation: Aggregation = aggregation or self.family.aggregation
        # An unknown name raises here, before the first forward pass.
        aggregate([0.5], self.aggregation)
        self.too_long: TooLong = too_long or self.family.too_long
        self.thinking: Thinking = thinking or self.family.thinking
        self._counts: Counter[str] = Counter()
        self._usage = Usage()
        self._batch_tokens = batch_tokens
        self._busy = threading.Lock()

    def count_flops(self, tokens: int) -> float:
        """Return the approximate floating-point operations of reading `tokens` tokens in one row."""
        return self.checkpoint.count_flops(tokens)

    @property
    def counts(self) -> dict[str, int]:
        """The number of trajectories that were "scored", "empty" (failed or without a step), "skipped" and so on.

        "skipped", "shortened" and "windowed" ones were too long; the latter two are also counted as "scored".
        """
        return dict(self._counts)

    def report(self) -> WorkReport:
        """Return the cost (tokens read, without padding) and the reasons why trajectories have no score."""
        unscored = {reason: self._counts[key] for key, reason in _REASONS.items() if self._counts[key]}
        return WorkReport(usage=self._usage, unscored=unscored)

    async def score(self, pool: Pool, states: StateSource = NO_STATES) -> list[Score]:
        """Return one Score per trajectory, in pool order.

        Raises DataError, naming the trajectory, if one is too long under `too_long="error"` (nothing of the pool
        is scored then), and EngineError if memory runs out or a reward is not a finite number.
        """
        del states
        return await asyncio.to_thread(self._score, pool)

    def _score(self, pool: Pool) -> list[Score]:
        with self._busy:
            started = time.perf_counter()
            counts: Counter[str] = Counter()
            plans = [self._plan(pool.prompt, trajectory, counts) for trajectory in pool.trajectories]
            rows = [row for plan in plans for row in plan]
            rewards = iter(self._compute(rows))
            scores = [
                self._gather(trajectory, [next(rewards) for _ in plan])
                for trajectory, plan in zip(pool.trajectories, plans, strict=True)
            ]
            lengths = [len(row.tokens) for row in rows]
            flops = sum(self.count_flops(length) for length in lengths)
            self._usage += Usage(sum(lengths), flops=flops, seconds=time.perf_counter() - started)
            self._counts += counts
            return scores

    def _plan(self, question: str, trajectory: Trajectory, counts: Counter[str]) -> list[RewardInput]:
        """Return the rows of one trajectory; none if there is nothing to score."""
        reader, window = self.checkpoint.reader, self.checkpoint.window_tokens
        steps = reader.label_steps(read_steps(trajectory.completion, self.thinking, self.family.is_process))
        if not steps:
            counts["empty"] += 1
            return []
        try:
            rows = plan_inputs(reader, question, steps, window, self.too_long)
        except DataError as error:
            raise DataError(f"trajectory {trajectory.id}: {error}") from error
        counts["scored" if rows else "skipped"] += 1
        if len(rows) > 1:
            counts["windowed"] += 1
        elif rows and rows[0].is_shortened:
            counts["shortened"] += 1
        return rows

    def _gather(self, trajectory: Trajectory, parts: Sequence[list[float]]) -> Score:
        rewards = tuple(reward for part in parts for reward in part)
        if not rewards:
            return Score(trajectory.id, math.nan)
        if not all(math.isfinite(reward) for reward in rewards):
            raise EngineError(
                f"trajectory {trajectory.id}: the reward model ({self.checkpoint.info['dtype']}) returned a reward "
                f"that is not a finite number; load it with dtype='bfloat16' or 'float32'"
            )
        if not self.family.is_process:
            return Score(trajectory.id, rewards[0])
        return Score(trajectory.id, aggregate(rewards, self.aggregation), rewards)

    @torch.inference_mode()
    def _compute(self, rows: Sequence[RewardInput]) -> list[list[float]]:
        """Return the rewards at the positions of each row."""
        rewards: list[list[float]] = [[] for _ in rows]
        for indices in batch_by_length([len(row.tokens) for row in rows], self._batch_tokens):
            batch = [rows[index] for index in indices]
            values = iter(self._forward(batch).tolist())
            for index, row in zip(indices, batch, strict=True):
                rewards[index] = [next(values) for _ in row.positions]
        return rewards

    def _forward(self, rows: Sequence[RewardInput]) -> Tensor:
        """Return the rewards [K] of all rows, one row after another."""
        device, width = self.checkpoint.device, max(len(row.tokens) for row in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.int64)
        mask = torch.zeros((len(rows), width), dtype=torch.int64)
        for number, row in enumerate(rows):
            ids[number, : len(row.tokens)], mask[number, : len(row.tokens)] = torch.tensor(row.tokens), 1
        numbers = torch.tensor([number for number, row in enumerate(rows) for _ in row.positions], device=device)
        positions = torch.tensor([position for row in rows for position in row.positions], device=device)
        try:
            if self.checkpoint.ratio is not None:
                return self.checkpoint.ratio.rate(ids, mask, rows)
            states = self.checkpoint.body(
                input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False
            ).last_hidden_state
        except torch.OutOfMemoryError as error:
            raise EngineError(
                f"out of memory over {len(rows)} x {show_count(width, 'token')}; lower batch_tokens: {error}"
            ) from error
        return self.checkpoint.head(states[numbers, positions]).float().cpu()
