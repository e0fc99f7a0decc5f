"""A refused prompt becomes failed trajectories; a refused setting stops everything."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbest import stages
from nbest.config import SampleConfig, parse_config
from nbest.errors import ConfigError, EngineError
from nbest.records import SamplingParams, user_message
from nbest.sampling.collecting import collect
from nbest.sampling.openai_compatible import Endpoint, OpenAISampler
from nbest.sampling.openai_payloads import Form
from nbest.sampling.refusals import Refusals
from nbest.serving.background import serve
from nbest.storage.run import Run

PARAMS = SamplingParams(temperature=1, top_p=1, top_k=0, max_tokens=12)


class FilteringServer:
    """Refuses the questions for which `refuse` returns a message, at once, and answers the others later."""

    def __init__(self, refuse: Callable[[str], str], status: int = 400):
        self.refuse, self.status, self.requests = refuse, status, 0

    async def __call__(self, _: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        self.requests += 1
        message = self.refuse(json.loads(body)["messages"][-1]["content"])
        choices = [{"index": 0, "message": {"content": "\\boxed{1}"}, "finish_reason": "stop"}]
        status, content = (self.status, {"error": {"message": message}}) if message else (200, {"choices": choices})
        if not message:
            await asyncio.sleep(0.05)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(content).encode()})


def draw(server: FilteringServer, questions: list[str], n: int = 2) -> list[Any]:
    """Return the completions of all questions at once, or the error of each."""

    async def draw_all(sampler: OpenAISampler) -> list[Any]:
        works = [collect(sampler, user_message(question), list(range(n)), PARAMS) for question in questions]
        return await asyncio.gather(*works, return_exceptions=True)

    with serve(server) as url:
        sampler = OpenAISampler(Endpoint(url, retries=0, timeout_seconds=30.0), Form("m"))
        try:
            return asyncio.run(asyncio.wait_for(draw_all(sampler), 30))
        finally:
            sampler.close()


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_prompt_fails_alone(status: int) -> None:
    server = FilteringServer(lambda text: "the content filter stopped it" if text == "bad" else "", status)
    good, bad, other = draw(server, ["good", "bad", "fine"])
    assert [completion.finish for completion in good + other] == ["stop"] * 4
    assert [completion.finish for completion in bad] == ["error"] * 2
    assert all(f"HTTP {status}" in completion.note and "content filter" in completion.note for completion in bad)


def test_most_prompts_may_be_refused_if_one_is_answered() -> None:
    server = FilteringServer(lambda text: "" if text == "q7" else "the content filter stopped it")
    results = draw(server, [f"q{number}" for number in range(12)])
    assert [all(completion.finish == "error" for completion in result) for result in results].count(False) == 1


def test_different_messages_are_about_the_prompts() -> None:
    results = draw(FilteringServer(lambda text: f"{text} is too long for me"), ["a", "b"])
    assert [completion.finish for result in results for completion in result] == ["error"] * 4


@pytest.mark.parametrize(("status", "error"), [(400, ConfigError), (422, ConfigError), (413, EngineError)])
def test_the_same_refusal_of_all_prompts_is_a_wrong_setting(status: int, error: type[Exception]) -> None:
    server = FilteringServer(lambda _: "unknown field top_k", status)
    results = draw(server, [f"q{number}" for number in range(5)], n=3)
    assert all(isinstance(result, error) for result in results)
    assert "unknown field top_k" in str(results[0])


@pytest.mark.parametrize("status", [401, 403, 404])
def test_other_refusals_stop_at_once(status: int) -> None:
    server = FilteringServer(lambda text: "no" if text == "bad" else "", status)
    (_, bad) = draw(server, ["good", "bad"])
    assert isinstance(bad, ConfigError)


def make_config(url: str, count: int) -> SampleConfig:
    values = {
        "n": 2,
        "problems": {"count": count},
        "policy": {"type": "openai", "model": "m", "endpoint": {"base_url": url, "logprobs": False}},
        "sampling": {"max_tokens": 4, "top_k": 0},
    }
    return parse_config(SampleConfig, values, "test")


def test_a_run_counts_what_was_refused(tmp_path: Path) -> None:
    questions: list[str] = []

    def refuse(text: str) -> str:
        questions.append(text)
        return "stopped by a filter" if text == questions[0] else ""

    with serve(FilteringServer(refuse)) as url:
        report = stages.sample(tmp_path / "run", make_config(url, 4))
    assert (report.new_trajectories, report.failed) == (8, 2)
    assert "stopped by a filter" in report.first_failure
    pools = list(Run.open(tmp_path / "run").pools())
    assert sorted(sum(t.has_failed for t in pool.trajectories) for pool in pools) == [0, 0, 0, 2]


def test_a_run_of_a_wrong_setting_is_not_created(tmp_path: Path) -> None:
    server = FilteringServer(lambda _: "unknown field top_k")
    with serve(server) as url, pytest.raises(ConfigError, match="unknown field top_k"):
        stages.sample(tmp_path / "run", make_config(url, 6))
    assert not (tmp_path / "run").exists()
    assert server.requests <= 12


async def test_a_cancelled_request_leaves_no_other_waiting() -> None:
    refusals = Refusals()

    async def refuse(prompt: str) -> str:
        with refusals.opened(prompt):
            return await refusals.judge(prompt, "no")

    async def hang() -> None:
        with refusals.opened("slow"):
            await asyncio.sleep(60)

    slow = asyncio.create_task(hang())
    refused = asyncio.create_task(refuse("a"))
    await asyncio.sleep(0.01)
    assert not refused.done()
    slow.cancel()
    assert await asyncio.wait_for(refused, 5) == "settings"
