import json

import pytest

from nbest.config import GenerativeConfig, PolicyConfig
from nbest.errors import ConfigError
from nbest.judging.prompts import PromptFormat
from nbest.judging.settings import fill_from_model, make_settings
from nbest.records import SamplingParams, user_message
from nbest.sampling.scripted import ScriptedSampler
from nbest.sampling.transformers import TransformersSampler
from tests.scoring.judges import Strings

TRAINED = {"style": "compact", "thinking": "keep", "window": 6, "kind": "math", "max_tokens": 96, "temperature": 0.7}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "selection.json").write_text(json.dumps(TRAINED))
    return tmp_path


def test_a_trained_selector_is_asked_as_it_was_trained(folder):
    filled_config = fill_from_model(GenerativeConfig(policy=PolicyConfig(model=str(folder)), repeats=3), folder)
    assert (filled_config.style, filled_config.thinking, filled_config.window, filled_config.repeats) == (
        "compact",
        "keep",
        6,
        3,
    )
    assert filled_config.sampling == SamplingParams(temperature=0.7, top_p=1.0, top_k=0, max_tokens=96)
    assert filled_config.policy.model == str(folder)


def test_what_a_config_says_counts_over_it(folder):
    own = GenerativeConfig(window=4, thinking="remove", sampling=SamplingParams(max_tokens=8))
    filled_config = fill_from_model(own, folder)
    assert (filled_config.window, filled_config.thinking, filled_config.style) == (4, "remove", "compact")
    assert filled_config.sampling == SamplingParams(max_tokens=8)


def test_a_folder_without_it_changes_nothing(tmp_path):
    config = GenerativeConfig()
    assert fill_from_model(config, tmp_path) is config
    assert (config.style, config.thinking, config.window) == ("published", "remove", 8)


@pytest.mark.parametrize("text", ["{", "[1]", "3", '{"window": 1}', '{"style": "new"}'])
def test_a_faulty_file_is_named(tmp_path, text):
    (tmp_path / "selection.json").write_text(text)
    with pytest.raises(ConfigError, match=r"selection\.json"):
        fill_from_model(GenerativeConfig(), tmp_path)


def test_a_setting_without_a_tokenizer():
    config = GenerativeConfig(retries=1, concurrency=3, seed=4, on_failure="majority", style="compact")
    judge_settings = make_settings(config, ScriptedSampler(["x"]), Strings())
    assert judge_settings.judge.retry.params == SamplingParams()
    assert (
        judge_settings.judge.retry.retries,
        judge_settings.judge.retry.concurrency,
        judge_settings.judge.retry.seed,
    ) == (1, 3, 4)
    assert (judge_settings.format, judge_settings.on_failure) == (PromptFormat("compact", "remove"), "majority")
    assert (judge_settings.window.budget_tokens, judge_settings.token_text) == (None, None)
    with pytest.raises(ConfigError, match="the tokens of this model cannot be counted"):
        make_settings(GenerativeConfig(budget_tokens=100), ScriptedSampler(["x"]), Strings())


def test_the_budget_is_what_the_context_leaves(create_checkpoint):
    sampler = TransformersSampler.from_checkpoint(create_checkpoint(context=512))
    judge_settings = make_settings(GenerativeConfig(sampling=SamplingParams(max_tokens=100)), sampler, Strings())
    bare = len(sampler.checkpoint.tokenize_prompt(user_message("")))
    assert judge_settings.window.budget_tokens == 512 - 100 - bare
    assert judge_settings.window.count("a+b") == 3
    assert judge_settings.token_text is not None
    assert judge_settings.token_text(sampler.checkpoint.tokenize_text("a")[0]) == "a"
    config_with_budget = GenerativeConfig(sampling=SamplingParams(max_tokens=100), budget_tokens=50)
    assert make_settings(config_with_budget, sampler, Strings()).window.budget_tokens == 50
    with pytest.raises(ConfigError, match=r"max_tokens: 10000 leaves no room .* 512 tokens"):
        make_settings(GenerativeConfig(), sampler, Strings())
