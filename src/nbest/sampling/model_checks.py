"""Finds a model and checks settings against its config and against this machine, before any weights are loaded.

`bundled:NAME` is the folder `bundled/NAME` of this package; any other name is a local folder or a hub id.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig

from nbest.errors import ConfigError
from nbest.hub import describe_error, needs_cache

BUNDLED = "bundled:"


def locate_checkpoint(model: str) -> str:
    """Return the folder of `bundled:NAME`, or any other name unchanged.

    Raises ConfigError if the package has no such model.
    """
    if not model.startswith(BUNDLED):
        return model
    root = Path(str(resources.files("nbest"))) / "bundled"
    folder = root / model.removeprefix(BUNDLED)
    if not (folder / "config.json").is_file():
        names = sorted(path.parent.name for path in root.glob("*/config.json"))
        raise ConfigError(f"model: {model!r} is not in this package (looked for {folder}; bundled are {names})")
    return str(folder)


def list_model_faults(
    model: str,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    template: str = "chat",
    layers: Sequence[int] | None = None,
) -> list[str]:
    """Return one message per setting that this model or machine does not allow; no weights are loaded.

    The arguments are those of `load_checkpoint`; `layers` are those whose hidden states are wanted, None for none. A
    model that cannot be found or read is one fault.
    """
    faults: list[str] = []

    def check(call: Callable[[], object]) -> None:
        try:
            call()
        except ConfigError as error:
            faults.extend(error.faults)

    def check_config() -> None:
        config = read_model_config(model, revision, needs_cache(locate_checkpoint(model), "model", revision))
        if layers is not None and (fault := find_layer_fault(layers, config.get_text_config().num_hidden_layers)):
            faults.append(fault)

    check(lambda: check_template(template))
    check(lambda: choose_dtype(dtype, choose_device(device)))
    check(check_config)
    return faults


def find_layer_fault(layers: Sequence[int], layer_count: int) -> str:
    """Return a message that names the layers that a model of `layer_count` layers lacks; "" if it has all of them."""
    states = layer_count + 1
    faults = [layer for layer in layers if not -states <= layer < states]
    if layers and not faults:
        return ""
    return (
        f"capture: got layers {list(faults or layers)}; this model has hidden states 0..{states - 1} "
        f"(0 = embeddings, {states - 1} = last layer after the final norm; negative counts from the end)"
    )


def read_model_config(model: str, revision: str | None = None, local_files_only: bool = False) -> Any:
    """Return the config of a model without its weights. Raises ConfigError where this engine cannot sample it."""
    with loading(model, revision, local_files_only):
        config = AutoConfig.from_pretrained(
            locate_checkpoint(model), revision=revision, local_files_only=local_files_only
        )
    _refuse_recurrent(model, config)
    return config


@contextmanager
def loading(model: str, revision: str | None, local_files_only: bool) -> Iterator[None]:
    """Translate what transformers raises for a model that it cannot load into a ConfigError that names the model."""
    try:
        yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ConfigError(
            f"model: {model!r} (revision {revision or 'default'}) could not be loaded as a causal language model: "
            f"it is neither a local folder with config.json, weights and tokenizer, nor a hub id that can be reached "
            f"(local_files_only={local_files_only}). {describe_error(error)}"
        ) from error


def check_template(template: str) -> None:
    """Raise ConfigError if `template` is not "chat" or "none"."""
    if template not in ("chat", "none"):
        raise ConfigError(f"template: got {template!r}; allowed are 'chat' and 'none'")


def choose_device(device: str) -> torch.device:
    """Return the device of this name; "auto" is the first CUDA device, else the CPU. Raises ConfigError."""
    try:
        target = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    except RuntimeError as error:
        raise ConfigError(f"device: got {device!r}; allowed are 'auto', 'cpu', 'cuda', 'cuda:N'") from error
    if target.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device: got {device!r}, but this torch ({torch.__version__}) sees no CUDA device")
    return target


def choose_dtype(dtype: str, target: torch.device) -> Any:
    """Return the argument `dtype` of transformers for a model on this device. Raises ConfigError."""
    if dtype == "auto":
        return torch.float32 if target.type == "cpu" else "auto"
    if dtype not in ("float32", "bfloat16", "float16"):
        raise ConfigError(f"dtype: got {dtype!r}; allowed are 'auto', 'float32', 'bfloat16', 'float16'")
    return getattr(torch, dtype)


def _refuse_recurrent(model: str, config: Any) -> None:
    text_config = config.get_text_config()
    kinds = set(text_config.layer_types or ()) if hasattr(text_config, "layer_types") else set[str]()
    recurrent = sorted(kind for kind in kinds if "attention" not in kind or "linear" in kind)
    if recurrent:
        raise ConfigError(
            f"model: {model!r} has layers of type {recurrent}, whose state is not a cache of keys and values; "
            "this engine samples models with attention layers only. Use policy.type = 'vllm' or 'openai'"
        )
