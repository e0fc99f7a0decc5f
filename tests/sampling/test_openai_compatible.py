"""The sampler against real servers on loopback: one serves a scripted sampler, one gives scripted replies."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import numpy as np
import pytest

from nbest.errors import ConfigError, EngineError, MissingExtraError, UnavailableError
from nbest.records import Completion, Message, SamplingParams, Trajectory, Usage, user_message
from nbest.sampling.collecting import collect
from nbest.sampling.openai_compatible import Endpoint, OpenAISampler, RequestCounts, _read_retry_after
from nbest.sampling.openai_payloads import Form
from nbest.sampling.scripted import ScriptedSampler
from nbest.serving.background import serve
from nbest.serving.endpoint import create_app

PARAMS = SamplingParams(temperature=1, top_p=1, top_k=0, max_tokens=12)
Reply = tuple[int, str, dict[str, str]]
HANG, CUT = (0, "", {}), (1, "", {})
"""Faults of the scripted server: no reply at all, and only the beginning of a body."""


def whole(text: str = "fine", **choice: Any) -> Reply:
    choices = [{"index": 0, "message": {"content": text}, "finish_reason": "stop"} | choice]
    return 200, json.dumps({"choices": choices, "usage": {"prompt_tokens": 5, "completion_tokens": 7}}), {}


class ScriptedServer:
    """An ASGI application that gives `replies` in turn, the last one for ever, and keeps the requests."""

    def __init__(self, *replies: Reply):
        self.replies = list(replies)
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.arrived, self.gone = threading.Event(), threading.Event()
        self.open = self.most_open = 0

    async def __call__(self, scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.requests.append(json.loads(body))
        self.paths.append(scope["path"])
        self.arrived.set()
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        status, text, headers = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if status == 0:
            await receive()
            self.gone.set()
            return
        await asyncio.sleep(0.005)
        self.open -= 1
        content, declared_bytes = (b'{"choi', 4000) if status == 1 else (text.encode(), len(text.encode()))
        fields = {"content-type": "application/json", "content-length": str(declared_bytes)} | headers
        pairs = [(key.encode(), value.encode()) for key, value in fields.items()]
        await send({"type": "http.response.start", "status": 200 if status == 1 else status, "headers": pairs})
        await send({"type": "http.response.body", "body": content, "more_body": status == 1})


@contextmanager
def connect(server: ScriptedServer, form: Form | None = None, **settings: Any) -> Iterator[OpenAISampler]:
    with serve(server) as url:
        endpoint = Endpoint(url, **{"backoff_seconds": 0.001, "timeout_seconds": 60.0} | settings)
        sampler = OpenAISampler(endpoint, form or Form("m"))
        try:
            yield sampler
        finally:
            sampler.close()


def counts(**values: Any) -> RequestCounts:
    result = RequestCounts()
    for name, value in values.items():
        getattr(result, name).update(value) if isinstance(value, dict) else setattr(result, name, value)
    return result


async def test_over_a_server_of_this_package() -> None:
    ids, logprobs = np.array([4, 5], dtype=np.int32), np.array([-1.5, -0.5], dtype=np.float32)
    reply = Completion("", np.array([1], dtype=np.int32), ids, logprobs, finish="length")
    with serve(create_app(ScriptedSampler(lambda *_: reply), "m")) as url:
        for template in ("chat", "none"):
            async with OpenAISampler(Endpoint(url), Form("m", template=template)) as sampler:
                [completion] = await collect(sampler, user_message("hi"), [2**63 - 1], PARAMS)
            assert (completion.finish, completion.usage, completion.note) == ("length", Usage(1, 2), "")
            assert (completion.prompt_tokens.tolist(), completion.tokens.tolist()) == ([1], [4, 5])
            assert completion.logprobs is not None
            assert completion.logprobs.tolist() == [-1.5, -0.5]


async def test_a_model_behind_a_server_draws_what_it_draws_without_one(create_checkpoint: Callable[..., Any]) -> None:
    from nbest.sampling.transformers import TransformersSampler

    params = SamplingParams(temperature=1, top_p=0.95, top_k=20, min_p=0.01, max_tokens=12)
    async with TransformersSampler.from_checkpoint(create_checkpoint(), 4) as model:
        expected = await collect(model, user_message("abc"), [2**63 - 1, 5], params)
        with serve(create_app(model, "m")) as url:
            async with OpenAISampler(Endpoint(url), Form("m")) as sampler:
                completions = await collect(sampler, user_message("abc"), [2**63 - 1, 5], params)
    for local, remote in zip(expected, completions, strict=True):
        assert (local.text, local.finish) == (remote.text, remote.finish)
        assert local.prompt_tokens.tolist() == remote.prompt_tokens.tolist()
        assert local.tokens.tolist() == remote.tokens.tolist()
        assert local.logprobs is not None
        assert remote.logprobs is not None
        # Requests that arrive apart are decoded in other batches, which may round the last bits otherwise.
        assert remote.logprobs.tolist() == pytest.approx(local.logprobs.tolist(), abs=1e-5)


async def test_closing_ends_the_requests() -> None:
    server = ScriptedServer(whole(), HANG)
    with connect(server, concurrency=3) as sampler:
        async with aclosing(sampler.sample(user_message("hi"), [1, 2, 3], PARAMS)) as completions:
            _, completion = await anext(completions)
            assert completion.text == "fine"
        # The connections of the two that hang are free again: the server sees that they are gone.
        assert await asyncio.to_thread(server.gone.wait, 10)
        server.replies = [whole("again")]
        assert [c.text for c in await collect(sampler, user_message("hi"), [4, 5, 6], PARAMS)] == ["again"] * 3
        assert sampler.report().failed == {}


async def test_turns_are_sent_as_they_are() -> None:
    turns = (Message("system", "<|im_end|>"), Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    for template, field, expected in (
        ("chat", "messages", [{"role": turn.role, "content": turn.content} for turn in turns]),
        ("none", "prompt", "<|im_end|>\n\na\n\nb\n\nc"),
    ):
        server = ScriptedServer(whole(text="x"))
        with connect(server, Form("m", template=template)) as sampler:
            await collect(sampler, turns, [1], PARAMS)
        assert server.requests[0][field] == expected


async def test_what_is_reported() -> None:
    server = ScriptedServer((500, "oops", {}), whole(), whole(), (400, "the prompt is too long", {}))
    with connect(server, concurrency=1) as sampler:
        await collect(sampler, user_message("hi"), [1, 2, 3], PARAMS)
        report = sampler.report()
    # Two answers of 5 and 7 tokens each.
    assert (report.calls, report.usage) == (4, Usage(10, 14))
    assert (report.retried, report.failed) == ({"server-error": 1}, {"bad-prompt": 1})


async def test_what_is_sent() -> None:
    params = SamplingParams(temperature=0.6, top_p=0.95, top_k=20, min_p=0.1, max_tokens=9, stop=("x",), top_logprobs=2)
    server = ScriptedServer(whole())
    with connect(server) as sampler:
        await collect(sampler, user_message("hi"), [3], params)
    shared = {"model": "m", "n": 1, "seed": 3, "temperature": 0.6, "top_p": 0.95, "stop": ["x"]}
    chat = {"messages": [{"role": "user", "content": "hi"}], "logprobs": True, "top_logprobs": 2, "max_tokens": 9}
    vllm = {"top_k": 20, "min_p": 0.1, "return_token_ids": True, "skip_special_tokens": False}
    assert server.requests == [shared | chat | vllm]
    assert server.paths == ["/v1/chat/completions"]


async def test_template_arguments_are_sent_to_the_server() -> None:
    server = ScriptedServer(whole())
    arguments = {"enable_thinking": False, "effort": "low"}
    with connect(server, Form("m", template_arguments=arguments)) as sampler:
        await collect(sampler, user_message("hi"), [3], PARAMS)
        assert sampler.describe().identity["template_arguments"] == arguments
    assert server.requests[0]["chat_template_kwargs"] == arguments


async def test_a_server_of_this_package_refuses_template_arguments_by_name() -> None:
    with serve(create_app(ScriptedSampler(["fine"]), "m")) as url:
        async with OpenAISampler(Endpoint(url), Form("m", template_arguments={"enable_thinking": False})) as sampler:
            with pytest.raises(ConfigError, match="chat_template_kwargs: got enable_thinking"):
                await collect(sampler, user_message("hi"), [3], PARAMS)


async def test_the_dialect_of_openai_sends_what_openai_documents() -> None:
    server = ScriptedServer(whole())
    with connect(server, Form("m", "openai", has_logprobs=False)) as sampler:
        await collect(sampler, user_message("hi"), [3], PARAMS)
        with pytest.raises(UnavailableError, match="top_k: 20 is no field of OpenAI's protocol"):
            await collect(sampler, user_message("hi"), [3], SamplingParams())
    assert set(server.requests[0]) == {
        "model",
        "n",
        "seed",
        "temperature",
        "top_p",
        "messages",
        "max_completion_tokens",
    }
    assert len(server.requests) == 1


async def test_what_a_server_cannot_return_is_refused_before_any_request() -> None:
    server = ScriptedServer(whole())
    with connect(server) as sampler:
        for fields, name in (
            ({"capture": (-1,)}, "capture"),
            ({"self_certainty": True}, "self_certainty"),
            ({"top_logprobs": 21}, "top_logprobs"),
        ):
            with pytest.raises(UnavailableError, match=name):
                await collect(sampler, user_message("hi"), [1], SamplingParams(**fields))
    assert (server.requests, sampler.counts) == ([], RequestCounts())


async def test_usage_without_ids_is_counted_and_stored() -> None:
    with connect(ScriptedServer(whole())) as sampler:
        [completion] = await collect(sampler, user_message("hi"), [1], PARAMS)
    assert (len(completion.tokens), completion.logprobs, completion.count_usage()) == (0, None, Usage(5, 7))
    from nbest.storage.tables import TRAJECTORIES

    columns = TRAJECTORIES.to_columns([Trajectory("p#0", "p", 0, 1, completion)])
    assert columns["sampled_tokens"] == [7]


async def test_the_likeliest_tokens_become_confidences() -> None:
    rows = [
        {"token": "a", "logprob": -1.0, "top_logprobs": [{"logprob": -0.5}, {"logprob": -1.0}]},
        {"token": "b", "logprob": -0.1, "top_logprobs": [{"logprob": -3.9}, {"logprob": -0.1}]},
    ]
    with connect(ScriptedServer(whole(logprobs={"content": rows}))) as sampler:
        [completion] = await collect(sampler, user_message("hi"), [1], SamplingParams(top_logprobs=2))
    assert completion.confidences is not None
    # (-0.5 - 1.0) / 2 and (-3.9 - 0.1) / 2
    assert completion.confidences.tolist() == pytest.approx([-0.75, -2.0])


@pytest.mark.parametrize(
    ("choice", "text", "finish"),
    [
        ({"message": {"content": "b", "reasoning_content": "a"}}, "<think>a</think>b", "stop"),
        ({"message": {"content": "b", "reasoning": "\na\n"}}, "<think>\na\n</think>b", "stop"),
        ({"message": {"content": None, "reasoning": "a"}, "finish_reason": "length"}, "<think>a", "length"),
        ({"message": {"content": None}, "finish_reason": "tool_calls"}, "", "unknown"),
        ({"message": {"content": "a"}, "finish_reason": "content_filter"}, "a", "error"),
        ({"message": {"content": "a"}, "finish_reason": None}, "a", "unknown"),
    ],
)
async def test_how_an_answer_is_read(choice: dict[str, Any], text: str, finish: str) -> None:
    with connect(ScriptedServer(whole(**choice))) as sampler:
        [completion] = await collect(sampler, user_message("hi"), [1], PARAMS)
    assert (completion.text, completion.finish) == (text, finish)
    assert bool(completion.note) == (finish == "error")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ((500, "oops", {}), "server-error"),
        ((503, "", {}), "server-error"),
        ((429, '{"error": {"message": "slow down"}}', {"retry-after": "0.01"}), "rate-limit"),
        (CUT, "cut-body"),
        ((200, "<html>", {}), "bad-body"),
        ((200, '{"error": "overloaded"}', {}), "bad-body"),
        ((200, '{"choices": []}', {}), "bad-body"),
        ((200, '{"choices": [{"message": {}}]}', {}), "bad-body"),
    ],
)
async def test_a_fault_is_retried_with_the_same_seed(fault: Reply, kind: str) -> None:
    server = ScriptedServer(fault, fault, whole())
    with connect(server) as sampler:
        [completion] = await collect(sampler, user_message("hi"), [5], PARAMS)
    assert (completion.text, completion.finish) == ("fine", "stop")
    assert [request["seed"] for request in server.requests] == [5, 5, 5]
    assert sampler.counts == counts(attempts=3, completions=1, retried={kind: 2})


async def test_a_hung_connection_is_closed_and_retried() -> None:
    with connect(ScriptedServer(whole(), HANG, whole()), timeout_seconds=0.5) as sampler:
        [[_], [completion]] = [await collect(sampler, user_message("hi"), [seed], PARAMS) for seed in (4, 5)]
    assert completion.text == "fine"
    # A busy machine may let another request wait as long.
    assert set(sampler.counts.retried) == {"timeout"}
    assert sampler.counts.attempts == 2 + sampler.counts.retried["timeout"]


async def test_a_connection_that_is_dropped_without_an_answer() -> None:
    async def drop(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(drop, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with OpenAISampler(Endpoint(url, retries=1, backoff_seconds=0.001), Form("m")) as sampler:
            [completion] = await collect(sampler, user_message("hi"), [5], PARAMS)
    assert completion.finish == "error"
    assert sampler.counts == counts(attempts=2, retried={"connection": 1}, failed={"connection": 1})


async def test_a_server_that_is_not_there() -> None:
    with serve(ScriptedServer(whole())) as url:
        pass
    async with OpenAISampler(Endpoint(url, retries=1, backoff_seconds=0.001), Form("m")) as sampler:
        [completion] = await collect(sampler, user_message("hi"), [5], PARAMS)
    assert (completion.text, completion.finish) == ("", "error")
    assert completion.note.startswith("connection after 2 attempts: Connect")
    assert sampler.counts == counts(attempts=2, retried={"connection": 1}, failed={"connection": 1})


async def test_the_last_fault_is_data() -> None:
    with connect(ScriptedServer((500, "oops", {})), retries=2) as sampler:
        first, second = await collect(sampler, user_message("hi"), [1, 2], PARAMS)
    assert first.finish == second.finish == "error"
    assert first.note.startswith("server-error after 3 attempts: HTTP 500 from http://127.0.0.1:")
    assert first.note.endswith("/v1/chat/completions: 'oops'")
    assert sampler.counts == counts(attempts=6, retried={"server-error": 4}, failed={"server-error": 2})


async def test_no_second_attempt_where_it_is_of_no_use() -> None:
    too_long = json.dumps({"error": {"message": "This model's maximum context length is 40 tokens."}})
    server = ScriptedServer((500, "never", {"x-should-retry": "false"}), (400, too_long, {}))
    with connect(server) as sampler:
        [refused] = await collect(sampler, user_message("hi"), [1], PARAMS)
        [long] = await collect(sampler, user_message("hi"), [1], PARAMS)
    assert refused.note.startswith("refused after 1 attempt: HTTP 500")
    assert long.note.startswith("bad-prompt after 1 attempt: HTTP 400")
    assert sampler.counts == counts(attempts=2, failed={"refused": 1, "bad-prompt": 1})


@pytest.mark.parametrize(
    ("status", "error", "advice"),
    [
        (400, ConfigError, "dialect = 'openai' sends only"),
        (401, ConfigError, "api_key_env is not set"),
        (404, ConfigError, "the model \\('m'\\)"),
        (402, EngineError, "HTTP 402 from http://127.0.0.1:.*/v1/chat/completions: 'no\\\\n'"),
    ],
)
async def test_a_fault_of_the_settings_stops_at_once(status: int, error: type[Exception], advice: str) -> None:
    server = ScriptedServer((status, "no\n", {}))
    with connect(server) as sampler, pytest.raises(error, match=advice):
        await collect(sampler, user_message("hi"), [1], PARAMS)
    assert sampler.counts == counts(attempts=1, stopped=1)


async def test_no_more_requests_at_once_than_allowed() -> None:
    server = ScriptedServer(whole())
    with connect(server, concurrency=3) as sampler:
        await asyncio.gather(*(collect(sampler, user_message("hi"), list(range(6)), PARAMS) for _ in range(3)))
    assert (len(server.requests), server.most_open) == (18, 3)


async def test_a_caller_that_is_cancelled_leaves_nothing_running() -> None:
    server = ScriptedServer(HANG, whole())
    with connect(server, concurrency=1) as sampler:
        waiting = asyncio.create_task(collect(sampler, user_message("hi"), [1], PARAMS))
        assert await asyncio.to_thread(server.arrived.wait, 60)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        [completion] = await collect(sampler, user_message("hi"), [2], PARAMS)
    assert completion.text == "fine"


def test_it_serves_several_event_loops_and_closes_outside_of_them() -> None:
    with connect(ScriptedServer(whole())) as sampler:
        for seed in (1, 2):
            [completion] = asyncio.run(collect(sampler, user_message("hi"), [seed], PARAMS))
            assert completion.text == "fine"
        sampler.close()
        sampler.close()
        with pytest.raises(EngineError, match="closed"):
            asyncio.run(collect(sampler, user_message("hi"), [3], PARAMS))


async def test_closing_cancels_waiting_callers() -> None:
    server = ScriptedServer(HANG)
    with connect(server) as sampler:
        waiting = asyncio.create_task(collect(sampler, user_message("hi"), [1], PARAMS))
        assert await asyncio.to_thread(server.arrived.wait, 60)
        await sampler.aclose()
        with pytest.raises(asyncio.CancelledError):
            await waiting


def test_faulty_settings_are_listed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError) as caught:
        Endpoint("localhost:8000", "NO_SUCH_KEY", 0, -1, 0, -1)
    names = [fault.partition(":")[0] for fault in caught.value.faults]
    assert names == ["base_url", "timeout_seconds", "retries", "concurrency", "backoff_seconds", "api_key_env"]


async def test_the_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "s3cret")
    keys: list[str] = []

    class Gate(ScriptedServer):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            keys.extend(value.decode() for key, value in scope["headers"] if key == b"authorization")
            await super().__call__(scope, receive, send)

    with connect(Gate(whole()), api_key_env="SOME_KEY") as sampler:
        await collect(sampler, user_message("hi"), [1], PARAMS)
    assert keys == ["Bearer s3cret"]


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'nbest\[openai\]'"):
        OpenAISampler(Endpoint("http://127.0.0.1:1/v1"), Form("m"))


def test_waits_are_drawn_from_the_seed_and_bounded() -> None:
    from nbest.sampling.openai_compatible import MOST_WAIT_SECONDS, _Failure

    sampler = OpenAISampler(Endpoint("http://127.0.0.1:1/v1", backoff_seconds=1.0), Form("m"))
    waits = [sampler._wait_seconds(7, attempts, _Failure("timeout", "")) for attempts in (1, 2, 3, 40)]
    # 1 s * 2^(attempt - 1) * a jitter from [0.5, 1).
    assert [0.5 * 2**k <= wait < 2**k for k, wait in enumerate(waits[:3])] == [True] * 3
    assert waits[3] == MOST_WAIT_SECONDS
    assert waits[0] == sampler._wait_seconds(7, 1, _Failure("timeout", ""))
    assert waits[0] != sampler._wait_seconds(8, 1, _Failure("timeout", ""))
    assert sampler._wait_seconds(7, 1, _Failure("rate-limit", "", 3.0)) == 3.0


def test_retry_after_is_seconds_or_a_date() -> None:
    assert [_read_retry_after(value) for value in ("2.5", "-1", "soon", None, "nan")] == [2.5, 0, 0, 0, 0]
    assert _read_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert _read_retry_after("Wed, 21 Oct 2065 07:28:00 GMT") > 1e8
