"""JSON values of targets and answers as text: the value is kept, and the text is read as this value."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbest.answers.reading import read_answer
from nbest.answers.values import Number
from nbest.problems.benchmarks import load_benchmark
from nbest.problems.stated_answers import answer_text
from nbest.records import Kind
from nbest.verifying.equivalence import Equivalence


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-7, "1e-7"),
        (2.5e-10, "2.5e-10"),
        (-1e-300, "-1e-300"),
        (27.0, "27"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e16, "10000000000000000"),
        (1e22, "10000000000000000000000"),
        (1e23, "1e23"),
        (1.5e300, "1.5e300"),
        (123456789012345678901234567890, "123456789012345678901234567890"),
        (0, "0"),
        (True, "True"),
        (False, "False"),
        ("1e-7", "1e-7"),
        ([2], "2"),
        ([2, 0.5, "x"], "2, 0.5, x"),
        ([[1, 2], [3, 4]], "(1, 2), (3, 4)"),
    ],
)
def test_values(value: Any, text: str):
    assert answer_text(json.loads(json.dumps(value))) == text


@pytest.mark.parametrize("value", [[], {}, {"a": 1}, [None], [[]], float("nan"), float("inf"), "\ud800", ["\ud800"]])
def test_values_without_a_text(value: Any):
    assert answer_text(value) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("[1, 2]", "[1, 2]"),
        (27.0, "27.0"),
        (True, "True"),
        ([2], "[2]"),
        (["a", None, {"b": 1.5}], "['a', None, {'b': 1.5}]"),
        ([float("nan")], None),
    ],
)
def test_python_literals_keep_their_type(value: Any, text: str | None):
    assert answer_text(value, "python") == text


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**40), 10**40))
def test_a_number_is_read_with_exactly_its_value(value: float):
    text = answer_text(value)
    assert text is not None
    (number,) = {reading.value for reading in read_answer(text).readings if isinstance(reading.value, Number)}
    # The value as it is written in JSON, which for a float is its shortest repr.
    assert number.exact == Fraction(repr(value))


@pytest.mark.parametrize(
    ("value", "kind", "answer", "is_equal"),
    [
        (1e-7, "math", "10^{-7}", True),
        (1e-7, "math", "-4.281718", False),
        (1e-7, "number", "0.0000001", True),
        (1e300, "math", "10^{300}", True),
        (True, "math", "true", True),
        ([3, 1], "math", r"\{1, 3\}", True),
        ([2], "math", "2", True),
        ([1, 2], "python", "[1,2]", True),
        (27.0, "python", "27", False),
    ],
)
def test_answers_are_the_same_as_the_value(value: Any, kind: Kind, answer: str, is_equal: bool):
    text = answer_text(value, kind)
    assert text is not None
    with Equivalence() as equivalence:
        assert equivalence.same(text, answer, kind) == is_equal


def test_targets_of_a_benchmark(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"q": "?", "a": a}) + "\n" for a in (1e-7, True, [1, 2])))
    (tmp_path / "own.toml").write_text('file = "a.jsonl"\nquestion = "q"\nanswer = "a"\n')
    assert [problem.target for problem in load_benchmark(str(tmp_path / "own.toml"))] == ["1e-7", "True", "1, 2"]
