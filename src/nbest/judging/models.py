"""A loaded model that judges, with the settings it is asked by."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nbest.config import GenerativeConfig
from nbest.errors import ConfigError
from nbest.judging.candidates import JudgeSettings
from nbest.judging.settings import fill_from_model, make_settings
from nbest.protocols import Clusterer, Sampler
from nbest.sampling.checkpoint import load_prompt_tokenizer, locate_checkpoint
from nbest.sampling.policies import load_policy
from nbest.sampling.tokenizing import count_text_tokens


@dataclass(frozen=True, slots=True)
class JudgeModel:
    """A loaded model that judges; close it when done.

    `count_tokens` counts the tokens of a prompt where the sampler has no tokenizer on this machine. With None the
    sampler's own tokenizer counts, and a token budget cannot be set where it has none.
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

    `selection.json` in its folder, then in that of `config.tokenizer`, fills in what `config` does not say. Raises
    ConfigError.
    """
    policy, tokenizer = config.policy, config.tokenizer
    if tokenizer is not None and policy.type == "transformers":
        raise ConfigError(f"tokenizer: got {tokenizer!r}; type 'transformers' counts with its own: leave it out")
    # What the first folder says overrides what the second one says.
    for model in (policy.model if policy.type in ("transformers", "vllm") else None, tokenizer):
        config = config if model is None else fill_from_model(config, Path(locate_checkpoint(model)))
    return JudgeModel(config, load_policy(policy), None if tokenizer is None else load_token_counter(tokenizer))


def load_token_counter(tokenizer: str) -> Callable[[str], int]:
    """Return a function that counts tokens by a tokenizer: bundled:NAME, a folder or a hub id. Raises ConfigError."""
    return partial(count_text_tokens, load_prompt_tokenizer(tokenizer))
