"""What every Sampler promises, run against each implementation."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from nbest.errors import ConfigError, UnavailableError
from nbest.protocols import Sampler
from nbest.records import Completion, Message, SamplingParams, WorkReport, user_message
from nbest.sampling.collecting import collect

PARAMS = SamplingParams(temperature=1, top_p=1, top_k=0, max_tokens=12)


@pytest.fixture(params=["scripted", "transformers", "openai"])
async def sampler(request: pytest.FixtureRequest, create_checkpoint: Callable[..., Any]) -> AsyncIterator[Sampler]:
    if request.param == "scripted":
        from nbest.sampling.scripted import ScriptedSampler

        yield ScriptedSampler(lambda prompt, seed: f"{prompt} {seed}")
        return
    from nbest.sampling.transformers import TransformersSampler

    async with TransformersSampler.from_checkpoint(create_checkpoint(), 4) as model:
        if request.param == "transformers":
            yield model
            return
        from nbest.sampling.openai_compatible import Endpoint, OpenAISampler
        from nbest.sampling.openai_payloads import Form
        from nbest.serving.background import serve
        from nbest.serving.endpoint import create_app

        with serve(create_app(model, "tiny")) as url:
            async with OpenAISampler(Endpoint(url), Form("tiny")) as client:
                yield client


def list_texts(completions: list[Completion]) -> list[str]:
    return [completion.text for completion in completions]


async def test_fits_the_protocol(sampler: Sampler):
    assert isinstance(sampler, Sampler)


async def test_what_sample_would_refuse_is_refused_before(sampler: Sampler):
    sampler.check(PARAMS)
    refused = replace(PARAMS, capture=(99,))
    with pytest.raises((ConfigError, UnavailableError), match="capture") as before:
        sampler.check(refused)
    with pytest.raises((ConfigError, UnavailableError)) as meanwhile:
        await collect(sampler, user_message("abc"), [1], refused)
    assert str(meanwhile.value) == str(before.value)


async def test_one_completion_a_seed_in_their_order(sampler: Sampler):
    seeds = [5, 1, 9, 7, 3, 8]
    forward = list_texts(await collect(sampler, user_message("abc"), seeds, PARAMS))
    backward = list_texts(await collect(sampler, user_message("abc"), seeds[::-1], PARAMS))
    assert len(forward) == 6
    assert backward == forward[::-1]
    assert len(set(forward)) > 1


async def test_each_completion_comes_with_its_seed(sampler: Sampler):
    seeds = [5, 1, 9, 7, 3, 8, 5]
    async with aclosing(sampler.sample(user_message("abc"), seeds, PARAMS)) as completions:
        pairs = [(seed, completion.text) async for seed, completion in completions]
    assert Counter(seed for seed, _ in pairs) == Counter(seeds)
    texts = list_texts(await collect(sampler, user_message("abc"), seeds, PARAMS))
    assert dict(pairs) == dict(zip(seeds, texts, strict=True))


async def test_same_seed_same_completion_whatever_the_company(sampler: Sampler):
    calls = [collect(sampler, user_message(prompt), [1, 2, 3], PARAMS) for prompt in ("abc", "b+2", "1")]
    together = await asyncio.gather(*calls)
    assert list_texts(await collect(sampler, user_message("b+2"), [2, 2], PARAMS)) == [together[1][1].text] * 2


async def test_a_sampler_that_is_closed_early_goes_on(sampler: Sampler):
    expected = list_texts(await collect(sampler, user_message("abc"), [1, 2], PARAMS))
    async with aclosing(sampler.sample(user_message("abc"), list(range(40)), PARAMS)) as completions:
        seed, completion = await anext(completions)
        assert seed in range(40)
        assert completion.finish in ("stop", "length")
    with pytest.raises(StopAsyncIteration):
        await anext(completions)
    never_started = sampler.sample(user_message("abc"), [1], PARAMS)
    await never_started.aclose()
    assert list_texts(await collect(sampler, user_message("abc"), [1, 2], PARAMS)) == expected


async def test_a_caller_that_is_cancelled(sampler: Sampler):
    task = asyncio.create_task(collect(sampler, user_message("abc"), list(range(40)), PARAMS))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(await collect(sampler, user_message("abc"), [1, 2], PARAMS)) == 2


async def test_several_turns(sampler: Sampler):
    turns = (Message("system", "a"), Message("user", "1"), Message("assistant", "2"), Message("user", "3"))
    several = await collect(sampler, turns, [1, 2, 3, 4], PARAMS)
    single = await collect(sampler, user_message("3"), [1, 2, 3, 4], PARAMS)
    assert list_texts(several) != list_texts(single)
    assert {completion.finish for completion in several} <= {"stop", "length"}


async def test_no_seeds_no_completions(sampler: Sampler):
    assert await collect(sampler, user_message("abc"), [], PARAMS) == []


async def test_seeds_of_63_bits(sampler: Sampler):
    high, low = await collect(sampler, user_message("abc"), [2**63 - 1, 0], PARAMS)
    assert high.finish in ("stop", "length")
    assert high.text != low.text


async def test_arrays_fit_the_tokens(sampler: Sampler):
    for completion in await collect(sampler, user_message("abc"), [1, 2], PARAMS):
        assert completion.logprobs is None or len(completion.logprobs) == len(completion.tokens)
        assert completion.confidences is None
        assert completion.certainties is None
        assert completion.states is None


async def test_it_describes_itself(sampler: Sampler):
    description = sampler.describe()
    assert description.identity["type"] in ("scripted", "transformers", "openai")
    assert dict(sampler.describe().identity) == dict(description.identity)
    # A manifest keeps both as JSON.
    assert json.loads(json.dumps(dict(description.identity))) == dict(description.identity)
    json.dumps(dict(description.info))


async def test_its_vocabulary_and_cost(sampler: Sampler):
    vocabulary = sampler.vocabulary
    assert (sampler.count_flops(10, 20) > 0) == (vocabulary is not None)
    if vocabulary is None:
        return
    assert vocabulary.count_tokens("abc") == 3
    assert vocabulary.count_prompt_tokens(user_message("abc")) >= 3
    assert vocabulary.context_tokens == 512
    [completion] = await collect(sampler, user_message("abc"), [1], PARAMS)
    assert "".join(map(vocabulary.token_text, completion.tokens.tolist())).startswith(completion.text)


async def test_it_reports_what_it_has_done(sampler: Sampler):
    assert sampler.report() == WorkReport()
    completions = await collect(sampler, user_message("abc"), [1, 2, 3], PARAMS)
    report = sampler.report()
    assert report.calls in (0, 3)
    assert report.usage.sampled_tokens == sum(completion.count_usage().sampled_tokens for completion in completions)
    assert (dict(report.retried), dict(report.failed), dict(report.unscored)) == ({}, {}, {})


async def test_it_closes_twice_and_as_a_context_manager(sampler: Sampler):
    async with sampler as entered:
        assert entered is sampler
        assert len(await collect(sampler, user_message("abc"), [1], PARAMS)) == 1
    await sampler.aclose()
