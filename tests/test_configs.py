"""Every config of the package parses strictly and is found by name, and what the pages name exists."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nbest.config import SampleConfig, Section, load_config
from nbest.errors import ConfigError
from nbest.named_configs import NamedConfig, find_config, list_configs
from nbest.problems.benchmarks import list_benchmarks
from nbest.training.settings import PolicyTrainingConfig, ScorerTrainingConfig, SelectionTrainingConfig

ROOT = Path(__file__).parents[1]
CONFIGS = [config for config in list_configs() if config.kind != "launch"]
LAUNCHERS = [config.path for config in list_configs("launch") if config.path.suffix == ".yaml"]
PAGE = ROOT / "docs" / "trajselector.md"


SECTIONS: dict[str, type[Section]] = {
    "sample": SampleConfig,
    "policy": PolicyTrainingConfig,
    "scorer": ScorerTrainingConfig,
    "genselect": SelectionTrainingConfig,
}


def show(config: NamedConfig | Path) -> str:
    return config.name


@pytest.mark.parametrize("config", CONFIGS, ids=show)
def test_a_config_parses_strictly(config: NamedConfig) -> None:
    loaded = load_config(SECTIONS[config.kind], config.path)
    assert find_config(config.name, config.kind) == config.path
    assert config.summary.endswith(".")
    if isinstance(loaded, SampleConfig):
        source = loaded.problems.source
        assert source == "arithmetic" or source in {benchmark.name for benchmark in list_benchmarks()}
        assert loaded.policy.type == "transformers"
    if isinstance(loaded, ScorerTrainingConfig):
        assert set(loaded.data.runs).isdisjoint(loaded.data.validation_runs)


def test_a_path_counts_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "arithmetic").write_text("n = 3\n")
    assert load_config(SampleConfig, find_config("arithmetic", "sample")).n == 3
    assert find_config("mine.toml", "scorer") == Path("mine.toml")
    with pytest.raises(ConfigError, match=r"the package \(arithmetic, .*Did you mean 'trajselector_qwen3_8b'"):
        find_config("trajselector_qwen_8b", "sample")


def test_the_configs_ship_with_the_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "configs/*/*" in settings["tool"]["setuptools"]["package-data"]["nbest"]
    assert all(config.path.is_relative_to(ROOT / "src" / "nbest" / "configs") for config in list_configs())


def test_the_published_scorer_recipe() -> None:
    # arXiv 2510.16449v1, appendix: AdamW, lr 1e-4, weight decay 0.1, 3 epochs, bf16, 2 a device x 4 accumulated.
    recipe = load_config(ScorerTrainingConfig, find_config("trajselector_qwen3_8b", "scorer"))
    assert (recipe.epochs, recipe.learning_rate, recipe.weight_decay, recipe.bf16) == (3, 1e-4, 0.1, True)
    assert (recipe.batch_trajectories, recipe.accumulation) == (2, 4)
    model = recipe.model
    assert (model.type, model.body, model.classes, model.aggregation, model.layers) == (
        "trajselector",
        "Qwen/Qwen3-0.6B-Base",
        3,
        "mean",
        (-1,),
    )
    assert (model.states, model.logprobs, model.body_layers, model.body_random) == (True, False, None, False)
    assert len(recipe.data.runs) == 2
    # FreePRM's released code (arXiv 2506.03570) does not draw b, so b = 0.5.
    assert (recipe.loss.name, recipe.loss.least_buffer, recipe.loss.most_buffer) == ("guarded-half", 0.02, 0.98)


def test_the_published_sampling() -> None:
    # arXiv 2510.16449v1, section 4.
    preset = load_config(SampleConfig, find_config("trajselector_qwen3_8b", "sample"))
    sampling = preset.sampling
    assert preset.policy.model == "Qwen/Qwen3-8B"
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.6, 0.95, 20, 0.0)
    assert sampling.max_tokens == 10_000
    assert sampling.capture == (-1,)
    assert preset.policy.template == "chat"


@pytest.mark.parametrize("path", LAUNCHERS, ids=show)
def test_accelerate_knows_every_key(path: Path) -> None:
    config_args = pytest.importorskip("accelerate.commands.config.config_args")
    commands = pytest.importorskip("accelerate.commands.launch")
    loaded = config_args.load_config_from_file(str(path))
    option_names = set(vars(commands.launch_command_parser().parse_args(["script.py"])))
    for section in (loaded.deepspeed_config, loaded.fsdp_config):
        assert set(section) <= option_names
    assert loaded.mixed_precision == "bf16"


def commands_of(page: Path) -> list[list[str]]:
    """The words of every `nbest` command in the bash blocks of a page, without the program."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    matches = [re.search(r"(?:^|-m )nbest (.+)", line) for line in lines]
    return [shlex.split(match[1], comments=True) for match in matches if match]


@pytest.mark.parametrize("words", commands_of(PAGE), ids=" ".join)
def test_every_command_of_the_page_is_a_command(words: list[str]) -> None:
    from typer.main import get_command

    from nbest.cli.app import app

    command: Any = get_command(app)
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    options = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    assert {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= options


@pytest.mark.parametrize("name", re.findall(r"`((?:configs|src|benchmarks|docs)/[^`*\s]+)`", PAGE.read_text("utf-8")))
def test_every_file_of_the_page_exists(name: str) -> None:
    assert (ROOT / name).exists()
