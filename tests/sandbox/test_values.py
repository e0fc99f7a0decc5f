import contextlib
import datetime
import math
import random
import time
from collections import Counter, OrderedDict, defaultdict, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbest.sandbox.values import MAX_DEPTH, Opaque, canonical_text, decode_value, encode_value

FINITE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(),
    st.binary(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.dates(),
    st.times(),
    st.datetimes(),
    st.timedeltas(),
    st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([-2, -1, 1, 2])),
)
HASHABLE = st.recursive(
    FINITE, lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner, max_size=3)), max_leaves=5
)
VALUES = st.recursive(
    FINITE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.sets(HASHABLE, max_size=4),
        st.dictionaries(HASHABLE, inner, max_size=4),
    ),
    max_leaves=12,
)


def have_same_types(value: Any, other: Any) -> bool:
    if type(value) is not type(other):
        return False
    if isinstance(value, list | tuple):
        return all(map(have_same_types, value, other))
    return True


@given(VALUES)
def test_values_come_back_equal_and_of_the_same_type(value: Any) -> None:
    back = decode_value(encode_value(value))
    assert back == value
    assert have_same_types(value, back)


@given(VALUES)
def test_texts_are_ascii_and_stay_the_same(value: Any) -> None:
    text = encode_value(value)
    assert text.isascii()
    assert canonical_text(encode_value(decode_value(text))) == canonical_text(text)


@given(VALUES, VALUES)
def test_equal_values_have_equal_canonical_texts(value: Any, other: Any) -> None:
    is_equal = canonical_text(encode_value(value)) == canonical_text(encode_value(other))
    assert is_equal == (value == other)


NUMBERS = [
    0,
    1,
    True,
    False,
    1.0,
    0.0,
    -0.0,
    0.5,
    1 + 0j,
    0.5 + 0j,
    2 + 3j,
    Decimal(1),
    Decimal("1.0"),
    Decimal("0.5"),
    Fraction(1),
    Fraction(1, 2),
]
NUMBERS += [
    2**60,
    float(2**60),
    Decimal(2**60),
    10**400,
    1e300,
    int(1e300),
    math.inf,
    Decimal("Infinity"),
    -math.inf,
    0.1,
    Decimal("0.1"),
    Decimal("1E+999999"),
    Decimal("10E+999998"),
    Decimal("0E+999999"),
    Decimal("-1E-999999"),
]


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_numbers_are_equal_across_types_as_python_says(value: Any) -> None:
    for other in NUMBERS:
        is_equal = canonical_text(encode_value(value)) == canonical_text(encode_value(other))
        assert is_equal == (value == other), (value, other)


@pytest.mark.parametrize(
    ("value", "other"),
    [
        ({1, 2.0, "a"}, {"a", 2, True}),
        ({"a": 1, "b": [2]}, {"b": [2.0], "a": True}),
        (range(0), range(5, 5)),
        (range(0, 4, 2), range(0, 3, 2)),
        (frozenset({1}), {1}),
        ([math.nan], [float("nan")]),
    ],
)
def test_other_values_that_are_equal(value: Any, other: Any) -> None:
    assert canonical_text(encode_value(value)) == canonical_text(encode_value(other))


@pytest.mark.parametrize(
    ("value", "other"), [([1], (1,)), ("1", 1), (b"a", "a"), ({1: 2}, {1: 3}), ([1, 2], [2, 1]), (None, 0)]
)
def test_values_that_differ(value: Any, other: Any) -> None:
    assert canonical_text(encode_value(value)) != canonical_text(encode_value(other))


class Colour(IntEnum):
    RED = 1


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, 1),
        (Point(1, 2), (1, 2)),
        (Counter("aab"), {"a": 2, "b": 1}),
        (defaultdict(list, {1: [2]}), {1: [2]}),
        (OrderedDict(a=1), {"a": 1}),
        (bytearray(b"x"), b"x"),
        (np.int64(3), 3),
        (np.float64(0.5), 0.5),
        (np.bool_(True), True),
    ],
)
def test_subclasses_cross_as_what_they_compare_as(value: Any, plain: Any) -> None:
    back = decode_value(encode_value(value))
    assert back == plain
    assert type(back) is type(plain)


