"""Loads a reward model from the hub or a folder and describes it. No code from a hub is ever run.

Checkpoints whose classes live on the hub (Qwen2.5-Math-PRM, Skywork-o1-Open-PRM) are loaded into the two classes
here, which hold the same weights under the same names. This module does not know texts, pools or scores.

Shapes: B rows, T tokens, K positions of rewards, D hidden size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import torch
import transformers
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Qwen2Config,
    Qwen2Model,
    Qwen2PreTrainedModel,
)
from transformers.utils.hub import cached_file

from nbest.errors import ConfigError
from nbest.hub import needs_cache
from nbest.sampling.checkpoint import choose_device, choose_dtype, locate_checkpoint, without_progress_bar
from nbest.scoring.reward.families import RewardFamily, find_family
from nbest.scoring.reward.inputs import RewardReader
from nbest.statistics.flops import forward_flops

HEAD_FILE = "reward_head.pt"

# Without this, transformers asks at the terminal whether to run the code.
_NO_REMOTE_CODE: dict[str, Any] = {"trust_remote_code": False}

Head: TypeAlias = Callable[[Tensor], Tensor]
"""Returns the rewards [K] of hidden states [K D], float32."""


class Qwen2ForProcessRewardModel(Qwen2PreTrainedModel):
    """Qwen2.5-Math-PRM: a decoder body and `score`, Linear-ReLU-Linear to (wrong, right)."""

    _keys_to_ignore_on_load_unexpected = [r"^lm_head\."]  # noqa: RUF012 (transformers' own form)

    def __init__(self, config: Qwen2Config):
        super().__init__(config)
        size = config.hidden_size
        self.model = Qwen2Model(config)
        self.score = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 2))
        self.post_init()


class ValueHead(nn.Module):
    """`summary`: Linear to one value (its dropout is for training only)."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.summary = nn.Linear(hidden_size, 1)


class Qwen2ForStepValue(Qwen2PreTrainedModel):
    """Skywork-o1-Open-PRM: a decoder body and `v_head.summary`. The language model's head beside it is not used."""

    _keys_to_ignore_on_load_unexpected = [r"^lm_head\."]  # noqa: RUF012

    def __init__(self, config: Qwen2Config):
        super().__init__(config)
        self.model = Qwen2Model(config)
        self.v_head = ValueHead(config.hidden_size)
        self.post_init()


@dataclass(frozen=True, slots=True, eq=False)
class RewardCheckpoint:
    """A loaded reward model. `body` returns hidden states [B T D], `head` the rewards [K] of hidden states [K D].

    `window_tokens` is None if the config has no limit. `info` describes the model to a reader.
    """

    body: Any
    head: Head
    reader: RewardReader
    family: RewardFamily
    window_tokens: int | None
    info: dict[str, Any]

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return self.body.device

    def count_flops(self, tokens: int) -> float:
        """Return the floating-point operations of reading a row of `tokens` tokens (`statistics.flops`).

        The head is left out, because it is applied at step ends only.
        """
        config = self.body.config.get_text_config()
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return forward_flops(
            tokens,
            0,
            parameters=self.info["body_parameters"],
            layers=config.num_hidden_layers,
            attention_width=config.num_attention_heads * head_size,
        )


def load_reward_checkpoint(
    model: str,
    family: str | RewardFamily | None = None,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    local_files_only: bool = False,
) -> RewardCheckpoint:
    """Load a reward model from a local folder or the hub, for inference.

    Without a `family`, it is found by the hub id. `dtype` and `device` are those of
    `sampling.checkpoint.load_checkpoint`. Raises ConfigError if the model cannot be loaded or lacks the head that
    the family needs (a head is never initialised at random).
    """
    kind = family if isinstance(family, RewardFamily) else find_family(family, model)
    target = choose_device(device)
    number_format = choose_dtype(dtype, target)
    folder = locate_checkpoint(model)
    local_files_only = local_files_only or needs_cache(folder, "model", revision)
    kwargs: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **kwargs, **_NO_REMOTE_CODE)
        with without_progress_bar():
            network, missing = _load_network(folder, kind, number_format, kwargs)
        state = _load_head_file(folder, kwargs) if kind.head == "file" else None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ConfigError(
            f"model: {model!r} (revision {revision or 'default'}) could not be loaded as a reward model of family "
            f"{kind.name!r}: it must be a local folder or a reachable hub id (local_files_only={local_files_only}) "
            f"with config.json, tokenizer, a body and a head of kind {kind.head!r}. {type(error).__name__}: {error}"
        ) from error
    if missing:
        raise ConfigError(
            f"model: {model!r} lacks weights that family {kind.name!r} needs (head {kind.head!r}): "
            f"{sorted(missing)[:6]}. It is not a reward model, or one of another family"
        )
    network.to(target).eval().requires_grad_(False)
    return describe_reward_checkpoint(network, tokenizer, kind, model, state)


