"""Finds, loads and describes a causal language model in the format of Hugging Face.

`bundled:NAME` is the folder `bundled/NAME` of this package; any other name is a local folder or a hub id. This module
does not know how a model is sampled.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from nbest.errors import ConfigError
from nbest.records import Message
from nbest.sampling.tokenizing import TOKENIZING, count_text_tokens, require_template, tokenize_messages
from nbest.statistics.flops import forward_flops

BUNDLED = "bundled:"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A loaded policy and its vocabulary.

    `pieces` [V] is the text of each id; `end_tokens` end a completion; `context_tokens` is None where the config
    names no limit; `info` is what a run's manifest keeps.
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

    def resolve_layers(self, layers: tuple[int, ...]) -> tuple[int, ...]:
        """Return `layers` counted from 0, as in `hidden_states[k]`. Raises ConfigError for one that does not exist."""
        states = self.layer_count + 1
        wrong = [layer for layer in layers if not -states <= layer < states]
        if wrong or not layers:
            raise ConfigError(
                f"capture: layers {list(wrong or layers)} asked for; this model has hidden states 0..{states - 1} "
                f"(0 = embeddings, {states - 1} = last layer after the final norm; negative counts from the end)"
            )
        return tuple(layer % states for layer in layers)

    def tokenize_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the ids that the model reads for a conversation, generation prompt included."""
        return tokenize_messages(self.tokenizer, messages, self.template)

    def tokenize_text(self, text: str) -> list[int]:
        """Return the ids of a sampled text alone: the texts of control tokens are read as these tokens."""
        with TOKENIZING:
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

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
    return config.num_attention_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )


def locate_checkpoint(model: str) -> str:
    """Return the folder of `bundled:NAME`, or any other name as it is.

    Raises ConfigError where the package has no such model.
    """
    if not model.startswith(BUNDLED):
        return model
    root = Path(str(resources.files("nbest"))) / "bundled"
    folder = root / model.removeprefix(BUNDLED)
    if not (folder / "config.json").is_file():
        present = sorted(path.parent.name for path in root.glob("*/config.json"))
        raise ConfigError(f"model: {model!r} is not in this package (looked for {folder}; bundled: {present})")
    return str(folder)


def load_checkpoint(
    model: str,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    template: str = "chat",
    local_files_only: bool = False,
) -> Checkpoint:
    """Load a causal language model for inference.

    `dtype` "auto" is the checkpoint's own on an accelerator and float32 on a CPU (bfloat16 is emulated on most);
    `device` "auto" is the first CUDA device, else the CPU; `template` is "chat" (the tokenizer's chat template) or
    "none" (the prompt as it is). Raises ConfigError, naming what was looked for and where.
    """
    if template not in ("chat", "none"):
        raise ConfigError(f"template: {template!r} given; allowed are 'chat' and 'none'")
    target = choose_device(device)
    folder = locate_checkpoint(model)
    kwargs: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only}
    try:
        _refuse_recurrent(model, AutoConfig.from_pretrained(folder, **kwargs))
        tokenizer = AutoTokenizer.from_pretrained(folder, **kwargs)
        with without_progress_bar():
            network: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=choose_dtype(dtype, target), **kwargs)
    except ConfigError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"model: {model!r} (revision {revision or 'default'}) could not be loaded as a causal language model: "
            f"it is neither a local folder with config.json, weights and tokenizer, nor a hub id that can be reached "
            f"(local_files_only={local_files_only}). {type(error).__name__}: {error}"
        ) from error
    require_template(tokenizer, model, template)
    network.to(target).eval().requires_grad_(False)
    return describe_checkpoint(network, tokenizer, template, model, revision)


def load_prompt_tokenizer(tokenizer: str) -> Any:
    """Load the tokenizer that counts prompts, without its model: `bundled:NAME`, a folder or a hub id.

    Raises ConfigError where it cannot be loaded or has no chat template.
    """
    try:
        loaded: Any = AutoTokenizer.from_pretrained(locate_checkpoint(tokenizer))
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"tokenizer: {tokenizer!r} could not be loaded: it is neither bundled:NAME, nor a folder with a tokenizer, "
            f"nor a hub id that can be reached. {type(error).__name__}: {error}"
        ) from error
    if not loaded.chat_template:
        raise ConfigError(f"tokenizer: {tokenizer!r} has no chat template, and prompts are counted through it")
    # Prompts beyond the model's window are counted, not fed: no warning about them.
    loaded.model_max_length = int(1e30)
    return loaded


def describe_checkpoint(
    model: Any, tokenizer: Any, template: str = "none", name: str = "", revision: str | None = None
) -> Checkpoint:
    """Return the Checkpoint of a model and tokenizer that are in memory already, such as one in training.

    `info["content_hash"]` is None where no weight files stand behind `name`.
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
        context_tokens=getattr(text_config, "max_position_embeddings", None),
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


def choose_device(device: str) -> torch.device:
    """Return the device of this name; "auto" is the first CUDA device, else the CPU. Raises ConfigError."""
    try:
        target = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    except RuntimeError as error:
        raise ConfigError(f"device: {device!r} given; allowed are 'auto', 'cpu', 'cuda', 'cuda:N'") from error
    if target.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device: {device!r} asked for, but this torch ({torch.__version__}) sees no CUDA device")
    return target


def choose_dtype(dtype: str, target: torch.device) -> Any:
    """Return what transformers takes as `dtype` for a model on this device. Raises ConfigError."""
    if dtype == "auto":
        return torch.float32 if target.type == "cpu" else "auto"
    if dtype not in ("float32", "bfloat16", "float16"):
        raise ConfigError(f"dtype: {dtype!r} given; allowed are 'auto', 'float32', 'bfloat16', 'float16'")
    return getattr(torch, dtype)


def _refuse_recurrent(model: str, config: Any) -> None:
    kinds = set(getattr(config.get_text_config(), "layer_types", None) or ())
    recurrent = sorted(kind for kind in kinds if "attention" not in kind or "linear" in kind)
    if recurrent:
        raise ConfigError(
            f"model: {model!r} has layers of type {recurrent}, whose state is not a cache of keys and values; "
            f"this engine samples attention models only"
        )


def _find_end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    tokens: set[int] = set()
    for value in (getattr(model.generation_config, "eos_token_id", None), tokenizer.eos_token_id):
        tokens.update(value if isinstance(value, list) else [] if value is None else [value])
    return frozenset(tokens)


def _describe(model: Any, tokenizer: Any, name: str, revision: str | None) -> dict[str, Any]:
    embedding, output = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    embeddings = embedding.numel() + (0 if output is embedding else output.numel())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    folder = Path(locate_checkpoint(name)) if name else None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    return {
        "model": name,
        "revision": revision,
        "commit": getattr(model.config, "_commit_hash", None),
        "content_hash": _hash_folder(folder) if folder is not None and folder.is_dir() else None,
        "tokenizer_hash": _hash(text),
        "chat_template_hash": _hash(json.dumps(getattr(tokenizer, "chat_template", None), sort_keys=True)),
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


def _hash_folder(folder: Path) -> str:
    """Return one hash of the config and weight files, by name and content."""
    digest = hashlib.sha256()
    for path in sorted([folder / "config.json", *folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        digest.update(f"{path.name}\x1f{path.stat().st_size}\x1f".encode())
        with path.open("rb") as file:
            while chunk := file.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()
