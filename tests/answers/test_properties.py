"""Properties of the relation that hold for every answer: symmetry, reflexivity, harmless rewriting, random damage."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbest.answers.comparing import find_equal
from nbest.answers.keys import home_keys, lookup_keys
from nbest.answers.reading import read_answer
from nbest.answers.values import Answer
from nbest.verifying.equivalence import Equivalence

_PAIRS = [
    json.loads(line)
    for path in sorted((Path(__file__).parent / "pairs").glob("*.jsonl"))
    for line in path.read_text(encoding="utf-8").splitlines()
]
TEXTS = sorted({pair[side] for pair in _PAIRS for side in ("a", "b") if pair.get("kind", "math") == "math"})
FORMULAS = [text for text in TEXTS if "'" not in text and '"' not in text and "$" not in text]
WRAPPERS = [
    "${}$",
    "$${}$$",
    r"\({}\)",
    r"\[{}\]",
    r"\boxed{{{}}}",
    r"\text{{{}}}",
    "**{}**",
    "  {}\n",
    "{}.",
    r"\!{}\!",
    r"\displaystyle {}",
    r"\boxed{{\boxed{{{}}}}}",
]


def are_equal(a: Answer, b: Answer) -> bool:
    return a.form == b.form or find_equal(a, b) is not None


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(FORMULAS), st.sampled_from(WRAPPERS))
def test_a_wrapped_answer_is_the_answer(text: str, wrapper: str) -> None:
    assert are_equal(read_answer(text), read_answer(wrapper.format(text))), wrapper.format(text)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([text for text in FORMULAS if "(" in text and "\\left" not in text]))
def test_sized_brackets_are_brackets(text: str) -> None:
    sized = text.replace("(", r"\left(").replace(")", r"\right)")
    assert are_equal(read_answer(text), read_answer(sized)), sized


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(TEXTS), st.sampled_from(TEXTS))
def test_the_relation_is_symmetric_and_equal_answers_share_a_key(a: str, b: str) -> None:
    first, second = read_answer(a), read_answer(b)
    is_equal = find_equal(first, second) is not None
    assert is_equal == (find_equal(second, first) is not None)
    if is_equal:
        assert home_keys(first) & lookup_keys(second)
        assert home_keys(second) & lookup_keys(first)


def make_spellings(value: tuple[int, int]) -> st.SearchStrategy[str]:
    top, bottom = value
    return st.sampled_from(
        [
            f"{top}/{bottom}",
            f"\\frac{{{top}}}{{{bottom}}}",
            f"$\\dfrac{{{top}}}{{{bottom}}}$",
            f"x = {top}/{bottom}",
            f"{3 * top}/{3 * bottom}",
            f"({top})/({bottom})",
            f"{top} \\div {bottom}",
            f"\\frac{{{2 * top}}}{{{2 * bottom}}}\\text{{ cm}}",
        ]
    )


FRACTIONS = st.tuples(st.integers(-99, 99), st.integers(1, 99))


@settings(max_examples=300, deadline=None)
@given(st.data(), FRACTIONS, FRACTIONS)
def test_spelled_fractions_are_equal_exactly_when_their_values_are(
    data: st.DataObject, first: tuple[int, int], second: tuple[int, int]
) -> None:
    a, b = data.draw(make_spellings(first)), data.draw(make_spellings(second))
    has_equal_values = first[0] * second[1] == second[0] * first[1]
    assert are_equal(read_answer(a), read_answer(b)) == has_equal_values, (a, b)


_INSERTED = [*"0123456789.,;:/%$€+-*^_=<>(){}[]|\\'\"! abxyzni\n",
             *"éß\u043c\u0663\uff17²⅓\u4e2a\u0301\u200b\u202e√π∞°",
             r"\frac", r"\sqrt", r"\pm", "^\\circ", "=", r"\cup",
             r"\begin{pmatrix}", r"\text{", " and ", "9^9^9", "!!!", "e5000", r"\boxed{"]  # fmt: skip


def damage(text: str, draw: random.Random) -> str:
    for _ in range(draw.randint(1, 4)):
        position = draw.randint(0, len(text))
        if draw.random() < 0.6:
            text = text[:position] + draw.choice(_INSERTED) + text[position:]
        else:
            text = text[:position] + text[position + draw.randint(1, 3) :]
    return text


@pytest.mark.parametrize("seed", range(4))
def test_damaged_answers_raise_nothing_and_stay_symmetric(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(1_000):
        text = draw.choice(TEXTS)
        first, second = read_answer(damage(text, draw)), read_answer(text)
        assert (find_equal(first, second) is None) == (find_equal(second, first) is None)


def test_clusters_hold_only_answers_that_are_all_the_same(equivalence: Equivalence) -> None:
    draw = random.Random(0)
    for _ in range(40):
        pool = [draw.choice(TEXTS) for _ in range(12)]
        clusters = equivalence.cluster(pool)
        for a, first in zip(pool, clusters, strict=True):
            for b, second in zip(pool, clusters, strict=True):
                if first is not None and first == second:
                    assert equivalence.same(a, b), (a, b)
