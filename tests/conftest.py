"""Tiny random policies for every test that needs a model, the relation of answers, and real data where it is there."""

import gzip
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from nbest.verifying.equivalence import Equivalence

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

END = 1
WORDS = [
    "<pad>",
    "<eos>",
    "<think>",
    "</think>",
    "\n\n",
    ".\n\n",
    "?\n\n",
    "!\n\n",
    "\n",
    " ",
    *"abcdefghijklmnop0123456789+-",
]


@cache
def _create_tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"</?think>|[.?!]?\n\n|\n|."), "isolated")
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>", pad_token="<pad>")
    tokenizer.chat_template = "{{ messages[0]['content'] }}\n{% if add_generation_prompt %}<think>{% endif %}"
    return tokenizer


@cache
def _create_checkpoint(kind: str, template: str, dtype: str, context: int) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from nbest.sampling.checkpoint import describe_checkpoint

    sizes: dict[str, Any] = {
        "vocab_size": len(WORDS) + 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": context,
        "initializer_range": 0.25,
        "bos_token_id": 0,
        "eos_token_id": END,
        "pad_token_id": 0,
    }
    if kind == "gpt2":
        sizes = {"vocab_size": len(WORDS) + 2, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": context}
        sizes |= {"initializer_range": 0.25, "eos_token_id": END, "bos_token_id": 0, "pad_token_id": 0}
    if kind == "gemma3_text":
        # Layers alternate between a window of 8 tokens and full attention.
        sizes |= {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
    torch.manual_seed(3)
    config = AutoConfig.for_model(kind, **sizes)
    model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval().requires_grad_(False)
    # More ways to end, so that lengths vary.
    model.generation_config.eos_token_id = [END, WORDS.index("o"), WORDS.index("p")]
    return describe_checkpoint(model, _create_tokenizer(), template)


@pytest.fixture(scope="session")
def create_checkpoint() -> Callable[..., Any]:
    """`create_checkpoint(kind="qwen3", template="none", dtype="float32", context=512)`: a Checkpoint, one per kind."""

    def create(kind: str = "qwen3", template: str = "none", dtype: str = "float32", context: int = 512) -> Any:
        return _create_checkpoint(kind, template, dtype, context)

    return create


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What benchmarks held at their first load is remembered in a folder of the tests, never in the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def equivalence() -> Iterator[Equivalence]:
    """One relation, with one worker process, for all tests of a session."""
    with Equivalence(limit_seconds=10.0) as relation:
        yield relation


@pytest.fixture(scope="session")
def read_data() -> Any:
    """Read a file of real data by its name; skip where it is absent."""

    def read(name: str) -> list[dict[str, Any]]:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"{path} is not there: real data is not part of the repository")
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if name.endswith(".gz") else raw).decode()
        return [json.loads(line) for line in text.splitlines() if line]

    return read
