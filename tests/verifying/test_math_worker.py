"""What the worker answers, asked in this process; its limits are tested where it runs, in test_equivalence."""

from typing import Any

import pytest

from nbest.verifying import math_worker
from nbest.verifying.math_worker import _answer  # pyright: ignore[reportPrivateUsage]


def read(text: str) -> Any:
    return _answer(["read", text])["value"]


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("(4+4)*(10-7)", ["0x18", "0x1"]),  # 24
        (r"\frac{3}{6}", ["0x1", "0x2"]),
        ("x=2^3", ["0x8", "0x1"]),
        ("x=5+5+1=11", ["0xb", "0x1"]),
        (r"\{7\}", ["0x7", "0x1"]),
        ("V_1:V_2=11:21", ["0xb", "0x15"]),
    ],
)
def test_rational_constants(text: str, exact: list[str]) -> None:
    value = read(text)
    assert (value["kind"], value["exact"]) == ("number", exact)


def test_an_irrational_constant_has_40_digits() -> None:
    # sqrt(2) to 40 significant digits, rounded
    assert read(r"\sqrt{8}/2")["approximate"] == "1.414213562373095048801688724209698078570"


def test_a_percentage_keeps_the_number_before_the_sign() -> None:
    value = read(r"4\%")
    assert (value["exact"], value["percent"]) == (["0x4", "0x1"], True)


def test_things_that_can_be_equal_share_a_bucket() -> None:
    pairs = [
        ("(x+1)^2", "x^2+2x+1"),
        ("0<x<1", "(0,1)"),
        (r"\{1,2\}", "(1,2)"),
        ("y=2x+3", "2x+3"),
        (r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}1&3\end{pmatrix}"),
        ("abc", "cab"),
    ]
    for a, b in pairs:
        assert set(read(a)["buckets"]) & set(read(b)["buckets"]), (a, b)
    assert read("x^2+1")["buckets"] != read("x^2+2")["buckets"]


def test_comparisons_agree_in_both_orders() -> None:
    for a, b, same in [
        ("(x+1)^2", "x^2+2x+1", True),
        ("7=11a+c", "11a+c", False),  # math-verify says True in one order
        ("0<x<1", "(0,1)", True),
        ("(3,1)", r"\{1,3\}", False),
    ]:
        assert _answer(["compare", a, b])["value"] is same
        assert _answer(["compare", b, a])["value"] is same


def test_what_is_not_mathematics_is_nothing() -> None:
    assert read("") is None
    assert _answer(["compare", "", "x"])["value"] is False


def test_a_failure_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, note in [(MemoryError(), "out of memory"), (RecursionError(), "RecursionError in math-verify")]:

        def fail(_text: str, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(math_worker, "_parsed", fail)
        assert _answer(["read", "1"]) == {"value": None, "note": note}
