"""Tiny reward models of the real architectures, with a tokenizer that holds their special tokens. No download."""

import string
from functools import cache
from typing import Any

SPECIAL = ["<pad>", "<s>", "<unk>", "<extra_0>", "<|im_start|>", "<|im_end|>"]
# Byte-level names of space and newline; the pieces that SentencePiece has beside them.
CHARACTERS = ["Ġ", "Ċ", *string.ascii_letters, *string.digits, *"+-,.:;\\{}<>/_#|='", "▁", "\n"]
MERGED = ["ки", "▁ки", "▁+", "▁-"]
# What stands for characters that the vocabulary lacks.
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
WORDS = [*SPECIAL, *CHARACTERS, "к", "и", *MERGED, *BYTES]
ID = {word: index for index, word in enumerate(WORDS)}
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
)


@cache
def create_tokenizer(
    bos: str | None = None, template: str | None = TEMPLATE, special: tuple[str, ...] = tuple(SPECIAL[3:])
) -> Any:
    """Qwen's own tokenizer class over single characters."""
    from transformers import Qwen2Tokenizer

    tokenizer = Qwen2Tokenizer(ID, [], unk_token="<unk>", bos_token=bos, eos_token="<pad>", pad_token="<pad>")
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    tokenizer.chat_template = template
    return tokenizer


@cache
def create_piece_tokenizer() -> Any:
    """Llama's and Mistral's own tokenizer class: a word-start mark before each word, `ки` one piece with it."""
    from transformers import LlamaTokenizer

    merges = [("к", "и"), ("▁", "ки"), ("▁", "+"), ("▁", "-")]
    return LlamaTokenizer(ID, merges, unk_token="<unk>", bos_token="<s>", eos_token="<pad>", pad_token="<pad>")


def choose_tokenizer(family: str) -> Any:
    if family == "reasoneval":
        return create_tokenizer(bos="<s>")
    return create_piece_tokenizer() if HEADS[family] == "tokens" else create_tokenizer()


def create_config(kind: str, context: int = 512, hidden: int = 16, **more: Any) -> Any:
    from transformers import AutoConfig

    sizes: dict[str, Any] = {
        "vocab_size": len(WORDS),
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": context,
        "initializer_range": 0.4,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 0,
    }
    return AutoConfig.for_model(kind, **(sizes | more))


HEADS = {
    "qwen2.5-math-prm": "classes",
    "qwen2.5-math-prm800k": "classes",
    "reasonflux-prm": "classes",
    "reasonflux-prm-1.5b": "file",
    "math-shepherd": "tokens",
    "skywork-o1-open-prm": "value",
    "skywork-reward": "llama",
    "acemath-rm": "qwen2",
    "reasoneval": "validity",
    "reasoneval-34b": "validity-llama",
    "eurusprm": "implicit",
}


BODIES = {"tokens": "mistral", "llama": "llama", "validity": "mistral", "validity-llama": "llama"}


@cache
def create_reference(context: int = 512, hidden: int = 16) -> Any:
    """The language model that an implicit reward model is divided by."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(7)
    return AutoModelForCausalLM.from_config(create_config("qwen2", context, hidden)).eval().requires_grad_(False)


@cache
def create_model(family: str, context: int = 512, hidden: int = 16) -> Any:
    """A random model of the family's architecture."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, Qwen2Model

    from nbest.scoring.reward.checkpoint import (
        LlamaForStepValidity,
        MistralForStepValidity,
        Qwen2ForProcessRewardModel,
        Qwen2ForStepValue,
    )

    torch.manual_seed(5)
    head = HEADS[family]
    config = create_config(BODIES.get(head, "qwen2"), context, hidden)
    if head == "classes":
        model = Qwen2ForProcessRewardModel(config)
    elif head == "value":
        model = Qwen2ForStepValue(config)
    elif head == "file":
        model = Qwen2Model(config)
    elif head == "validity":
        config.score_dimension, config.use_bias = 3, True
        model = MistralForStepValidity(config)
    elif head == "validity-llama":
        config.score_dim, config.bias = 3, False
        model = LlamaForStepValidity(config)
    elif head in ("tokens", "implicit"):
        model = AutoModelForCausalLM.from_config(config)
    else:
        config.num_labels = 1
        model = AutoModelForSequenceClassification.from_config(config)
    return model.eval().requires_grad_(False)


@cache
def create_head_state(hidden: int = 16) -> dict[str, Any]:
    import torch

    torch.manual_seed(6)
    return {"weight": torch.randn(1, hidden), "bias": torch.randn(1)}


def create_checkpoint(family: str, context: int = 512, hidden: int = 16) -> Any:
    from nbest.scoring.reward.checkpoint import describe_reward_checkpoint

    state = create_head_state(hidden) if HEADS[family] == "file" else None
    model = create_model(family, context, hidden)
    reference = create_reference(context, hidden) if HEADS[family] == "implicit" else None
    return describe_reward_checkpoint(model, choose_tokenizer(family), family, "", state, reference)
