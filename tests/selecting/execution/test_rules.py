"""Rules of selection by execution on behaviours written by hand: no program runs."""

import math

import numpy as np
import pytest

from nbest.errors import ConfigError
from nbest.registry import BuildContext, find_method, load_selector
from nbest.selecting.execution.agreement import NO_TESTS, AgreementOptions, AgreementRule, BayesOptions, BayesRule
from nbest.selecting.execution.clusters import ClusterOptions, ClusterRule, RiskOptions, RiskRule
from nbest.selecting.execution.hybrid import make_rule
from nbest.selecting.execution.public_tests import PublicTestsOptions, PublicTestsRule
from nbest.selecting.execution.ranking import Behaviour


def make_behaviour(outputs, passed=None, weights=None, public=None):
    """`outputs` are texts of one letter per input, a dot for no answer; `passed` and `public` texts of 0 and 1."""
    rows = np.array([[ord(letter) for letter in row] for row in outputs], dtype=np.int64).reshape(len(outputs), -1)

    def read(bits):
        bits = [""] * len(outputs) if bits is None else bits
        return np.array([[bit == "1" for bit in row] for row in bits], dtype=np.bool_).reshape(len(outputs), -1)

    passes = read(passed)
    weights = np.ones(passes.shape[1], dtype=np.int64) if weights is None else np.array(weights)
    return Behaviour(np.arange(len(outputs)), rows, rows != ord("."), passes, weights, read(public))


def rank(rule, *arguments, **options):
    ranking = rule.rank(make_behaviour(*arguments, **options))
    return [group.members for group in ranking.groups], ranking


CLUSTERS = ClusterRule(ClusterOptions())
CODET = AgreementRule(AgreementOptions())
B4 = BayesRule(BayesOptions())


def test_the_largest_cluster_of_equal_behaviour_wins():
    groups, ranking = rank(CLUSTERS, ["ab", "ac", "ac", "ab", "ac"])
    assert groups == [(1, 2, 4), (0, 3)]
    assert ranking.groups[0].confidence == pytest.approx(3 / 5)


def test_of_equally_large_clusters_the_one_with_the_lowest_index_wins():
    assert rank(CLUSTERS, ["b", "a", "a", "b"])[0] == [(0, 3), (1, 2)]


def test_programs_that_answer_nothing_do_not_vote():
    groups, ranking = rank(CLUSTERS, ["..", "..", "..", "a."])
    assert groups == [(3,)]
    assert ranking.groups[0].confidence == 1.0
    assert "3 of 4 programs answer no input" in ranking.note
    assert rank(CLUSTERS, ["..", ".."])[1].note == "no program answers any input"


def test_a_failure_is_behaviour_too():
    assert rank(CLUSTERS, ["a.", "ab", "a."])[0] == [(0, 2), (1,)]


def test_programs_that_fail_a_public_test_do_not_vote_unless_all_do():
    public = ["10", "10", "11", "01"]
    groups, ranking = rank(CLUSTERS, ["a", "a", "b", "a"], public=public)
    assert groups == [(2,)]
    assert "1 of 4 programs passes all public tests" in ranking.note
    groups, ranking = rank(CLUSTERS, ["a", "a", "b", "a"], public=["10", "10", "10", "01"])
    assert groups[0] == (0, 1, 3)
    assert "no program passes all public tests" in ranking.note
    assert rank(ClusterRule(ClusterOptions(public="ignore")), ["a", "a", "b", "a"], public=public)[0][0] == (0, 1, 3)


def test_the_least_expected_loss_may_be_of_a_program_that_is_alone():
    # No two of them are equal, and the first one answers most inputs as the others do.
    outputs = ["aaaa", "aaab", "aaca", "adaa"]
    groups, ranking = rank(RiskRule(RiskOptions()), outputs)
    assert groups[0] == (0,)
    assert ranking.groups[0].confidence == pytest.approx((1 + 3 * 0.75) / 4)


def test_the_hard_loss_is_the_largest_cluster():
    outputs = ["ab", "ac", "ac", "xb", "yb"]
    assert rank(RiskRule(RiskOptions(loss="hard")), outputs)[0][0] == (1, 2)


def test_what_fails_is_equal_to_nothing():
    groups, ranking = rank(RiskRule(RiskOptions()), ["a..", "a..", "a..", "abc", "abc"])
    assert groups[0] == (3, 4)
    assert ranking.groups[0].confidence == pytest.approx((2 * 1 + 3 / 3) / 5)


def test_codet_weighs_programs_by_their_root_and_tests_by_their_number():
    # sqrt(3) * 2 = 3.46 against sqrt(1) * 4 = 4: a product would turn it round.
    passed = ["1100", "1100", "1100", "1111", "0000"]
    groups, ranking = rank(CODET, ["a", "a", "a", "b", "c"], passed)
    assert groups == [(3,), (0, 1, 2)]
    assert [group.score for group in ranking.groups] == pytest.approx([4, 2 * math.sqrt(3)])
    # One of five answers is that of the pick, and three are those of the other set.
    assert [group.confidence for group in ranking.groups] == pytest.approx([1 / 5, 3 / 5])
    assert rank(AgreementRule(AgreementOptions(power=1)), ["a", "a", "a", "b", "c"], passed)[0][0] == (0, 1, 2)


def test_codet_counts_a_test_as_often_as_it_was_written():
    passed = ["10", "01", "01"]
    assert rank(CODET, ["a", "b", "b"], passed)[0][0] == (1, 2)
    assert rank(CODET, ["a", "b", "b"], passed, weights=[2, 1])[0][0] == (0,)


def test_in_a_consensus_set_the_most_frequent_behaviour_goes_first():
    assert rank(CODET, ["x", "b", "b", "y"], ["1", "1", "1", "1"])[0] == [(1, 2, 0, 3)]


