import asyncio
import json

import pytest

from nbest.errors import EngineError
from nbest.judging.conversation import RetrySettings
from nbest.judging.writing_prompts import parse_inputs, parse_tests, render_results, render_tests
from nbest.judging.writing_tests import JudgeTestWriter
from nbest.programs.examples import find_examples
from nbest.records import CodeTask, Usage
from nbest.sandbox.executions import Call
from nbest.sandbox.values import encode_value
from nbest.selecting.execution.running import Reply
from nbest.selecting.execution.writing import WrittenTests
from tests.scoring.judges import make_settings, spend
from tests.selecting.execution.pools import make_code_pool, returning

TASK = CodeTask(entry_point="f")


@pytest.mark.parametrize(
    ("reply", "tests"),
    [
        ("```python\nassert f(1) == 2\nassert f(2) == 3  # three\n```", ["assert f(1) == 2", "assert f(2) == 3"]),
        ("<think>assert f(9) == 9</think>assert f(1) == 2\nDone.", ["assert f(1) == 2"]),
        ("def test_f():\n    assert f(1) == 2\n    assert f(2) == 3", ["assert f(1) == 2", "assert f(2) == 3"]),
        ("Tests:\nassert f(1) == 2\nassert f(2 ==\nassert g(1) == 1\nassert f(3)", ["assert f(1) == 2", "assert f(3)"]),
        ("```\nassert f(1) == 2\n```\nand\n```\nassert f(2) == 3\n```", ["assert f(1) == 2", "assert f(2) == 3"]),
        ("```python\nassert f(1) == 2\nassert f(2) ==", ["assert f(1) == 2"]),
        ("f(1) is 2.", []),
        ("", []),
    ],
)  # fmt: skip
def test_the_assertions_of_a_reply_are_its_tests(reply, tests):
    assert parse_tests(reply, TASK) == tests


def test_tests_of_a_program_that_reads_stdin_are_json():
    reply = (
        'As {asked}:\n```json\n{"stdin": "1\\n", "stdout": "2\\n"}\n{"stdin": 3, "stdout": "4"}\n{"stdin": "5"}\n```'
    )
    assert [json.loads(test) for test in parse_tests(reply, CodeTask())] == [{"stdin": "1\n", "stdout": "2\n"}]


def test_inputs_are_calls_with_plain_values_each_once():
    reply = "```python\nf(1)\nassert f([2]) == 3\nf(x)\nf(1)\nprint(f(4))\n```"
    assert parse_inputs(reply, TASK, 9) == [Call("f", (1,)), Call("f", ([2],)), Call("f", (4,))]
    assert parse_inputs(reply, TASK, 1) == [Call("f", (1,))]
    assert parse_inputs('{"stdin": "a"} {"stdin": "a"} {"stdin": "b"} {"other": 1}', CodeTask(), 9) == ["a", "b"]
    assert parse_inputs("Solution().run(3)", CodeTask(entry_point="Solution.run"), 9) == [Call("Solution.run", (3,))]


def test_the_prompt_says_what_to_call():
    assert "assert f(...) == ..." in render_tests("Add {one}.", TASK, 7)
    assert "Add {one}." in render_tests("Add {one}.", TASK, 7)
    assert "Solution().run(...)" in render_tests("?", CodeTask(entry_point="Solution.run"), 7)
    assert '{"stdin": "...", "stdout": "..."}' in render_tests("?", CodeTask(), 7)


async def test_a_problem_is_asked_about_once_and_every_selector_pays():
    replies = []

    def reply(prompt, _seed):
        replies.append(prompt)
        return spend("assert f(1) == 2\nassert f(2) == 3\nassert f(3) == 4", 5)

    writer = JudgeTestWriter(make_settings(reply))
    pool = make_code_pool(returning("x"), problem_id="a")
    first, second = await writer.write(pool, 2), await writer.write(pool, 2)
    assert first == second
    assert first.tests == ("assert f(1) == 2", "assert f(2) == 3")
    assert (first.usage.prompt_tokens, first.usage.sampled_tokens) == (5, 2)
    await writer.write(make_code_pool(returning("x"), problem_id="b"), 2)
    assert len(replies) == 2
    assert writer.report().calls == 2


async def test_without_a_readable_reply_there_are_no_tests_and_the_note_says_why():
    writer = JudgeTestWriter(make_settings(lambda *_: spend("I will not.", 5), RetrySettings(retries=1)))
    written = await writer.write(make_code_pool(returning("x")), 3)
    assert (written.tests, written.usage.prompt_tokens) == ((), 10)
    assert written.note == "the policy wrote no test that can be read (1 unparsed)"


async def test_of_a_reply_that_was_cut_the_whole_tests_stay():
    writer = JudgeTestWriter(make_settings(lambda *_: spend("assert f(1) == 2\nassert f(2) ==", 5, finish="length")))
    assert (await writer.write(make_code_pool(returning("x")), 3)).tests == ("assert f(1) == 2",)


async def test_a_failed_or_cancelled_request_is_made_again_and_harms_nobody_else():
    asked = []

    class Failing(JudgeTestWriter):
        async def _write(self, pool, count):
            del pool
            asked.append(count)
            await asyncio.sleep(0.01)
            if len(asked) == 1:
                raise EngineError("busy")
            return WrittenTests(("assert f(1) == 2",), Usage())

    writer, pool = Failing(make_settings(lambda *_: spend("", 1))), make_code_pool(returning("x"))
    with pytest.raises(EngineError):
        await writer.write(pool, 2)
    impatient, patient = asyncio.ensure_future(writer.write(pool, 2)), asyncio.ensure_future(writer.write(pool, 2))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).tests == ("assert f(1) == 2",)
    assert asked == [2, 2]


def test_integers_too_large_to_be_written_are_named():
    large = Reply("returned", encode_value(1 << 20_000))
    prompt = render_results("?", ["p", "q"], [Call("f", (1 << 20_000,))], [[large], [large]])
    assert "a int that is too large to be written" in prompt
    digits = "0x" + "f" * 5_000
    assert len(parse_inputs(f"f({digits})\nf({digits}1)\nf({digits})", TASK, 5)) == 2
    assert parse_tests(f"assert f({digits}) == 1\nassert f(1) == 2", TASK) == ["assert f(1) == 2"]
    assert find_examples(f">>> f({digits})\n1\n>>> f(2)\n3\n", "f") == ["assert f(2) == 3"]
