"""What every Sampler promises, run against each implementation."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from nbest.protocols import Sampler
from nbest.records import Completion, SamplingParams, user_message
from nbest.sampling.collecting import collect

PARAMS = SamplingParams(temperature=1, top_p=1, top_k=0, max_tokens=12)


@pytest.fixture(params=["scripted", "transformers", "openai"])
async def sampler(request: pytest.FixtureRequest, create_checkpoint: Callable[..., Any]) -> AsyncIterator[Sampler]:
    if request.param == "scripted":
        from nbest.sampling.scripted import ScriptedSampler

        yield ScriptedSampler(lambda prompt, seed: f"{prompt} {seed}")
        return
    from nbest.sampling.transformers import TransformersSampler

    async with TransformersSampler.from_checkpoint(create_checkpoint(), 4) as made:
        if request.param == "transformers":
            yield made
            return
        from nbest.sampling.openai_compatible import Endpoint, OpenAISampler
        from nbest.sampling.openai_payloads import Form
        from nbest.serving.background import serve
        from nbest.serving.endpoint import create_app

        with serve(create_app(made, "tiny")) as url:
            async with OpenAISampler(Endpoint(url), Form("tiny")) as client:
                yield client


def list_texts(completions: list[Completion]) -> list[str]:
    return [completion.text for completion in completions]


async def test_fits_the_protocol(sampler: Sampler):
    assert isinstance(sampler, Sampler)


async def test_one_completion_a_seed_in_their_order(sampler: Sampler):
    seeds = [5, 1, 9, 7, 3, 8]
    forward = list_texts(await collect(sampler, user_message("abc"), seeds, PARAMS))
    backward = list_texts(await collect(sampler, user_message("abc"), seeds[::-1], PARAMS))
    assert len(forward) == 6
    assert backward == forward[::-1]
    assert len(set(forward)) > 1


async def test_same_seed_same_completion_whatever_the_company(sampler: Sampler):
    calls = [collect(sampler, user_message(prompt), [1, 2, 3], PARAMS) for prompt in ("abc", "b+2", "1")]
    together = await asyncio.gather(*calls)
    assert list_texts(await collect(sampler, user_message("b+2"), [2, 2], PARAMS)) == [together[1][1].text] * 2


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
