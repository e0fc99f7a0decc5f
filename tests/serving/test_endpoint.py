"""A scripted sampler behind a real server on loopback, asked by httpx as any client would."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

import httpx
import numpy as np
import pytest

from nbest.errors import ConfigError
from nbest.records import Completion, Message, SamplingParams, derive_seed
from nbest.sampling.scripted import ScriptedSampler
from nbest.serving.background import serve
from nbest.serving.endpoint import create_app

IDS = np.array([4, 5, 6], dtype=np.int32)


class Endless(ScriptedSampler):
    """Never answers; `closed` is set when a caller has left."""

    def __init__(self) -> None:
        super().__init__(["never"])
        self.closed = threading.Event()

    async def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        try:
            await asyncio.sleep(3600)
        finally:
            self.closed.set()
        async for item in super().sample(messages, seeds, params):
            yield item


class Echo(ScriptedSampler):
    """Keeps the messages and the parameters of its calls."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.params: list[SamplingParams] = []
        self.messages: list[tuple[Message, ...]] = []

    async def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        self.params.append(params)
        self.messages.append(tuple(messages))
        if params.max_tokens == 13:
            raise ConfigError("max_tokens: 13 is unlucky")
        async for item in super().sample(messages, seeds, params):
            yield item

    @staticmethod
    def answer(prompt: str, seed: int) -> Completion:
        if prompt == "fail":
            raise RuntimeError("no such model")
        logprobs = np.array([-0.5, -0.25, 0], dtype=np.float32)
        prompt_ids = np.array([1, 2], dtype=np.int32)
        return Completion(f"{prompt} {seed}", prompt_ids, IDS, logprobs, finish="length" if seed == 3 else "stop")


@pytest.fixture(scope="module")
def echo() -> Echo:
    return Echo()


@pytest.fixture(scope="module")
def client(echo: Echo) -> Iterator[httpx.Client]:
    with serve(create_app(echo, "echo")) as url, httpx.Client(base_url=url, trust_env=False) as http_client:
        yield http_client


def ask(client: httpx.Client, **fields: Any) -> httpx.Response:
    return client.post(
        "/chat/completions", json={"model": "echo", "messages": [{"role": "user", "content": "hi"}]} | fields
    )


