"""Rollouts in this process: the model in training answers through the same Sampler as any policy.

A rollout's seed comes from the run's seed, the place of its task in the stream and its number in the group: a run that
was killed and goes on draws what it would have drawn. Knows no rewards.
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
        """`prompt_ids`, `completion_ids`, `logprobs`, a row each, for `trainer.rows` (whose prompts these are)."""
        del prompts
        wanted = [
            (row["prompt"][0]["content"], derive_seed(self.seed, str(row["place"]), row["attempt"]))
            for row in trainer.rows
        ]
        drawn = self.draw(wanted)
        return {
            "prompt_ids": [completion.prompt_tokens.tolist() for completion in drawn],
            "completion_ids": [completion.tokens.tolist() for completion in drawn],
            "logprobs": [[] if c.logprobs is None else c.logprobs.tolist() for c in drawn],
        }

    @property
    def temperature(self) -> float:
        return self.params.temperature

    @temperature.setter
    def temperature(self, temperature: float) -> None:
        self.params = replace(self.params, temperature=temperature)

    def draw(self, wanted: Sequence[tuple[str, int]]) -> list[Completion]:
        """One completion for each (prompt, seed). Raises EngineError where one cannot be drawn (a prompt too long)."""
        groups = dict[str, list[int]]()
        for prompt, seed in wanted:
            groups.setdefault(prompt, []).append(seed)

        async def draw_all() -> list[list[Completion]]:
            return await gather_all(
                [collect(self._sampler, user_message(p), seeds, self.params) for p, seeds in groups.items()]
            )

        with _evaluating(self._model):
            drawn = asyncio.run(draw_all())
        found = dict[tuple[str, int], Completion]()
        for (prompt, seeds), completions in zip(groups.items(), drawn, strict=True):
            found.update(((prompt, seed), each) for seed, each in zip(seeds, completions, strict=True))
        for (prompt, _), completion in found.items():
            if completion.finish == "error":
                raise EngineError(f"a rollout could not be drawn: {completion.note}. The prompt begins {prompt[:80]!r}")
        return [found[each] for each in wanted]

    def close(self) -> None:
        self._sampler.close()


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
