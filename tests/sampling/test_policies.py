"""From a name or a config to a sampler, and what a manifest keeps of it."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from nbest.config import EndpointConfig, PolicyConfig
from nbest.errors import ConfigError
from nbest.protocols import PolicyDescription, Sampler
from nbest.registry import specs
from nbest.sampling.checkpoint import Checkpoint
from nbest.sampling.policies import describe_origin, load_policy, origin_of
from nbest.sampling.scripted import ScriptedSampler
from nbest.sampling.transformers import TransformersSampler


async def test_a_sampler_comes_back_as_it_is() -> None:
    sampler = ScriptedSampler(["a"])
    assert load_policy(sampler) is sampler


async def test_a_name_is_a_model_in_this_process() -> None:
    async with load_policy("bundled:arithmetic") as sampler:
        assert isinstance(sampler, TransformersSampler)
        identity = sampler.describe().identity
        info = sampler.describe().info
    # The manifests of older runs have these fields, in this order.
    assert list(identity) == [
        "type",
        "model",
        "content_hash",
        "tokenizer_hash",
        "chat_template_hash",
        "template",
        "dtype",
        "commit",
    ]
    assert identity["type"] == "transformers"
    assert {name: info[name] for name in identity if name != "type"} == {
        name: value for name, value in identity.items() if name != "type"
    }
    assert info["batch_rows"] == 256
    with pytest.raises(ConfigError, match="bundled:nothing"):
        load_policy("bundled:nothing")


async def test_the_settings_of_a_config_reach_the_engine() -> None:
    config = PolicyConfig(template="none", dtype="bfloat16", device="cpu", batch_rows=3)
    async with load_policy(config) as sampler:
        info = sampler.describe().info
    assert [info[name] for name in ("template", "dtype", "device", "batch_rows")] == ["none", "bfloat16", "cpu", 3]


async def test_a_server() -> None:
    config = PolicyConfig(type="openai", model="m", endpoint=EndpointConfig(base_url="http://h:1/v1", dialect="openai"))
    async with load_policy(config) as sampler:
        assert sampler.describe() == PolicyDescription(
            {"type": "openai", "model": "m", "template": "chat", "dialect": "openai"}, {"base_url": "http://h:1/v1"}
        )
    with pytest.raises(ConfigError, match=r"policy\.endpoint\.base_url"):
        load_policy(PolicyConfig(type="openai", model="m"))


def test_a_script() -> None:
    sampler = load_policy(PolicyConfig(type="scripted", script=("a", "b")))
    assert isinstance(sampler, Sampler)
    assert sampler.describe() == PolicyDescription({"type": "scripted", "script": ["a", "b"]}, {})
    with pytest.raises(ConfigError, match=r"policy\.script"):
        load_policy(PolicyConfig(type="scripted"))


def test_the_origin_of_states(create_checkpoint: Callable[..., Checkpoint]) -> None:
    sampler = TransformersSampler.from_checkpoint(create_checkpoint())
    rule = {"step_rule": "blank-line", "last_layer_after_norm": "true"}
    # A model in memory has no weight files and therefore no hash of them.
    assert origin_of(sampler.describe()) == {"model": "", "dtype": "float32"} | rule
    assert describe_origin(create_checkpoint().info) == origin_of(sampler.describe())
    assert origin_of(ScriptedSampler(["a"]).describe()) == rule


def test_the_specs_load_no_engine() -> None:
    assert [spec.name for spec in specs("sampler")][:4] == ["transformers", "vllm", "openai", "scripted"]
    code = "import sys, nbest.sampling.methods, nbest.sampling.policies; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
