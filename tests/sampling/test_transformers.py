"""The sampler against a loop without cache or batch, and its promises: seeds, capture, limits, failures."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from nbest.errors import ConfigError, EngineError
from nbest.records import Completion, Floats, HiddenStates, SamplingParams, user_message
from nbest.sampling.checkpoint import Checkpoint
from nbest.sampling.collecting import collect
from nbest.sampling.decoding import Batch
from nbest.sampling.drawing import draw_tokens, draw_uniforms, mix_seeds
from nbest.sampling.transformers import TransformersSampler

Create = Callable[..., Checkpoint]
PLAIN = SamplingParams(temperature=1, top_p=1, top_k=0, max_tokens=40)
FULL = SamplingParams(0.8, 0.95, 20, max_tokens=40, capture=(-1, 1), top_logprobs=4, self_certainty=True)
PROMPTS = ["abc+1", "1", "abcdefghij-9", "b+2"]


@torch.inference_mode()
def sample_naively(checkpoint: Checkpoint, prompt: str, seed: int, params: SamplingParams) -> list[int]:
    """Draw one token per full pass, without cache, batch or mask."""
    ids = checkpoint.tokenize_prompt(user_message(prompt))
    stream, tokens = mix_seeds(np.array([seed], dtype=np.uint64)), []
    while len(tokens) < params.max_tokens:
        logits = checkpoint.model(input_ids=torch.tensor([ids + tokens])).logits[:, -1].float()
        uniforms = torch.from_numpy(draw_uniforms(stream, np.array([len(tokens)])))
        tokens.append(int(draw_tokens(logits, uniforms, params)[0][0]))
        if tokens[-1] in checkpoint.end_tokens:
            break
    return tokens


async def sample(
    checkpoint: Checkpoint, prompts: list[str], seeds: list[int], params: SamplingParams, rows: int = 64
) -> list[list[Completion]]:
    async with TransformersSampler.from_checkpoint(checkpoint, rows) as sampler:
        return await asyncio.gather(*(collect(sampler, user_message(prompt), seeds, params) for prompt in prompts))


def read_numbers(completion: Completion) -> tuple[Floats, Floats, HiddenStates, Floats]:
    assert completion.logprobs is not None
    assert completion.confidences is not None
    assert completion.states is not None
    assert completion.certainties is not None
    return completion.logprobs, completion.confidences, completion.states, completion.certainties


def list_tokens(pools: list[list[Completion]]) -> list[list[list[int]]]:
    return [[completion.tokens.tolist() for completion in pool] for pool in pools]


@pytest.mark.parametrize("kind", ["qwen3", "llama", "gpt2", "gemma3_text"])
async def test_batch_equals_a_loop_without_cache(create_checkpoint: Create, kind: str):
    checkpoint = create_checkpoint(kind)
    params = SamplingParams(temperature=1, top_p=0.95, top_k=0, max_tokens=18)
    # Four rows for nine completions: rows leave and join while others run.
    pools = await sample(checkpoint, PROMPTS[:3], [1, 2, 3], params, rows=4)
    expected = [[sample_naively(checkpoint, prompt, seed, params) for seed in (1, 2, 3)] for prompt in PROMPTS[:3]]
    assert list_tokens(pools) == expected
    assert len({len(tokens) for pool in expected for tokens in pool}) > 1


async def test_other_rows_order_and_batch_size_change_nothing(create_checkpoint: Create):
    checkpoint = create_checkpoint()
    together = await sample(checkpoint, PROMPTS, list(range(8)), FULL)
    small = await sample(checkpoint, PROMPTS[::-1], list(range(8)), FULL, rows=5)
    single = [[(await sample(checkpoint, [prompt], [seed], FULL))[0][0] for seed in (6, 3)] for prompt in PROMPTS[:2]]
    assert list_tokens(small)[::-1] == list_tokens(together)
    assert list_tokens(single) == [[pool[6], pool[3]] for pool in list_tokens(together)[:2]]
    for pool, same in zip(together, small[::-1], strict=True):
        for one, other in zip(map(read_numbers, pool), map(read_numbers, same), strict=True):
            assert np.allclose(one[0], other[0], atol=1e-4)
            assert np.allclose(one[1], other[1], atol=1e-4)
            assert one[2].steps == other[2].steps
            assert np.allclose(one[3], other[3], atol=1e-4)
            assert np.allclose(one[2].values, other[2].values, atol=1e-4)


async def test_different_seeds_and_params_differ_within_one_batch(create_checkpoint: Create):
    checkpoint = create_checkpoint()
    async with TransformersSampler.from_checkpoint(checkpoint) as sampler:
        greedy = SamplingParams(temperature=0, max_tokens=12)
        calls = [collect(sampler, user_message("abc"), [1, 2], params) for params in (PLAIN, greedy, FULL)]
        plain, best, full = await asyncio.gather(*calls)
    assert plain[0].tokens.tolist() != plain[1].tokens.tolist()
    assert best[0].tokens.tolist() == best[1].tokens.tolist() == sample_naively(checkpoint, "abc", 9, greedy)
    assert full[1].tokens.tolist() == sample_naively(checkpoint, "abc", 2, FULL)
    assert plain[0].states is None
    assert best[0].confidences is None
    assert best[0].certainties is None
    assert full[0].certainties is not None
    assert full[0].states is not None


@pytest.mark.parametrize("kind", ["qwen3", "gpt2", "gemma3_text"])
async def test_numbers_are_those_of_a_full_pass(create_checkpoint: Create, kind: str):
    checkpoint = create_checkpoint(kind)
    splitter = TransformersSampler.from_checkpoint(checkpoint).splitter
    pools = await sample(checkpoint, PROMPTS, [1, 2, 3, 4], FULL, rows=7)
    steps = 0
    for completion in itertools.chain.from_iterable(pools):
        sampled, confidences, captured, certainties = read_numbers(completion)
        ids = torch.tensor([[*completion.prompt_tokens.tolist(), *completion.tokens.tolist()]])
        with torch.inference_mode():
            output = checkpoint.model(input_ids=ids, output_hidden_states=True)
        begin = len(completion.prompt_tokens)
        logprobs = output.logits[0, begin - 1 : -1].float().log_softmax(-1)
        expected_logprobs = logprobs.gather(-1, ids[0, begin:, None])[:, 0]
        assert np.allclose(sampled, expected_logprobs, atol=1e-4)
        assert np.allclose(confidences, logprobs.topk(4).values.mean(-1), atol=1e-4)
        uniform = torch.full_like(logprobs, 1 / logprobs.shape[-1])
        divergences = torch.nn.functional.kl_div(logprobs, uniform, reduction="none").sum(-1)
        assert divergences.min() > 0
        assert certainties.shape == completion.tokens.shape
        assert np.allclose(certainties, divergences, atol=1e-4)
        assert captured.layers == (3, 1)
        assert list(captured.steps) == splitter(completion)
        for row, step in enumerate(captured.steps):
            for column, layer in enumerate(captured.layers):
                expected = output.hidden_states[layer][0, begin + step.end - 1].float()
                assert np.allclose(captured.values[row, column], expected, atol=1e-4)
        steps += len(captured.steps)
    assert steps > 4


async def test_chat_template_ends_and_text(create_checkpoint: Create):
    checkpoint = create_checkpoint(template="chat")
    params = SamplingParams(temperature=1, top_p=1, top_k=0, max_tokens=6)
    pool = (await sample(checkpoint, ["a+1"], list(range(24)), params))[0]
    assert checkpoint.decode(pool[0].prompt_tokens.tolist()) == "a+1\n<think>"
    assert {completion.finish for completion in pool} == {"stop", "length"}
    for completion in pool:
        is_ended = completion.tokens[-1] in checkpoint.end_tokens
        assert completion.finish == ("stop" if is_ended else "length")
        assert is_ended or len(completion.tokens) == 6
        assert completion.text == checkpoint.decode(completion.tokens[: -1 if is_ended else None].tolist())


async def test_stop_strings_cut_the_text_and_keep_the_tokens(create_checkpoint: Create):
    checkpoint = create_checkpoint()
    whole = (await sample(checkpoint, ["a+1"], list(range(12)), PLAIN))[0]
    pairs = [completion.text[3:5] for completion in whole if len(completion.text) > 8]
    stop = (pairs[0], "no such text")
    params = SamplingParams(temperature=1, top_p=1, top_k=0, max_tokens=40, stop=stop)
    for full, cut in zip(whole, (await sample(checkpoint, ["a+1"], list(range(12)), params))[0], strict=True):
        assert cut.tokens.tolist() == full.tokens[: len(cut.tokens)].tolist()
        assert cut.text == full.text.split(stop[0])[0]
        assert cut.finish == ("stop" if stop[0] in full.text else full.finish)


async def test_prompts_that_meet_the_context(create_checkpoint: Create):
    checkpoint = create_checkpoint(context=16)
    long, near, empty = await sample(checkpoint, ["a" * 16, "abcdefghijk+1", ""], [1, 2], PLAIN)
    assert [completion.finish for completion in long + empty] == ["error"] * 4
    assert "16 tokens" in long[0].note
    assert "0 tokens" in empty[0].note
    for completion in near:
        assert len(completion.tokens) <= 3
        if completion.finish == "length":
            assert "context of 16 tokens" in completion.note


async def test_a_row_with_a_long_masked_past(create_checkpoint: Create):
    """A young row beside one of 900 tokens: more masked columns than one block of the attention kernel."""
    checkpoint = create_checkpoint(context=2048)
    params = SamplingParams(temperature=1, top_p=1, top_k=0, max_tokens=8)
    long, short = await sample(checkpoint, ["ab" * 450, "b+2"], [1, 2], params)
    assert short[0].tokens.tolist() == sample_naively(checkpoint, "b+2", 1, params)
    assert long[1].tokens.tolist() == sample_naively(checkpoint, "ab" * 450, 2, params)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1}, "temperature: got -1"),
        ({"top_p": 0}, "top_p: got 0"),
        ({"max_tokens": 0}, "max_tokens: got 0"),
        ({"stop": ("",)}, "stop"),
        ({"capture": (4,)}, r"hidden states 0\.\.3"),
        ({"capture": ()}, "capture"),
    ],
)
async def test_faulty_params_are_named(create_checkpoint: Create, settings: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        await sample(create_checkpoint(), ["a"], [1], SamplingParams(**settings))


async def test_event_loop_stays_alive(create_checkpoint: Create):
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    clock = asyncio.create_task(tick())
    await sample(create_checkpoint(), PROMPTS, list(range(16)), PLAIN)
    clock.cancel()
    assert ticks > 3


async def test_a_cancelled_caller_leaves_the_others_alone(create_checkpoint: Create):
    checkpoint = create_checkpoint()
    expected = list_tokens(await sample(checkpoint, ["abc"], [1, 2], PLAIN))
    async with TransformersSampler.from_checkpoint(checkpoint, 4) as sampler:
        leaving = asyncio.create_task(collect(sampler, user_message("b+2"), list(range(64)), PLAIN))
        staying = asyncio.create_task(collect(sampler, user_message("abc"), [1, 2], PLAIN))
        await asyncio.sleep(0.02)
        leaving.cancel()
        assert list_tokens([await staying]) == expected
        with pytest.raises(asyncio.CancelledError):
            await leaving


async def wait_for_rows(batches: list[Batch], rows: int) -> None:
    """Wait until the batches have this many live rows."""

    def count() -> int:
        return sum(int(batch.table.alive[: batch.length].sum()) for batch in batches)

    async with asyncio.timeout(20):
        while not batches or count() != rows:  # noqa: ASYNC110 - the batch belongs to another thread, without events
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_closing_takes_the_rows_out_of_the_batch(
    create_checkpoint: Create, monkeypatch: pytest.MonkeyPatch, is_cancelled: bool
):
    batches: list[Batch] = []
    checkpoint = create_checkpoint(context=4096)
    params = SamplingParams(temperature=1, top_p=1, top_k=0, max_tokens=3000)
    # Without an end token every completion is as long as it may be.
    async with TransformersSampler.from_checkpoint(replace(checkpoint, end_tokens=frozenset()), 8) as sampler:
        create = sampler._scheduler._create_batch

        def record(rows: int) -> Batch:
            batches.append(create(rows))
            return batches[-1]

        monkeypatch.setattr(sampler._scheduler, "_create_batch", record)
        # More completions than rows: some wait when the caller leaves.
        completions = sampler.sample(user_message("abc"), list(range(20)), params)
        first = asyncio.create_task(anext(completions))
        await wait_for_rows(batches, 8)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        if not is_cancelled:
            await completions.aclose()
        await wait_for_rows(batches, 0)
        # The batch goes on with the next caller.
        short = replace(params, max_tokens=5)
        assert [len(c.tokens) for c in await collect(sampler, user_message("abc"), [1, 2], short)] == [5, 5]
        assert len(batches) == 1


async def test_completions_come_before_the_last_one_is_finished(create_checkpoint: Create):
    checkpoint = create_checkpoint()
    lengths = [len(c.tokens) for c in (await sample(checkpoint, ["abc"], list(range(12)), PLAIN))[0]]
    assert len(set(lengths)) > 3
    async with TransformersSampler.from_checkpoint(checkpoint) as sampler:
        completions = sampler.sample(user_message("abc"), list(range(12)), PLAIN)
        order = [len(completion.tokens) async for _, completion in completions]
    assert order == sorted(lengths)


async def test_closing_stops_waiting_callers(create_checkpoint: Create):
    sampler = TransformersSampler.from_checkpoint(create_checkpoint(), 2)
    waiting = asyncio.create_task(collect(sampler, user_message("abc"), list(range(200)), PLAIN))
    await asyncio.sleep(0.01)
    await sampler.aclose()
    sampler.close()
    with pytest.raises(EngineError, match="closed"):
        await waiting
    with pytest.raises(EngineError, match="closed"):
        await collect(sampler, user_message("abc"), [1], PLAIN)


def break_forward(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Checkpoint, error: Exception, most_rows: int, times: int = 1000
) -> None:
    forward, remaining = checkpoint.model.forward, times

    def run(input_ids: torch.Tensor, position_ids: Any = None, logits_to_keep: int = 0, **kwargs: Any) -> Any:
        nonlocal remaining
        if len(input_ids) > most_rows and remaining:
            remaining -= 1
            raise error
        return forward(input_ids=input_ids, position_ids=position_ids, logits_to_keep=logits_to_keep, **kwargs)

    monkeypatch.setattr(checkpoint.model, "forward", run)


async def test_an_error_reaches_every_caller_and_the_sampler_lives_on(
    create_checkpoint: Create, monkeypatch: pytest.MonkeyPatch
):
    checkpoint = create_checkpoint()
    expected = list_tokens(await sample(checkpoint, ["abc"], [1], PLAIN))
    break_forward(monkeypatch, checkpoint, ValueError("device lost"), most_rows=3, times=1)
    async with TransformersSampler.from_checkpoint(checkpoint) as sampler:
        calls = [collect(sampler, user_message(prompt), [1, 2, 3], PLAIN) for prompt in PROMPTS]
        results = await asyncio.gather(*calls, return_exceptions=True)
        failed = [result for result in results if isinstance(result, EngineError)]
        assert failed
        assert "ValueError: device lost" in str(failed[0])
        assert list_tokens([await collect(sampler, user_message("abc"), [1], PLAIN)]) == expected


async def test_out_of_memory_halves_the_batch(create_checkpoint: Create, monkeypatch: pytest.MonkeyPatch):
    checkpoint = create_checkpoint()
    expected = list_tokens(await sample(checkpoint, PROMPTS, list(range(6)), FULL))
    break_forward(monkeypatch, checkpoint, torch.OutOfMemoryError("no room"), most_rows=6)
    async with TransformersSampler.from_checkpoint(checkpoint, 16) as sampler:
        pools = await asyncio.gather(
            *(collect(sampler, user_message(prompt), list(range(6)), FULL) for prompt in PROMPTS)
        )
        assert list_tokens(pools) == expected
        assert sampler.describe().info["batch_rows"] == 4
    break_forward(monkeypatch, checkpoint, torch.OutOfMemoryError("no room"), most_rows=0)
    with pytest.raises(EngineError, match="single row"):
        await sample(checkpoint, ["abc"], [1, 2], PLAIN, rows=2)
