"""Loads and describes a causal language model in the format of Hugging Face; `model_checks.py` finds it.

This module does not know how a model is sampled.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from nbest.errors import ConfigError
from nbest.hub import describe_error, find_cached_commit, needs_cache
from nbest.records import Message
from nbest.sampling.model_checks import (
    check_template,
    choose_device,
    choose_dtype,
    find_layer_fault,
    loading,
    locate_checkpoint,
    read_model_config,
)
from nbest.sampling.model_files import hash_model
from nbest.sampling.tokenizing import (
    TOKENIZING,
    count_text_tokens,
    require_template,
    set_template_arguments,
    tokenize_messages,
)
from nbest.statistics.flops import forward_flops


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A loaded policy and its vocabulary.

    `pieces` [V] is the text of each id; `end_tokens` end a completion; `context_tokens` is None if the config has no
    limit; `info` is the description that a run's manifest keeps.
    """

    model: Any
    tokenizer: Any
    pieces: tuple[str, ...]
    end_tokens: frozenset[int]
    context_tokens: int | None
    template: str
    info: dict[str, Any]

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def layer_count(self) -> int:
        return self.model.config.get_text_config().num_hidden_layers

    @property
    def hidden_size(self) -> int:
        return self.model.config.get_text_config().hidden_size

    @property
    def embedding_rows(self) -> int:
        """How many token ids the model can read; a tokenizer may know fewer."""
        return self.model.get_input_embeddings().weight.shape[0]

    def resolve_layers(self, layers: tuple[int, ...]) -> tuple[int, ...]:
        """Return `layers` counted from 0, as in `hidden_states[k]`. Raises ConfigError for one that does not exist."""
        if fault := find_layer_fault(layers, self.layer_count):
            raise ConfigError(fault)
        return tuple(layer % (self.layer_count + 1) for layer in layers)

    def tokenize_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the ids that the model reads for a conversation, generation prompt included."""
        return tokenize_messages(self.tokenizer, messages, self.template)

    def tokenize_text(self, text: str) -> list[int]:
        """Return the ids of a sampled text without a template: the texts of control tokens become these tokens."""
        with TOKENIZING:
            # A text beyond the model's context needs no warning: what reads the ids says so.
            return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def count_tokens(self, text: str) -> int:
        return count_text_tokens(self.tokenizer, text)

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return len(self.tokenize_prompt(messages))

    def token_text(self, token: int) -> str:
        return self.pieces[token]

    def decode(self, tokens: list[int]) -> str:
        with TOKENIZING:
            return self.tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def count_flops(self, prompt_tokens: int, sampled_tokens: int) -> float:
        """Return the floating-point operations of one prompt and one completion (`statistics.flops`)."""
        return forward_flops(
            prompt_tokens,
            sampled_tokens,
            parameters=self.info["non_embedding_parameters"],
            layers=self.layer_count,
            attention_width=self.info["attention_width"],
        )


def _measure_attention(config: Any) -> int:
    """Return the number of attention heads times their size."""
    head_size = config.head_dim if hasattr(config, "head_dim") else None
    return config.num_attention_heads * (head_size or config.hidden_size // config.num_attention_heads)


def load_checkpoint(
    model: str,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    template: str = "chat",
    local_files_only: bool = False,
    template_arguments: Mapping[str, bool | int | float | str] | None = None,
) -> Checkpoint:
    """Load a causal language model for inference.

    `dtype` "auto" is the checkpoint's own on an accelerator and float32 on a CPU (bfloat16 is emulated on most);
    `device` "auto" is the first CUDA device, else the CPU; `template` is "chat" (the tokenizer's chat template) or
    "none" (the prompt as it is), and `template_arguments` are values of its variables. Raises
    ConfigError, which names the model and what it lacks.
    """
    check_template(template)
    target = choose_device(device)
    folder = locate_checkpoint(model)
    local_files_only = local_files_only or needs_cache(folder, "model", revision)
    kwargs: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only}
    read_model_config(model, revision, local_files_only)
    with loading(model, revision, local_files_only):
        tokenizer = AutoTokenizer.from_pretrained(folder, **kwargs)
    require_template(tokenizer, model, template)
    set_template_arguments(tokenizer, model, template_arguments or {})
    with loading(model, revision, local_files_only), without_progress_bar():
        network: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=choose_dtype(dtype, target), **kwargs)
    network.to(target).eval().requires_grad_(False)
    return describe_checkpoint(network, tokenizer, template, model, revision)


def load_prompt_tokenizer(tokenizer: str) -> Any:
    """Load the tokenizer that counts prompts, without its model: `bundled:NAME`, a folder or a hub id.

    Raises ConfigError if it cannot be loaded or has no chat template.
    """
    folder = locate_checkpoint(tokenizer)
    local_files_only = needs_cache(folder, "tokenizer")
    try:
        counter: Any = AutoTokenizer.from_pretrained(folder, local_files_only=local_files_only)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"tokenizer: {tokenizer!r} could not be loaded: it is neither bundled:NAME, nor a folder with a tokenizer, "
            f"nor a hub id that can be reached. {describe_error(error)}"
        ) from error
    if not counter.chat_template:
        raise ConfigError(f"tokenizer: {tokenizer!r} has no chat template, and prompts are counted through it")
    # Prompts are only counted, so one beyond the model's window needs no warning.
    counter.model_max_length = int(1e30)
    return counter


def describe_checkpoint(
    model: Any, tokenizer: Any, template: str = "none", name: str = "", revision: str | None = None
) -> Checkpoint:
    """Return the Checkpoint of a model and tokenizer that are in memory already, such as one in training.

    `info["content_hash"]` is None if `name` is not a folder of weight files.
    """
    text_config = model.config.get_text_config()
    size = model.get_output_embeddings().weight.shape[0]
    token_count = min(len(tokenizer), size)
    pieces = tokenizer.batch_decode([[token] for token in range(token_count)], clean_up_tokenization_spaces=False)
    info = _describe(model, tokenizer, name, revision)
    return Checkpoint(
        model=model,
        tokenizer=tokenizer,
        pieces=(*pieces, *[""] * (size - token_count)),
        end_tokens=_find_end_tokens(model, tokenizer),
        context_tokens=text_config.max_position_embeddings if hasattr(text_config, "max_position_embeddings") else None,
        template=template,
        info={**info, "template": template},
    )


@contextmanager
def without_progress_bar() -> Iterator[None]:
    """Switch off the progress bar of transformers, which it draws even for weights that load in milliseconds."""
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()


def _find_end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    tokens: set[int] = set()
    generation = model.generation_config
    for value in (None if generation is None else generation.eos_token_id, tokenizer.eos_token_id):
        tokens.update(value if isinstance(value, list) else [] if value is None else [value])
    return frozenset(tokens)


def _describe(model: Any, tokenizer: Any, name: str, revision: str | None) -> dict[str, Any]:
    embedding, output = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    embeddings = embedding.numel() + (0 if output is embedding else output.numel())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    folder = Path(locate_checkpoint(name)) if name else None
    has_backend = tokenizer.is_fast
    text = tokenizer.backend_tokenizer.to_str() if has_backend else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    return {
        "model": name,
        "revision": revision,
        "commit": find_cached_commit(str(folder), revision) if folder is not None else None,
        "content_hash": hash_model(str(folder)) if folder is not None and folder.is_dir() else None,
        "tokenizer_hash": _hash(text),
        "chat_template_hash": _hash(json.dumps(tokenizer.chat_template, sort_keys=True)),
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "layers": model.config.get_text_config().num_hidden_layers,
        "hidden_size": model.config.get_text_config().hidden_size,
        "attention_width": _measure_attention(model.config.get_text_config()),
        "last_layer_after_norm": True,
        "parameters": parameters,
        "non_embedding_parameters": parameters - embeddings,
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
