"""Strict configs: every fault at once, each with its place."""

import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from nbest.config import PolicyConfig, SampleConfig, load_config, parse_config
from nbest.errors import ConfigError
from nbest.named_configs import find_config
from nbest.sampling.policies import load_policy
from nbest.training.settings import PolicyTrainingConfig


def test_defaults_are_the_published_settings() -> None:
    # TrajSelector (arXiv 2510.16449): T=0.6, top-p 0.95, top-k 20, min-p 0, 10,000 new tokens.
    sampling = SampleConfig().sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.6, 0.95, 20, 0.0)
    assert sampling.max_tokens == 10_000
    assert sampling.capture is None


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("n = 0\nsurprise = 1\n[sampling]\ntemprature = 1.0\n[policy]\ntype = 'gpt'\n")
    with pytest.raises(ConfigError) as caught:
        load_config(SampleConfig, path)
    text = str(caught.value)
    assert len(caught.value.faults) == 3
    assert f"{path}: n: Input should be greater than or equal to 1; got 0" in text
    assert "surprise: unknown key. Known keys here: n, policy, problems, sampling, seed" in text
    assert "sampling.temprature: unknown key. Known keys here: capture, max_tokens" in text
    # A type may be that of a plug-in: it is looked up when the policy is loaded.
    with pytest.raises(ConfigError, match="sampler 'gpt' is none of transformers, vllm, openai, scripted"):
        load_policy(PolicyConfig(type="gpt"))


@pytest.mark.parametrize("content", ["n = = 1", "n = 'unclosed", "\xff\xfe"])
def test_what_is_no_toml_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match="not a TOML file"):
        load_config(SampleConfig, path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read"):
        load_config(SampleConfig, tmp_path / "absent.toml")


def test_numbers_are_not_made_from_words() -> None:
    with pytest.raises(ConfigError, match="n: "):
        parse_config(SampleConfig, {"n": "32"}, "test")


def test_the_recipe_of_the_bundled_weights_is_the_default() -> None:
    recipe = load_config(PolicyTrainingConfig, find_config("policy_arithmetic", "policy"))
    assert recipe == PolicyTrainingConfig(out=recipe.out)


@pytest.mark.parametrize(
    ("problems", "told"),
    [
        (
            {"file": "copy.jsonl"},
            "test: problems: file = 'copy.jsonl' belongs to a benchmark, and source is",
        ),
        (
            {"source": "aime_2024", "split": "train", "seed": 3},
            "split = 'train', seed = '3' belongs to the source",
        ),
    ],
)
def test_what_a_source_of_problems_does_not_use_is_refused(problems: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        parse_config(SampleConfig, {"problems": problems}, "test")


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({"engine": {"a": 1}, "script": ["x"]}, "script: only type 'scripted' reads it; engine: only type 'vllm'"),
        ({"endpoint": {"base_url": "http://h/v1"}}, "endpoint: only type 'openai' reads it; type is 'transformers'"),
        ({"type": "scripted", "script": ["x"], "model": "m"}, "model: only type 'transformers' or 'vllm' or 'openai'"),
        ({"type": "openai", "dtype": "float32", "batch_rows": 2}, "dtype: only type 'transformers' or 'vllm' reads it"),
        # The default, where somebody has written it down, is refused as any other value.
        ({"type": "openai", "batch_rows": 256}, "batch_rows: only type 'transformers' reads it; type is 'openai'"),
        ({"type": "vllm", "device": "cuda"}, "device: only type 'transformers' reads it; type is 'vllm'"),
    ],
)
def test_what_a_type_of_policy_does_not_read_is_refused(tmp_path: Path, policy: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        parse_config(SampleConfig, {"policy": policy}, "test")
    with pytest.raises(ValidationError, match=re.escape(told)):
        PolicyConfig(**policy)  # pyright: ignore[reportArgumentType]
    path = tmp_path / "x.toml"
    lines = [f"{name} = {_write_toml(value)}" for name, value in policy.items()]
    path.write_text("\n".join(["[policy]", *lines]))
    with pytest.raises(ConfigError, match=re.escape(told)):
        load_config(SampleConfig, path)


def test_a_field_without_a_value_is_not_refused() -> None:
    config = PolicyConfig(type="openai", model="m", script=(), engine={}, revision=None)
    assert (config.type, config.model) == ("openai", "m")


def _write_toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_write_toml(item)}" for name, item in value.items()) + "}"
    return json.dumps(value)