def test_a_chat(client: httpx.Client, echo: Echo) -> None:
    answer = ask(client, seed=7, temperature=0.5, top_k=-1, stop="x", max_completion_tokens=9).json()
    choice = answer["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "hi 7"}
    assert (choice["finish_reason"], choice["logprobs"], choice["index"]) == ("stop", None, 0)
    # The echo holds 2 prompt ids and samples 3.
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    assert (answer["object"], answer["model"]) == ("chat.completion", "echo")
    assert echo.params[-1] == SamplingParams(0.5, 1.0, 0, 0.0, 9, ("x",))


def test_several_choices_with_log_probabilities_and_ids(client: httpx.Client) -> None:
    answer = ask(client, seed=3, n=3, logprobs=True, return_token_ids=True).json()
    seeds = [3, derive_seed(3, "choice", 1), derive_seed(3, "choice", 2)]
    assert [entry["message"]["content"] for entry in answer["choices"]] == [f"hi {seed}" for seed in seeds]
    assert [entry["finish_reason"] for entry in answer["choices"]] == ["length", "stop", "stop"]
    assert answer["usage"]["completion_tokens"] == 9
    assert (answer["prompt_token_ids"], answer["choices"][2]["token_ids"]) == ([1, 2], [4, 5, 6])
    rows = answer["choices"][0]["logprobs"]["content"]
    assert [(row["token"], row["logprob"]) for row in rows] == [
        ("token_id:4", -0.5),
        ("token_id:5", -0.25),
        ("token_id:6", 0.0),
    ]


def test_parts_of_text_are_joined(client: httpx.Client) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert ask(client, seed=1, messages=[{"role": "user", "content": parts}]).json()["choices"][0]["message"][
        "content"
    ] == ("ab 1")


def test_several_turns_reach_the_sampler(client: httpx.Client, echo: Echo) -> None:
    turns = [
        {"role": "system", "content": "Add."},
        {"role": "user", "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "+2"}]},
        {"role": "assistant", "content": "3"},
        {"role": "user", "content": "<|im_end|>"},
    ]
    assert ask(client, seed=1, messages=turns).status_code == 200
    assert echo.messages[-1] == (
        Message("system", "Add."),
        Message("user", "1+2"),
        Message("assistant", "3"),
        Message("user", "<|im_end|>"),
    )


def test_sampling_stops_when_the_client_goes_away() -> None:
    sampler = Endless()
    with serve(create_app(sampler, "echo")) as url, httpx.Client(base_url=url, trust_env=False) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post("/completions", json={"model": "echo", "prompt": "x", "n": 3}, timeout=0.5)
        assert sampler.closed.wait(10)
        assert client.get("/models").status_code == 200


def test_a_plain_completion(client: httpx.Client) -> None:
    body = {"model": "echo", "prompt": "once", "seed": 2, "logprobs": 0}
    answer = client.post("/completions", json=body).json()
    assert answer["choices"][0]["text"] == "once 2"
    assert answer["choices"][0]["logprobs"]["token_logprobs"] == [-0.5, -0.25, 0.0]
    assert answer["object"] == "text_completion"


def test_without_a_seed_each_answer_is_another(client: httpx.Client) -> None:
    assert ask(client).json()["choices"][0]["message"] != ask(client).json()["choices"][0]["message"]


def test_models(client: httpx.Client) -> None:
    assert [entry["id"] for entry in client.get("/models").json()["data"]] == ["echo"]


@pytest.mark.parametrize(
    ("fields", "status", "param", "message"),
    [
        ({"stream": True}, 400, "stream", "sent whole"),
        ({"model": "other"}, 404, "model", "'other' is not served here"),
        ({"tools": []}, 400, "tools", "Extra inputs"),
        ({"temperature": -1}, 400, "temperature", "greater than or equal to 0"),
        ({"messages": []}, 400, "messages", "at least 1"),
        ({"messages": [{"role": "system", "content": "s"}]}, 400, "messages", "got a last message of role 'system'"),
        ({"messages": [{"role": "tool", "content": "s"}]}, 400, "messages", "got roles tool"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            400,
            "messages.0.content.str",
            "should be 'text'",
        ),
        ({"max_tokens": 13}, 400, None, "13 is unlucky"),
        ({"top_logprobs": 2}, 400, "top_logprobs", "Extra inputs"),
        (
            {"chat_template_kwargs": {"enable_thinking": False}},
            400,
            "chat_template_kwargs",
            "got enable_thinking; the policy of this server sets the variables",
        ),
    ],
)
def test_what_is_refused(client: httpx.Client, fields: dict[str, Any], status: int, param: str, message: str) -> None:
    answer = ask(client, **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (status, "invalid_request_error", param)
    assert message in error["message"]


def test_no_template_arguments_change_nothing(client: httpx.Client) -> None:
    assert ask(client, seed=7, chat_template_kwargs={}).json()["choices"][0]["message"]["content"] == "hi 7"


def test_no_json_and_no_such_path(client: httpx.Client) -> None:
    broken = client.post("/chat/completions", content="{", headers={"content-type": "application/json"})
    assert broken.status_code == 400
    assert "JSON" in broken.json()["error"]["message"]
    lost = client.get("/nothing")
    assert (lost.status_code, lost.json()["error"]["message"]) == (404, "GET /v1/nothing: Not Found")


def test_a_failed_completion_is_no_answer(client: httpx.Client) -> None:
    answer = ask(client, messages=[{"role": "user", "content": "fail"}], n=2)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (500, "false")
    assert answer.json()["error"]["message"] == "2 of 2 completions failed: RuntimeError: no such model"
    assert answer.json()["error"]["code"] == "sampling_failed"


def test_the_server_ends_with_its_block() -> None:
    before = threading.active_count()
    with serve(create_app(Echo(), "echo")) as url:
        assert httpx.get(f"{url}/models", trust_env=False).status_code == 200
    assert threading.active_count() == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/models", trust_env=False)
