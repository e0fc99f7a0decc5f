"""The recipe of the bundled policy, at a size of seconds."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from nbest.training.policy import IGNORED, CorpusBatches, build_tokenizer, make_batch, train_policy, write_examples
from nbest.training.settings import ModelShape, PolicyTrainingConfig

SHAPE = ModelShape(hidden_size=16, layers=1, heads=2, kv_heads=1, head_size=8, mlp_size=16, vocabulary=320)
TINY = PolicyTrainingConfig(
    model=SHAPE, batch_trajectories=2, updates=6, save_every=2, log_every=2, warmup_updates=1, threads=1
)
CHUNK = 16 * 2


def test_a_batch_learns_the_completion_alone() -> None:
    batch = make_batch([([5, 6], [7, 8, 9]), ([5], [7])], pad=0)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9], [5, 7, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, IGNORED, 7, 8, 9], [IGNORED, 7, IGNORED, IGNORED, IGNORED]]


def test_the_corpus_is_the_same_on_every_run() -> None:
    assert write_examples(1, 3, 5, (3, 6)) == write_examples(1, 3, 5, (3, 6))
    assert write_examples(1, 3, 5, (3, 6)) != write_examples(1, 4, 5, (3, 6))
    assert write_examples(1, 3, 5, (3, 6)) != write_examples(2, 3, 5, (3, 6))


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(SHAPE, seed=1)


def test_the_tokenizer_gives_every_text_back(tokenizer) -> None:
    for text in ("47 + 86 = 133.\n\nSo", "Ünïcode 数学 \t", "<think>\n12\n</think>\n\n\\boxed{12}"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer("2026")["input_ids"]) == 4
    assert tokenizer.convert_ids_to_tokens(tokenizer(".\n\n")["input_ids"])[-1] == "ĊĊ"
    rendered_text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Q"}], add_generation_prompt=True, tokenize=False
    )
    assert rendered_text == "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n"


def test_batches_hold_what_the_template_renders(tokenizer) -> None:
    batch = CorpusBatches(TINY, tokenizer)[0]
    row = batch["input_ids"][0][batch["attention_mask"][0].bool()].tolist()
    rendered = {
        tuple(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=False
            )
            + tokenizer(solution + "<|im_end|>", add_special_tokens=False)["input_ids"]
        )
        for question, solution in write_examples(TINY.seed, 0, CHUNK, TINY.steps)
    }
    assert tuple(row) in rendered


@pytest.mark.filterwarnings("ignore")
def test_training_goes_on_from_its_checkpoint_and_ends_the_same(tmp_path: Path) -> None:
    whole = train_policy(TINY.model_copy(update={"out": tmp_path / "whole"}))
    halves = TINY.model_copy(update={"out": tmp_path / "halves"})

    class Stop(Exception):
        pass

    from transformers import TrainerCallback

    class StopAt(TrainerCallback):
        def on_step_end(self, args, state, control, **_) -> None:  # noqa: ARG002
            if state.global_step == 5:
                raise Stop

    with pytest.raises(Stop):
        train_policy(halves, [StopAt()])
    resumed = train_policy(halves)
    first, second = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)
    updates = [json.loads(line)["update"] for line in (tmp_path / "halves" / "log.jsonl").read_text().splitlines()]
    assert updates[-1] == 6
    assert AutoTokenizer.from_pretrained(whole).chat_template is not None
    with safe_open(whole / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118
