import json
import math
from pathlib import Path
from types import SimpleNamespace
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
    ScorerTrainer,
    build_model,
    evaluate,
    measure_centroids,
    measure_inputs,
    read_sets,
    train_scorer,
    warn_of_buffer,
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
    with pytest.raises(EngineError, match=r"mean p_buffer is .*use loss\.name = 'guarded-half'"):
        train_scorer(config)


def test_the_guard_keeps_the_buffer_small_enough(tmp_path: Path, run: Path, body: Path) -> None:
    trained = train_scorer(configure(tmp_path, run, body, loss={"name": "guarded"}, epochs=20))
    assert trained.metrics["eval_p_buffer"] < 0.9


def test_half_is_the_guard_of_a_config_that_names_none(tmp_path: Path, run: Path, body: Path) -> None:
    trained = [
        train_scorer(configure(tmp_path / name, run, body, loss=loss, epochs=2))
        for name, loss in (("default", {}), ("half", {"name": "guarded-half"}))
    ]
    first, second = (AutoModel.from_pretrained(result.folder).state_dict() for result in trained)
    assert all(torch.equal(weights, second[name]) for name, weights in first.items())


def test_a_buffer_class_that_vanishes_is_warned_of_in_the_log_and_the_summary(
    tmp_path: Path, run: Path, body: Path
) -> None:
    # The signal is clear at every step, so either guard gives the class up in the end; the draw is faster.
    config = configure(
        tmp_path, run, body, loss={"name": "guarded-stochastic", "least_buffer": 0.3}, epochs=20, log_every=2
    )
    trained = train_scorer(config)
    assert trained.metrics["eval_p_buffer"] < 0.3
    (warning,) = trained.warnings
    assert "below loss.least_buffer = 0.3" in warning
    assert "'guarded-stochastic'" in warning
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    rows = [row for row in rows if "p_buffer" in row]
    assert all(("warning" in row) == (row["p_buffer"] < 0.3) for row in rows)
    assert any("warning" in row for row in rows)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"classes": 2}, "loss": {"name": "outcome"}},
        {"loss": {"name": "outcome"}},
        {"model": {"type": "swift"}},
    ],
    ids=["two-classes", "no-buffer-loss", "swift"],
)
def test_no_warning_where_no_buffer_is_trained(tmp_path: Path, run: Path, body: Path, changes: dict[str, Any]) -> None:
    assert warn_of_buffer(configure(tmp_path, run, body, **changes), 0.0) == ""
    assert warn_of_buffer(configure(tmp_path, run, body), 0.02) == ""
    assert "0.0199" in warn_of_buffer(configure(tmp_path, run, body), 0.0199)


class DrawsOfTheGuard(ScorerTrainer):
    """A trainer of which only the state matters that the draws of the guard depend on."""

    def __init__(self, config: ScorerTrainingConfig, process: int):
        self.config, self.state, self.accelerator = config, SimpleNamespace(global_step=0), SimpleNamespace()
        self.accelerator.process_index = process
        self._draw_update, self._draw_number = -1, 0

    def draw(self, update: int) -> float:
        self.state.global_step = update
        return float(torch.rand(1, generator=self._make_generator()))


def test_draws_of_the_guard_differ_by_process_update_and_micro_batch(tmp_path: Path, run: Path, body: Path) -> None:
    config = configure(tmp_path, run, body)
    draws = {
        (process, update, number): value
        for process in range(3)
        for trainer in [DrawsOfTheGuard(config, process)]
        for update in range(4)
        for number, value in enumerate([trainer.draw(update) for _ in range(4)])
    }
    assert len(set(draws.values())) == len(draws) == 48
    # A training that resumes at update 2 repeats its draws.
    resumed = DrawsOfTheGuard(config, 1)
    assert [resumed.draw(2) for _ in range(4)] == [draws[1, 2, number] for number in range(4)]
    other = DrawsOfTheGuard(configure(tmp_path, run, body, seed=2), 1)
    assert other.draw(2) != draws[1, 2, 0]


def test_one_trajectory_per_problem_thins_training_and_not_validation(tmp_path: Path, run: Path, body: Path) -> None:
    data = {"runs": [str(run)], "validation_share": 0.3, "balance": "run", "per_problem": 1}
    trained = train_scorer(configure(tmp_path, run, body, data=data, epochs=2, batch_trajectories=2))
    _, validation = read_sets(configure(tmp_path, run, body, data=data))
    assert trained.metrics["eval_mixed_pools"] == len(validation.problems)


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
