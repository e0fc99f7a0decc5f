"""Loading a model from a folder, and the messages where it cannot be loaded."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nbest.errors import ConfigError
from nbest.records import SamplingParams, user_message
from nbest.sampling.checkpoint import Checkpoint, load_checkpoint, locate_checkpoint
from nbest.sampling.collecting import collect
from nbest.sampling.transformers import TransformersSampler

Create = Callable[..., Checkpoint]


@pytest.fixture(scope="module")
def folder(create_checkpoint: Create, tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkpoint = create_checkpoint(template="chat")
    path = tmp_path_factory.mktemp("model")
    checkpoint.model.save_pretrained(path)
    checkpoint.tokenizer.save_pretrained(path)
    return path


async def test_a_folder_samples_what_the_model_in_memory_samples(create_checkpoint: Create, folder: Path):
    params = SamplingParams(temperature=1, top_p=1, top_k=0, max_tokens=12)
    async with TransformersSampler(str(folder), batch_rows=4) as sampler:
        completions = await collect(sampler, user_message("abc"), [1, 2], params)
        info = sampler.describe().info
    async with TransformersSampler.from_checkpoint(create_checkpoint(template="chat")) as sampler:
        expected = await collect(sampler, user_message("abc"), [1, 2], params)
    assert [one.tokens.tolist() for one in completions] == [one.tokens.tolist() for one in expected]
    assert info["model"] == str(folder)
    assert info["layers"] == 3
    assert info["hidden_size"] == 32
    assert info["dtype"] == "float32"
    assert info["last_layer_after_norm"] is True
    assert len(info["content_hash"]) == len(info["tokenizer_hash"]) == 64
    assert info["parameters"] > info["non_embedding_parameters"] > 0


def test_hashes_change_with_the_files_they_hash(folder: Path):
    before = load_checkpoint(str(folder)).info
    template = folder / "chat_template.jinja"
    config = folder / "config.json"
    text = template.read_text(), config.read_text()
    template.write_text(text[0] + " ")
    config.write_text(text[1] + "\n")
    after = load_checkpoint(str(folder)).info
    template.write_text(text[0])
    config.write_text(text[1])
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"chat_template_hash", "content_hash"}


async def test_template_arguments_reach_the_prompts_and_the_identity_of_a_policy(folder: Path, tmp_path: Path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    template = "{% if mode is defined and not mode %}+{% endif %}{{ messages[0]['content'] }}"
    (tmp_path / "chat_template.jinja").write_text(template)
    params = SamplingParams(temperature=1, top_p=1, top_k=0, max_tokens=3)
    prompts, hashes = {}, {}
    for name, arguments in (("none", None), ("off", {"mode": False}), ("on", {"mode": True})):
        async with TransformersSampler(str(tmp_path), batch_rows=4, template_arguments=arguments) as sampler:
            (completion,) = await collect(sampler, user_message("abc"), [1], params)
            hashes[name] = sampler.describe().identity["chat_template_hash"]
            prompts[name] = load_checkpoint(str(tmp_path)).decode(completion.prompt_tokens.tolist())
    assert prompts == {"none": "abc", "off": "+abc", "on": "abc"}
    assert len(set(hashes.values())) == 3
    with pytest.raises(ConfigError, match="has no variable thinking"):
        TransformersSampler(str(tmp_path), template_arguments={"thinking": False})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "/nowhere/model", "local_files_only": True}, "'/nowhere/model' .* could not be loaded"),
        ({"model": "bundled:none"}, "not in this package .*bundled/none"),
        ({"template": "jinja"}, "template: got 'jinja'"),
        ({"device": "gpu"}, "device: got 'gpu'"),
        ({"dtype": "int8"}, "dtype: got 'int8'"),
    ],
)
def test_faulty_settings_are_named(folder: Path, settings: dict[str, str], message: str):
    with pytest.raises(ConfigError, match=message):
        load_checkpoint(**{"model": str(folder), **settings})  # pyright: ignore[reportArgumentType]


def test_a_tokenizer_without_a_template_needs_template_none(folder: Path, tmp_path: Path):
    for path in folder.iterdir():
        if path.name != "chat_template.jinja":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ConfigError, match="template='none'"):
        load_checkpoint(str(tmp_path))
    assert load_checkpoint(str(tmp_path), template="none").template == "none"


def test_recurrent_layers_are_refused(folder: Path, tmp_path: Path):
    from transformers import AutoConfig

    AutoConfig.for_model("qwen3_next", layer_types=["linear_attention"], num_hidden_layers=1).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ConfigError, match="linear_attention"):
        load_checkpoint(str(tmp_path))


def test_batch_rows_must_be_positive(folder: Path):
    with pytest.raises(ConfigError, match="batch_rows: got 0"):
        TransformersSampler(str(folder), batch_rows=0)


def test_other_names_are_left_alone():
    assert locate_checkpoint("Qwen/Qwen3-8B") == "Qwen/Qwen3-8B"


def test_flops_by_hand(create_checkpoint: Create):
    checkpoint = create_checkpoint()
    parameters = checkpoint.info["non_embedding_parameters"]
    # 30 tokens: 2 * parameters * 30, and 2 * 3 layers * 32 wide * 30 * 30 = 172,800 for attention.
    assert checkpoint.count_flops(10, 20) == 60 * parameters + 172_800
    assert checkpoint.resolve_layers((-1, 0)) == (3, 0)
