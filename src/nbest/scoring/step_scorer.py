"""TrajSelector: a small decoder that reads the policy's hidden states and classifies steps as right, wrong or buffer.

`trajselector` is the paper's model (arXiv 2510.16449, section 3): a linear projection of each step's vector, the
sequence of projected vectors through a decoder body as input embeddings, a two-layer head to three classes. The score
of a step is p(right); the trajectory's is the aggregate of its steps, the mean in the paper. `trajselector-fused` adds
to each step's vector the summary of its tokens' log-probabilities (`statistics/logprobs.py`).

A scorer reads the states of the policy, layers, norm and step rule that it was trained on. Its config records them
(`states_source`), and `scoring/hidden.py` refuses other states. This module does not know runs or losses.

Shapes: B trajectories, S steps of the longest (padded on the right), L layers, D policy hidden size, F features,
C classes, W width of the body.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from nbest.errors import ConfigError
from nbest.hub import needs_cache
from nbest.plurals import show_count

RIGHT, WRONG, BUFFER = 0, 1, 2
"""The classes, in the order of the logits. With two classes there is no buffer; a single logit belongs to RIGHT."""


Readout: TypeAlias = Literal["right", "not-wrong", "half", "share"]
"""Which number of the three probabilities of a step is its score.

    right      p_right, as in the paper
    not-wrong  1 - p_wrong = p_right + p_buffer
    half       p_right + p_buffer / 2
    share      p_right / (p_right + p_wrong): the odds without the buffer

