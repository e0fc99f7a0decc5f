"""A loaded model that judges, with its settings."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nbest.config import GenerativeConfig
from nbest.errors import ConfigError
from nbest.judging.candidates import JudgeSettings
from nbest.judging.settings import fill_from_model, make_settings
from nbest.protocols import Clusterer, Sampler
from nbest.records import SamplingParams
from nbest.sampling.checkpoint import load_prompt_tokenizer, locate_checkpoint
from nbest.sampling.policies import check_policy, load_policy
from nbest.sampling.tokenizing import count_text_tokens


@dataclass(frozen=True, slots=True)
class JudgeModel:
    """A loaded model that judges; close it when done.

    `count_tokens` counts the tokens of a prompt. If it is None, the sampler's own tokenizer counts them; where the
    sampler has none on this machine, no token budget can be set.
    """

    config: GenerativeConfig
    sampler: Sampler
    count_tokens: Callable[[str], int] | None = None

    def settings(self, equivalence: Clusterer) -> JudgeSettings:
        """Return the settings of one generative selector or scorer, with a judge and counts of its own."""
        return make_settings(self.config, self.sampler, equivalence, self.count_tokens)

    async def aclose(self) -> None:
        """Close the sampler."""
        await self.sampler.aclose()


def load_judge(config: GenerativeConfig) -> JudgeModel:
    """Load a model that judges.

    What `config` does not set is filled in from `selection.json` in the folder of the model, then in the folder of
    `config.tokenizer`. Raises ConfigError.
    """
    policy, tokenizer = config.policy, config.tokenizer
    if tokenizer is not None and policy.type == "transformers":
        raise ConfigError(f"tokenizer: got {tokenizer!r}; type 'transformers' counts with its own: leave it out")
    # The first folder takes precedence over the second.
    for model in (policy.model if policy.type in ("transformers", "vllm") else None, tokenizer):
        config = config if model is None else fill_from_model(config, Path(locate_checkpoint(model)))
    check_policy(policy, config.sampling or SamplingParams())
    return JudgeModel(config, load_policy(policy), None if tokenizer is None else load_token_counter(tokenizer))


def load_token_counter(tokenizer: str) -> Callable[[str], int]:
    """Return a function that counts tokens by a tokenizer: bundled:NAME, a folder or a hub id. Raises ConfigError."""
    return partial(count_text_tokens, load_prompt_tokenizer(tokenizer))
