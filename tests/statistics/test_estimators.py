from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbest.errors import ConfigError, UnavailableError
from nbest.statistics.estimators import MAJORITY_LIMIT, best_of_k, majority_at_k, pass_at_k, random_pick

LARGEST_POOL = 8
TOLERANCE = 1e-12


def best_by_enumeration(correct, scores, k):
    credits, abstained = [], []
    for subset in combinations(range(len(correct)), k):
        voters = [index for index in subset if scores[index] is not None]
        top = max((scores[index] for index in voters), default=None)
        winners = [correct[index] for index in voters if scores[index] == top]
        credits.append(fmean(winners) if winners else 0.0)
        abstained.append(not winners)
    return fmean(credits), fmean(abstained)


def majority_by_enumeration(correct, clusters, k):
    credits, abstained = [], []
    for subset in combinations(range(len(correct)), k):
        members = {}
        for index in subset:
            if clusters[index] >= 0:
                members.setdefault(clusters[index], []).append(correct[index])
        most = max(map(len, members.values()), default=0)
        credits.append(fmean([fmean(group) for group in members.values() if len(group) == most]) if members else 0.0)
        abstained.append(not members)
    return fmean(credits), fmean(abstained)


@st.composite
def pools(draw):
    size = draw(st.integers(1, LARGEST_POOL))
    correct = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    scores = draw(st.lists(st.none() | st.integers(-2, 2), min_size=size, max_size=size))
    clusters = draw(st.lists(st.integers(-1, 4), min_size=size, max_size=size))
    return correct, scores, clusters


@settings(max_examples=150, deadline=None)
@given(pools())
def test_every_closed_form_equals_the_enumeration_of_all_subsets(pool):
    correct, scores, clusters = pool
    ks = list(range(1, len(correct) + 1))
    best = best_of_k(correct, [np.nan if score is None else score for score in scores], ks)
    majority = majority_at_k(correct, clusters, ks)
    pass_rates = pass_at_k(correct, ks)
    for column, k in enumerate(ks):
        expected = best_by_enumeration(correct, scores, k)
        assert (best.accuracy[column], best.abstained[column]) == pytest.approx(expected, abs=TOLERANCE)
        expected = majority_by_enumeration(correct, clusters, k)
        assert (majority.accuracy[column], majority.abstained[column]) == pytest.approx(expected, abs=TOLERANCE)
        assert pass_rates[column] == pytest.approx(fmean(any(s) for s in combinations(correct, k)), abs=TOLERANCE)


def random_pool(rng):
    """Up to ten trajectories: verdicts with None, few distinct scores (ties) with None, answers with missing ones."""
    size = int(rng.integers(1, 11))
    verdicts = rng.choice([True, False, None], size, p=[0.4, 0.45, 0.15])
    scores = rng.choice([None, 0.0, 0.5, 1.0, 2.0], size).tolist()
    clusters = (rng.integers(0, 2 + int(rng.integers(0, 6)), size) - 1).tolist()
    return verdicts.tolist(), scores, clusters


def compare_with_enumeration(correct, scores, clusters):
    """The largest difference of any estimator at any k, abstention included."""
    ks = list(range(1, len(correct) + 1))
    curves = [
        best_of_k(correct, [np.nan if score is None else score for score in scores], ks),
        majority_at_k(correct, clusters, ks),
    ]
    pass_rates, random_rates = pass_at_k(correct, ks), random_pick(correct, ks)
    worst = 0.0
    for column, k in enumerate(ks):
        subsets = [[correct[index] for index in subset] for subset in combinations(range(len(correct)), k)]
        pairs = [(pass_rates[column], fmean(map(any, subsets))), (random_rates[column], fmean(map(fmean, subsets)))]
        expected = best_by_enumeration(correct, scores, k), majority_by_enumeration(correct, clusters, k)
        for curve, (accuracy, abstained) in zip(curves, expected, strict=True):
            pairs += [(curve.accuracy[column], accuracy), (curve.abstained[column], abstained)]
        worst = max(worst, *(abs(a - b) for a, b in pairs))
    return worst


def test_a_thousand_random_pools_equal_enumeration():
    rng = np.random.default_rng(0)
    for number in range(1000):
        verdicts, scores, clusters = random_pool(rng)
        graded = [index for index, verdict in enumerate(verdicts) if verdict is not None]
        columns = [[values[index] for index in graded] for values in (verdicts, scores, clusters)]
        assert compare_with_enumeration(*columns) <= TOLERANCE, number  # ungraded ones are left out
        if number < 200 and len(graded) < len(verdicts):  # and their bounds: all wrong, all right
            for bound in (False, True):
                correct = [bound if verdict is None else verdict for verdict in verdicts]
                assert compare_with_enumeration(correct, scores, clusters) <= TOLERANCE, number


def test_pass_at_k_by_hand():
    # 2 of 5 right. k=1: 2/5. k=2: 1 - C(3,2)/C(5,2) = 1 - 3/10. k=3: 1 - C(3,3)/C(5,3) = 1 - 1/10. k=4: 1.
    assert pass_at_k([True, False, False, True, False], [1, 2, 3, 4]) == pytest.approx([0.4, 0.7, 0.9, 1.0])


