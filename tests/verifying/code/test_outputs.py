import pytest

from nbest.verifying.code.outputs import find_difference


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("3\n", "3"),
        ("  3 \n\n", "3"),
        ("1 2\n3 4\n", "1 2\n3 4"),
        ("1 2 \n  3 4", "1 2\n3 4\n"),
        ("1.50 2", "1.5 2.0"),
        ("1e3", "1000"),
        ("a  b", "a  b"),
        ("", ""),
        ("\n", ""),
        ("3\r\n4\r\n", "3\n4\n"),
    ],
)
def test_equal_outputs(output: str, expected: str) -> None:
    assert find_difference(output, expected) == ""


@pytest.mark.parametrize(
    ("output", "expected", "note"),
    [
        ("4", "3", "got '4', expected '3'"),
        ("1\n5", "1\n3", "line 2: got '5', expected '3'"),
        ("1\n", "1\n2\n", "1 instead of 2 lines"),
        ("a b", "a  b", "got 'a b', expected 'a  b'"),
        ("Yes", "YES", "got 'Yes'"),
        ("1.0000001", "1", "expected '1'"),
        ("0.1 x", "0.1 1", "got '0.1 x'"),
        ("NaN", "0", "got 'NaN'"),
        ("sNaN", "0", "got 'sNaN'"),
        ("1 2 3", "1 2", "got '1 2 3'"),
        ("", "0", "got ''"),
    ],
)
def test_different_outputs_say_where(output: str, expected: str, note: str) -> None:
    assert note in find_difference(output, expected)


def test_numbers_without_an_end_are_compared_at_once() -> None:
    assert find_difference("1e999999999999", "1") != ""
    assert find_difference("9" * 400_000, "8" * 400_000) != ""


def test_a_long_output_is_shortened() -> None:
    assert len(find_difference("7" * 100_000, "8" * 100_000)) < 600
