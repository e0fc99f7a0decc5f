"""Rollouts in this process: the model in training answers through the same Sampler as any policy.

The seed of a rollout comes from the run's seed, the index of its task in the stream and its own index in the group, so
that a run which resumes after a kill draws the same rollouts. This module does not know rewards.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from nbest.errors import EngineError
from nbest.loop_thread import gather_all
from nbest.records import Completion, SamplingParams, derive_seed, user_message
from nbest.sampling.checkpoint import describe_checkpoint
from nbest.sampling.collecting import collect
from nbest.sampling.transformers import TransformersSampler


class SamplerRollouts:
    """TRL's `rollout_func` over a TransformersSampler that reads the trained weights as they are."""

    def __init__(self, model: Any, tokenizer: Any, params: SamplingParams, seed: int, batch_rows: int):
        self.params, self.seed = params, seed
        self._model = model
        self._sampler = TransformersSampler.from_checkpoint(describe_checkpoint(model, tokenizer, "chat"), batch_rows)

    def __call__(self, prompts: Sequence[Any], trainer: Any) -> dict[str, list[Any]]:
        """Return `prompt_ids`, `completion_ids` and `logprobs` with one entry per row of `trainer.rows`."""
        del prompts
        draws = [
            (row["prompt"][0]["content"], derive_seed(self.seed, str(row["task_index"]), row["rollout_index"]))
            for row in trainer.rows
        ]
        completions = self.draw(draws)
        return {
            "prompt_ids": [completion.prompt_tokens.tolist() for completion in completions],
            "completion_ids": [completion.tokens.tolist() for completion in completions],
            "logprobs": [[] if c.logprobs is None else c.logprobs.tolist() for c in completions],
        }

    @property
    def temperature(self) -> float:
        return self.params.temperature

    @temperature.setter
    def temperature(self, temperature: float) -> None:
        self.params = replace(self.params, temperature=temperature)

    def draw(self, draws: Sequence[tuple[str, int]]) -> list[Completion]:
        """Return one completion per (prompt, seed). Raises EngineError if one fails: a prompt may be too long."""
        groups = dict[str, list[int]]()
        for prompt, seed in draws:
            groups.setdefault(prompt, []).append(seed)

        async def draw_all() -> list[list[Completion]]:
            return await gather_all(
                [collect(self._sampler, user_message(p), seeds, self.params) for p, seeds in groups.items()]
            )

        with _evaluation_mode(self._model):
            pools = asyncio.run(draw_all())
        by_draw = dict[tuple[str, int], Completion]()
        for (prompt, seeds), pool in zip(groups.items(), pools, strict=True):
            by_draw.update(((prompt, seed), completion) for seed, completion in zip(seeds, pool, strict=True))
        for (prompt, _), completion in by_draw.items():
            if completion.finish == "error":
                raise EngineError(f"a rollout could not be drawn: {completion.note}. The prompt begins {prompt[:80]!r}")
        return [by_draw[draw] for draw in draws]

    def close(self) -> None:
        self._sampler.close()


@contextmanager
def _evaluation_mode(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