@pytest.mark.parametrize("rule", [CODET, B4])
def test_where_no_program_passes_a_test_the_largest_cluster_is_picked(rule):
    groups, ranking = rank(rule, ["a", "b", "b"], ["00", "00", "00"])
    assert groups[0] == (1, 2)
    assert ranking.note.startswith("no program passes any test that a policy wrote: the largest cluster")
    assert ranking.groups[0].confidence == pytest.approx(2 / 3)
    groups, ranking = rank(rule, ["a", "b", "b"])
    assert (groups, ranking.note) == ([], NO_TESTS)
    assert rank(rule, ["..", ".."], ["00", "00"])[0] == []


def measure_b4(n, total, m, tests, k1, k0, alpha, beta):
    """The formula of the paper's strategy, with the integrals written as quotients of factorials."""

    def log_beta(a, b):
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    wrong, wrong_tests = total - n, tests - m
    return (
        log_beta(n + alpha, wrong + 1)
        + log_beta(m + alpha, wrong_tests + 1)
        + log_beta(k1 + 1, wrong * m - k1 + 1)
        + log_beta(k0 + 1, wrong * wrong_tests - k0 + beta)
    )


def test_b4_is_the_posterior_of_its_formula():
    passed = ["1100", "1100", "0011", "1000"]
    _, ranking = rank(BayesRule(BayesOptions(alpha=10, beta=100)), ["a", "b", "c", "d"], passed, weights=[1, 2, 1, 1])
    expected = {
        (0, 1): measure_b4(2, 4, 3, 5, 1, 2, 10, 100),
        (2,): measure_b4(1, 4, 2, 5, 0, 7, 10, 100),
        (3,): measure_b4(1, 4, 1, 5, 2, 6, 10, 100),
    }
    assert {group.members: group.score for group in ranking.groups} == pytest.approx(expected)
    assert ranking.groups[0].members == (0, 1)


def test_b4_doubts_a_set_that_takes_tests_for_wrong_that_others_pass():
    # Two sets of as many programs and tests, between which codet does not decide. If the first one were right, wrong
    # programs would pass wrong tests six times; if the second one is, four times.
    passed = ["0011", "0011", "1100", "1100", "1000", "0100"]
    assert rank(B4, ["b", "b", "a", "a", "c", "d"], passed)[0][0] == (2, 3)
    assert rank(CODET, ["b", "b", "a", "a", "c", "d"], passed)[0][0] == (0, 1)


def test_public_tests_first_then_the_lowest_index():
    rule = PublicTestsRule(PublicTestsOptions())
    groups, ranking = rank(rule, ["a", "b", "c", "c"], public=["10", "11", "11", "11"])
    assert groups == [(1, 2, 3), (0,)]
    assert ranking.groups[0].confidence == pytest.approx(1 / 4)
    assert ranking.note == "3 programs pass equally many public tests"
    tied = PublicTestsRule(PublicTestsOptions(tie="behaviour"))
    groups, ranking = rank(tied, ["a", "b", "c", "c"], public=["10", "11", "11", "11"])
    assert groups[0] == (2, 3, 1)
    assert ranking.groups[0].confidence == pytest.approx(2 / 4)


def test_public_tests_say_where_none_passes_all():
    rule = PublicTestsRule(PublicTestsOptions())
    groups, ranking = rank(rule, ["a", "b"], public=["10", "00"])
    assert groups[0] == (0,)
    assert ranking.note == "no program passes more than 1 of 2 public tests"
    assert rank(rule, ["a", "b"], public=["00", "00"])[1].note == "no program passes any of 2 public tests"
    assert rank(rule, ["a", "b"])[1].note == "the problem shows no tests"


def test_a_selection_of_candidates_keeps_their_rows():
    behaviour = make_behaviour(["a", "b", "c"], ["10", "01", "11"], public=["1", "0", "1"])
    part = behaviour.take([2, 0])
    assert part.positions.tolist() == [2, 0]
    assert part.passed.tolist() == [[True, True], [True, False]]
    assert part.public.tolist() == [[True], [True]]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("codet(power=-1)", "power"),
        ("b4(beta=0)", "beta"),
        ("behaviour(inputs=hidden)", "inputs"),
        ("behaviour(seconds=0)", "seconds"),
        ("mbr-exec(loss=medium)", "loss"),
        ("hybrid(rule=random):a", "rule"),
        ("public-tests(tie=last)", "tie"),
        ("codet(tests=5)", "unknown option 'tests'"),
    ],
)
def test_an_option_that_is_wrong_is_named(name, fault):
    with pytest.raises(ConfigError, match=fault):
        load_selector(name, BuildContext())


def test_a_hybrid_may_use_every_rule():
    spec, _ = find_method("selector", "hybrid:a")
    for name in ("public-tests", "behaviour", "mbr-exec", "codet", "b4"):
        assert spec.options(rule=name).rule == name
        assert make_rule(name).rank(make_behaviour(["a"], ["1"], public=["1"])).groups[0].members == (0,)


def test_equal_losses_are_a_tie_whatever_their_rounding():
    # Both answer as many inputs as the others do in all, by other sums: the one with the lower index goes first.
    rng = np.random.default_rng(0)
    for _ in range(300):
        rows = ["".join("ab"[bit] for bit in rng.integers(0, 2, 7)) for _ in range(6)]
        agreements = [sum(a == b for other in rows for a, b in zip(row, other, strict=True)) for row in rows]
        sizes = [rows.count(row) for row in rows]
        best = max(range(6), key=lambda row: (agreements[row], sizes[row], -row))
        assert rank(RiskRule(RiskOptions()), rows)[0][0][0] == best
