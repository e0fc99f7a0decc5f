import math
from typing import Any

import pytest

from nbest.sandbox.values import Opaque
from nbest.verifying.code.equality import ORACLES, choose_oracle, matches


@pytest.mark.parametrize(
    ("value", "expected", "tolerance", "is_right"),
    [
        (3, 3, 0, True),
        (3, 4, 0, False),
        ([1, 2], [1, 2], 0, True),
        ((1, 2), [1, 2], 0, False),
        (1.0, 1, 0, True),
        (0.1 + 0.2, 0.3, 0, True),
        (0.3001, 0.3, 0, False),
        (1, 1.0000001, 0, False),
        ([0.1 + 0.2], [0.3], 0, True),
        ([0.1 + 0.2, 1], [0.3, 1.0], 0, True),
        ([0.3], [0.3, 0.3], 0, False),
        ((0.1 + 0.2,), [0.3], 0, False),
        ([[0.1 + 0.2]], [[0.3]], 0, False),
        (100000001, 100000000, 0, False),
        (1.005, 1.0, 0.01, True),
        ("a", "b", 0.01, False),
        (None, 0.5, 0, False),
        (math.nan, 0.5, 0, False),
        ("0.3", 0.3, 0, False),
        (True, 1, 0, True),
        (Opaque("Same"), 3, 0, False),
        ([[1.0], [1.0]], [1.0, 1.0], 0, False),
        (10**400, 1.5, 0, False),
    ],
)
def test_equality_has_a_tolerance_for_floats_alone(value: Any, expected: Any, tolerance: float, is_right: bool) -> None:
    assert matches("", (), value, expected, tolerance) is is_right


@pytest.mark.parametrize(
    ("oracle", "arguments", "value", "expected", "tolerance", "is_right"),
    [
        ("find_zero", ([-6, 11, -6, 1],), 3.0, 1.0, 1e-4, True),
        ("find_zero", ([-6, 11, -6, 1],), 2.5, 1.0, 1e-4, False),
        ("find_zero", ([1, 2],), None, -0.5, 1e-4, False),
        ("set", (), [4, 5, 5], (5, 4), 0, True),
        ("set", (), [4], (5, 4), 0, False),
        ("set", (), [[4]], (5, 4), 0, False),
        ("not_none", (), Opaque("Match"), Opaque("Match"), 0, True),
        ("not_none", (), None, Opaque("Match"), 0, False),
        ("not_none", (), True, Opaque("Match"), 0, True),
        ("not_none", (), False, None, 0, True),
        ("not_none", (), 0, None, 0, False),
        ("any", (), "x", True, 0, True),
        ("sum_div", (1,), 0, 1, 0, True),
        ("sum_div", (8,), 7, 7, 0, True),
        ("sum_div", (8,), 15, 7, 0, False),
        ("digit_distance_nums", (1, 256), 12, 1, 0, True),
        ("digit_distance_nums", (1, 256), 1, 1, 0, True),
        ("digit_distance_nums", (1, 256), 2, 1, 0, False),
        ("surface_Area", (3, 4), 35, 33, 0, True),
        ("surface_Area", (3, 4), 34, 33, 0, False),
    ],
)
def test_oracles(
    oracle: str, arguments: tuple[Any, ...], value: Any, expected: Any, tolerance: float, is_right: bool
) -> None:
    assert matches(oracle, arguments, value, expected, tolerance) is is_right


HUGE = range(10**12)


@pytest.mark.parametrize(
    ("oracle", "value", "expected", "tolerance"),
    [
        ("set", HUGE, [1, 2], 0),
        ("set", range(10**30), [1, 2], 0),
        ("set", [1, 2], HUGE, 0),
        ("", HUGE, range(10**12 + 1), 1e-3),
        ("", [HUGE, 1], [HUGE, 2], 1e-3),
    ],
)
def test_long_ranges_are_not_written_out(oracle: str, value: Any, expected: Any, tolerance: float) -> None:
    assert matches(oracle, (), value, expected, tolerance) is False


def test_ranges_are_compared() -> None:
    assert matches("set", (), range(3), [2, 1, 0], 0)
    assert matches("", (), HUGE, HUGE, 0)


def test_a_value_that_memory_cannot_hold_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> bool:
        raise MemoryError

    monkeypatch.setitem(ORACLES, "set", fail)  # pyright: ignore[reportArgumentType]
    assert matches("set", (), [1], [1], 0) is False


def test_oracles_are_chosen_by_benchmark_and_function() -> None:
    assert choose_oracle("HumanEval/32", "find_zero") == "find_zero"
    assert choose_oracle("Mbpp/2", "similar_elements") == "set"
    assert choose_oracle("HumanEval/0", "similar_elements") == ""
    assert choose_oracle("", "find_zero") == ""
    with pytest.raises(KeyError):
        matches("none", (), 1, 1, 0)
    assert all(oracle in ORACLES for oracle in ("", choose_oracle("Mbpp/164", "are_equivalent")))
