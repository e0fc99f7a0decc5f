import subprocess
import sys
from contextlib import aclosing

import pytest

from nbest.errors import ConfigError, UnavailableError
from nbest.records import Completion, Message, SamplingParams, user_message
from nbest.sampling.collecting import collect
from nbest.sampling.scripted import ScriptedSampler

PARAMS = SamplingParams()


async def test_replies_from_a_function():
    sampler = ScriptedSampler(lambda prompt, seed: f"{prompt} {seed}")
    completions = await collect(sampler, user_message("2+2"), [7, 1], PARAMS)
    assert [completion.text for completion in completions] == ["2+2 7", "2+2 1"]
    assert [completion.finish for completion in completions] == ["stop", "stop"]
    assert sampler.calls == [("2+2", 7), ("2+2", 1)]


async def test_replies_from_a_list_by_seed():
    completions = await collect(ScriptedSampler(["a", "b", "c"]), user_message(""), [4, 0, 2], PARAMS)
    assert [completion.text for completion in completions] == ["b", "a", "c"]


async def test_a_completion_is_handed_on_as_it_is():
    reply = Completion(text="x", finish="length", note="cut")
    assert (await collect(ScriptedSampler(lambda _prompt, _seed: reply), user_message(""), [0], PARAMS))[0] is reply


async def test_a_reply_that_raises_is_a_failed_draw():
    def reply(_prompt: str, seed: int) -> str:
        return str(1 // seed)

    failed, good = await collect(ScriptedSampler(reply), user_message(""), [0, 1], PARAMS)
    assert (failed.finish, failed.text) == ("error", "")
    assert "ZeroDivisionError" in failed.note
    assert good.text == "1"


async def test_closing_early_makes_no_later_call():
    sampler = ScriptedSampler(lambda prompt, seed: f"{prompt} {seed}")
    async with aclosing(sampler.sample(user_message("2+2"), [7, 1, 3], PARAMS)) as completions:
        seed, completion = await anext(completions)
    assert (seed, completion.text) == (7, "2+2 7")
    assert sampler.calls == [("2+2", 7)]
    assert sampler.report().calls == 1


async def test_the_prompt_is_every_message():
    turns = (Message("system", "Add."), Message("user", "2+2"))
    [completion] = await collect(ScriptedSampler(lambda prompt, _: prompt), turns, [1], PARAMS)
    assert completion.text == "Add.\n\n2+2"


async def test_capture_is_refused():
    with pytest.raises(UnavailableError, match="capture"):
        await collect(ScriptedSampler(["a"]), user_message(""), [0], SamplingParams(capture=(-1,)))


@pytest.mark.parametrize("reply", [[], "one text"])
def test_a_reply_that_is_neither_function_nor_list(reply: list[str] | str):
    with pytest.raises(ConfigError, match="reply"):
        ScriptedSampler(reply)


def test_loads_no_torch():
    code = "import sys, nbest.sampling.scripted, nbest.text.steps; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
