from typing import Any

import pytest

from nbest.verifying.code.functional import grade_calls
from nbest.verifying.code.running import Runner

TWICE = "class Solution:\n    def twice(self, items: List[int]) -> List[int]:\n        return {}\n"


@pytest.mark.parametrize(
    ("value", "expected", "is_right"),
    [
        ("[2 * i for i in items]", [2, 4], True),
        ("tuple(2 * i for i in items)", [2, 4], True),
        ("[2.0, 4]", [2, 4], True),
        ("[(2,), 4]", [[2], 4], False),
        ("deque([2, 4])", [2, 4], False),
        ("{2, 4}", [2, 4], False),
        ("None", [2, 4], False),
        ("sum(items) * 2 == 6", True, True),
    ],
)
async def test_values_are_compared_as_livecodebench_does(
    runner: Runner, value: str, expected: Any, is_right: bool
) -> None:
    for is_upstream in (False, True):
        tests = [(([1, 2],), expected)]
        grade = await grade_calls(runner, TWICE.format(value), "Solution.twice", tests, is_upstream)
        assert grade.correct is is_right, grade.note


async def test_values_of_python_keep_their_types(runner: Runner) -> None:
    grade = await grade_calls(runner, "def f(): return (1, 2)", "f", [((), [1, 2])], is_json=False)
    assert grade.correct is False
    assert (await grade_calls(runner, "def f(): return (1, 2)", "f", [((), (1, 2))], is_json=False)).correct is True


async def test_the_first_call_that_fails_is_named(runner: Runner) -> None:
    source = "def half(n):\n    return 6 // n"
    grade = await grade_calls(runner, source, "half", [((2,), 3), ((0,), 1), ((1,), 1)])
    assert grade.correct is False
    assert grade.note == ("test 2 of 3: raised ZeroDivisionError: integer division or modulo by zero; arguments [0]")
    grade = await grade_calls(runner, source, "half", [((2,), 4)])
    assert grade.note == "the test: got 3, expected 4; arguments [2]"


@pytest.mark.parametrize(
    ("source", "note"),
    [
        ("def other(n): return n", "'half' is not defined"),
        ("def half(n): return n +", "raised SyntaxError"),
        ("def half(n):\n    while True: pass", "timed out after 3 s"),
        ("def half(n):\n    import nothing_here", "imports nothing_here, which is not in the package set"),
        ("import os\ndef half(n): os._exit(0)", "it ended before it had answered"),
        ("def half(n): return half(n)", "RecursionError"),
        ("def half(n): raise SystemExit", "raised SystemExit"),
    ],
)
async def test_a_function_that_fails(runner: Runner, source: str, note: str) -> None:
    grade = await grade_calls(runner, source, "half", [((4,), 2)])
    assert grade.correct is False
    assert note in grade.note


async def test_an_object_that_equals_everything_is_wrong(runner: Runner) -> None:
    source = """
class Same(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = int.__hash__
class Odd:
    def __eq__(self, other): return True
def f(n): return Same(0) if n else Odd()
"""
    for argument in (0, 1):
        assert (await grade_calls(runner, source, "f", [((argument,), 5)])).correct is False


async def test_a_plain_function_may_stand_for_the_method(runner: Runner) -> None:
    source = "from __future__ import annotations\ndef twice(items: List[int]): return [2 * i for i in items]"
    assert (await grade_calls(runner, source, "Solution.twice", [(([1],), [2])])).correct is True


async def test_a_method_has_a_new_instance_per_call_and_one_for_all_upstream(runner: Runner) -> None:
    source = "class Solution:\n    n = 0\n    def count(self):\n        self.n += 1\n        return self.n"
    tests = [((), 1), ((), 1)]
    assert (await grade_calls(runner, source, "Solution.count", tests)).correct is True
    assert (await grade_calls(runner, source, "Solution.count", tests, True)).correct is False
