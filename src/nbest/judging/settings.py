"""Make the `JudgeSettings` of generative selectors and scorers from a config and a sampler.

The folder of a trained selector is an ordinary Hugging Face folder with `selection.json` in it: the settings that it
was trained with ({"style", "thinking", "window", "max_tokens", "temperature", ...}). They are its defaults, and a
config overrides them.

This module does not know how a sampler is loaded, nor pools or targets.
"""

import json
from pathlib import Path
from typing import Any

from nbest.config import GenerativeConfig, parse_config
from nbest.errors import ConfigError
from nbest.judging.candidates import JudgeSettings
from nbest.judging.conversation import Judge, RetrySettings
from nbest.judging.prompts import PromptFormat
from nbest.judging.windows import CountTokens, Window
from nbest.plurals import show_count
from nbest.protocols import Clusterer, Sampler, Vocabulary
from nbest.records import SamplingParams, user_message

SELECTION_FILE = "selection.json"


def fill_from_model(config: GenerativeConfig, folder: Path) -> GenerativeConfig:
    """Return `config`, with the values of the model's `selection.json` for the fields that it does not set itself.

    A temperature or length from that file comes with top_p = 1 and no top_k, as in training. If the folder has no such
    file, `config` is returned as it is. Raises ConfigError that names the file.
    """
    file = folder / SELECTION_FILE
    if not file.is_file():
        return config
    try:
        record: dict[str, Any] = dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{file}: is not a JSON object with style, thinking, window, ...: {error}") from error
    defaults = {name: record[name] for name in ("style", "thinking", "window") if name in record}
    sampling = {name: record[name] for name in ("max_tokens", "temperature") if name in record}
    if sampling:
        defaults["sampling"] = {"top_p": 1.0, "top_k": 0} | sampling
    overrides = {name: value for name, value in config if name in config.model_fields_set}
    return parse_config(GenerativeConfig, defaults | overrides, str(file))


def make_settings(
    config: GenerativeConfig, sampler: Sampler, equivalence: Clusterer, count_tokens: CountTokens | None = None
) -> JudgeSettings:
    """Return settings with a new judge, whose counts are zero.

    If the sampler's tokenizer is on this machine, it counts tokens unless `count_tokens` is given, and the default
    budget of a prompt is what `max_tokens` leaves of the model's context. Raises ConfigError.
    """
    params = config.sampling or SamplingParams()
    vocabulary = sampler.vocabulary
    token_text = None
    if vocabulary is None:
        window = Window(config.window, config.budget_tokens, count_tokens)
    else:
        budget = config.budget_tokens or _find_prompt_budget(config, vocabulary, params)
        window = Window(config.window, budget, count_tokens or vocabulary.count_tokens)
        token_text = vocabulary.token_text
    retry = RetrySettings(
        params,
        retries=config.retries,
        deadline_seconds=config.deadline_seconds,
        selection_seconds=config.selection_seconds,
        concurrency=config.concurrency,
        seed=config.seed,
    )
    return JudgeSettings(
        judge=Judge(sampler, retry),
        equivalence=equivalence,
        format=PromptFormat(config.style, config.thinking),
        window=window,
        repeats=config.repeats,
        on_failure=config.on_failure,
        summary_tokens=config.summary_tokens,
        token_text=token_text,
    )


def _find_prompt_budget(config: GenerativeConfig, vocabulary: Vocabulary, params: SamplingParams) -> int | None:
    """Return the tokens that chat template and judgement leave of the model's context; None if it has no limit."""
    if vocabulary.context_tokens is None:
        return None
    room = vocabulary.context_tokens - vocabulary.count_prompt_tokens(user_message("")) - params.max_tokens
    if room < 1:
        raise ConfigError(
            f"sampling.max_tokens: {params.max_tokens} leaves no room for a prompt in the context of "
            f"{show_count(vocabulary.context_tokens, 'token')} of {config.policy.model!r}; choose fewer"
        )
    return room
