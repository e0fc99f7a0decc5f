"""From the settings of a generative selector and a sampler to what its strategies work with.

A folder of a trained selector is an ordinary Hugging Face folder with `selection.json` in it: how it was trained to be
asked ({"style", "thinking", "window", "max_tokens", "temperature", ...}). These are its defaults; what a config says
counts over them.

This module does not know how a sampler is made, nor pools or targets.
"""

import json
from pathlib import Path
from typing import Any

from nbest.config import GenerativeConfig, parse_config
from nbest.errors import ConfigError
from nbest.judging.candidates import GenerativeSetting
from nbest.judging.conversation import Judge, JudgingPolicy
from nbest.judging.prompts import PromptFormat
from nbest.judging.windows import CountTokens, Window
from nbest.protocols import Sampler
from nbest.records import SamplingParams
from nbest.verifying.equivalence import Clusterer

SELECTION_FILE = "selection.json"


def fill_from_model(config: GenerativeConfig, folder: Path) -> GenerativeConfig:
    """`config` with the values of the model's `selection.json` where it says nothing itself; `config` where the folder
    has no such file. Its temperature and length come with top_p = 1 and no top_k, as in training. Raises ConfigError
    naming the file."""
    file = folder / SELECTION_FILE
    if not file.is_file():
        return config
    try:
        held: dict[str, Any] = dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{file}: is not a JSON object with style, thinking, window, ...: {error}") from error
    known = {name: held[name] for name in ("style", "thinking", "window") if name in held}
    sampled = {name: held[name] for name in ("max_tokens", "temperature") if name in held}
    if sampled:
        known["sampling"] = {"top_p": 1.0, "top_k": 0} | sampled
    given = {name: getattr(config, name) for name in config.model_fields_set}
    return parse_config(GenerativeConfig, known | given, str(file))


def make_setting(
    config: GenerativeConfig, sampler: Sampler, equivalence: Clusterer, count_tokens: CountTokens | None = None
) -> GenerativeSetting:
    """A setting with counts of its own. Where the sampler is loaded here, its tokenizer counts, and the budget of a
    prompt is by default what `max_tokens` leaves of its context; `count_tokens` counts for any other sampler. Raises
    ConfigError."""
    params = config.sampling or SamplingParams()
    checkpoint: Any = getattr(sampler, "checkpoint", None)
    token_text = None
    if checkpoint is None:
        window = Window(config.window, config.budget_tokens, count_tokens)
    else:
        budget = config.budget_tokens or _room_beside(config, checkpoint, params)
        window = Window(config.window, budget, lambda text: len(checkpoint.tokenize_text(text)))
        token_text = checkpoint.pieces.__getitem__
    names = ("retries", "deadline_seconds", "selection_seconds", "concurrency", "seed")
    policy = JudgingPolicy(params, **{name: getattr(config, name) for name in names})
    return GenerativeSetting(
        judge=Judge(sampler, policy),
        equivalence=equivalence,
        format=PromptFormat(config.style, config.thinking),
        window=window,
        repeats=config.repeats,
        on_failure=config.on_failure,
        summary_tokens=config.summary_tokens,
        token_text=token_text,
    )


def _room_beside(config: GenerativeConfig, checkpoint: Any, params: SamplingParams) -> int | None:
    """The tokens that chat template and judgement leave of the model's context; None where it has no limit."""
    if checkpoint.context_tokens is None:
        return None
    room = checkpoint.context_tokens - len(checkpoint.tokenize_prompt("")) - params.max_tokens
    if room < 1:
        raise ConfigError(
            f"sampling.max_tokens: {params.max_tokens} leaves no room for a prompt in the context of "
            f"{checkpoint.context_tokens} tokens of {config.policy.model!r}; choose fewer"
        )
    return room
