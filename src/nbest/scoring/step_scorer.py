"""TrajSelector: a light decoder that reads the policy's hidden states at step ends and says right, wrong or buffer.

`trajselector` is the paper's model (arXiv 2510.16449, section 3): a linear projection of each step's vector, the
sequence of projected vectors through a decoder body as input embeddings, a two-layer head to three classes. The score
of a step is p(right); the trajectory's is the aggregate of its steps, the mean in the paper. `trajselector-fused` goes
beyond it: each step's vector is joined by the summary of its tokens' log-probabilities (`statistics/logprobs.py`).

A scorer fits the states of one policy, taken at the layers, the norm and the step rule it was trained for; these
stand in its config (`StatesSource`) and `scoring/hidden.py` refuses others. This module does not know runs or losses.

Shapes: B trajectories, S steps of the longest (padded on the right), L layers, D policy hidden size, F features,
C classes, W width of the body.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from nbest.errors import ConfigError

RIGHT, WRONG, BUFFER = 0, 1, 2
"""The classes, in the order of the logits. With two classes there is no buffer; with one the logit is that of right."""


@dataclass(frozen=True, slots=True, eq=False)
class StepOutput:
    """`logits` [B S C], `scores` [B S] = p(right) of each step, `gates` [B S] where the steps are weighed."""

    logits: Tensor
    scores: Tensor
    gates: Tensor | None = None


def read_scores(logits: Tensor) -> Tensor:
    """p(right) [B S] from logits [B S C]: softmax over the classes, sigmoid of a single logit."""
    return logits[..., 0].sigmoid() if logits.shape[-1] == 1 else logits.softmax(-1)[..., RIGHT]


class StepScorerConfig(PreTrainedConfig):
    """What every scorer of steps states of itself.

    `policy_hidden_size` D, `layers` the policy's layers that are read (transformers' numbering), `features` F numbers
    a step beside them, `aggregation` how the scores of steps become one (`scoring/aggregation.py`), `states_source`
    what is known of the states it was trained on: model, content_hash, step_rule, last_layer_after_norm.
    """

    model_type = "nbest-step-scorer"

    policy_hidden_size: int = 4096
    layers: list[int] | None = None
    features: int = 0
    has_states: bool = True
    aggregation: str = "mean"
    states_source: dict[str, Any] | None = None

    @property
    def input_size(self) -> int:
        """The numbers of one step: L * D states and F features."""
        return self.has_states * len(self.layers or [-1]) * self.policy_hidden_size + self.features


class StepScorer(PreTrainedModel):
    """The seam of all scorers of steps: `forward(states, mask, features)`.

    Inputs are standardised by statistics of the training set, kept as buffers (`fit_inputs`); until they are fitted
    they change nothing.
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
        """Standardise inputs [.. L*D+F] by these; a scale of 0 (a constant) becomes 1."""
        with torch.no_grad():
            self.input_mean.copy_(mean)
            self.input_scale.copy_(torch.where(scale > 0, scale, torch.ones_like(scale)))

    def join_inputs(self, states: Tensor, features: Tensor | None) -> Tensor:
        """[B S L*D+F] from states [B S L D] and features [B S F], standardised. Raises ConfigError."""
        config = self.config
        rows = [states.flatten(2)] if config.has_states else []
        if config.features:
            if features is None or features.shape[-1] != config.features:
                raise ConfigError(
                    f"features: this scorer reads {config.features} numbers a step beside the states "
                    f"(log-probabilities), got {'none' if features is None else features.shape[-1]}"
                )
            rows.append(features.to(states.dtype))
        joined = rows[0] if len(rows) == 1 else torch.cat(rows, dim=-1)
        if joined.shape[-1] != config.input_size:
            raise ConfigError(
                f"states: this scorer reads {len(config.layers or [-1])} layers of {config.policy_hidden_size} numbers "
                f"a step, got {list(states.shape[2:])}"
            )
        dtype = self.dtype
        return ((joined - self.input_mean) / self.input_scale).to(dtype)

    def forward(self, states: Tensor, mask: Tensor, features: Tensor | None = None) -> StepOutput:
        """`states` [B S L D], `mask` [B S] True for steps, `features` [B S F] where the config asks for them."""
        raise NotImplementedError

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class TrajSelectorConfig(StepScorerConfig):
    """`body` is the config of the decoder (as its `to_dict()`); `classes` 3 (right, wrong, buffer) or 2."""

    model_type = "nbest-trajselector"

    body: dict[str, Any] | None = None
    classes: int = 3


class TrajSelectorModel(StepScorer):
    """The step scorer with a decoder body. Make a new one with `create_trajselector`."""

    config_class = TrajSelectorConfig

    def __init__(self, config: TrajSelectorConfig):
        super().__init__(config)
        if not config.body:
            raise ConfigError("body: a TrajSelectorModel needs the config of its decoder; see create_trajselector")
        settings = dict(config.body)
        body_config = AutoConfig.for_model(settings.pop("model_type"), **settings)
        # In this model's own dtype (from_pretrained makes it the default meanwhile), not that of the body's origin.
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
        return StepOutput(logits, read_scores(logits))


def strip_embeddings(body: nn.Module) -> None:
    """A body is fed vectors: its token embeddings (a quarter of Qwen3-0.6B) are dropped."""
    body.set_input_embeddings(nn.Identity())  # pyright: ignore[reportCallIssue]


def create_trajselector(
    config: TrajSelectorConfig, body: str | Path, layers: int | None = None, is_random: bool = False
) -> TrajSelectorModel:
    """A new scorer whose decoder is that of a causal LM, loaded without its LM head and embeddings.

    `body` is a folder or hub id; `layers` keeps only its lowest ones; `is_random` takes its shape alone.
    Raises ConfigError where it cannot be loaded.
    """
    try:
        text = AutoConfig.from_pretrained(str(body)).get_text_config()
        loaded = None if is_random else AutoModel.from_pretrained(str(body), dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ConfigError(f"body: {str(body)!r} cannot be loaded as a causal language model: {error}") from error
    if layers is not None:
        cut_layers(text, layers)
    text.dtype = None
    config.body = text.to_diff_dict() | {"model_type": text.model_type}
    config.body.pop("_name_or_path", None)
    model = TrajSelectorModel(config)
    if loaded is not None:
        weights = loaded.state_dict()
        model.body.load_state_dict({name: weights[name] for name in model.body.state_dict()})
    return model


def cut_layers(config: PreTrainedConfig, layers: int) -> None:
    """Keep the lowest `layers` of a decoder's config. Raises ConfigError where it has fewer."""
    if not 1 <= layers <= config.num_hidden_layers:
        raise ConfigError(f"body.layers: {layers} asked for; the body has {config.num_hidden_layers}")
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]


AutoConfig.register(TrajSelectorConfig.model_type, TrajSelectorConfig)
AutoModel.register(TrajSelectorConfig, TrajSelectorModel)
