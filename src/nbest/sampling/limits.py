"""What is asked of a policy against what it can do: ranges of settings, arrays no engine keeps, the model's context.

This module does not know any engine.
"""

from dataclasses import dataclass

from nbest.errors import ConfigError
from nbest.records import SamplingParams

MOST_TOP_LOGPROBS = 20
"""The most likely tokens whose log-probabilities a server returns per token: OpenAI's limit, and vLLM's default one."""


@dataclass(frozen=True, slots=True)
class TokenLimit:
    """The most tokens of a completion. `note` says why there are fewer than asked for; with `tokens` 0 the prompt does
    not fit and `note` is the reason why sampling fails."""

    tokens: int
    note: str = ""


def limit_tokens(context_tokens: int | None, prompt_tokens: int, max_tokens: int) -> TokenLimit:
    """Return how many of `max_tokens` a model's context leaves to a completion after a prompt of `prompt_tokens`."""
    if not prompt_tokens or (context_tokens is not None and prompt_tokens >= context_tokens):
        return TokenLimit(
            0,
            f"the prompt has {prompt_tokens} tokens; it needs at least 1, and fewer than the context of "
            f"{context_tokens}",
        )
    if context_tokens is not None and prompt_tokens + max_tokens > context_tokens:
        note = f"cut at the model's context of {context_tokens} tokens, before max_tokens={max_tokens}"
        return TokenLimit(context_tokens - prompt_tokens, note)
    return TokenLimit(max_tokens)


def check_ranges(params: SamplingParams) -> None:
    """Raise ConfigError listing every sampling setting that is out of its range."""
    rules = {
        "temperature": (params.temperature >= 0, "0 (greedy) or more"),
        "top_p": (0 < params.top_p <= 1, "above 0, at most 1 (1 = off)"),
        "top_k": (params.top_k >= 0, "0 (off) or more"),
        "min_p": (0 <= params.min_p <= 1, "0 (off) to 1"),
        "max_tokens": (params.max_tokens >= 1, "1 or more"),
        "top_logprobs": (params.top_logprobs >= 0, "0 (off) or more"),
        "stop": (all(params.stop), "strings that are not empty"),
    }
    faults = [
        f"{name}: {getattr(params, name)!r} given; allowed is {rule}"
        for name, (is_allowed, rule) in rules.items()
        if not is_allowed
    ]
    if faults:
        raise ConfigError(faults)


def find_unavailable(params: SamplingParams) -> list[str]:
    """Return what `params` asks for beyond text and log-probabilities, one message per field; for engines that return
    no more than these."""
    faults: list[str] = []
    if params.capture is not None:
        faults.append(
            "capture: this policy returns no hidden states; leave it out and run `nbest encode` afterwards, or use "
            "policy.type = 'transformers'"
        )
    if params.self_certainty:
        faults.append(
            "self_certainty: it needs the whole vocabulary at each token; only policy.type = 'transformers' reads it"
        )
    if params.top_logprobs > MOST_TOP_LOGPROBS:
        faults.append(f"top_logprobs: {params.top_logprobs} given; at most {MOST_TOP_LOGPROBS} are returned per token")
    return faults
