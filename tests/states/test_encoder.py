"""States of existing text: against captured ones, and what is refused."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from nbest.errors import ConfigError, DataError
from nbest.records import Completion, HiddenStates, SamplingParams, Step, Trajectory, user_message
from nbest.sampling.checkpoint import Checkpoint
from nbest.sampling.collecting import collect
from nbest.sampling.transformers import TransformersSampler
from nbest.states.encoder import TransformersEncoder

Create = Callable[..., Checkpoint]


def create_trajectory(completion: Completion, index: int = 0) -> Trajectory:
    return Trajectory(f"p#{index}", "p", index, index, completion)


async def compare(checkpoint: Checkpoint, batch_tokens: int) -> tuple[list[HiddenStates], list[Completion]]:
    params = SamplingParams(temperature=1, top_p=1, top_k=0, max_tokens=40, capture=(-1, 0, 2))
    async with TransformersSampler.from_checkpoint(checkpoint) as sampler:
        completions = await collect(sampler, user_message("abc"), [1, 2, 3, 4], params) + await collect(
            sampler, user_message("b+2-1"), [1, 2], params
        )
    trajectories = [create_trajectory(completion, index) for index, completion in enumerate(completions)]
    encoder = TransformersEncoder.from_checkpoint(checkpoint, (-1, 0, 2), batch_tokens)
    steps = [encoder.splitter(completion) for completion in completions]
    assert sum(map(len, steps)) > 3
    return await encoder.encode(trajectories, steps), completions


@pytest.mark.parametrize("batch_tokens", [1, 64, 16_384])
async def test_encoded_equals_captured(create_checkpoint: Create, batch_tokens: int):
    encoded, completions = await compare(create_checkpoint(), batch_tokens)
    for states, completion in zip(encoded, completions, strict=True):
        assert completion.states is not None
        assert states.layers == completion.states.layers == (3, 0, 2)
        assert states.steps == completion.states.steps
        assert states.values.dtype == np.float32
        assert np.allclose(states.values, completion.states.values, atol=1e-4)


async def test_encoded_equals_captured_within_bfloat16(create_checkpoint: Create):
    encoded, completions = await compare(create_checkpoint(dtype="bfloat16"), 64)
    for states, completion in zip(encoded, completions, strict=True):
        assert completion.states is not None
        # Eight bits of mantissa through three layers: 5 % of the largest entry bounds the difference.
        scale = np.abs(completion.states.values).max(initial=0)
        assert np.abs(states.values - completion.states.values).max(initial=0) <= 0.05 * scale


async def test_a_trajectory_without_steps_has_no_rows(create_checkpoint: Create):
    encoder = TransformersEncoder.from_checkpoint(create_checkpoint())
    (states,) = await encoder.encode([create_trajectory(Completion(text="a"))], [[]])
    assert states.values.shape == (0, 1, 32)
    assert await encoder.encode([], []) == []


async def test_text_is_tokenized_and_closed(create_checkpoint: Create):
    checkpoint = create_checkpoint(template="chat")
    encoder = TransformersEncoder.from_checkpoint(checkpoint)
    bare = create_trajectory(Completion(text="a.\n\nb\n\nc", finish="stop"))
    filled = encoder.tokenize_trajectory("1+1", bare)
    assert checkpoint.decode(filled.completion.prompt_tokens.tolist()) == "1+1\n<think>"
    assert checkpoint.decode(filled.completion.tokens.tolist()) == "a.\n\nb\n\nc<eos>"
    steps = encoder.splitter(filled.completion)
    assert steps == [Step(0, 2), Step(2, 4), Step(4, 5)]
    (states,) = await encoder.encode([filled], [steps])
    assert states.values.shape == (3, 1, 32)
    cut = encoder.tokenize_trajectory("1+1", replace(bare, completion=replace(bare.completion, finish="length")))
    assert encoder.splitter(cut.completion) == [Step(0, 2), Step(2, 4)]
    assert encoder.tokenize_trajectory("other", filled) is filled


@pytest.mark.parametrize(
    ("completion", "steps", "message"),
    [
        (Completion(text="a"), [Step(0, 1)], "p#0: it has no token ids"),
        (Completion("a", np.ones(2, np.int32), np.ones(3, np.int32)), [Step(0, 4)], "p#0: a step lies outside"),
        (Completion("a", np.ones(9, np.int32), np.ones(9, np.int32)), [Step(0, 8)], "p#0: prompt and steps are 17"),
    ],
)
async def test_refusals_name_the_trajectory(
    create_checkpoint: Create, completion: Completion, steps: list[Step], message: str
):
    encoder = TransformersEncoder.from_checkpoint(create_checkpoint(context=16))
    with pytest.raises(DataError, match=message):
        await encoder.encode([create_trajectory(completion)], [steps])


async def test_faulty_calls(create_checkpoint: Create):
    with pytest.raises(ConfigError, match="batch_tokens"):
        TransformersEncoder.from_checkpoint(create_checkpoint(), batch_tokens=0)
    with pytest.raises(ConfigError, match="layers"):
        TransformersEncoder.from_checkpoint(create_checkpoint(), (9,))
    with pytest.raises(DataError, match="each trajectory needs one list"):
        await TransformersEncoder.from_checkpoint(create_checkpoint()).encode([], [[]])
