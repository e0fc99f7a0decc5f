"""Reward models: what they read, against hand-computed logits, long traces, padding and loading."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, get_args

import pytest
import torch

from nbest.errors import ConfigError, DataError, EngineError
from nbest.protocols import Scorer
from nbest.records import Completion, Pool, Score, Trajectory, WorkReport
from nbest.scoring.reward import implicit
from nbest.scoring.reward.checkpoint import describe_reward_checkpoint, load_reward_checkpoint
from nbest.scoring.reward.families import FAMILIES, Head, find_family
from nbest.scoring.reward.inputs import RewardReader, read_steps
from nbest.scoring.reward.model import RewardModelScorer
from tests.scoring.reward_fixtures import (
    HEADS,
    ID,
    WORDS,
    choose_tokenizer,
    create_checkpoint,
    create_config,
    create_head_state,
    create_model,
    create_piece_tokenizer,
    create_reference,
    create_tokenizer,
)

QUESTION = "add 2 and 3"
STEPS = ["first a", "then b+c", "so 5"]
TEXT = "\n\n".join(STEPS)
QWEN_SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
PROCESS = [name for name, family in FAMILIES.items() if family.is_process]


def create_pool(*texts: str, finish: Any = "stop", prompt: str = QUESTION) -> Pool:
    trajectories = tuple(
        Trajectory(f"p#{index}", "p", index, index, Completion(text, finish=finish)) for index, text in enumerate(texts)
    )
    return Pool("p", prompt, trajectories)


def spell(text: str, name: str = "") -> list[int]:
    """The ids of a text by a second way: longest word first, one after another."""
    is_pieces = HEADS.get(name) == "tokens"
    text = "▁" + text.replace(" ", "▁") if is_pieces else text.replace(" ", "Ġ").replace("\n", "Ċ")
    ids, offset = [ID["<s>"]] if is_pieces or name == "reasoneval" else list[int](), 0
    while offset < len(text):
        word = max((word for word in WORDS if text.startswith(word, offset)), key=len)
        ids.append(ID[word])
        offset += len(word)
    return ids


def chat(system: str | None, answer: str) -> str:
    turns = [("system", system), ("user", QUESTION), ("assistant", answer)]
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns if text is not None)


REASONEVAL = f"Question:\n{QUESTION}\nAnswer:\nLet's think step by step.\n"


def step_ends(name: str, steps: Sequence[str]) -> list[int]:
    """The position of the last token of each step in the spelled text of a family without a separator."""
    text = expected_text(name, steps)
    ends, offset = [], text.index(steps[0], len(REASONEVAL) if name != "eurusprm" else text.rindex("assistant"))
    for step in steps:
        offset = text.index(step, offset) + len(step)
        ends.append(len(spell(text[:offset], name)) - 1)
    return ends


def expected_text(name: str, steps: Sequence[str] = STEPS) -> str:
    marked = "".join(step + "<extra_0>" for step in steps)
    plain = "\n\n".join(steps)
    return {
        "qwen2.5-math-prm": chat(QWEN_SYSTEM, marked),
        "qwen2.5-math-prm800k": chat(QWEN_SYSTEM, marked),
        "reasonflux-prm": chat(None, marked),
        "reasonflux-prm-1.5b": QUESTION + plain,
        "math-shepherd": QUESTION + " " + "\n".join(f"Step {n}: {step} ки" for n, step in enumerate(steps, 1)),
        "skywork-o1-open-prm": QUESTION + "\n" + "".join(step + "\n" for step in steps),
        "skywork-reward": chat(None, plain),
        "reasoneval": REASONEVAL + "".join(steps),
        "reasoneval-34b": REASONEVAL + "".join(steps),
        "eurusprm": chat(None, "\n\n".join(f"Step {n}: {step}" for n, step in enumerate(steps, 1))),
        "acemath-rm": chat("Please reason step by step, and check your final answer within \\boxed{}.", plain),
    }[name]


def compute_expected(name: str, steps: Sequence[str] = STEPS) -> list[float]:
    """Rewards from the raw logits of one unpadded forward pass, written out per head."""
    model, ids = create_model(name), spell(expected_text(name, steps), name)
    row = torch.tensor([ids])
    with torch.no_grad():
        if HEADS[name] == "tokens":
            logits = model(row).logits[0]
            return [
                (logits[at, ID["▁+"]].exp() / (logits[at, ID["▁+"]].exp() + logits[at, ID["▁-"]].exp())).item()
                for at, token in enumerate(ids)
                if token == ID["▁ки"]
            ]
        if name.startswith("reasoneval"):
            probabilities = model.score_head(model.model(row).last_hidden_state[0]).softmax(-1)
            # The published code of the 7B counts without the bos token, which it then puts in front.
            ends = [end - (name == "reasoneval") for end in step_ends(name, steps)]
            return [(probabilities[end, 1] + probabilities[end, 2]).item() for end in ends]
        if name == "eurusprm":
            text = expected_text(name, steps)
            start = len(spell(text[: text.index("Step 1: ")]))
            own, other = (network(row).logits[0].log_softmax(-1) for network in (model, create_reference()))
            ratios = [(own[at - 1, ids[at]] - other[at - 1, ids[at]]).item() for at in range(len(ids))]
            return [0.001 * sum(ratios[start : end + 1]) for end in step_ends(name, steps)]
        if HEADS[name] in ("llama", "qwen2"):
            return [model(row).logits[0, 0].item()]
        body = model if HEADS[name] == "file" else model.model
        hidden = body(row).last_hidden_state[0]
        if HEADS[name] == "file":
            state = create_head_state()
            return [torch.sigmoid(hidden[-1] @ state["weight"][0] + state["bias"][0]).item()]
        if HEADS[name] == "value":
            value = hidden @ model.v_head.summary.weight[0] + model.v_head.summary.bias[0]
            # The first newline ends the question.
            return [1 / (1 + math.exp(-value[at].item())) for at, t in enumerate(ids) if t == ID["Ċ"]][1:]
        logits = model.score(hidden)
        positions = [position for position, token in enumerate(ids) if token == ID["<extra_0>"]]
        return [torch.softmax(logits[position], 0)[1].item() for position in positions]


@pytest.mark.parametrize("name", FAMILIES)
async def test_a_family_equals_the_raw_logits_of_one_forward_pass(name: str):
    scorer = RewardModelScorer(create_checkpoint(name), aggregation="mean")
    assert isinstance(scorer, Scorer)
    (score,) = await scorer.score(create_pool(TEXT))
    expected = compute_expected(name)
    assert len(expected) == (3 if FAMILIES[name].is_process else 1)
    assert score.trajectory_id == "p#0"
    assert score.steps == pytest.approx(expected if FAMILIES[name].is_process else (), abs=1e-5)
    assert score.value == pytest.approx(sum(expected) / len(expected), abs=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("batch_tokens", [1, 200, 16_384])
async def test_a_batch_equals_its_singles_in_any_order(name: str, batch_tokens: int):
    texts = ["a", TEXT, "x\n\ny\n\nz\n\nlonger and longer still", "", "b\n\nc"]
    scorer = RewardModelScorer(create_checkpoint(name), batch_tokens=batch_tokens)
    pool = create_pool(*texts)
    together = await scorer.score(pool)
    turned = await scorer.score(replace(pool, trajectories=pool.trajectories[::-1]))
    for index, score in enumerate(together):
        (alone,) = await RewardModelScorer(create_checkpoint(name)).score(create_pool(texts[index]))
        assert score.trajectory_id == f"p#{index}"
        assert score.value == pytest.approx(alone.value, abs=1e-5, nan_ok=True)
        assert score.steps == pytest.approx(alone.steps, abs=1e-5)
        assert turned[-1 - index].steps == pytest.approx(score.steps, abs=1e-5)
    assert math.isnan(together[3].value)
    assert await scorer.score(create_pool()) == []


def still_body(model: Any) -> None:
    """Layers that add nothing: the hidden state of a token is its embedding, scaled to root mean square 1."""
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    model.model.norm.weight.fill_(1)
    model.model.embed_tokens.weight.fill_(1)


@torch.no_grad()
def create_still(name: str) -> Any:
    model = create_model.__wrapped__(name)
    still_body(model)
    return model


async def test_classes_with_weights_set_by_hand():
    model = create_still("qwen2.5-math-prm")
    with torch.no_grad():
        # Hidden state: 16 ones. score.0 is the identity minus 0.5, so the ReLU gives 16 halves. The logit of "wrong"
        # is 0, that of "right" 16 * 0.5 * w = ln 3 with w = ln 3 / 8: p = 3 / (1 + 3) = 0.75.
        model.score[0].weight.copy_(torch.eye(16))
        model.score[0].bias.fill_(-0.5)
        model.score[2].weight[0], model.score[2].weight[1] = 0.0, math.log(3) / 8
        model.score[2].bias.zero_()
    checkpoint = describe_reward_checkpoint(model, create_tokenizer(), "qwen2.5-math-prm")
    (score,) = await RewardModelScorer(checkpoint, aggregation="product").score(create_pool(TEXT))
    assert score.steps == pytest.approx((0.75, 0.75, 0.75), abs=1e-5)
    # 0.75 ** 3 = 0.421875
    assert score.value == pytest.approx(0.421875, abs=1e-5)


async def test_tokens_with_weights_set_by_hand():
    model = create_still("math-shepherd")
    with torch.no_grad():
        # 16 ones: logit of "+" 16 * ln 9 / 16 = ln 9, of "-" 0: p = 9 / 10. Every other token is far above both and
        # does not count.
        model.lm_head.weight.fill_(5)
        model.lm_head.weight[ID["▁+"]] = math.log(9) / 16
        model.lm_head.weight[ID["▁-"]] = 0.0
        # A tag that looks the other way: the state of "ки" is 16 times -1 when its embedding is, p = 1 / 10.
        model.model.embed_tokens.weight[ID["▁ки"]] = -1.0
    checkpoint = describe_reward_checkpoint(model, create_piece_tokenizer(), "math-shepherd")
    (score,) = await RewardModelScorer(checkpoint).score(create_pool("a\n\nb"))
    assert score == Score("p#0", pytest.approx(0.1, abs=1e-5), pytest.approx((0.1, 0.1), abs=1e-5))


async def test_value_and_sequence_with_weights_set_by_hand():
    value, sequence = create_still("skywork-o1-open-prm"), create_still("skywork-reward")
    with torch.no_grad():
        # 16 * 0.125 - 2 = 0: sigmoid 0.5.
        value.v_head.summary.weight.fill_(0.125)
        value.v_head.summary.bias.fill_(-2)
        # 16 * 0.25 = 4, raw.
        sequence.score.weight.fill_(0.25)
    checkpoint = describe_reward_checkpoint(value, create_tokenizer(), "skywork-o1-open-prm")
    (score,) = await RewardModelScorer(checkpoint).score(create_pool("a\n\nb"))
    assert score.steps == pytest.approx((0.5, 0.5), abs=1e-5)
    checkpoint = describe_reward_checkpoint(sequence, create_tokenizer(), "skywork-reward")
    (score,) = await RewardModelScorer(checkpoint).score(create_pool("a\n\nb"))
    assert score == Score("p#0", pytest.approx(4.0, abs=1e-4))


@pytest.mark.parametrize("name", PROCESS)
async def test_separators_written_by_the_policy_itself_are_not_read(name: str):
    text = "first <extra_0> ки é𝄞? a\n\nthen"
    (score,) = await RewardModelScorer(create_checkpoint(name)).score(create_pool(text))
    assert len(score.steps) == 2


# --- the part of a trace that is read


def test_the_steps_of_reasoning_and_answer():
    thought = Completion("<think>\na\n\nb\n</think>\n\nc\n\nd", finish="stop")
    assert read_steps(thought, "both") == ["a", "b", "c", "d"]
    assert read_steps(thought, "reasoning") == ["a", "b"]
    assert read_steps(thought, "answer") == ["c", "d"]
    opened_by_the_template = replace(thought, text="a\n\nb\n</think>\n\nc")
    assert read_steps(opened_by_the_template, "reasoning") == ["a", "b"]
    assert read_steps(opened_by_the_template, "answer") == ["c"]
    never_closed = replace(thought, text="<think>a\n\nb")
    assert read_steps(never_closed, "answer") == []
    assert read_steps(never_closed, "both") == ["a", "b"]
    untagged = replace(thought, text="a\n\nb")
    assert read_steps(untagged, "answer") == read_steps(untagged, "reasoning") == ["a", "b"]
    assert read_steps(replace(thought, text="a</think>b</think>c"), "both") == ["a", "b", "c"]


def test_the_tail_of_a_cut_text_is_no_step_but_an_outcome_model_reads_it():
    cut = Completion("a\n\nb\n\nunfinis", finish="length")
    assert read_steps(cut, "both") == ["a", "b"]
    assert "".join(read_steps(cut, "both", is_process=False)) == "a\n\nb\n\nunfinis"
    spaced = Completion("a\n\n  b\n\n\nc", finish="stop")
    assert "".join(read_steps(spaced, "both", is_process=False)) == spaced.text
    tagged = Completion("<think>a\n</think>\n\nb", finish="stop")
    assert "".join(read_steps(tagged, "both", is_process=False)) == "a\n\nb"
    assert read_steps(Completion("a", finish="error"), "both") == []


async def test_a_failed_or_empty_trajectory_has_no_score():
    scorer = RewardModelScorer(create_checkpoint("acemath-rm"))
    pool = create_pool("a", " \n\n", "<think>a")
    failed = replace(pool.trajectories[0], completion=Completion("a", finish="error"))
    pool = replace(pool, trajectories=(failed, *pool.trajectories))
    scores = await scorer.score(pool)
    assert [math.isnan(score.value) for score in scores] == [True, False, True, False]
    scorer = RewardModelScorer(create_checkpoint("qwen2.5-math-prm"), thinking="answer")
    scores = await scorer.score(pool)
    assert [math.isnan(score.value) for score in scores] == [True, False, True, True]
    assert [len(score.steps) for score in scores] == [0, 1, 0, 0]
    assert scorer.counts == {"empty": 3, "scored": 1}
    assert scorer.report().unscored == {"failed or no steps": 3}


def test_steps_are_labelled_once():
    reader = RewardReader(create_piece_tokenizer(), FAMILIES["math-shepherd"])
    assert reader.label_steps(["Step 1: a", "b"]) == ["Step 1: a", "Step 2: b"]


def test_a_beginning_token_comes_once():
    plain = RewardReader(create_tokenizer(bos="<s>"), FAMILIES["skywork-o1-open-prm"]).write("ab", ["c"])
    assert [WORDS[token] for token in plain.tokens] == ["<s>", "a", "b", "Ċ", "c", "Ċ"]
    assert plain.positions == (5,)


# --- traces that are longer than the window


def window_scorer(name: str, too_long: Any, context: int) -> RewardModelScorer:
    checkpoint = replace(create_checkpoint(name), window_tokens=context)
    return RewardModelScorer(checkpoint, aggregation="mean", too_long=too_long)


@pytest.mark.parametrize("name", FAMILIES)
async def test_a_trace_that_does_not_fit_is_an_error_that_says_everything(name: str):
    tokens = len(spell(expected_text(name), name))
    (score,) = await window_scorer(name, "error", tokens).score(create_pool(TEXT))
    assert math.isfinite(score.value)
    with pytest.raises(DataError, match=rf"trajectory p#1: .* {tokens} tokens .* holds {tokens - 1}") as caught:
        await window_scorer(name, "error", tokens - 1).score(create_pool("a", TEXT))
    for choice in ("skip", "truncate-left-steps", "window", "thinking = 'answer'"):
        assert choice in str(caught.value)


async def test_skipping_is_counted():
    scorer = window_scorer("math-shepherd", "skip", len(spell(expected_text("math-shepherd"), "math-shepherd")) - 1)
    short, long = await scorer.score(create_pool("a", TEXT))
    assert math.isfinite(short.value)
    assert math.isnan(long.value)
    assert long.steps == ()
    assert scorer.counts == {"scored": 1, "skipped": 1}
    assert scorer.report().unscored == {"too long": 1}


@pytest.mark.parametrize("name", ["qwen2.5-math-prm", "skywork-o1-open-prm", "acemath-rm", "skywork-reward"])
async def test_truncation_leaves_out_the_first_steps_and_never_the_question(name: str):
    # Exactly the last two steps fit.
    limit = len(spell(expected_text(name, STEPS[1:]), name))
    scorer = window_scorer(name, "truncate-left-steps", limit)
    (score,) = await scorer.score(create_pool(TEXT))
    expected = compute_expected(name, STEPS[1:])
    assert score.value == pytest.approx(sum(expected) / len(expected), abs=1e-5)
    assert len(score.steps) == (2 if FAMILIES[name].is_process else 0)
    assert scorer.counts == {"scored": 1, "shortened": 1}


async def test_a_window_scores_each_step_once_beside_the_question():
    name = "qwen2.5-math-prm"
    # Room for the question and two steps: rows (1, 2) and, because half of the room holds no step, (3).
    limit = len(spell(expected_text(name, STEPS[:2])))
    scorer = window_scorer(name, "window", limit)
    (score,) = await scorer.score(create_pool(TEXT))
    expected = compute_expected(name, STEPS[:2]) + compute_expected(name, STEPS[2:])
    assert score.steps == pytest.approx(expected, abs=1e-5)
    assert scorer.counts == {"scored": 1, "windowed": 1}


async def test_a_window_keeps_steps_before_as_context():
    name, steps = "reasonflux-prm", [letter * 4 for letter in "abcdefghijklmnopqr"]
    question = len(spell(chat(None, "")))
    # A step is 5 tokens with its separator. Room for the question and 12 steps, where half of it holds the question
    # and some steps of context.
    limit = question + 12 * 5
    context_steps = (limit // 2 - question) // 5
    assert 0 < context_steps < 12
    scorer = window_scorer(name, "window", limit)
    (score,) = await scorer.score(create_pool("\n\n".join(steps)))
    expected = compute_expected(name, steps[:12]) + compute_expected(name, steps[12 - context_steps :])[context_steps:]
    assert len(score.steps) == 18
    assert score.steps == pytest.approx(expected, abs=1e-5)


async def test_a_step_that_fits_beside_the_question_only_is_read_without_context():
    name, steps = "reasonflux-prm", ["a" * 4] * 12 + ["b" * 59]
    # 12 steps of 5 tokens fill the room; the last one, 60 with its separator, fills it alone.
    limit = len(spell(chat(None, ""))) + 60
    (score,) = await window_scorer(name, "window", limit).score(create_pool("\n\n".join(steps)))
    expected = compute_expected(name, steps[:12]) + compute_expected(name, steps[12:])
    assert score.steps == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("too_long", ["truncate-left-steps", "window"])
async def test_a_step_that_does_not_fit_beside_the_question_is_an_error(too_long: Any):
    name = "qwen2.5-math-prm"
    needed = len(spell(expected_text(name, [STEPS[-1]])))
    with pytest.raises(DataError, match=r"trajectory p#0: the question and one step alone are \d+ tokens"):
        await window_scorer(name, too_long, needed - 1).score(create_pool(TEXT))


async def test_the_window_is_the_config_s():
    assert create_checkpoint("math-shepherd", context=64).window_tokens == 64


# --- cost


async def test_flops_and_usage():
    checkpoint = create_checkpoint("skywork-reward")
    scorer = RewardModelScorer(checkpoint)
    # Llama, D = 16, 2 heads of 8, 1 key-value head, feed-forward 32, 2 layers. A layer: q 16 * 16, k and v 16 * 8 each,
    # o 16 * 16, three of 16 * 32, two norms of 16 = 256 + 256 + 256 + 1536 + 32 = 2336. Two layers and the last norm:
    # 4672 + 16 = 4688. 10 tokens: 2 * 4688 * 10 + 2 * 2 layers * 16 wide * 100 = 93,760 + 6,400 = 100,160.
    assert scorer.count_flops(10) == 100_160
    await scorer.score(create_pool(TEXT, "a"))
    lengths = [len(spell(expected_text("skywork-reward", steps))) for steps in (STEPS, ["a"])]
    assert scorer.report().usage.prompt_tokens == sum(lengths)
    assert scorer.report().usage.flops == sum(map(scorer.count_flops, lengths))


async def test_the_report_is_plain_data():
    scorer = RewardModelScorer(create_checkpoint("skywork-reward"))
    assert scorer.report() == WorkReport()
    async with scorer:
        await scorer.score(create_pool(TEXT, ""))
    report = scorer.report()
    assert isinstance(report, WorkReport)
    assert (report.unscored, report.judgements, report.calls) == ({"failed or no steps": 1}, None, 0)
    assert json.loads(json.dumps(asdict(report))) == asdict(report)
    assert report.usage.prompt_tokens > 0
    assert report.usage.seconds > 0


# --- loading


def save(folder: Any, model: Any, tokenizer: Any = None, **config: Any) -> str:
    import json

    model.save_pretrained(folder)
    (tokenizer or create_tokenizer()).save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return str(folder)


@pytest.mark.parametrize("name", [name for name in FAMILIES if HEADS[name] != "file"])
async def test_a_folder_loads_without_code_of_the_hub(name: str, tmp_path: Any):
    # The hub's config points to remote code, which must not be loaded.
    remote = {"auto_map": {"AutoModel": "modeling_qwen2_rm.Missing", "AutoConfig": "configuration_qwen2_rm.Missing"}}
    more = remote if HEADS[name] in ("classes", "value") else {}
    folder = save(tmp_path / "model", create_model(name), choose_tokenizer(name), **more)
    reference = save(tmp_path / "reference", create_reference()) if HEADS[name] == "implicit" else None
    checkpoint = load_reward_checkpoint(folder, name, device="cpu", local_files_only=True, reference=reference)
    assert checkpoint.info["dtype"] == "float32"
    assert checkpoint.info["family"] == name
    assert checkpoint.window_tokens == 512
    (actual,) = await RewardModelScorer(checkpoint).score(create_pool(TEXT))
    (expected,) = await RewardModelScorer(create_checkpoint(name)).score(create_pool(TEXT))
    assert actual.steps == pytest.approx(expected.steps, abs=1e-6)
    assert actual.value == pytest.approx(expected.value, abs=1e-6)


def test_the_reference_of_an_implicit_model_is_named_where_it_is_missing(tmp_path: Any):
    folder = save(tmp_path / "model", create_model("eurusprm"))
    with pytest.raises(ConfigError, match=r"reference: 'Qwen/Qwen2\.5-Math-7B-Instruct' could not be loaded"):
        load_reward_checkpoint(folder, "eurusprm", local_files_only=True)
    with pytest.raises(ConfigError, match=r"needs the language model that it is divided by \(reference\)"):
        describe_reward_checkpoint(create_model("eurusprm"), create_tokenizer(), "eurusprm")
    other = save(tmp_path / "other", create_model("acemath-rm"))
    with pytest.raises(ConfigError, match="reference: family 'acemath-rm' has none"):
        load_reward_checkpoint(other, "acemath-rm", reference=folder)


def test_a_reference_of_another_vocabulary_is_refused():
    from transformers import AutoModelForCausalLM

    small = AutoModelForCausalLM.from_config(create_config("qwen2", vocab_size=100))
    with pytest.raises(ConfigError, match=rf"reward model has {len(WORDS)} tokens, that of its reference 100"):
        describe_reward_checkpoint(create_model("eurusprm"), create_tokenizer(), "eurusprm", reference=small)


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
async def test_an_implicit_reward_does_not_depend_on_the_chunks_of_logits(chunk: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(implicit, "CHUNK_TOKENS", chunk)
    (score,) = await RewardModelScorer(create_checkpoint("eurusprm")).score(create_pool(TEXT))
    assert score.steps == pytest.approx(compute_expected("eurusprm"), abs=1e-7)
    assert score.value == score.steps[-1]


def test_an_implicit_model_costs_two_passes_with_their_heads():
    one, two = create_checkpoint("reasonflux-prm"), create_checkpoint("eurusprm")
    assert two.count_flops(10) == 2 * (one.count_flops(10) + 2 * 10 * 16 * len(WORDS))


def test_the_end_of_a_step_may_be_one_token_with_the_blank_line_behind_it():
    class Merging:
        """Writes a letter as one token, and a full stop with two line breaks behind it as one."""

        chat_template, is_fast, unk_token_id, bos_token_id = "yes", True, None, None

        def apply_chat_template(self, messages: Any, **_: Any) -> str:
            return "".join(message["content"] + "|" for message in messages)

        def __call__(self, text: str, **_: Any) -> dict[str, Any]:
            spans = [match.span() for match in re.finditer(r"\.\n\n|.|\n", text)]
            return {"input_ids": list(range(len(spans))), "offset_mapping": spans}

    row = RewardReader(Merging(), FAMILIES["eurusprm"]).write("q", ["ab.", "c."])
    # q | a b .\n\n c . |: the response begins at 2, the first step ends with token 4, the second with token 6.
    assert (row.start, row.positions) == (2, (4, 6))


def test_windows_of_families():
    for name in ("qwen2.5-math-prm", "qwen2.5-math-prm800k"):
        checkpoint = create_checkpoint(name, context=8192)
        assert checkpoint.window_tokens == 4096
        assert RewardModelScorer(checkpoint).too_long == "window"
        assert RewardModelScorer(checkpoint, too_long="error").too_long == "error"
    assert create_checkpoint("reasonflux-prm", context=8192).window_tokens == 8192
    assert RewardModelScorer(create_checkpoint("reasonflux-prm")).too_long == "error"
    with pytest.raises(ConfigError, match="sums over the whole response"):
        RewardModelScorer(create_checkpoint("eurusprm"), too_long="window")


async def test_a_trace_longer_than_the_window_of_qwen_is_scored_without_a_setting():
    name = "qwen2.5-math-prm"
    checkpoint = replace(create_checkpoint(name), window_tokens=len(spell(expected_text(name, STEPS[:2]))))
    scorer = RewardModelScorer(checkpoint)
    (score,) = await scorer.score(create_pool(TEXT))
    assert len(score.steps) == 3
    assert scorer.counts == {"scored": 1, "windowed": 1}


async def test_a_value_model_with_a_language_head_beside_it(tmp_path: Any):
    from safetensors.torch import load_file, save_file

    folder = save(tmp_path, create_model("skywork-o1-open-prm"), architectures=["Qwen2ForPrmModel"])
    weights = load_file(tmp_path / "model.safetensors")
    assert {"v_head.summary.weight", "v_head.summary.bias"} <= set(weights)
    weights["lm_head.weight"] = torch.zeros(len(WORDS), 16)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    (score,) = await RewardModelScorer(folder, "skywork-o1-open-prm").score(create_pool(TEXT))
    assert score.steps == pytest.approx(compute_expected("skywork-o1-open-prm"), abs=1e-5)


async def test_the_head_in_a_file_of_its_own(tmp_path: Any):
    from transformers import AutoModelForCausalLM

    name = "reasonflux-prm-1.5b"
    causal = AutoModelForCausalLM.from_config(create_config("qwen2"))
    causal.model.load_state_dict(create_model(name).state_dict())
    folder = save(tmp_path, causal)
    with pytest.raises(ConfigError, match=r"reward_head\.pt"):
        load_reward_checkpoint(folder, name)
    torch.save(create_head_state(), tmp_path / "reward_head.pt")
    (score,) = await RewardModelScorer(folder, name).score(create_pool(TEXT))
    assert score.value == pytest.approx(compute_expected(name)[0], abs=1e-5)


@pytest.mark.parametrize("name", ["qwen2.5-math-prm", "skywork-o1-open-prm", "acemath-rm"])
def test_a_language_model_is_no_reward_model(name: str, tmp_path: Any):
    from transformers import AutoModelForCausalLM

    folder = save(tmp_path, AutoModelForCausalLM.from_config(create_config("qwen2")))
    missing = r"v_head\.summary" if name == "skywork-o1-open-prm" else r"score\."
    with pytest.raises(ConfigError, match=rf"(?s)lacks weights that family '{name}' needs.*{missing}"):
        load_reward_checkpoint(folder, name)


def test_a_head_of_another_shape_is_refused(tmp_path: Any):
    folder = save(tmp_path, create_model("acemath-rm"))
    with pytest.raises(ConfigError, match=r"math-shepherd.*needs.*lm_head"):
        load_reward_checkpoint(folder, "math-shepherd")
    with pytest.raises(ConfigError, match=r"needs a head of kind 'classes'.*has \[\(16, 1\)\]"):
        describe_reward_checkpoint(create_model("acemath-rm"), create_tokenizer(), "qwen2.5-math-prm")
    with pytest.raises(ConfigError, match="needs a language model's head"):
        describe_reward_checkpoint(create_model("acemath-rm"), create_piece_tokenizer(), "math-shepherd")
    with pytest.raises(ConfigError, match="Qwen2Model has none"):
        describe_reward_checkpoint(create_model("reasonflux-prm-1.5b"), create_tokenizer(), "acemath-rm")


def test_a_model_that_is_nowhere(tmp_path: Any):
    with pytest.raises(ConfigError, match=r"nothing-here.*acemath-rm.*local folder"):
        load_reward_checkpoint(str(tmp_path / "nothing-here"), "acemath-rm", local_files_only=True)
    folder = save(tmp_path, create_model("acemath-rm"))
    with pytest.raises(ConfigError, match="dtype"):
        load_reward_checkpoint(folder, "acemath-rm", dtype="int3")
    with pytest.raises(ConfigError, match="device"):
        load_reward_checkpoint(str(tmp_path), "acemath-rm", device="abacus")


async def test_bfloat16_stays_close(tmp_path: Any):
    folder = save(tmp_path, create_model("qwen2.5-math-prm"))
    checkpoint = load_reward_checkpoint(folder, "qwen2.5-math-prm", dtype="bfloat16")
    (score,) = await RewardModelScorer(checkpoint).score(create_pool(TEXT))
    # Eight bits of mantissa through two layers and a head.
    assert score.steps == pytest.approx(compute_expected("qwen2.5-math-prm"), abs=0.05)


# --- settings


def test_families():
    assert find_family(None, "Qwen/Qwen2.5-Math-PRM-7B").name == "qwen2.5-math-prm"
    assert find_family(None, "/models/math-shepherd-mistral-7b-prm/").name == "math-shepherd"
    assert find_family("acemath-rm").head == "sequence"
    for family in FAMILIES.values():
        assert family.source
        assert family.unconfirmed
        assert family.head in get_args(Head)
    with pytest.raises(ConfigError, match=r"'my-prm'.*acemath-rm"):
        find_family("my-prm")
    with pytest.raises(ConfigError, match=r"some/model.*name its family"):
        find_family(None, "some/model")


def test_settings_that_cannot_be():
    checkpoint = create_checkpoint("acemath-rm")
    with pytest.raises(ConfigError, match=r"'cut'.*truncate-left-steps"):
        RewardModelScorer(checkpoint, too_long="cut")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="outcome model"):
        RewardModelScorer(checkpoint, too_long="window")
    with pytest.raises(ConfigError, match="aggregation"):
        RewardModelScorer(checkpoint, aggregation="sum")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="thinking"):
        RewardModelScorer(checkpoint, thinking="deep")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="batch_tokens"):
        RewardModelScorer(checkpoint, batch_tokens=0)
    with pytest.raises(ConfigError, match=r"got 'math-shepherd' for a checkpoint of family 'acemath-rm'"):
        RewardModelScorer(checkpoint, "math-shepherd")


def test_tokenizers_that_cannot_be():
    with pytest.raises(ConfigError, match=r"needs '<extra_0>' as one token"):
        RewardReader(create_tokenizer(special=()), FAMILIES["qwen2.5-math-prm"])
    with pytest.raises(ConfigError, match=r"needs 'ки' as one token"):
        RewardReader(create_tokenizer(bos="<s>"), FAMILIES["math-shepherd"])
    with pytest.raises(ConfigError, match="needs a bos token"):
        RewardReader(create_tokenizer(), FAMILIES["math-shepherd"])
    with pytest.raises(ConfigError, match="needs a chat template"):
        RewardReader(create_tokenizer(template=None), FAMILIES["acemath-rm"])
    reader = RewardReader(create_tokenizer(template="{{ messages[0]['content'] }}"), FAMILIES["reasonflux-prm"])
    with pytest.raises(ConfigError, match="changes the assistant's text"):
        reader.write("a", ["b"])


async def test_a_reward_that_is_no_number_is_an_error():
    model = create_model.__wrapped__("acemath-rm")
    with torch.no_grad():
        model.score.weight.fill_(math.inf)
    checkpoint = describe_reward_checkpoint(model, create_tokenizer(), "acemath-rm")
    with pytest.raises(EngineError, match=r"trajectory p#0.*float32.*finite"):
        await RewardModelScorer(checkpoint).score(create_pool("a"))
