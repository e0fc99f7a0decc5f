"""`nbest score` and `nbest train scorer` on small runs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nbest.storage.run import Run
from tests.scoring.reward_fixtures import create_model, create_tokenizer
from tests.training.scorer_runs import make_run

CONFIG = """
out = "{out}"
epochs = 3
batch_trajectories = 8
accumulation = 1
learning_rate = 1e-2
evaluations = 2
[data]
runs = ["{run}"]
validation_share = 0.3
[model]
type = "step-mlp"
hidden_size = 16
"""


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("pools") / "run", problems=20).path


@pytest.fixture
def model(nbest: Callable, pools: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "scorer"
    folder.mkdir()
    config = folder / "config.toml"
    config.write_text(CONFIG.format(out=folder / "out", run=pools))
    result = nbest("train", "scorer", config, "--json", "-")
    assert result.code == 0, result.err
    assert result.json["metrics"]["eval_within_pool_auc"] > 0.6
    assert (folder / "out" / "log.jsonl").read_text().count("eval_within_pool_auc") >= 2
    return Path(result.json["model"])


def test_a_trained_scorer_rates_a_run_and_its_scores_select(nbest: Callable, model: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", problems=4, first=100).path
    result = nbest("score", run, "-s", "mine", "--scorer-model", model, "--json", "-")
    assert result.code == 0, result.err
    assert result.json["scores"] == [{"scorer": "mine", "scored": 32, "without": 0, "reasons": {}}]
    assert nbest("score", run, "-s", "mean-logprob", "-s", "min-logprob").code == 0
    assert Run.open(run).scorers() == ["mean-logprob", "min-logprob", "mine"]
    for selector in ("score:mine", "vote:mine", "borda:mean-logprob"):
        assert nbest("select", run, "-s", selector).code == 0
    assert "vote:mine" in nbest("compare", run).out


def test_a_scorer_can_be_kept_under_another_name(nbest: Callable, model: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", problems=2).path
    assert nbest("score", run, "-s", "step-mlp", "--scorer-model", model, "--as", "second").code == 0
    assert Run.open(run).scorers() == ["second"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-s", "nobody"], 2, "scorer 'nobody' is none of"),
        (["-s", "swift"], 2, "does not come with the package: train one"),
        (["-s", "reward"], 2, "needs --scorer-model"),
        (["-s", "mean-logprob", "-s", "perplexity", "--as", "x"], 2, "belong to one scorer"),
        (["-s", "trajselector"], 3, "Train a scorer on this policy's states"),
        (["-s", "self-certainty"], 5, "self_certainty"),
        (["-s", "mine", "--scorer-model", "/nowhere"], 2, "cannot be loaded"),
    ],
)
def test_what_cannot_be_is_said(nbest: Callable, pools: Path, arguments: list[str], code: int, message: str) -> None:
    result = nbest("score", pools, *arguments)
    assert result.code == code
    assert message in " ".join(result.err.split())


@pytest.fixture
def reward_model(tmp_path: Path) -> Path:
    """A tiny reward model in a folder, as its family is on the hub."""
    folder = tmp_path / "reward"
    create_model("skywork-reward").save_pretrained(folder)
    create_tokenizer().save_pretrained(folder)
    return folder


def test_a_reward_model_rates_a_run(nbest: Callable, reward_model: Path, pools_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert nbest("import", "pools", run, pools_file).code == 0
    words = ("-s", "reward", "--scorer-model", reward_model, "--family", "skywork-reward")
    result = nbest("score", run, *words, "--json", "-")
    assert result.code == 0, result.err
    assert result.json["scores"] == [{"scorer": "reward", "scored": 8, "without": 0, "reasons": {}}]
    assert Run.open(run).scorers() == ["guess", "reward"]
    values = [score.value for score in Run.open(run).scores("reward")]
    assert len(set(values)) > 1
    assert nbest("select", run, "-s", "score:reward").code == 0
    # The same by the options of the method, and by the former spelling.
    options = f"reward(model={reward_model}, family=skywork-reward)"
    assert nbest("score", run, "-s", options, "--as", "second").code == 0
    former = nbest("score", run, "-s", "reward", "--model", reward_model, "--family", "skywork-reward", "--as", "third")
    assert former.code == 0
    assert "note: --model is now --scorer-model" in former.err
    for name in ("second", "third"):
        assert [score.value for score in Run.open(run).scores(name)] == values


def test_an_unknown_family_is_answered_with_a_close_one(nbest: Callable, reward_model: Path, pools: Path) -> None:
    result = nbest("score", pools, "-s", "reward", "--scorer-model", reward_model, "--family", "skywork-rewards")
    assert result.code == 2
    assert "Did you mean 'skywork-reward'?" in " ".join(result.err.split())


def test_options_of_a_scorer_are_part_of_its_name(nbest: Callable, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", problems=2).path
    result = nbest("score", run, "-s", "deepconf-bottom( window = 4 ,share=0.5)")
    if result.code == 5:
        assert "confidences" in result.err or "top_logprobs" in result.err
        return
    assert result.code == 0, result.err
    assert Run.open(run).scorers() == ["deepconf-bottom(share=0.5, window=4)"]


def test_the_combined_selector_needs_its_file(nbest: Callable, pools: Path) -> None:
    result = nbest("select", pools, "-s", "combined")
    assert result.code == 2
    assert "nbest train combined" in result.err
