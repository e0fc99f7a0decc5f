"""The function that tests call."""

import json
from pathlib import Path

import pytest

from nbest.programs.entry_points import continues_in, find_called_function, qualify

DATA = Path(__file__).parents[3] / "shared" / "data" / "benchmarks"
STARTER = "class Solution:\n    def __init__(self):\n        pass\n    def f(self, xs: List[int]) -> int:\n        "


@pytest.mark.parametrize(
    ("name", "starter", "entry_point"),
    [
        ("", STARTER, "Solution.f"),
        ("f", STARTER, "Solution.f"),
        ("g", STARTER, "Solution.g"),
        ("Other.f", STARTER, "Other.f"),
        ("f", "", "f"),
        ("", "", ""),
        ("", "def f(x):\n", "f"),
        ("", "class Node:\n    def next(self): ...\n\ndef f(node):\n", "Node.next"),
        ("f", "class Node:\n    def next(self): ...\n\ndef f(node):\n", "f"),
        ("", "x = 1", ""),
    ],
)
def test_the_name_in_starter_code(name: str, starter: str, entry_point: str):
    assert qualify(name, starter) == entry_point


@pytest.mark.parametrize(
    ("question", "entry_point", "is_prefix"),
    [
        ("def f(x):\n", "f", True),
        ('import re\n\ndef f(x):\n    """Do."""\n', "f", True),
        ('def f(x):\n    """Do."""', "f", True),
        ("def f(x):\n    # Do.", "f", True),
        ("def g(x):\n    return 1\n\ndef f(x):\n", "f", True),
        ("class A:\n    def f(self):\n        pass\n", "A.f", False),
        ("Write def f(x):", "f", False),
        ("Write\ndef f(x):\nthat doubles.", "f", False),
        ("def f(x):\n    return 1\nprint(f(1))\n", "f", False),
        ("def f(x):\n", "g", False),
        ("def f(x):\n", "", False),
    ],
)
def test_whether_a_body_continues_a_question(question: str, entry_point: str, is_prefix: bool):
    assert continues_in(question, entry_point) == is_prefix


def test_the_function_that_assertions_call():
    assertions = ["assert set(f(g(1))) == set((1,))", "assert f(2)", "assert h.f(1) ==", "x"]
    assert find_called_function(assertions) == "f"
    assert find_called_function(assertions, "def g(x):\n    return x\n") == "g"
    assert find_called_function(["assert sum(1, 2) == 3"]) == ""
    assert find_called_function(["assert sum(1, 2) == 3"], "def sum(a, b):\n    return a + b") == "sum"
    assert find_called_function([]) == ""


def test_the_functions_of_mbpp():
    path = DATA / "mbpp.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    for row in map(json.loads, path.read_text().splitlines()):
        name = find_called_function(row["test_list"], row["code"])
        assert f"def {name}" in row["code"]
        assert all(name in test for test in row["test_list"])
