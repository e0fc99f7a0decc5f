"""States of existing text: compared with captured ones, and refusals."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nbest.config import SampleConfig, parse_config
from nbest.errors import ConfigError, DataError, OutOfMemoryError
from nbest.records import (
    Completion,
    EncodingFault,
    HiddenStates,
    Problem,
    SamplingParams,
    Step,
    Trajectory,
    user_message,
)
from nbest.sampling.checkpoint import Checkpoint
from nbest.sampling.collecting import collect
from nbest.sampling.transformers import TransformersSampler
from nbest.stages import encode, sample
from nbest.stages.encoding import Skips, encode_run
from nbest.states.encoder import TransformersEncoder
from nbest.storage.run import Run

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


@pytest.mark.parametrize("system", [None, "Add carefully."])
@pytest.mark.parametrize("has_tokens", [True, False])
def test_states_under_a_system_prompt_are_those_captured_under_it(tmp_path: Path, system: str | None, has_tokens: bool):
    """Also where the run holds texts alone, so that the prompts are rendered again."""
    values = {
        "problems": {"source": "arithmetic", "count": 3},
        "policy": {"model": "bundled:arithmetic", "device": "cpu"},
        "sampling": {"max_tokens": 60, "capture": [2, -1]},
        "n": 2,
    }
    sample(tmp_path / "sampled", parse_config(SampleConfig, values | ({"system": system} if system else {}), "test"))
    sampled = Run.open(tmp_path / "sampled")
    assert sampled.manifest["identity"].get("system") == system
    bare = Run.create(tmp_path / "bare", sampled.manifest)
    bare.write_problems(list(sampled.problems()))
    trajectories = [trajectory for pool in sampled.pools() for trajectory in pool.trajectories]
    lengths = {len(trajectory.completion.prompt_tokens) for trajectory in trajectories}
    empty = np.zeros(0, np.int32)
    bare.append_trajectories(
        [
            trajectory
            if has_tokens
            else replace(
                trajectory, completion=replace(trajectory.completion, prompt_tokens=empty, tokens=empty, logprobs=None)
            )
            for trajectory in trajectories
        ]
    )
    assert encode(bare, layers=(2, -1)).with_states == 6
    ids = [trajectory.id for trajectory in trajectories]
    same = 0
    for captured, encoded in zip(sampled.states(ids), bare.states(ids), strict=True):
        assert captured.layers == encoded.layers
        # Sampled ids need not be those that the tokenizer chooses for the same text.
        if captured.steps == encoded.steps:
            same += 1
            np.testing.assert_allclose(encoded.values, captured.values, rtol=2e-2, atol=5e-2)
    assert same >= (6 if has_tokens else 4)
    tokenized = TransformersEncoder("bundled:arithmetic", device="cpu", system=system).tokenize_trajectory(
        next(iter(sampled.problems())).prompt, create_trajectory(Completion("a"))
    )
    assert len(tokenized.completion.prompt_tokens) in lengths


def test_a_system_prompt_goes_before_the_question():
    plain = TransformersEncoder("bundled:arithmetic", device="cpu")
    briefed = TransformersEncoder("bundled:arithmetic", device="cpu", system="Add carefully.")
    prompts = [
        encoder.tokenize_trajectory("1 + 2", create_trajectory(Completion("a"))).completion.prompt_tokens
        for encoder in (plain, briefed)
    ]
    text = briefed.checkpoint.decode(prompts[1].tolist())
    assert "Add carefully." in text
    assert text.index("Add carefully.") < text.index("1 + 2")
    assert "Add carefully." not in plain.checkpoint.decode(prompts[0].tolist())


async def test_a_trajectory_without_steps_has_no_rows(create_checkpoint: Create):
    encoder = TransformersEncoder.from_checkpoint(create_checkpoint())
    (states,) = await encoder.encode([create_trajectory(Completion(text="a"))], [[]])
    assert states.values.shape == (0, 1, 32)
    assert await encoder.encode([], []) == []


async def test_text_is_tokenized_and_closed(create_checkpoint: Create):
    checkpoint = create_checkpoint(template="chat")
    encoder = TransformersEncoder.from_checkpoint(checkpoint)
    bare = create_trajectory(Completion(text="a.\n\nb\n\nc", finish="stop"))
    tokenized = encoder.tokenize_trajectory("1+1", bare)
    assert checkpoint.decode(tokenized.completion.prompt_tokens.tolist()) == "1+1\n<think>"
    assert checkpoint.decode(tokenized.completion.tokens.tolist()) == "a.\n\nb\n\nc<eos>"
    steps = encoder.splitter(tokenized.completion)
    assert steps == [Step(0, 2), Step(2, 4), Step(4, 5)]
    (states,) = await encoder.encode([tokenized], [steps])
    assert states.values.shape == (3, 1, 32)
    cut = encoder.tokenize_trajectory("1+1", replace(bare, completion=replace(bare.completion, finish="length")))
    assert encoder.splitter(cut.completion) == [Step(0, 2), Step(2, 4)]
    assert encoder.tokenize_trajectory("other", tokenized) is tokenized


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


async def test_what_cannot_be_encoded_is_said_before(create_checkpoint: Create):
    encoder = TransformersEncoder.from_checkpoint(create_checkpoint(context=16))
    ids = np.array([4, 5], np.int32)

    def prepare(text: str, prompt: str = "1", tokens: np.ndarray = ids[:0]) -> object:
        return encoder.prepare(prompt, create_trajectory(Completion(text, tokens=tokens, finish="stop")))

    fitting = prepare("a.\n\nb")
    assert isinstance(fitting, tuple)
    assert fitting[1] == encoder.splitter(fitting[0].completion)
    for long in (prepare("a" * 30), prepare("a", "1" * 30)):
        assert isinstance(long, EncodingFault)
        assert long.reason == "longer than the model's context"
    foreign = prepare("a", tokens=np.array([4, 999], np.int32))
    assert isinstance(foreign, EncodingFault)
    assert foreign.reason == "token ids of another model"
    assert "token id 999" in foreign.message
    # Ids without those of the prompt get them.
    with_prompt = prepare("", tokens=ids)
    assert isinstance(with_prompt, tuple)
    assert with_prompt[0].completion.tokens.tolist() == [4, 5]
    assert len(with_prompt[0].completion.prompt_tokens) > 0


async def test_a_batch_that_memory_does_not_hold_is_halved(
    create_checkpoint: Create, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    encoder = TransformersEncoder.from_checkpoint(create_checkpoint())
    compute = encoder._compute

    def run_short(rows: list[np.ndarray], ends: list[np.ndarray]) -> np.ndarray:
        if len(rows) > 1 or len(rows[0]) > 20:
            raise OutOfMemoryError("no room")
        return compute(rows, ends)

    monkeypatch.setattr(encoder, "_compute", run_short)
    run = Run.create(tmp_path / "run", {"identity": {}, "info": {}})
    run.write_problems([Problem("p", "1")])
    texts = ["a.\n\nb", "b.\n\nc", "a" * 40, "c"]
    completions = [Completion(text, finish="stop") for text in texts]
    run.append_trajectories([create_trajectory(completion, index) for index, completion in enumerate(completions)])
    counts = list[int]()
    await encode_run(run, encoder, lambda count, _: counts.append(count), {}, Skips())
    assert run.done_states() == {"p#0", "p#1", "p#3"}
    assert [(skip.trajectory_id, skip.reason) for skip in run.skips()] == [("p#2", "out of memory")]
    assert counts == [4]


async def test_faulty_calls(create_checkpoint: Create):
    with pytest.raises(ConfigError, match="batch_tokens"):
        TransformersEncoder.from_checkpoint(create_checkpoint(), batch_tokens=0)
    with pytest.raises(ConfigError, match="layers"):
        TransformersEncoder.from_checkpoint(create_checkpoint(), (9,))
    with pytest.raises(DataError, match="each trajectory needs one list"):
        await TransformersEncoder.from_checkpoint(create_checkpoint()).encode([], [[]])
