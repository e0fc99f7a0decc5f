"""Further step scorers, each as small as in its paper, with the interface and config of `scoring/step_scorer.py`.

All of them read the states of a run: those of the layers that the config names, at step ends, of a policy that is not
trained. Three papers read more, so their scorers here are written *after* them and are not the published methods:

- `step-mlp` STEP (arXiv 2601.09093): an MLP on each step alone.
- `sprm` after SPRM of MetaStone-S1 (arXiv 2507.01951): its head, loss and geometric mean. The paper also trains the
  policy that gives the states, reads its second-to-last layer, and ends steps at ".\\n\\n".
- `swift` after SWIFT (arXiv 2505.12225): its gated linear probe, and its mean weighted by the gates. The paper reads
  every token and all layers.
- `clue` after CLUE (arXiv 2510.01591): the nearest centroid of what changed in the state; no gradients. The paper reads
  the states at `<think>` and `</think>` of all layers.

Shapes: B trajectories, S steps (padded on the right), L layers, D policy hidden size, I = L * D + F inputs of a step.
"""

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from nbest.scoring.step_scorer import StepOutput, StepScorer, StepScorerConfig, read_scores


class StepMlpConfig(StepScorerConfig):
    model_type = "nbest-step-mlp"

    hidden_size: int = 512


class StepMlpModel(StepScorer):
    """An MLP with layers I, hidden and 1 on each step; its score is p(right) of the trajectory's outcome."""

    config_class = StepMlpConfig

    def __init__(self, config: StepMlpConfig):
        super().__init__(config)
        self.head = nn.Sequential(
            nn.Linear(config.input_size, config.hidden_size), nn.ReLU(), nn.Linear(config.hidden_size, 1)
        )
        self.post_init()

    def forward(self, states: Tensor, mask: Tensor, features: Tensor | None = None) -> StepOutput:  # noqa: ARG002
        logits = self.head(self.join_inputs(states, features)).float()
        return StepOutput(logits, read_scores(logits))


class SprmConfig(StepScorerConfig):
    """Aggregates by the geometric mean, as the paper does. `layers` may name the paper's second-to-last layer."""

    model_type = "nbest-sprm"

    aggregation: str = "geometric_mean"
    dropout: float = 0.1


class SprmModel(StepScorer):
    """An MLP with layers I, 2I and 1 and dropout, on each step."""

    config_class = SprmConfig

    def __init__(self, config: SprmConfig):
        super().__init__(config)
        size = config.input_size
        self.head = nn.Sequential(
            nn.Linear(size, 2 * size), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(2 * size, 1)
        )
        self.post_init()

    def forward(self, states: Tensor, mask: Tensor, features: Tensor | None = None) -> StepOutput:  # noqa: ARG002
        logits = self.head(self.join_inputs(states, features)).float()
        return StepOutput(logits, read_scores(logits))


class SwiftConfig(StepScorerConfig):
    model_type = "nbest-swift"


class SwiftModel(StepScorer):
    """Linear(I, 2): a reward r and a gate g per step; the trajectory's logit is sum(sigmoid(g) r) / sum(sigmoid(g))."""

    config_class = SwiftConfig

    def __init__(self, config: SwiftConfig):
        super().__init__(config)
        self.probe = nn.Linear(config.input_size, 2)
        self.post_init()

    def forward(self, states: Tensor, mask: Tensor, features: Tensor | None = None) -> StepOutput:
        rewards, gates = self.probe(self.join_inputs(states, features)).float().unbind(-1)
        return StepOutput(rewards[..., None], rewards.sigmoid(), gates.sigmoid() * mask)


def weigh(logits: Tensor, gates: Tensor) -> Tensor:
    """Return the logit [B] of each trajectory from rewards [B S 1] and gates [B S] (0 = padding): SWIFT, equation 2."""
    return (logits[..., 0] * gates).sum(-1) / gates.sum(-1).clamp_min(1e-9)


class ClueConfig(StepScorerConfig):
    model_type = "nbest-clue"


class ClueModel(StepScorer):
    """Two centroids [I] of delta = last step end - first step end, over right and over wrong trajectories.

    The paper takes the states at `<think>` and `</think>`. A run keeps the states at step ends, so the first and the
    last step end are used instead. The score of a step says how much nearer its delta from the first step is to the
    right centroid than to the wrong one; the score of the last step is the trajectory's.
    """

    config_class = ClueConfig

    def __init__(self, config: ClueConfig):
        super().__init__(config)
        self.centroids = nn.Parameter(torch.zeros(2, config.input_size), requires_grad=False)
        self.post_init()

    def fit_centroids(self, right: Tensor, wrong: Tensor) -> None:
        """Set the centroids to the means [I] of the deltas of right and of wrong trajectories."""
        with torch.no_grad():
            self.centroids.copy_(torch.stack([right, wrong]))

    def measure_deltas(self, states: Tensor, features: Tensor | None = None) -> Tensor:
        """Return the inputs of each step minus the inputs of the first step [B S I]."""
        inputs = self.join_inputs(states, features).float()
        return inputs - inputs[:, :1]

    def forward(self, states: Tensor, mask: Tensor, features: Tensor | None = None) -> StepOutput:  # noqa: ARG002
        deltas = self.measure_deltas(states, features)
        distances = torch.stack([(deltas - centroid).norm(dim=-1) for centroid in self.centroids.float()], dim=-1)
        logits = (distances[..., 1] - distances[..., 0])[..., None]
        return StepOutput(logits, logits[..., 0].sigmoid())


MODELS: dict[str, type[StepScorer]] = {
    "step-mlp": StepMlpModel,
    "sprm": SprmModel,
    "swift": SwiftModel,
    "clue": ClueModel,
}

for _model in MODELS.values():
    AutoConfig.register(_model.config_class.model_type, _model.config_class)
    AutoModel.register(_model.config_class, _model)
