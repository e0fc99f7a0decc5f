"""Rewards by the ratio of two language models (implicit process rewards, arXiv 2412.01981).

The reward of a step is beta times the sum over the tokens of the response, up to the end of the step, of
log p(token) under the reward model minus log p(token) under its reference: the model's estimate, at that step, of the
reward of the whole response. This module does not know texts or pools.

Shapes: B rows, T tokens, D hidden size, V vocabulary, K positions of rewards.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nbest.errors import ConfigError
from nbest.plurals import show_count
from nbest.scoring.reward.inputs import RewardInput

CHUNK_TOKENS = 512
"""Logits of the whole vocabulary are computed for so many tokens at a time."""


class LikelihoodRatio:
    """Two causal language models with one vocabulary. Raises ConfigError if their vocabularies differ in size."""

    def __init__(self, model: Any, reference: Any, beta: float):
        sizes = [network.get_input_embeddings().weight.shape[0] for network in (model, reference)]
        if sizes[0] != sizes[1]:
            raise ConfigError(
                f"reference: the vocabulary of the reward model has {show_count(sizes[0], 'token')}, that of its "
                f"reference {sizes[1]}; name the model that the reward model was trained from"
            )
        self._networks, self._beta = (model, reference), beta

    def rate(self, ids: Tensor, mask: Tensor, rows: Sequence[RewardInput]) -> Tensor:
        """Return the rewards [K] of all rows, one row after another; `ids` and `mask` are [B T]."""
        model, reference = (self._measure(network, ids, mask, rows) for network in self._networks)
        rewards = list[Tensor]()
        for row, own, other in zip(rows, model, reference, strict=True):
            sums = self._beta * (own - other).cumsum(0)
            rewards.append(sums[torch.tensor([position - row.start for position in row.positions])])
        return torch.cat(rewards) if rewards else torch.zeros(0)

    @staticmethod
    def _measure(network: Any, ids: Tensor, mask: Tensor, rows: Sequence[RewardInput]) -> list[Tensor]:
        """Return the log-probabilities of the response tokens of each row, float32 on the CPU."""
        device = network.device
        body, head = network.base_model, network.get_output_embeddings()
        states = body(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).last_hidden_state
        logprobs = list[Tensor]()
        for number, row in enumerate(rows):
            parts = list[Tensor]()
            for start in range(row.start, len(row.tokens), CHUNK_TOKENS):
                end = min(start + CHUNK_TOKENS, len(row.tokens))
                logits = head(states[number, start - 1 : end - 1]).float()
                tokens = torch.tensor(row.tokens[start:end], device=device)
                parts.append(logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0].cpu())
            logprobs.append(torch.cat(parts))
        return logprobs
