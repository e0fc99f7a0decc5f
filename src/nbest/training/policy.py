"""Train the bundled policy from scratch: tokenizer, model, weights. The recipe is seeded and resumes after SIGKILL.

It uses the `Trainer` of transformers with a corpus that is written during training, so no solution is seen twice. The
result is an ordinary Hugging Face folder (bf16 safetensors, tokenizer.json, chat template). This module does not know
how solutions are written (`training/corpus.py`).

Shapes: B trajectories of a batch, T tokens of the longest one (shorter ones are padded on the right).
"""

import random
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.utils.data import Dataset, SequentialSampler
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from nbest.answers.reasoning import CLOSE_TAG, OPEN_TAG
from nbest.errors import MissingExtraError
from nbest.problems.arithmetic import draw_chains
from nbest.storage.outputs import replace_folder
from nbest.training.callbacks import LogFile, find_checkpoint, silence
from nbest.training.corpus import write_solution
from nbest.training.settings import ModelShape, PolicyTrainingConfig

PAD, MESSAGE_START, MESSAGE_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (PAD, MESSAGE_START, MESSAGE_END, OPEN_TAG, CLOSE_TAG)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
IGNORED = -100
BATCHES_PER_CHUNK = 16


def build_tokenizer(shape: ModelShape, seed: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on a sample of the corpus.

    Each digit and each blank line is a token of its own.
    """
    tokenizer = Tokenizer(models.BPE())
    splitter = pre_tokenizers.Split(Regex(r"\d|\n+|[^\d\n]+"), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([splitter, byte_level])  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=shape.vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((q + "\n" + s for q, s in write_examples(seed, -1, 5000, (3, 6))), trainer)
    wrapper = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=MESSAGE_END)
    wrapper.chat_template = CHAT_TEMPLATE
    wrapper.model_max_length = shape.context_tokens
    return wrapper


def write_examples(seed: int, chunk: int, count: int, steps: tuple[int, int]) -> list[tuple[str, str]]:
    """Return `count` pairs (question, solution) of the training split, from part number `chunk` of the corpus."""
    chunk_seed = random.Random(f"{seed}/{chunk}").getrandbits(62)
    rng = random.Random(chunk_seed)
    chains = islice(draw_chains("train", chunk_seed, steps), count)
    return [(chain.question, write_solution(rng, chain)) for chain in chains]


class CorpusBatches(Dataset[dict[str, torch.Tensor]]):
    """The batches of the corpus: item i is the same in every run. Chunks are sorted by length and cut into batches."""

    def __init__(self, config: PolicyTrainingConfig, tokenizer: PreTrainedTokenizerFast):
        self.config, self.tokenizer = config, tokenizer
        self._chunk = lru_cache(maxsize=2)(self._write_chunk)

    def __len__(self) -> int:
        return self.config.updates

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self._chunk(index // BATCHES_PER_CHUNK)[index % BATCHES_PER_CHUNK]

    def _write_chunk(self, chunk: int) -> list[dict[str, torch.Tensor]]:
        size = self.config.batch_trajectories
        pairs = write_examples(self.config.seed, chunk, size * BATCHES_PER_CHUNK, self.config.steps)
        prompts = [f"{MESSAGE_START}user\n{q}{MESSAGE_END}\n{MESSAGE_START}assistant\n" for q, _ in pairs]
        prompt_ids = self._encode(prompts)
        solution_ids = self._encode([solution + MESSAGE_END for _, solution in pairs])
        rows = sorted(zip(prompt_ids, solution_ids, strict=True), key=lambda row: len(row[0]) + len(row[1]))
        batches = [make_batch(rows[i : i + size], self._pad) for i in range(0, len(rows), size)]
        random.Random(chunk).shuffle(batches)
        return batches

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return self.tokenizer(texts, add_special_tokens=False)["input_ids"]  # pyright: ignore[reportReturnType]

    @property
    def _pad(self) -> int:
        return int(self.tokenizer.pad_token_id)  # pyright: ignore[reportArgumentType]


def make_batch(rows: Sequence[tuple[list[int], list[int]]], pad: int) -> dict[str, torch.Tensor]:
    """Return `input_ids`, `attention_mask` and `labels`, each [B T]; the labels of the prompt are ignored."""
    width = max(len(prompt) + len(solution) for prompt, solution in rows)
    ids = torch.full((len(rows), width), pad)
    labels = torch.full((len(rows), width), IGNORED)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for row, (prompt, solution) in enumerate(rows):
        end = len(prompt) + len(solution)
        ids[row, :end] = torch.tensor(prompt + solution)
        labels[row, len(prompt) : end] = torch.tensor(solution)
        mask[row, :end] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


class OrderedTrainer(Trainer):
    """A Trainer that reads the batches in order, so that each chunk of the corpus is written once."""

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(self.train_dataset if train_dataset is None else train_dataset)  # pyright: ignore[reportArgumentType]


def build_model(shape: ModelShape, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Return a new model of this shape, with random weights."""
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            head_dim=shape.head_size,
            intermediate_size=shape.mlp_size,
            max_position_embeddings=shape.context_tokens,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.convert_tokens_to_ids(MESSAGE_END),
            pad_token_id=SPECIAL_TOKENS.index(PAD),
        )
    )


def train_policy(config: PolicyTrainingConfig, callbacks: Sequence[TrainerCallback] = ()) -> Path:
    """Train, or resume from the last checkpoint under `config.out`; return the folder of the finished model."""
    set_seed(config.seed)
    tokenizer = build_tokenizer(config.model, config.seed)
    model = build_model(config.model, tokenizer)
    checkpoints = config.out / "checkpoints"
    trainer = OrderedTrainer(
        model=model,
        args=_make_arguments(config, checkpoints),
        train_dataset=CorpusBatches(config, tokenizer),
        data_collator=lambda items: items[0],
        callbacks=[LogFile(config.out / "log.jsonl"), *callbacks],
    )
    silence(trainer)
    trainer.train(resume_from_checkpoint=find_checkpoint(checkpoints))
    return save_policy(model, tokenizer, config.out / "model")


def _make_arguments(config: PolicyTrainingConfig, checkpoints: Path) -> TrainingArguments:
    try:
        import accelerate  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise MissingExtraError("accelerate", "train") from error
    return TrainingArguments(
        output_dir=str(checkpoints),
        per_device_train_batch_size=1,  # an item of the dataset is a whole batch
        max_steps=config.updates,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_updates,
        weight_decay=config.weight_decay,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        logging_steps=config.log_every,
        save_steps=config.save_every,
        save_total_limit=2,
        seed=config.seed,
        use_cpu=not torch.cuda.is_available(),
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


def save_policy(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    """Save an ordinary Hugging Face folder: bf16 safetensors, tokenizer, chat template, sampling defaults."""
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=256,
    )
    with replace_folder(folder) as temporary:
        model.to(torch.bfloat16).save_pretrained(temporary)  # pyright: ignore[reportArgumentType]
        tokenizer.save_pretrained(temporary)
    return folder
