"""Checks sampling settings: their ranges, the arrays that only some engines return, and the model's context.

This module does not know any engine.
"""

from dataclasses import dataclass

from nbest.config import find_range_faults
from nbest.errors import ConfigError
from nbest.plurals import show_count
from nbest.records import SamplingParams

MOST_TOP_LOGPROBS = 20
"""How many alternatives per token a server returns log-probabilities of: OpenAI's limit, and vLLM's default."""


@dataclass(frozen=True, slots=True)
class TokenLimit:
    """The largest number of tokens that a completion may have.

    `note` says why there are fewer than `max_tokens`, "" if there are not. With `tokens` 0 the prompt does not fit,
    and `note` is the reason why sampling fails.
    """

    tokens: int
    note: str = ""


def limit_tokens(context_tokens: int | None, prompt_tokens: int, max_tokens: int) -> TokenLimit:
    """Return how many of `max_tokens` a model's context leaves to a completion after a prompt of `prompt_tokens`."""
    if not prompt_tokens or (context_tokens is not None and prompt_tokens >= context_tokens):
        return TokenLimit(
            0,
            f"the prompt has {show_count(prompt_tokens, 'token')}; it needs at least 1, and fewer than the context of "
            f"{context_tokens}",
        )
    if context_tokens is not None and prompt_tokens + max_tokens > context_tokens:
        note = f"cut at the model's context of {show_count(context_tokens, 'token')}, before max_tokens={max_tokens}"
        return TokenLimit(context_tokens - prompt_tokens, note)
    return TokenLimit(max_tokens)


def check_ranges(params: SamplingParams) -> None:
    """Raise ConfigError listing every sampling setting that is out of its range."""
    faults = list_range_faults(params)
    if faults:
        raise ConfigError(faults)


def list_range_faults(params: SamplingParams) -> list[str]:
    """Return one message per sampling setting that is out of its range."""
    rules = find_range_faults(params)
    return [f"{name}: got {getattr(params, name)!r}; allowed is {rule}" for name, rule in rules.items()]


def find_unavailable(params: SamplingParams) -> list[str]:
    """Return one message per field of `params` that an engine of text and log-probabilities alone cannot fulfil."""
    faults: list[str] = []
    if params.capture is not None:
        faults.append(
            "capture: this policy returns no hidden states; leave it out and run `nbest encode` afterwards, or use "
            "policy.type = 'transformers'"
        )
    if params.self_certainty:
        faults.append(
            "self_certainty: it needs the probabilities of the whole vocabulary; use policy.type = 'transformers'"
        )
    if params.top_logprobs > MOST_TOP_LOGPROBS:
        faults.append(
            f"top_logprobs: got {params.top_logprobs}; this policy returns at most {MOST_TOP_LOGPROBS} per token"
        )
    return faults
