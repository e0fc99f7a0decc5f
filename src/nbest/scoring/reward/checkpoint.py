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
    LlamaConfig,
    LlamaModel,
    LlamaPreTrainedModel,
    MistralConfig,
    MistralModel,
    MistralPreTrainedModel,
    Qwen2Config,
    Qwen2Model,
    Qwen2PreTrainedModel,
)
from transformers.utils.hub import cached_file

from nbest.errors import ConfigError
from nbest.hub import needs_cache
from nbest.plurals import show_count
from nbest.sampling.checkpoint import choose_device, choose_dtype, locate_checkpoint, without_progress_bar
from nbest.scoring.reward.families import RewardFamily, find_family
from nbest.scoring.reward.implicit import LikelihoodRatio
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


def _make_validity_head(config: Any) -> nn.Linear:
    """Return ReasonEval's head. Its two sizes name the same settings in different ways."""
    classes = getattr(config, "score_dimension", None) or getattr(config, "score_dim", 3)
    has_bias = getattr(config, "use_bias", getattr(config, "bias", False))
    return nn.Linear(config.hidden_size, classes, bias=bool(has_bias))


class MistralForStepValidity(MistralPreTrainedModel):
    """ReasonEval-7B: a decoder body and `score_head`, Linear to (negative, neutral, positive)."""

    _keys_to_ignore_on_load_unexpected = [r"^lm_head\."]  # noqa: RUF012

    def __init__(self, config: MistralConfig):
        super().__init__(config)
        self.model = MistralModel(config)
        self.score_head = _make_validity_head(config)
        self.post_init()


class LlamaForStepValidity(LlamaPreTrainedModel):
    """ReasonEval-34B: as the smaller one, on another body."""

    _keys_to_ignore_on_load_unexpected = [r"^lm_head\."]  # noqa: RUF012

    def __init__(self, config: LlamaConfig):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.score_head = _make_validity_head(config)
        self.post_init()


@dataclass(frozen=True, slots=True, eq=False)
class RewardCheckpoint:
    """A loaded reward model. `body` returns hidden states [B T D], `head` the rewards [K] of hidden states [K D].

    `window_tokens` is None if the config has no limit. `info` describes the model to a reader. `ratio` replaces the
    head of a family that compares two language models.
    """

    body: Any
    head: Head
    reader: RewardReader
    family: RewardFamily
    window_tokens: int | None
    info: dict[str, Any]
    ratio: LikelihoodRatio | None = None

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return self.body.device

    def count_flops(self, tokens: int) -> float:
        """Return the floating-point operations of reading a row of `tokens` tokens (`statistics.flops`).

        The head is left out, because it is applied at step ends only. A family that compares two language models reads
        the row with both, and applies their heads at every token.
        """
        config = self.body.config.get_text_config()
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        flops = forward_flops(
            tokens,
            0,
            parameters=self.info["body_parameters"],
            layers=config.num_hidden_layers,
            attention_width=config.num_attention_heads * head_size,
        )
        return flops if self.ratio is None else 2 * (flops + 2 * tokens * config.hidden_size * config.vocab_size)


