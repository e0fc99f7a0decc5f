from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbest.verifying.equivalence import Comparison, Equivalence

SAME = [
    ["1/2", "0.5", r"\frac12", r"\frac{1}{2}", "$0.50$", "x = 1/2", r"\frac{2}{4}"],
    [r"\sqrt{8}", r"2\sqrt{2}", r"2 \cdot \sqrt 2"],
    ["24", "(4+4)*(10-7)", "24.0", "24 dollars", "**24**", "20 + 4 = 24"],
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
    [r"\sum_{k=1}^{n} k^2", r"\sum_{k=1}^n k^{2}"],
]
ANSWERS = [answer for group in SAME for answer in group]
AMBIGUOUS = [
    "0.333333",
    "1/3",
    "28",
    "28%",
    "0.28",
    "1,22",
    "1.22",
    "(1, 3)",
    r"\{1,3\}",
    "3, 1",
    "6*4=24",
    "8*3=24",
    "24",
]


def test_the_groups_are_the_clusters(equivalence: Equivalence) -> None:
    groups = [number for number, group in enumerate(SAME) for _ in group]
    assert equivalence.cluster(ANSWERS) == groups


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations([*ANSWERS, *AMBIGUOUS]))
def test_a_permuted_pool_has_the_same_partition(equivalence: Equivalence, answers: list[str]) -> None:
    def partition(order: list[str]) -> set[frozenset[str]]:
        clusters = equivalence.cluster(order)
        return {
            frozenset(answer for answer, cluster in zip(order, clusters, strict=True) if cluster == number)
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
    # Two calculations that end in 24 are two answers, though each is the same as 24.
    assert equivalence.cluster(["6*4 = 24", "8*3 = 24", "24"]) == [0, 1, 0]
    assert equivalence.cluster(["(6 - 4) * 5 = 24", "(10 / 2) * 5 - 10 = 24", "8 + 9 = 24"]) == [0, 1, 2]
    assert equivalence.cluster(["194 * 490 - 194 *150 = 66560", "194 * 490 - 194 * 150 = 66560"]) == [0, 0]


def test_an_answer_joins_a_cluster_only_if_it_is_the_same_as_all_of_its_members(equivalence: Equivalence) -> None:
    # |x| is sqrt(x^2), sqrt(x^2) is x, and x is not |x|.
    clusters = equivalence.cluster(["x", r"\sqrt{x^2}", "|x|"])
    assert clusters[0] != clusters[2]


def test_the_note_names_the_reading_that_made_two_answers_equal(equivalence: Equivalence) -> None:
    assert equivalence.compare("1.22", "1,22") == Comparison(True, "decimal comma")
    assert equivalence.compare("10/05/2001", "2001-05-10") == Comparison(True, "day first")
    assert equivalence.compare("5", "5.0") == Comparison(True)
    assert equivalence.compare("5", "6") == Comparison(False)
    assert equivalence.compare("", " ") == Comparison(False)


@pytest.mark.parametrize(
    ("required", "answer"),
    [("1, 2, 3", "1, 2"), ("x=1, x=2", "2"), ("x=1, x=2", "x=2"), ("7, -7", "7"), (r"\pm 7", "7")],
)
def test_a_part_of_the_required_answers_is_not_enough(equivalence: Equivalence, required: str, answer: str) -> None:
    assert not equivalence.same(required, answer)


def test_only_formulas_that_nbest_does_not_read_go_to_math_verify(
    equivalence: Equivalence, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[Any] = []
    ask = equivalence._pool.ask  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(equivalence._pool, "ask", lambda batch: requests.extend(batch) or ask(batch))
    formula = r"\int_0^{1861}x dx"
    pool = [formula, "7", r"\sqrt{1861}", r"\sqrt{1861}+x", "no way", "3*5=15", "(1,2]", "x<3", "5 cm"] * 30
    equivalence.cluster(pool)
    equivalence.cluster(pool[::-1])
    assert requests == [("read", formula)]


def test_formulas_are_compared_by_math_verify(equivalence: Equivalence) -> None:
    assert equivalence.same(r"\sum_{k=1}^{3} k", "6")
    assert equivalence.same(r"F_n = \sum_{k=0}^{n-1} F_k F_{n-k-1}", r"F_n = \sum_{k=0}^{n-1} F_{n-k-1} F_k")
    assert not equivalence.same(r"\sum_{k=1}^{n} k", r"\sum_{k=1}^{n} k^2")


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
    r"\sum_{k=1}^{10^{10}} \frac{1}{k!}",
    "1e999999999",
    "{" * 1900,
    "1," * 900 + "1",
]


def test_malicious_answers_neither_run_nor_hang(tmp_path: Any) -> None:
    marker = tmp_path / "executed"
    answers = [answer.replace("{marker}", str(marker)) for answer in MALICIOUS]
    with Equivalence(limit_seconds=0.5) as equivalence:
        comparisons = [equivalence.compare("x+1", answer) for answer in answers]
        assert equivalence.compare("x+1", "1+x") == Comparison(True)  # the others are still served
        assert len(equivalence.cluster(answers)) == len(answers)
    assert not marker.exists()
    assert all(comparison.is_equal in (False, None) for comparison in comparisons)
    assert all(comparison.note for comparison in comparisons if comparison.is_equal is None)
    notes = {answer: comparison.note for answer, comparison in zip(MALICIOUS, comparisons, strict=True)}
    assert "more than 2000 characters" in notes["1" * 100_000]


def test_thousands_of_programs_are_clustered_at_once(equivalence: Equivalence) -> None:
    import time

    programs = [f"def solve(n):\n    total = {k}\n    return [total * n for _ in range({k % 7})]" for k in range(8_000)]
    started = time.perf_counter()
    assert equivalence.cluster(programs, "code") == list(range(8_000))
    assert equivalence.cluster(programs) == list(range(8_000))
    assert time.perf_counter() - started < 20


def test_it_works_in_any_thread(equivalence: Equivalence) -> None:
    import threading

    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda k=k: results.append(equivalence.same(f"(x+{k})^2", f"x^2+{2 * k}x+{k * k}")))
        for k in range(11, 15)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4
