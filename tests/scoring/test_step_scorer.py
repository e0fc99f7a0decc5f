from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from nbest.errors import ConfigError
from nbest.scoring.step_heads import MODELS, ClueConfig, ClueModel, SwiftConfig, SwiftModel, weigh
from nbest.scoring.step_scorer import (
    StepScorer,
    TrajSelectorConfig,
    TrajSelectorModel,
    create_trajselector,
    read_scores,
)
from tests.training.scorer_runs import save_body


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal language model of two tiny layers, in bf16 as published ones are."""
    return save_body(tmp_path_factory.mktemp("body"), layers=2, dtype=torch.bfloat16)


def create(body: Path, features: int = 0, has_states: bool = True, **settings: object) -> TrajSelectorModel:
    config = TrajSelectorConfig(policy_hidden_size=6, layers=[3], features=features, has_states=has_states)
    return create_trajselector(config, body, **settings).eval()  # type: ignore[arg-type]


STATES = torch.randn(3, 5, 1, 6, generator=torch.Generator().manual_seed(1))
FEATURES = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(2))
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]], dtype=torch.bool)


def test_the_body_comes_without_embeddings_and_head_and_with_its_weights(body: Path) -> None:
    model = create(body)
    names = set(model.state_dict())
    assert not any("embed" in name or "lm_head" in name for name in names)
    source = AutoModel.from_pretrained(body, dtype=torch.float32).state_dict()
    for name, weights in model.body.state_dict().items():
        assert torch.equal(weights, source[name])


def test_a_body_can_be_cut_and_can_be_random(body: Path) -> None:
    cut = create(body, layers=1)
    assert len(cut.body.layers) == 1
    source = AutoModel.from_pretrained(body, dtype=torch.float32).state_dict()
    assert torch.equal(cut.body.state_dict()["layers.0.mlp.up_proj.weight"], source["layers.0.mlp.up_proj.weight"])
    random = create(body, is_random=True)
    name = "layers.0.mlp.up_proj.weight"
    assert not torch.equal(random.body.state_dict()[name], source[name])
    with pytest.raises(ConfigError, match=r"body\.layers: got 3; allowed are 1 to 2"):
        create(body, layers=3)
    with pytest.raises(ConfigError, match="cannot be loaded as a causal language model"):
        create(body / "nothing here")


def test_shapes_and_probabilities(body: Path) -> None:
    output = create(body)(STATES, MASK)
    assert output.logits.shape == (3, 5, 3)
    assert torch.allclose(output.scores, output.logits.softmax(-1)[..., 0])


def test_padding_changes_nothing(body: Path) -> None:
    model = create(body)
    whole = model(STATES, MASK).scores
    alone = model(STATES[1:2, :2], MASK[1:2, :2]).scores
    assert torch.allclose(whole[1:2, :2], alone, atol=1e-6)


def test_a_step_does_not_see_later_ones(body: Path) -> None:
    model = create(body)
    changed = STATES.clone()
    changed[:, 3:] += 1
    before, after = model(STATES, MASK).scores, model(changed, MASK).scores
    assert torch.allclose(before[:, :3], after[:, :3], atol=1e-6)
    assert not torch.allclose(before[0, 3:], after[0, 3:])


def test_saved_and_loaded_it_is_the_same(body: Path, tmp_path: Path) -> None:
    model = create(body, features=4)
    model.fit_inputs(torch.randn(10), torch.rand(10) + 0.5)
    model.save_pretrained(tmp_path)
    copy = AutoModel.from_pretrained(tmp_path).eval()
    assert isinstance(copy, TrajSelectorModel)
    assert torch.equal(copy(STATES, MASK, FEATURES).logits, model(STATES, MASK, FEATURES).logits)
    half = AutoModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert next(half.body.parameters()).dtype == torch.bfloat16
    assert half(STATES, MASK, FEATURES).logits.dtype == torch.float32


def test_log_probabilities_alone(body: Path) -> None:
    model = create(body, features=4, has_states=False)
    assert model.projection.in_features == 4
    first = model(STATES, MASK, FEATURES).scores
    assert torch.equal(first, model(STATES + 1, MASK, FEATURES).scores)


def test_inputs_of_other_sizes_are_refused(body: Path) -> None:
    with pytest.raises(ConfigError, match=r"reads 1 layer of 6 numbers per step, got \[2, 6\]"):
        create(body)(STATES.repeat(1, 1, 2, 1), MASK)
    with pytest.raises(ConfigError, match="reads 4 numbers per step beside the states"):
        create(body, features=4)(STATES, MASK)


def test_standardised_inputs_have_mean_zero_and_scale_one(body: Path) -> None:
    model = create(body)
    rows = STATES[MASK].flatten(1)
    # A constant input has the scale 0 and must not divide by it.
    scale = rows.std(0, correction=0)
    scale[2] = 0.0
    model.fit_inputs(rows.mean(0), scale)
    inputs = model.join_inputs(STATES, None)[MASK]
    assert torch.allclose(inputs.mean(0), torch.zeros(6), atol=1e-6)
    columns = [0, 1, 3, 4, 5]
    assert torch.allclose(inputs.std(0, correction=0)[columns], torch.ones(5), atol=1e-5)
    assert bool(torch.isfinite(inputs).all())


@pytest.mark.parametrize(
    ("readout", "expected"), [("right", 0.5), ("not-wrong", 0.8), ("half", 0.65), ("share", 0.5 / 0.7)]
)
def test_read_outs_of_three_classes_by_hand(readout: str, expected: float) -> None:
    # right .5, wrong .2, buffer .3
    logits = torch.tensor([[[0.5, 0.2, 0.3]]]).log()
    assert read_scores(logits, readout).item() == pytest.approx(expected)
    # Without a buffer all of them are p_right.
    assert read_scores(torch.tensor([[[0.7, 0.3]]]).log(), readout).item() == pytest.approx(0.7)
    assert read_scores(torch.tensor([[[0.0]]]), readout).item() == pytest.approx(0.5)


def test_a_read_out_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"readout: got 'wrong'; allowed are right, not-wrong, half, share"):
        read_scores(torch.zeros(1, 1, 3), "wrong")


def test_read_scores() -> None:
    # softmax of log(1, 2, 1) is (.25, .5, .25); the sigmoid of log 3 is 3/4.
    assert read_scores(torch.tensor([[[1.0, 2.0, 1.0]]]).log()).item() == pytest.approx(0.25)
    assert read_scores(torch.tensor([[[3.0]]]).log()).item() == pytest.approx(0.75)


@pytest.mark.parametrize("name", MODELS)
def test_heads_have_the_same_interface(name: str, tmp_path: Path) -> None:
    model_class = MODELS[name]
    model = model_class(model_class.config_class(policy_hidden_size=6, layers=[3])).eval()
    output = model(STATES, MASK)
    assert output.logits.shape == (3, 5, 1)
    assert output.scores.shape == (3, 5)
    model.save_pretrained(tmp_path)
    copy = AutoModel.from_pretrained(tmp_path).eval()
    assert isinstance(copy, model_class)
    assert isinstance(copy, StepScorer)
    assert torch.allclose(copy(STATES, MASK).logits, output.logits, atol=1e-6)
    assert torch.allclose(model(STATES[2:, :3], MASK[2:, :3]).scores, output.scores[2:, :3], atol=1e-6)


def test_swift_weighs_rewards_by_gates() -> None:
    model = SwiftModel(SwiftConfig(policy_hidden_size=2, layers=[0]))
    with torch.no_grad():
        model.probe.weight.copy_(torch.eye(2))
        model.probe.bias.zero_()
    # Rewards 1 and 4; gates sigmoid(0) = 1/2 and sigmoid(log 3) = 3/4: (1/2 * 1 + 3/4 * 4) / (5/4) = 2.8.
    states = torch.tensor([[[[1.0, 0.0]], [[4.0, 1.0986123]], [[9.0, 9.0]]]])
    output = model(states, torch.tensor([[True, True, False]]))
    assert output.gates is not None
    assert weigh(output.logits, output.gates).item() == pytest.approx(2.8)


def test_clue_measures_the_way_to_two_centroids() -> None:
    model = ClueModel(ClueConfig(policy_hidden_size=2, layers=[0]))
    model.fit_centroids(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 0.0]))
    # From the first step to the last the state moves by (3, 0): 4 from the right centroid, 3 from the wrong one.
    states = torch.tensor([[[[1.0, 1.0]], [[4.0, 1.0]]]])
    output = model(states, torch.ones(1, 2, dtype=torch.bool))
    assert output.logits[0, 1, 0].item() == pytest.approx(3 - 4)
    # The first step has moved nowhere: 5 from the right one, 0 from the wrong one.
    assert output.logits[0, 0, 0].item() == pytest.approx(0 - 5)