With two classes or one logit there is no buffer, and all four are p_right.
"""


@dataclass(frozen=True, slots=True, eq=False)
class StepOutput:
    """The output of a step scorer.

    `logits` [B S C], `scores` [B S] of each step, p(right) unless the config names another read-out, `gates` [B S] the
    weights of the steps, None if the model has none.
    """

    logits: Tensor
    scores: Tensor
    gates: Tensor | None = None


def read_scores(logits: Tensor, readout: str = "right") -> Tensor:
    """Return the scores [B S] of steps from logits [B S C]: by softmax over the classes, or of a single logit.

    Raises ConfigError for an unknown read-out.
    """
    if readout not in get_args(Readout):
        raise ConfigError(f"readout: got {readout!r}; allowed are {', '.join(get_args(Readout))}")
    if logits.shape[-1] == 1:
        return logits[..., 0].sigmoid()
    if readout == "share":
        return (logits[..., RIGHT] - logits[..., WRONG]).sigmoid()
    p = logits.softmax(-1)
    if readout == "right" or logits.shape[-1] <= BUFFER:
        return p[..., RIGHT]
    return 1 - p[..., WRONG] if readout == "not-wrong" else p[..., RIGHT] + p[..., BUFFER] / 2


class StepScorerConfig(PreTrainedConfig):
    """The config that all step scorers share.

    `policy_hidden_size` is D. `layers` are the policy's layers that are read (transformers' numbering; None = the last
    one). `features` is F, the number of further inputs per step; `has_states` = False reads these alone. `aggregation`
    says how step scores become one value (`scoring/aggregation.py`), `readout` which number of the three probabilities
    is the score of a step (`Readout`). `states_source` is the origin of the states it was trained on: model,
    content_hash, step_rule, last_layer_after_norm; what is not known is absent.
    """

    model_type = "nbest-step-scorer"

    policy_hidden_size: int = 4096
    layers: list[int] | None = None
    features: int = 0
    has_states: bool = True
    aggregation: str = "mean"
    readout: str = "right"
    states_source: dict[str, Any] | None = None

    @property
    def input_size(self) -> int:
        """The number of inputs of one step: L * D of states and F features."""
        return self.has_states * len(self.layers or [-1]) * self.policy_hidden_size + self.features


class StepScorer(PreTrainedModel):
    """The base class of all step scorers; subclasses define `forward(states, mask, features)`.

    Inputs are standardised by the mean and scale of the training set, which `fit_inputs` stores in the model. Until
    then they are 0 and 1 and change nothing.
    """

    config: StepScorerConfig  # pyright: ignore[reportIncompatibleVariableOverride]
    config_class: type[StepScorerConfig] = StepScorerConfig  # pyright: ignore[reportIncompatibleVariableOverride]
    base_model_prefix = "scorer"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: StepScorerConfig):
        super().__init__(config)
        self.input_mean = nn.Parameter(torch.zeros(config.input_size), requires_grad=False)
        self.input_scale = nn.Parameter(torch.ones(config.input_size), requires_grad=False)

    def fit_inputs(self, mean: Tensor, scale: Tensor) -> None:
        """Standardise inputs by `mean` and `scale`, both [L*D+F], from now on; a scale of 0 (a constant) becomes 1."""
        with torch.no_grad():
            self.input_mean.copy_(mean)
            self.input_scale.copy_(torch.where(scale > 0, scale, torch.ones_like(scale)))

    def join_inputs(self, states: Tensor, features: Tensor | None) -> Tensor:
        """Return the standardised inputs [B S L*D+F] of states [B S L D] and features [B S F].

        Raises ConfigError if their sizes are not those of the config.
        """
        config = self.config
        blocks = [states.flatten(2)] if config.has_states else []
        if config.features:
            if features is None or features.shape[-1] != config.features:
                raise ConfigError(
                    f"features: this scorer reads {show_count(config.features, 'number')} per step beside the states "
                    f"(log-probabilities), got {'none' if features is None else features.shape[-1]}"
                )
            blocks.append(features.to(states.dtype))
        inputs = blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=-1)
        if inputs.shape[-1] != config.input_size:
            raise ConfigError(
                f"states: this scorer reads {show_count(len(config.layers or [-1]), 'layer')} of "
                f"{show_count(config.policy_hidden_size, 'number')} per step, got {list(states.shape[2:])}"
            )
        dtype = self.dtype
        return ((inputs - self.input_mean) / self.input_scale).to(dtype)

    def forward(self, states: Tensor, mask: Tensor, features: Tensor | None = None) -> StepOutput:
        """Score the steps of `states` [B S L D]; `mask` [B S] is True for steps.

        `features` [B S F] are needed where the config has any.
        """
        raise NotImplementedError

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class TrajSelectorConfig(StepScorerConfig):
    """`body` is the config of the decoder, as `to_dict()` returns it; `classes` is 3 (right, wrong, buffer) or 2."""

    model_type = "nbest-trajselector"

    body: dict[str, Any] | None = None
    classes: int = 3


class TrajSelectorModel(StepScorer):
    """The step scorer with a decoder body. `create_trajselector` creates a new one from a language model."""

    config_class = TrajSelectorConfig

    def __init__(self, config: TrajSelectorConfig):
        super().__init__(config)
        if not config.body:
            raise ConfigError("body: a TrajSelectorModel needs the config of its decoder; see create_trajselector")
        settings = dict(config.body)
        body_config = AutoConfig.for_model(settings.pop("model_type"), **settings)
        # In the dtype of this model, which from_pretrained makes the default while it loads, and not in the dtype of
        # the body.
        self.body = AutoModel.from_config(
            body_config, attn_implementation=config._attn_implementation, dtype=torch.get_default_dtype()
        )
        strip_embeddings(self.body)
        width = body_config.hidden_size
        self.projection = nn.Linear(config.input_size, width)
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.classes))
        self.post_init()

    def forward(self, states: Tensor, mask: Tensor, features: Tensor | None = None) -> StepOutput:
        embeds = self.projection(self.join_inputs(states, features))
        hidden = self.body(inputs_embeds=embeds, attention_mask=mask.long(), use_cache=False).last_hidden_state
        logits = self.head(hidden).float()
        return StepOutput(logits, read_scores(logits, self.config.readout))


def strip_embeddings(body: nn.Module) -> None:
    """Drop the token embeddings of a body (a quarter of Qwen3-0.6B): its inputs are vectors, not tokens."""
    body.set_input_embeddings(nn.Identity())  # pyright: ignore[reportCallIssue]


def create_trajselector(
    config: TrajSelectorConfig, body: str | Path, layers: int | None = None, is_random: bool = False
) -> TrajSelectorModel:
    """Return a new scorer with the decoder of a causal language model, without the model's head and embeddings.

    `body` is a folder or hub id. `layers` keeps only that many of its lowest layers (None = all). `is_random` takes the
    shape of the body and leaves its weights random.
    Raises ConfigError if it cannot be loaded.
    """
    kwargs: dict[str, Any] = {"local_files_only": needs_cache(str(body), "body")}
    try:
        body_config = AutoConfig.from_pretrained(str(body), **kwargs).get_text_config()
        source = None if is_random else AutoModel.from_pretrained(str(body), dtype=torch.float32, **kwargs)
    except (OSError, ValueError) as error:
        raise ConfigError(f"body: {str(body)!r} cannot be loaded as a causal language model: {error}") from error
    if layers is not None:
        cut_layers(body_config, layers)
    body_config.dtype = None
    config.body = body_config.to_diff_dict() | {"model_type": body_config.model_type}
    config.body.pop("_name_or_path", None)
    model = TrajSelectorModel(config)
    if source is not None:
        weights = source.state_dict()
        model.body.load_state_dict({name: weights[name] for name in model.body.state_dict()})
    return model


def cut_layers(config: PreTrainedConfig, layers: int) -> None:
    """Keep the lowest `layers` of a decoder's config. Raises ConfigError if it has fewer."""
    if not 1 <= layers <= config.num_hidden_layers:
        raise ConfigError(
            f"body.layers: got {layers}; allowed are 1 to {config.num_hidden_layers}, the layers of the body"
        )
    config.num_hidden_layers = layers
    if hasattr(config, "layer_types") and config.layer_types:
        config.layer_types = config.layer_types[:layers]


AutoConfig.register(TrajSelectorConfig.model_type, TrajSelectorConfig)
AutoModel.register(TrajSelectorConfig, TrajSelectorModel)
