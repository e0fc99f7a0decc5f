import numpy as np
import pytest

from nbest.errors import ConfigError
from nbest.statistics.votes import (
    RULES,
    BordaVote,
    FilteredVote,
    MaximumVote,
    SoftmaxVote,
    SumVote,
    hold_vote,
    make_ballot,
)

A, B, C, SILENT = 0, 1, 2, -1
NAN = float("nan")


def vote(rule, clusters, scores):
    """(positions of the picks, weight by cluster) of one pool in which every candidate takes part."""
    ballot = make_ballot(clusters, scores)
    outcome = hold_vote(ballot, rule, np.ones((1, len(ballot)), dtype=bool))
    return sorted(ballot.positions[outcome.picks[0]].tolist()), outcome.weights[0].tolist()


def test_sum_by_hand():
    # A: 0.3 + 0.4 = 0.7 against B: 0.6. The pick is A's best, position 1.
    assert vote(SumVote(), [A, A, B], [0.3, 0.4, 0.6]) == ([1], pytest.approx([0.7, 0.6]))


def test_the_power_of_a_vote_by_hand():
    # In units of the highest score, 0.6: (1/2)^2 + (2/3)^2 = 0.25 + 0.4444 against 1.
    assert vote(SumVote(2.0), [A, A, B], [0.3, 0.4, 0.6]) == ([2], pytest.approx([0.25 + 4 / 9, 1.0]))
    # Power 0 is the majority, also of scores of 0.
    assert vote(SumVote(0.0), [A, A, B], [0.0, 0.1, 0.6]) == ([1], pytest.approx([2.0, 1.0]))
    assert vote(SumVote(0.0), [A, A, B], [0.0, 0.0, 0.0])[1] == [2.0, 1.0]
    # Neither overflows nor ends: the best candidate alone decides.
    assert vote(SumVote(1e6), [A, A, B], [1e300, 1e300, 1.1e300]) == ([2], pytest.approx([0.0, 1.0]))
    for power in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match="power of a vote"):
            SumVote(power)


def test_maximum_by_hand():
    # A: max(0.3, 0.4) = 0.4 against B: 0.6.
    assert vote(MaximumVote(), [A, A, B], [0.3, 0.4, 0.6]) == ([2], pytest.approx([0.4, 0.6]))
    assert vote(MaximumVote(), [A, A, B], [-3.0, -4.0, -5.0]) == ([0], pytest.approx([-3.0, -5.0]))


def test_borda_by_hand():
    # Ranks 1..4 of four voters weigh 4, 3, 2, 1 at power 1. B holds ranks 1 and 4: 5; A holds 2 and 3: 5: a tie, so the
    # best of both, position 3.
    assert vote(BordaVote(1.0), [A, A, B, B], [0.5, 0.4, 0.1, 0.9]) == ([3], pytest.approx([5, 5]))
    # At power 2: B 16 + 1 = 17, A 9 + 4 = 13. At power 0 everybody weighs 1: 2 against 2.
    assert vote(BordaVote(2.0), [A, A, B, B], [0.5, 0.4, 0.1, 0.9]) == ([3], pytest.approx([13, 17]))
    assert vote(BordaVote(0.0), [A, A, B, B], [0.5, 0.4, 0.1, 0.9])[1] == [2, 2]


def test_borda_shares_the_ranks_of_equal_scores():
    # Scores 7 7 7 1 at power 1: ranks 1, 2, 3 weigh 4, 3, 2, so 3 each; the last one 1. Any sign, any infinity.
    assert vote(BordaVote(1.0), [A, B, C, C], [7, 7, 7, 1]) == ([2], pytest.approx([3, 3, 4]))
    assert vote(BordaVote(1.0), [A, B, C, C], [0, 0, 0, -np.inf]) == ([2], pytest.approx([3, 3, 4]))


def test_softmax_by_hand():
    # Distances from the highest, in temperatures of log 2: 0, 1, 1: weights 1, 1/2, 1/2. A: 1/2 + 1/2 ties B: 1.
    scores = [-1 - np.log(2), -1 - np.log(2), -1.0]
    assert vote(SoftmaxVote(), [A, A, B], scores) == ([2], pytest.approx([1.0, 1.0]))
    # Half the temperature: 1, 1/4, 1/4.
    assert vote(SoftmaxVote(0.5), [A, A, B], scores)[1] == pytest.approx([0.5, 1.0])