def load_reward_checkpoint(
    model: str,
    family: str | RewardFamily | None = None,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    local_files_only: bool = False,
    reference: str | None = None,
) -> RewardCheckpoint:
    """Load a reward model from a local folder or the hub, for inference.

    Without a `family`, it is found by the hub id. `dtype` and `device` are those of
    `sampling.checkpoint.load_checkpoint`. `reference` is the folder or hub id of the model that an "implicit" head
    divides by; None is that of the family. Raises ConfigError if the model cannot be loaded or lacks the head that the
    family needs (a head is never initialised at random).
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
    if kind.head != "implicit" and reference is not None:
        raise ConfigError(f"reference: family {kind.name!r} has none; leave the option out")
    other = None
    if kind.head == "implicit":
        network_of_reference = _load_reference(reference or kind.reference, number_format, local_files_only)
        other = network_of_reference.to(target).eval().requires_grad_(False)
    return describe_reward_checkpoint(network, tokenizer, kind, model, state, other)


def _load_reference(name: str, dtype: Any, local_files_only: bool) -> Any:
    """Return the causal language model that a reward model is divided by. Raises ConfigError if it cannot be loaded."""
    folder = locate_checkpoint(name)
    local = local_files_only or needs_cache(folder, "reference")
    try:
        with without_progress_bar():
            return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=local, **_NO_REMOTE_CODE)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ConfigError(
            f"reference: {name!r} could not be loaded as a causal language model; name a local folder or a reachable "
            f"hub id with the option reference. {type(error).__name__}: {error}"
        ) from error


def describe_reward_checkpoint(
    model: Any,
    tokenizer: Any,
    family: str | RewardFamily,
    name: str = "",
    head_state: dict[str, Tensor] | None = None,
    reference: Any = None,
) -> RewardCheckpoint:
    """Return a RewardCheckpoint of a model and tokenizer that are in memory already.

    `head_state` holds `weight` [1 D] and `bias` [1] of a "file" head, `reference` is the second language model of an
    "implicit" head. Raises ConfigError if the model lacks the head
    that the family needs.
    """
    kind = family if isinstance(family, RewardFamily) else find_family(family)
    reader = RewardReader(tokenizer, kind)
    body = model.base_model if hasattr(model, "base_model") else model
    embeddings = body.get_input_embeddings().weight.numel()
    parameters = sum(parameter.numel() for parameter in body.parameters())
    if kind.head == "implicit" and reference is None:
        raise ConfigError(f"model: family {kind.name!r} needs the language model that it is divided by (reference)")
    limits = [getattr(body.config.get_text_config(), "max_position_embeddings", None), kind.window_tokens]
    return RewardCheckpoint(
        body=body,
        head=_find_head(model, kind, reader, head_state),
        reader=reader,
        family=kind,
        window_tokens=min((limit for limit in limits if limit is not None), default=None),
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
        ratio=LikelihoodRatio(model, reference, kind.beta) if kind.head == "implicit" else None,
    )


def _load_network(folder: str, family: RewardFamily, dtype: Any, kwargs: dict[str, Any]) -> tuple[Any, set[str]]:
    """Return the network and the names of the weights that its checkpoint lacks."""
    options: dict[str, Any] = {**kwargs, "dtype": dtype, "output_loading_info": True}
    if family.head in ("classes", "value"):
        # Not AutoConfig: the hub's config points to code of its own, and Qwen2Config holds all that is needed.
        config = Qwen2Config.from_pretrained(folder, **kwargs)
        kind: Any = Qwen2ForProcessRewardModel if family.head == "classes" else Qwen2ForStepValue
        network, loading = kind.from_pretrained(folder, config=config, **options)
    elif family.head == "validity":
        config_class: Any = LlamaConfig if family.is_llama else MistralConfig
        validity: Any = LlamaForStepValidity if family.is_llama else MistralForStepValidity
        network, loading = validity.from_pretrained(
            folder, config=config_class.from_pretrained(folder, **kwargs), **options
        )
    elif family.head == "sequence":
        network, loading = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=1, **options, **_NO_REMOTE_CODE
        )
    else:
        auto: Any = AutoModelForCausalLM if family.head in ("tokens", "implicit") else AutoModel
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
    if family.head == "implicit":
        if model.get_output_embeddings() is None:
            raise ConfigError(f"model: family {family.name!r} needs a language model's head, which this model lacks")
        return lambda hidden: hidden[:, 0]  # not used: the checkpoint's ratio is read instead
    if family.head == "file":
        if state is None or set(state) != {"weight", "bias"}:
            raise ConfigError(f"model: family {family.name!r} needs {HEAD_FILE} with 'weight' and 'bias'")
        weight, bias = (state[key].to(model.device) for key in ("weight", "bias"))
        return lambda hidden: _apply(weight, bias, hidden)[:, 0].sigmoid()
    return _read_score(model, family)


def _read_score(model: Any, family: RewardFamily) -> Head:
    """Return the head that the model holds as `score`, `score_head` or `v_head.summary`."""
    modules = dict(cast(nn.Module, model).named_modules())
    score = modules.get({"value": "v_head.summary", "validity": "score_head"}.get(family.head, "score"))
    layers = [layer for layer in score.modules() if isinstance(layer, nn.Linear)] if score is not None else []
    shapes = [(layer.in_features, layer.out_features) for layer in layers]
    is_classes = family.head == "classes"
    size = {"classes": 2, "validity": 3}.get(family.head, 1)
    if len(layers) != 1 + is_classes or shapes[-1][1] != size:
        raise ConfigError(
            f"model: family {family.name!r} needs a head of kind {family.head!r}, "
            f"{show_count(1 + is_classes, 'linear layer')} to {show_count(size, 'number')}; "
            f"{type(model).__name__} has {shapes or 'none'}"
        )
    number_format, apply = layers[0].weight.dtype, cast(Callable[[Tensor], Tensor], score)

    def rate(hidden: Tensor) -> Tensor:
        logits = apply(hidden.to(number_format)).float()
        if is_classes:
            return logits.softmax(-1)[:, 1]
        if family.head == "validity":
            return logits.softmax(-1)[:, 1:].sum(-1)
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
