import pytest

from nbest.sandbox.executions import Call
from nbest.selecting.execution.statements import find_calls, names_entry_point, read_assertion


@pytest.mark.parametrize(
    ("statement", "right", "wrong"),
    [
        ("assert f(1, [2]) == 3", 3, 4),
        ("assert f(1, [2]) == (1, 'a')", (1, "a"), [1, "a"]),
        ("assert 3 == f(1, [2])", 3, 4),
        ("assert f(1, [2]) != 3", 4, 3),
        ("assert f(1, [2])", [0], []),
        ("assert not f(1, [2])", "", "x"),
        ("assert f(1, [2]) is True", True, 1),
        ("assert f(1, [2]) is None, 'why not'", None, False),
        ("assert f(1, [2]) in ['a', 'b']", "b", "c"),
        ("assert f(1, [2]) not in ['a']", "b", "a"),
        ("assert f(1, [2]) < 3", 2, 3),
        ("assert 3 >= f(1, [2])", 3, 4),
        ("assert f(1, [2]) < 3", 2, "a word that has no order"),
        ("assert f(1, [2]) == {1: {2}}", {1.0: {2}}, {1: {3}}),
    ],
)
def test_an_assertion_about_one_call_says_what_its_value_has_to_be(statement, right, wrong):
    assertion = read_assertion(statement, "f")
    assert assertion.call == Call("f", (1, [2]))
    assert assertion.holds(right) is True
    assert assertion.holds(wrong) is False


@pytest.mark.parametrize(
    "statement",
    [
        "assert g(1) == 2",
        "assert f(x) == 2",
        "assert f(1) == x",
        "assert f(x=1) == 2",
        "assert f(*[1]) == 2",
        "assert f(1) == f(2)",
        "assert f(f(1)) == 2",
        "assert 1 < f(1) < 3",
        "assert abs(f(1) - 2) < 1e-6",
        "assert f(1) == 2 or f(1) == 3",
        "assert f(1) is 3",
        "assert f(1) == 2; assert f(2) == 3",
        "f(1) == 2",
        "assert f(1 ==",
        "assert f.f(1) == 2",
        "",
        "\x00",
        "assert f(" + "[" * 5000 + "]" * 5000 + ") == 1",
    ],
)
def test_any_other_statement_is_none(statement):
    assert read_assertion(statement, "f") is None


def test_calls_with_plain_values_are_found_in_any_statement():
    calls = find_calls("assert f(1) == f(2) and g(f(-3)) and f(1) and f(x) and f(2.5, k=1) and f(1.0)", "f")
    assert calls == [Call("f", (1,)), Call("f", (2,)), Call("f", (-3,)), Call("f", (1.0,))]
    assert find_calls("assert f(1", "f") == []


def test_a_method_is_called_on_a_new_instance():
    assertion = read_assertion("assert Solution().run([1]) == 1", "Solution.run")
    assert assertion.call == Call("Solution.run", ([1],))
    for other in ("assert run([1]) == 1", "assert Solution(1).run([1]) == 1", "assert Other().run([1]) == 1"):
        assert read_assertion(other, "Solution.run") is None


def test_whether_a_statement_calls_the_function_at_all():
    assert names_entry_point("assert f(unknown) == 1", "f")
    assert not names_entry_point("assert f == 1", "f")
    assert not names_entry_point("assert f(", "f")


def test_comparing_never_raises():
    deep = 1
    for _ in range(90):
        deep = [deep]
    assert read_assertion("assert f(1) == 1", "f").holds(deep) is False
    assert read_assertion("assert f(1) in 3", "f").holds(1) is False