def test_softmax_does_not_overflow():
    assert vote(SoftmaxVote(0.01), [A, B], [1e9, -1e9]) == ([0], [1.0, 0.0])
    ballot = make_ballot([A, B], [-1e9, 1e9])
    outcome = hold_vote(ballot, SoftmaxVote(), np.array([[True, False], [False, False]]))
    assert outcome.picks.tolist() == [[True, False], [False, False]]


@pytest.mark.parametrize(("voters", "count"), [(1, 1), (9, 1), (10, 1), (11, 2), (20, 2), (30, 3), (64, 7)])
def test_filter_keeps_the_same_number_as_a_percentile_threshold(voters, count):
    scores = np.arange(voters) + 1.0
    _, weights = vote(FilteredVote(), range(voters), scores)
    assert np.count_nonzero(weights) == count == np.count_nonzero(scores >= np.percentile(scores, 90))


def test_filter_keeps_those_equal_to_the_last_one():
    # Half of four is two; three share the second place. A: 5. B: 4. C: 4 + 4.
    assert vote(FilteredVote(0.5), [A, B, C, C], [5, 4, 4, 4]) == ([2, 3], pytest.approx([5, 4, 8]))


def test_filter_by_hand():
    # The better half of four: 9 for A, 8 for B; B's 7 + 6 is out.
    assert vote(FilteredVote(0.5), [A, B, B, B], [9, 8, 7, 6]) == ([0], pytest.approx([9, 8]))


def test_candidates_without_answer_or_score_neither_vote_nor_rank():
    # Two voters: ranks 1 and 2 weigh 2 and 1, whatever the silent ones score.
    assert vote(BordaVote(1.0), [SILENT, A, B, C], [9.0, 0.1, 0.2, NAN]) == ([2], pytest.approx([1, 2]))


def test_sums_that_differ_by_rounding_tie():
    # 0.1 + 0.2 is 0.30000000000000004 in floating point; the tie goes to the highest score of both, B's 0.3.
    assert vote(SumVote(), [A, A, B], [0.1, 0.2, 0.3])[0] == [2]


def test_equal_picks_are_all_named():
    assert vote(SumVote(), [A, B, B], [0.5, 0.25, 0.25])[0] == [0]
    assert vote(SumVote(), [A, B, C], [0.5, 0.5, 0.1])[0] == [0, 1]


def test_zero_weights_leave_it_to_the_score():
    assert vote(SumVote(), [A, A, B], [0.0, 0.0, 0.0])[0] == [0, 1, 2]


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_nobody_votes(rule):
    assert vote(rule, [SILENT, A], [1.0, NAN]) == ([], [])
    ballot = make_ballot([A, B], [1.0, 2.0])
    assert not hold_vote(ballot, rule, np.zeros((3, 2), dtype=bool)).picks.any()


def test_what_cannot_be_a_weight():
    assert SumVote().fault([0.0, 1.0]) == ""
    for rule in (SumVote(), FilteredVote()):
        assert rule.fault([0.5, -0.1, -2.0]).startswith("2 of 3 scores are negative")
        assert rule.fault([0.5, np.inf]).startswith("1 of 2 scores is infinite")
    assert SoftmaxVote().fault([-1.0, -2.0]) == ""
    assert SoftmaxVote().fault([-1.0, -np.inf]).startswith("1 of 2 scores is infinite")
    for rule in (BordaVote(), MaximumVote()):
        assert rule.fault([-1.0, -np.inf]) == ""


@pytest.mark.parametrize(
    "make",
    [
        lambda: BordaVote(-1.0),
        lambda: BordaVote(NAN),
        lambda: SoftmaxVote(0.0),
        lambda: SoftmaxVote(np.inf),
        lambda: FilteredVote(0.0),
        lambda: FilteredVote(1.1),
    ],
)
def test_settings_out_of_range(make):
    with pytest.raises(ConfigError, match="vote must be"):
        make()


def test_shapes_are_checked():
    with pytest.raises(ConfigError, match="must be"):
        make_ballot([0, 1], [1.0])
