from fractions import Fraction

import pytest

from nbest.text.numbers import Number, read_number, same_number


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("5", Fraction(5)),
        ("-5", Fraction(-5)),
        ("007", Fraction(7)),
        ("27.0", Fraction(27)),
        (".5", Fraction(1, 2)),
        ("1/2", Fraction(1, 2)),
        ("-10/4", Fraction(-5, 2)),
        (r"\frac12", Fraction(1, 2)),
        (r"-\frac{10}{9}", Fraction(-10, 9)),
        (r"\frac{-1}{2}", Fraction(-1, 2)),
        ("1,234,567", Fraction(1234567)),
        ("1 000", Fraction(1000)),
        ("1000,99", Fraction(100099, 100)),
        ("0,5", Fraction(1, 2)),
        ("x=5", Fraction(5)),
        ("f(x)=-3", Fraction(-3)),
        ("a_3=2", Fraction(2)),
        ("18 dollars", Fraction(18)),
        ("18 dollars per day", Fraction(18)),
        (r"15\mbox{ cm}^2", Fraction(15)),
        (r"90^\circ", Fraction(90)),
        ("1/2=0.5", Fraction(1, 2)),
    ],
)
def test_values(form: str, value: Fraction) -> None:
    number = read_number(form)
    assert number is not None
    assert number.exact == value


@pytest.mark.parametrize(
    "form",
    ["", "x", "5m", "1,2", "1,22", "1, 234", "1,2345", "2^3", "3+4", "5!", "1/0", "5 or more", "24 cannot be made",
     "(4+4)*3", "3+3=6", "9" * 201, "--5", "1.2.3", "1e5"],
)  # fmt: skip
def test_what_is_not_plainly_a_number(form: str) -> None:
    assert read_number(form) is None


def number_of(form: str) -> Number:
    number = read_number(form)
    assert number is not None
    return number


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("1/2", "0.5", True),
        ("1/3", "0.333333", True),  # 1/3 rounds to 0.333333
        ("1/3", "0.33333", False),
        ("1/3", "333333/1000000", False),  # both exact: they differ by 1/3000000
        ("2024/2025", "2025/2026", False),  # equal to 6 decimals, 0.999506, and still two answers
        ("12345678901", "12345678902", False),
        ("28%", "28", True),
        ("28%", "0.28", True),
        ("28", "0.28", False),
        ("50%", "1/2", True),
        ("12.5%", "1/8", True),
        ("1/128", "0.007812", True),  # 0.0078125 rounds half to even
        ("-0.0000001", "0.0000001", True),  # minus zero is zero
    ],
)
def test_same_number_in_both_orders(a: str, b: str, same: bool) -> None:
    assert same_number(number_of(a), number_of(b)) is same
    assert same_number(number_of(b), number_of(a)) is same
