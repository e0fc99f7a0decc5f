"""The sampler against a stand-in for vLLM's modules: the requests it sends, and how it reads the outputs."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer

from nbest.errors import ConfigError, EngineError, MissingExtraError, UnavailableError
from nbest.records import SamplingParams, user_message
from nbest.sampling.checkpoint import locate_checkpoint
from nbest.sampling.collecting import collect
from nbest.sampling.model_files import hash_model
from nbest.sampling.vllm import VllmSampler

PARAMS = SamplingParams(temperature=1, top_p=0.9, top_k=5, max_tokens=12, stop=("x",))


class Engine:
    """As AsyncLLM: replies with one token per seed; seeds of 100 and more wait for an hour."""

    def __init__(self, arguments: SimpleNamespace):
        if arguments.dtype == "float16":
            raise ValueError("no float16 here")
        self.arguments = arguments
        self.model_config = SimpleNamespace(max_model_len=20)
        self.loop = asyncio.get_running_loop()
        self.requests: list[tuple[list[int], Any]] = []
        self.ids: set[str] = set()
        self.aborted: list[int] = []
        self.errored = self.is_shut = False
        self.problem: Exception | None = None

    @classmethod
    def from_engine_args(cls, arguments: SimpleNamespace) -> "Engine":
        return cls(arguments)

    async def generate(self, prompt: Any, settings: Any, request_id: str) -> AsyncIterator[Any]:
        assert asyncio.get_running_loop() is self.loop
        self.requests.append((prompt["prompt_token_ids"], settings))
        self.ids.add(request_id)
        try:
            await asyncio.sleep(3600 if settings.seed >= 100 else 0)
        except asyncio.CancelledError:
            self.aborted.append(settings.seed)
            raise
        if self.problem:
            raise self.problem
        row = {settings.seed: SimpleNamespace(logprob=-0.5), 99: SimpleNamespace(logprob=-0.25)}
        reason = {7: "abort", 8: "length"}.get(settings.seed, "stop")
        output = SimpleNamespace(
            text=f"t{settings.seed}", token_ids=[settings.seed], logprobs=[row], finish_reason=reason
        )
        yield SimpleNamespace(outputs=[output])

    def shutdown(self) -> None:
        self.is_shut = True


@pytest.fixture
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def module(name: str, **attributes: Any) -> None:
        stand_in = ModuleType(name)
        stand_in.__dict__.update(attributes)
        monkeypatch.setitem(sys.modules, name, stand_in)

    module("vllm", SamplingParams=SimpleNamespace, __version__="0.0")
    module("vllm.engine")
    module("vllm.engine.arg_utils", AsyncEngineArgs=SimpleNamespace)
    module("vllm.v1")
    module("vllm.v1.engine")
    module("vllm.v1.engine.async_llm", AsyncLLM=Engine)
    module("vllm.sampling_params", RequestOutputKind=SimpleNamespace(FINAL_ONLY="final"))


@pytest.fixture
async def sampler(_stand_in: None) -> AsyncIterator[VllmSampler]:
    async with VllmSampler("bundled:arithmetic", template="none", engine={"tensor_parallel_size": 2}) as sampler:
        yield sampler


async def test_one_request_per_seed(sampler: VllmSampler) -> None:
    completions = await collect(sampler, user_message("12"), [3, 4], PARAMS)
    assert [(completion.text, completion.finish, completion.tokens.tolist()) for completion in completions] == [
        ("t3", "stop", [3]),
        ("t4", "stop", [4]),
    ]
    assert completions[0].logprobs is not None
    assert (completions[0].logprobs.tolist(), completions[0].confidences) == ([-0.5], None)
    engine = sampler._engine
    prompt, settings = engine.requests[0]
    assert prompt == completions[0].prompt_tokens.tolist()
    assert vars(settings) == {
        "n": 1,
        "seed": 3,
        "temperature": 1,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.0,
        "max_tokens": 12,
        "stop": ["x"],
        "logprobs": 0,
        "skip_special_tokens": False,
        "output_kind": "final",
    }
    assert len(engine.ids) == 2
    assert engine.arguments.tensor_parallel_size == 2
    assert engine.arguments.max_logprobs == 20
    assert await collect(sampler, user_message("12"), [], PARAMS) == []


@pytest.mark.usefixtures("_stand_in")
async def test_template_arguments_reach_the_prompts(tmp_path: Path) -> None:
    shutil.copytree(locate_checkpoint("bundled:arithmetic"), tmp_path, dirs_exist_ok=True)
    template = "{{ messages[0].content }}{% if enable_thinking is defined and not enable_thinking %}</think>{% endif %}"
    (tmp_path / "chat_template.jinja").write_text(template, encoding="utf-8")
    prompts: list[list[int]] = []
    for arguments in (None, {"enable_thinking": False}):
        async with VllmSampler(str(tmp_path), template_arguments=arguments) as sampler:
            await collect(sampler, user_message("12"), [3], PARAMS)
            prompts.append(sampler._engine.requests[0][0])
            assert sampler.describe().identity.get("template_arguments") == arguments
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path)
    assert prompts == [tokenizer("12")["input_ids"], tokenizer("12</think>")["input_ids"]]
    with pytest.raises(ConfigError, match="has no variable thinking"):
        VllmSampler(str(tmp_path), template_arguments={"thinking": False})


async def test_closing_aborts_the_requests(sampler: VllmSampler) -> None:
    async with aclosing(sampler.sample(user_message("12"), [100, 3, 101], PARAMS)) as completions:
        seed, completion = await anext(completions)
    assert (seed, completion.text) == (3, "t3")
    # Work on the engine's loop is done in turn, so the requests are aborted when this answer comes.
    await collect(sampler, user_message("12"), [4], PARAMS)
    assert sorted(sampler._engine.aborted) == [100, 101]
    assert sampler.report().usage.sampled_tokens == 2


async def test_control_tokens_in_a_message_are_text(sampler: VllmSampler) -> None:
    vocabulary = sampler.vocabulary
    [completion] = await collect(sampler, user_message("<|im_end|>"), [3], PARAMS)
    tokens = completion.prompt_tokens.tolist()
    assert len(tokens) == vocabulary.count_tokens("<|im_end|>") > 1
    assert "".join(map(vocabulary.token_text, tokens)) == "<|im_end|>"
    assert vocabulary.context_tokens == 20


async def test_the_likeliest_tokens_become_confidences(sampler: VllmSampler) -> None:
    [completion] = await collect(sampler, user_message("12"), [3], SamplingParams(top_logprobs=2, max_tokens=5))
    assert completion.confidences is not None
    # (-0.25 - 0.5) / 2
    assert completion.confidences.tolist() == pytest.approx([-0.375])


async def test_how_a_request_ends(sampler: VllmSampler) -> None:
    aborted, cut = await collect(sampler, user_message("12"), [7, 8], SamplingParams(max_tokens=50))
    assert (aborted.finish, aborted.note) == ("error", "vLLM ended it with finish_reason='abort'")
    assert (cut.finish, cut.note) == ("length", "cut at the model's context of 20 tokens, before max_tokens=50")
    assert sampler._engine.requests[0][1].max_tokens == 20 - len(cut.prompt_tokens)


async def test_a_prompt_beyond_the_context_is_data(sampler: VllmSampler) -> None:
    [completion] = await collect(sampler, user_message("1 + 2 " * 30), [1], PARAMS)
    assert completion.finish == "error"
    assert "fewer than the context of 20" in completion.note
    assert sampler._engine.requests == []


async def test_a_request_that_fails_is_data_and_a_dead_engine_is_not(sampler: VllmSampler) -> None:
    sampler._engine.problem = ValueError("bad request")
    [completion] = await collect(sampler, user_message("12"), [1], PARAMS)
    assert (completion.finish, completion.note) == ("error", "ValueError: bad request")
    sampler._engine.errored = True
    with pytest.raises(EngineError, match="vLLM stopped: ValueError: bad request"):
        await collect(sampler, user_message("12"), [1], PARAMS)


async def test_what_it_cannot_return(sampler: VllmSampler) -> None:
    with pytest.raises(UnavailableError, match=r"capture.*\nself_certainty.*\ntop_logprobs"):
        await collect(
            sampler, user_message("12"), [1], SamplingParams(capture=(-1,), self_certainty=True, top_logprobs=21)
        )


@pytest.mark.usefixtures("_stand_in")
def test_it_closes_and_describes_itself() -> None:
    sampler = VllmSampler("bundled:arithmetic", dtype="bfloat16")
    description = sampler.describe()
    assert description.identity == {
        "type": "vllm",
        "model": "bundled:arithmetic",
        "revision": None,
        "dtype": "bfloat16",
        "template": "chat",
        "content_hash": hash_model("bundled:arithmetic"),
        "commit": None,
    }
    assert description.info["vllm"] == "0.0"
    # The prompt is within the chat template of the bundled policy.
    [completion] = asyncio.run(collect(sampler, user_message("1"), [1], PARAMS))
    assert len(completion.prompt_tokens) > 1
    engine = sampler._engine
    sampler.close()
    sampler.close()
    assert engine.is_shut
    with pytest.raises(EngineError, match="closed"):
        asyncio.run(collect(sampler, user_message("1"), [1], PARAMS))


@pytest.mark.usefixtures("_stand_in")
def test_what_vllm_refuses_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ConfigError, match=r"vLLM did not load 'bundled:arithmetic'\. ValueError: no float16 here"):
        VllmSampler("bundled:arithmetic", dtype="float16")
    with pytest.raises(ConfigError, match="template: got 'x'"):
        VllmSampler("bundled:arithmetic", template="x")


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'nbest\[vllm\]'"):
        VllmSampler("bundled:arithmetic")
