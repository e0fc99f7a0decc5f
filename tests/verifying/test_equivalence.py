from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbest.text.forms import normal_form
from nbest.text.numbers import read_number, same_number
from nbest.verifying.equivalence import Equivalence, count_listed

SAME = [
    ["1/2", "0.5", r"\frac12", r"\frac{1}{2}", "$0.50$", "x = 1/2", r"\frac{2}{4}"],
    [r"\sqrt{8}", r"2\sqrt{2}", r"2 \cdot \sqrt 2"],
    ["24", "(4+4)*(10-7)", "24.0", "24 dollars", "**24**"],
    ["(6 - 4) * 12 = 24", "(6-4)*12=24"],
    ["(4+4)*(10-7)=24"],
    ["x^2+2x+1", "(x+1)^2", "1 + 2x + x^2"],
    ["no solution", "No solution."],
    [r"\{1, 2\}", "1, 2", "2,1", "1 and 2", "x=2 or x=1"],
    ["(3, 1)", r"\left(3, 1\right)"],
    ["[0, 1)", r"\left[0,1\right)"],
    ["(0,1]"],
    [r"\pm 7", "7, -7", r"\{-7, 7\}"],
    [r"\begin{pmatrix}1 & 2\end{pmatrix}", r"\begin{bmatrix} 1 & 2 \end{bmatrix}"],
    ["x \\ge 5", "5 \\le x", "x >= 5"],
    ["y = 2x + 3", "2x+3"],
    [r"33\frac{1}{3}\%", r"\frac{100}{3}\%"],
]
ANSWERS = [answer for group in SAME for answer in group]


def test_the_groups_are_the_clusters(equivalence: Equivalence) -> None:
    groups = [number for number, group in enumerate(SAME) for _ in group]
    assert equivalence.cluster(ANSWERS) == groups


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations([*ANSWERS, "0.333333", "1/3", "28", "28%", "0.28", "1,22", "1.22", "(1, 3)", "{1,3}", "3, 1"]))
def test_a_permuted_pool_has_the_same_partition(equivalence: Equivalence, answers: list[str]) -> None:
    def partition(order: list[str]) -> set[frozenset[str]]:
        clusters = equivalence.cluster(order)
        return {
            frozenset(answer for answer, place in zip(order, clusters, strict=True) if place == number)
            for number in set(clusters)
        }

    assert partition(answers) == partition(sorted(answers))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(ANSWERS), st.sampled_from(ANSWERS))
def test_same_is_symmetric_reflexive_and_what_clustering_a_pair_says(equivalence: Equivalence, a: str, b: str) -> None:
    assert equivalence.same(a, a)
    assert equivalence.same(a, b) == equivalence.same(b, a)
    assert equivalence.same(a, b) == (equivalence.cluster([a, b]) == [0, 0])


def test_numbers_by_first_appearance_and_none_for_no_answer(equivalence: Equivalence) -> None:
    assert equivalence.cluster(["7", None, "1/2", " ", "0.5", "7.0"]) == [0, None, 1, None, 1, 0]
    assert equivalence.cluster([]) == []


def test_where_the_relation_is_not_transitive_a_fixed_order_decides(equivalence: Equivalence) -> None:
    # 28% is 28 and is 0.28, which are not the same: it joins the number before the % sign.
    assert equivalence.cluster(["0.28", "28%", "28"]) == [0, 1, 1]
    assert equivalence.cluster(["0.28", "28%"]) == [0, 0]


@pytest.mark.parametrize(
    ("required", "given_answer"),
    [("1, 2, 3", "1, 2"), ("x=1, x=2", "2"), ("x=1, x=2", "x=2"), ("7, -7", "7"), (r"\pm 7", "7")],
)
def test_a_part_of_the_required_answers_is_not_enough(
    equivalence: Equivalence, required: str, given_answer: str
) -> None:
    assert not equivalence.same(required, given_answer)