class Liar(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __int__(self) -> int:
        return 5

    __index__ = __int__


def test_objects_do_not_speak_for_themselves() -> None:
    assert decode_value(encode_value(Liar(3))) == 3
    assert type(decode_value(encode_value(Liar(3)))) is int


def test_other_objects_are_opaque() -> None:
    kept: list[object] = []

    def keep(value: object) -> int:
        kept.append(value)
        return len(kept) - 1

    value = object()
    text = encode_value([value, lambda: 1], keep)
    assert kept[0] is value
    assert decode_value(text, lambda number: kept[number])[0] is value
    back = decode_value(text)
    assert isinstance(back[0], Opaque)
    assert back[0] != back[1]
    assert (back[0].kind, back[1].kind) == ("object", "function")
    assert decode_value(encode_value(back))[1].number == 1


def test_depth_has_an_end() -> None:
    value: list[Any] = []
    for _ in range(MAX_DEPTH):
        value = [value]
    assert decode_value(encode_value(value)) == value
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        encode_value([value])
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="nested"):
        encode_value(loop)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "1.5",
        '["x",1]',
        '["l"]',
        '["i","zz"]',
        "[" * 100_000,
        '["s",[["l",[]]]]',
        '["D","x"]',
        "[[]]",
        '["F",["1","0"]]',
        '["f",[]]',
    ],
)
def test_texts_that_are_no_value_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"value|not|invalid|Invalid|Expecting|Extra|could|expected"):
        decode_value(text)


def test_random_changes_of_a_text_raise_nothing_but_value_errors() -> None:
    draw = random.Random(3)
    text = encode_value(
        [1, "a", 2.5, {(1, 2): {3}}, Decimal("1.5"), Fraction(1, 3), datetime.datetime(2020, 1, 1), b"x", range(3)]
    )
    for _ in range(3000):
        letters = list(text)
        for _ in range(draw.randint(1, 4)):
            letters[draw.randrange(len(letters))] = draw.choice('[]{}",0123456789abcfinlstdDFTAHEor-.')
        with contextlib.suppress(ValueError):
            decode_value("".join(letters))


PRIME = 2**61 - 1


def write_numbers(tag: str, numbers: list[int]) -> str:
    items = [encode_value(number) for number in numbers]
    return f'["{tag}",[{",".join(f"[{item},0]" if tag == "d" else item for item in items)}]]'


@pytest.mark.parametrize("tag", ["s", "z", "d"])
def test_keys_that_share_a_hash_are_refused_before_they_are_compared(tag: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ValueError, match="too many keys of the same hash"):
        decode_value(write_numbers(tag, [number * PRIME for number in range(1, 30_000)]))
    assert time.perf_counter() - started < 3
    assert len(decode_value(write_numbers(tag, [number * PRIME for number in range(1, 100)]))) == 99
    assert len(decode_value(write_numbers(tag, list(range(-5_000, 5_000))))) == 10_000


def test_tuples_of_which_pairs_share_a_hash_are_a_set() -> None:
    value = {(x, y) for x in range(-60, 60) for y in range(-60, 60)}
    assert decode_value(encode_value(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        f'["i","{"f" * 200_001}"]',
        f'["F",["{"f" * 20_001}","3"]]',
        f'["F",["1","{"f" * 20_001}"]]',
        f'["f","{"1" * 1_001}"]',
        f'["c","1.0","{"1" * 1_001}"]',
        f'["D","{"1" * 200_001}"]',
    ],
)
def test_numbers_whose_reading_takes_long_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a number (?:of more|that is longer) than"):
        decode_value(text)


def test_long_numbers_are_read() -> None:
    for value in (16**199_000, Fraction(16**19_000, 3), Decimal("1" * 100_000)):
        assert decode_value(encode_value(value)) == value