def test_random_pick_is_the_mean_at_every_k():
    assert random_pick([True, False, False, True], [1, 2, 4]) == pytest.approx([0.5, 0.5, 0.5])


def test_best_of_k_by_hand():
    # Scores 3 > 2 > 1, only the middle one right. k=1: 1/3. Pairs: (3,2) wrong, (3,1) wrong, (2,1) right: 1/3. k=3: 0.
    assert best_of_k([False, True, False], [3.0, 2.0, 1.0], [1, 2, 3]).accuracy == pytest.approx([1 / 3, 1 / 3, 0.0])


def test_best_of_k_shares_ties():
    # Two tie at the top, one of them right; the third is below. Pairs: the tie 1/2, (right, low) 1, (wrong, low) 0.
    assert best_of_k([True, False, False], [1.0, 1.0, 0.0], [2, 3]).accuracy == pytest.approx([0.5, 0.5])


def test_best_of_k_abstains_where_nothing_is_scored():
    # One of three has a score and is right. k=1: it is drawn with 1/3. k=2: with 2/3.
    curve = best_of_k([True, True, True], [1.0, np.nan, np.nan], [1, 2, 3])
    assert curve.accuracy == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert curve.abstained == pytest.approx([2 / 3, 1 / 3, 0.0])


def test_majority_by_hand():
    # Answers A A B, A right. k=1: 2/3. Pairs: AA right, AB and AB tie 1/2 each: (1 + 1/2 + 1/2) / 3 = 2/3. k=3: A wins.
    curve = majority_at_k([True, True, False], [0, 0, 1], [1, 2, 3])
    assert curve.accuracy == pytest.approx([2 / 3, 2 / 3, 1.0])


def test_majority_counts_a_three_way_tie_as_a_third():
    assert majority_at_k([True, False, False], [0, 1, 2], [3]).accuracy == pytest.approx([1 / 3])


def test_answers_are_clusters_whatever_their_verdicts():
    # A cluster of three whose members were graded differently wins against one of two; its value is the mean of its
    # members.
    curve = majority_at_k([True, True, False, False, False], [0, 0, 0, 1, 1], [5])
    assert curve.accuracy == pytest.approx([2 / 3])


def test_trajectories_without_answer_do_not_vote():
    # Four without answer, one right vote. k=1: 1/5, abstains with 4/5. k=5: the single vote wins.
    curve = majority_at_k([True, False, False, False, False], [0, -1, -1, -1, -1], [1, 5])
    assert curve.accuracy == pytest.approx([0.2, 1.0])
    assert curve.abstained == pytest.approx([0.8, 0.0])


def test_nobody_votes():
    curve = majority_at_k([True, False], [-1, -1], [1, 2])
    assert curve.accuracy.tolist() == [0.0, 0.0]
    assert curve.abstained.tolist() == [1.0, 1.0]


def test_more_than_the_pool_is_undefined_not_one():
    correct, clusters = [True, True], [0, 0]
    assert np.isnan(pass_at_k(correct, [2, 3])).tolist() == [False, True]
    for curve in (best_of_k(correct, [1.0, 2.0], [2, 3]), majority_at_k(correct, clusters, [2, 3])):
        assert np.isnan(curve.accuracy).tolist() == [False, True]
        assert np.isnan(curve.abstained).tolist() == [False, True]


def test_an_empty_pool_is_undefined():
    assert np.isnan(best_of_k([], [], [1]).accuracy).all()
    assert np.isnan(majority_at_k([], [], [1]).accuracy).all()


def test_large_pools_keep_their_precision():
    # One right among 64: it is in a k-subset with k/64. All different answers: maj@k is a random pick, 1/64.
    ks = list(range(1, 65))
    correct = [True] + [False] * 63
    assert pass_at_k(correct, ks) == pytest.approx(np.array(ks) / 64, abs=TOLERANCE)
    assert majority_at_k(correct, range(64), ks).accuracy == pytest.approx([1 / 64] * 64, abs=TOLERANCE)


def test_majority_at_the_limit_stays_finite():
    # 501 against 499: the larger cluster wins when all vote; one vote alone is right with 501/1000.
    correct = np.arange(MAJORITY_LIMIT) < MAJORITY_LIMIT // 2 + 1
    curve = majority_at_k(correct, np.where(correct, 0, 1), [1, 2])
    assert curve.accuracy == pytest.approx([0.501, 0.501], abs=1e-10)  # k=2: a tie shares, so it equals k=1


def test_majority_refuses_a_pool_out_of_range():
    with pytest.raises(UnavailableError, match="1001"):
        majority_at_k([True] * 1001, [0] * 1001, [1])


@pytest.mark.parametrize("estimate", [best_of_k, majority_at_k])
def test_shapes_and_ks_are_checked(estimate):
    with pytest.raises(ConfigError, match="shape"):
        estimate([True, False], [1], [1])
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        estimate([True], [1], [0])
