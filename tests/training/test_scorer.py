import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, TrainerCallback

from nbest.config import parse_config
from nbest.errors import ConfigError, EngineError
from nbest.scoring.step_heads import ClueModel
from nbest.training import scorer as scorer_training
from nbest.training.callbacks import find_checkpoint
from nbest.training.scorer import (
    build_model,
    evaluate,
    measure_centroids,
    measure_inputs,
    read_sets,
    train_scorer,
)
from nbest.training.settings import ScorerTrainingConfig
from tests.training.scorer_runs import make_run, save_body


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_body(tmp_path_factory.mktemp("body"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run", problems=40).path


def configure(out: Path, run: Path, body: Path, **changes: Any) -> ScorerTrainingConfig:
    values: dict[str, Any] = {
        "out": str(out),
        "data": {"runs": [str(run)], "validation_share": 0.3},
        "model": {"body": str(body)} | changes.pop("model", {}),
        "epochs": 4,
        "batch_trajectories": 8,
        "accumulation": 1,
        "learning_rate": 1e-2,
        "evaluations": 3,
        "log_every": 5,
    }
    return parse_config(ScorerTrainingConfig, values | changes, "test")


@pytest.mark.parametrize("kind", ["trajselector", "step-mlp", "sprm", "swift", "clue"])
def test_every_type_learns_what_the_states_say(kind: str, tmp_path: Path, run: Path, body: Path) -> None:
    trained = train_scorer(configure(tmp_path, run, body, model={"type": kind}, epochs=12))
    # CLUE sees only how the state changed between the first and the last step, and the signal here is constant.
    assert trained.metrics["eval_within_pool_auc"] > (0.3 if kind == "clue" else 0.9)
    loaded = AutoModel.from_pretrained(trained.folder)
    assert loaded.config.layers == [3]
    assert loaded.config.states_source["content_hash"] == "abc"
    assert json.loads((trained.folder / "metrics.json").read_text()) == dict(trained.metrics)


def test_no_problem_is_in_both_sets(tmp_path: Path, run: Path, body: Path) -> None:
    training, validation = read_sets(configure(tmp_path, run, body))
    assert not set(training.problems) & set(validation.problems)
    assert len(training.problems) + len(validation.problems) == 40
    other = make_run(tmp_path / "other", problems=10, first=35)
    data = {"runs": [str(run)], "validation_runs": [str(other.path)], "validation_problems": 4}
    training, validation = read_sets(configure(tmp_path, run, body, data=data))
    assert validation.problems == ["p35", "p36", "p37", "p38"]
    assert not set(training.problems) & {f"p{i}" for i in range(35, 45)}


def test_the_printed_loss_collapses_and_training_stops_with_the_reason(tmp_path: Path, run: Path, body: Path) -> None:
    config = configure(tmp_path, run, body, loss={"name": "printed"}, epochs=60)
    with pytest.raises(EngineError, match=r"mean p_buffer is .*use loss\.name = 'guarded'"):
        train_scorer(config)


def test_the_guard_keeps_the_buffer_small_enough(tmp_path: Path, run: Path, body: Path) -> None:
    trained = train_scorer(configure(tmp_path, run, body, loss={"name": "guarded"}, epochs=20))
    assert trained.metrics["eval_p_buffer"] < 0.9


class KillAt(TrainerCallback):
    def __init__(self, update: int):
        self.update = update

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if state.global_step == self.update:
            raise KeyboardInterrupt


def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path, run: Path, body: Path) -> None:
    whole = train_scorer(configure(tmp_path / "whole", run, body))
    config = configure(tmp_path / "killed", run, body)
    with pytest.raises(KeyboardInterrupt):
        train_scorer(config, [KillAt(30)])
    assert list((tmp_path / "killed" / "checkpoints").glob("checkpoint-*"))
    resumed = train_scorer(config)
    first, second = (AutoModel.from_pretrained(result.folder).state_dict() for result in (whole, resumed))
    for name, weights in first.items():
        assert torch.allclose(weights, second[name], atol=1e-5), name


def test_a_checkpoint_that_was_being_written_is_passed_over(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path) is None
    for number, state in ((5, "{}"), (10, "{}"), (100, '{"half'), (200, None)):
        (tmp_path / f"checkpoint-{number}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{number}" / "trainer_state.json").write_text(state)
    assert find_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


def test_log_probabilities_alone_and_nothing_at_all(tmp_path: Path, run: Path, body: Path) -> None:
    trained = train_scorer(configure(tmp_path, run, body, model={"states": False, "logprobs": True}, epochs=1))
    assert 0 <= trained.metrics["eval_within_pool_auc"] <= 1
    with pytest.raises(ConfigError, match="states and logprobs are both false"):
        train_scorer(configure(tmp_path / "none", run, body, model={"states": False}))


def test_centroids_are_means_over_all_batches(
    tmp_path: Path, run: Path, body: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(tmp_path, run, body, model={"type": "clue"})
    training, _ = read_sets(config)
    model = build_model(config.model, training)
    assert isinstance(model, ClueModel)
    whole = measure_centroids(training, model, config)
    monkeypatch.setattr(scorer_training, "EVALUATION_BATCH", 7)
    for one, other in zip(whole, measure_centroids(training, model, config), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_inputs_are_standardised_by_the_training_set(tmp_path: Path, run: Path, body: Path) -> None:
    config = configure(tmp_path, run, body, model={"type": "clue"})
    training, validation = read_sets(config)
    model = AutoModel.from_pretrained(train_scorer(config).folder)
    assert isinstance(model, ClueModel)
    mean, scale = measure_inputs(training, model.config)
    assert torch.allclose(model.input_mean, mean)
    # The informative dimension is +2 or -2 with unit noise: a standard deviation of about sqrt(4 + 1).
    assert scale[0].item() == pytest.approx(math.sqrt(5), rel=0.2)
    assert evaluate(model, validation)["eval_mixed_pools"] == len(validation.problems)