def test_the_number_of_listed_answers() -> None:
    forms = [
        "5",
        "1,2",
        "1;2;3",
        r"\{1,2\}",
        "(3,1)",
        "(1,2),(3,4)",
        r"\pm7",
        "n=1,2,3",
        "p=5,q=2;p=7,q=2",
        "2,2",
        "x<1,x>2",
    ]
    assert [count_listed(form) for form in forms] == [1, 2, 3, 2, 2, 2, 2, 3, 2, 1, 0]


def make_spellings() -> st.SearchStrategy[str]:
    whole = st.integers(-50, 50).map(str)
    fraction = st.tuples(st.integers(-30, 30), st.integers(1, 30)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    command = st.tuples(st.integers(0, 30), st.integers(1, 30)).map(lambda pair: f"\\frac{{{pair[0]}}}{{{pair[1]}}}")
    decimal = st.tuples(st.integers(-20, 20), st.integers(0, 99)).map(lambda pair: f"{pair[0]}.{pair[1]:02d}")
    rounded = st.tuples(st.integers(0, 30), st.integers(1, 30)).map(lambda pair: f"{pair[0] / pair[1]:.6f}")
    return st.one_of(whole, fraction, command, decimal, rounded)


@settings(max_examples=80, deadline=None)
@given(make_spellings(), make_spellings(), st.booleans())
def test_plain_numbers_are_compared_as_math_verify_compares_them(a: str, b: str, is_related: bool) -> None:
    from math_verify import parse, verify

    first = read_number(normal_form(a))
    assert first is not None
    if is_related:
        b = f"{float(first.approximate):.6f}"
    second = read_number(normal_form(b))
    assert second is not None
    expected = verify(parse(f"${a}$"), parse(f"${b}$"))
    assert same_number(first, second) == expected, (a, b)


def test_each_distinct_string_is_parsed_once(equivalence: Equivalence, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    ask = equivalence._pool.ask  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(equivalence._pool, "ask", lambda requests: asked.extend(requests) or ask(requests))
    pool = [r"\sqrt{1861}", r"\sqrt{1861}+1", r"1+\sqrt{1861}"] * 30 + ["7", "1/2", "no way", "3*5=15"] * 30
    equivalence.cluster(pool)
    equivalence.cluster(pool[::-1])
    # Three strings need math-verify; constants are compared by value, the rest never leaves this process.
    assert sorted(asked) == [("read", r"1+\sqrt{1861}"), ("read", r"\sqrt{1861}"), ("read", r"\sqrt{1861}+1")]


MALICIOUS = [
    "__import__('os').system('touch {marker}')",
    "exec(open('{marker}','w'))",
    r"\text{__import__('os').system('touch {marker}')}",
    "9**9**9**9",
    "10^{10^{10}}",
    "((((9!)!)!)!)!",
    "1" * 100_000,
    r"\frac{1}{" * 500 + "2" + "}" * 500,
    "(" * 900 + "1" + ")" * 900,
]


def test_malicious_answers_neither_run_nor_hang(tmp_path: Any) -> None:
    marker = tmp_path / "executed"
    answers = [answer.replace("{marker}", str(marker)) for answer in MALICIOUS]
    with Equivalence(limit_seconds=0.5) as equivalence:
        judged = [equivalence.judge("x+1", answer) for answer in answers]
        assert equivalence.judge("x+1", "1+x") == (True, "")  # the others are still served
        assert len(equivalence.cluster(answers)) == len(answers)
    assert not marker.exists()
    assert all(verdict in (False, None) for verdict, _ in judged)
    assert all(note for verdict, note in judged if verdict is None)
    # A tower of powers, factorials and what is too long cannot be judged; the reason is noted.
    notes = dict(zip(MALICIOUS, judged, strict=True))
    assert "timed out" in notes["10^{10^{10}}"][1]
    assert "more than 2000 characters" in notes["1" * 100_000][1]


def test_it_works_in_any_thread(equivalence: Equivalence) -> None:
    import threading

    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda k=k: found.append(equivalence.same(f"(x+{k})^2", f"x^2+{2 * k}x+{k * k}")))
        for k in range(11, 15)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