def describe_reward_checkpoint(
    model: Any,
    tokenizer: Any,
    family: str | RewardFamily,
    name: str = "",
    head_state: dict[str, Tensor] | None = None,
) -> RewardCheckpoint:
    """Return a RewardCheckpoint of a model and tokenizer that are in memory already.

    `head_state` holds `weight` [1 D] and `bias` [1] of a "file" head. Raises ConfigError if the model lacks the head
    that the family needs.
    """
    kind = family if isinstance(family, RewardFamily) else find_family(family)
    reader = RewardReader(tokenizer, kind)
    body = model.base_model if hasattr(model, "base_model") else model
    embeddings = body.get_input_embeddings().weight.numel()
    parameters = sum(parameter.numel() for parameter in body.parameters())
    return RewardCheckpoint(
        body=body,
        head=_find_head(model, kind, reader, head_state),
        reader=reader,
        family=kind,
        window_tokens=getattr(body.config.get_text_config(), "max_position_embeddings", None),
        info={
            "model": name,
            "family": kind.name,
            "commit": getattr(model.config, "_commit_hash", None),
            "dtype": str(body.dtype).removeprefix("torch."),
            "device": str(body.device),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "body_parameters": parameters - embeddings,
        },
    )


def _load_network(folder: str, family: RewardFamily, dtype: Any, kwargs: dict[str, Any]) -> tuple[Any, set[str]]:
    """Return the network and the names of the weights that its checkpoint lacks."""
    options: dict[str, Any] = {**kwargs, "dtype": dtype, "output_loading_info": True}
    if family.head in ("classes", "value"):
        # Not AutoConfig: the hub's config points to code of its own, and Qwen2Config holds all that is needed.
        config = Qwen2Config.from_pretrained(folder, **kwargs)
        kind: Any = Qwen2ForProcessRewardModel if family.head == "classes" else Qwen2ForStepValue
        network, loading = kind.from_pretrained(folder, config=config, **options)
    elif family.head == "sequence":
        network, loading = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=1, **options, **_NO_REMOTE_CODE
        )
    else:
        auto: Any = AutoModelForCausalLM if family.head == "tokens" else AutoModel
        network, loading = auto.from_pretrained(folder, **options, **_NO_REMOTE_CODE)
    return network, set(loading["missing_keys"])


def _load_head_file(folder: str, kwargs: dict[str, Any]) -> dict[str, Tensor]:
    path: Any = cached_file(folder, HEAD_FILE, **kwargs)
    return torch.load(path, map_location="cpu", weights_only=True)


def _find_head(model: Any, family: RewardFamily, reader: RewardReader, state: dict[str, Tensor] | None) -> Head:
    if family.head == "tokens":
        output = model.get_output_embeddings()
        if output is None:
            raise ConfigError(
                f"model: family {family.name!r} needs a language model's head, which {type(model).__name__} lacks"
            )
        tokens = [reader.find_token(family.good), reader.find_token(family.bad)]
        bias = output.bias[tokens] if getattr(output, "bias", None) is not None else None
        # Two rows of the head, applied at the tags only: logits of the whole vocabulary are never computed.
        return _TokenHead(output.weight[tokens], bias)
    if family.head == "file":
        if state is None or set(state) != {"weight", "bias"}:
            raise ConfigError(f"model: family {family.name!r} needs {HEAD_FILE} with 'weight' and 'bias'")
        weight, bias = (state[key].to(model.device) for key in ("weight", "bias"))
        return lambda hidden: _apply(weight, bias, hidden)[:, 0].sigmoid()
    return _read_score(model, family)


def _read_score(model: Any, family: RewardFamily) -> Head:
    """Return the head that the model holds as `score` or `v_head.summary`."""
    modules = dict(cast(nn.Module, model).named_modules())
    score = modules.get("v_head.summary" if family.head == "value" else "score")
    layers = [layer for layer in score.modules() if isinstance(layer, nn.Linear)] if score is not None else []
    shapes = [(layer.in_features, layer.out_features) for layer in layers]
    is_classes = family.head == "classes"
    if len(layers) != 1 + is_classes or shapes[-1][1] != 1 + is_classes:
        raise ConfigError(
            f"model: family {family.name!r} needs a head of kind {family.head!r}, {1 + is_classes} linear layer(s) to "
            f"{1 + is_classes} number(s); {type(model).__name__} has {shapes or 'none'}"
        )
    number_format, apply = layers[0].weight.dtype, cast(Callable[[Tensor], Tensor], score)

    def rate(hidden: Tensor) -> Tensor:
        logits = apply(hidden.to(number_format)).float()
        if is_classes:
            return logits.softmax(-1)[:, 1]
        return logits[:, 0].sigmoid() if family.head == "value" else logits[:, 0]

    return rate


def _apply(weight: Tensor, bias: Tensor | None, hidden: Tensor) -> Tensor:
    return nn.functional.linear(hidden.to(weight.dtype), weight, bias).float()


class _TokenHead:
    """The probability of the first of two tokens, from their two rows of the language model's head."""

    def __init__(self, weight: Tensor, bias: Tensor | None):
        self.weight, self.bias = weight, bias

    def __call__(self, hidden: Tensor) -> Tensor:
        return _apply(self.weight, self.bias, hidden).softmax(-1)[:, 0]
