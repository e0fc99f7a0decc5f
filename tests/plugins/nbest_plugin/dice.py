"""An engine that rolls dice: text, tokens and hidden states, as a class with typed options."""

from collections.abc import AsyncGenerator, Sequence

import numpy as np

from nbest.config import Count, Section
from nbest.protocols import PolicyDescription, Sampler
from nbest.records import Completion, HiddenStates, Message, SamplingParams, Step


class DiceSampler(Sampler):
    """Rolls one die per seed; its answer is the roll, its length and its hidden states follow from it."""

    class Options(Section):
        """`sides` of the die."""

        sides: Count = 6

    def __init__(self, sides: int):
        self._sides = sides

    async def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        del messages
        for seed in seeds:
            roll = 1 + int(np.random.default_rng(seed).integers(self._sides))
            states = None if params.capture is None else self._capture(roll, params.capture)
            tokens = np.arange(roll**2, dtype=np.int32)
            yield seed, Completion(f"print({roll})", tokens=tokens, finish="stop", states=states)

    def _capture(self, roll: int, layers: tuple[int, ...]) -> HiddenStates:
        values = np.full((2, len(layers), 4), [[[0.0]], [[roll]]], dtype=np.float32)
        return HiddenStates(layers=layers, steps=(Step(0, 1), Step(1, 2)), values=values)

    def describe(self) -> PolicyDescription:
        return PolicyDescription(identity={"type": "dice", "sides": self._sides}, info={})

    @property
    def vocabulary(self) -> None:
        return None

    def count_flops(self, prompt_tokens: int, sampled_tokens: int) -> float:
        del prompt_tokens, sampled_tokens
        return 0.0
