import math
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbest.errors import ConfigError, UnavailableError
from nbest.statistics import subsets
from nbest.statistics.estimators import best_of_k, majority_at_k
from nbest.statistics.subsets import weighted_vote_at_k
from nbest.statistics.votes import BordaVote, FilteredVote, MaximumVote, SoftmaxVote, SumVote

NAN = float("nan")
RULES = [SumVote(), MaximumVote(), BordaVote(1.3), SoftmaxVote(0.5), FilteredVote(0.4)]
ALL = 10_000
"""More draws than a small pool has subsets."""


def weights_of(rule, scores):
    """The weights of the voters of one subset, written down once more without any array."""
    if rule.name == "borda":
        ranked = sorted(scores, reverse=True)
        ranks = {s: [r for r, other in enumerate(ranked, start=1) if other == s] for s in scores}
        return [fmean([(len(scores) - r + 1) ** rule.power for r in ranks[s]]) for s in scores]
    if rule.name == "softmax":
        return [math.exp((s - max(scores)) / rule.temperature) for s in scores]
    if rule.name == "filtered":
        threshold = sorted(scores, reverse=True)[math.ceil(rule.share * len(scores) - 1e-9) - 1]
        return [s if s >= threshold else None for s in scores]
    return scores


def credit_by_hand(rule, correct, clusters, scores):
    voters = [i for i, s in enumerate(scores) if clusters[i] >= 0 and not math.isnan(s)]
    if not voters:
        return None
    weights = dict(zip(voters, weights_of(rule, [scores[i] for i in voters]), strict=True))
    voters = [i for i in voters if weights[i] is not None]
    members = {}
    for i in voters:
        members.setdefault(clusters[i], []).append(weights[i])
    totals = {c: max(w) if rule.name == "vote-max" else math.fsum(w) for c, w in members.items()}
    top = max(totals.values())
    winners = [i for i in voters if math.isclose(totals[clusters[i]], top, rel_tol=1e-11)]
    best = max(scores[i] for i in winners)
    return fmean([correct[i] for i in winners if scores[i] == best])


def by_enumeration(rule, correct, clusters, scores, k):
    credits = [
        credit_by_hand(rule, *([column[i] for i in subset] for column in (correct, clusters, scores)))
        for subset in combinations(range(len(correct)), k)
    ]
    return fmean(c or 0.0 for c in credits), fmean(c is None for c in credits)


@st.composite
def pools(draw):
    size = draw(st.integers(1, 7))

    def column(elements):
        return draw(st.lists(elements, min_size=size, max_size=size))

    scores = column(st.just(NAN) | st.integers(0, 3).map(float) | st.floats(0, 1))
    return column(st.booleans()), column(st.integers(-1, 3)), scores


@settings(max_examples=120, deadline=None)
@given(pools(), st.sampled_from(RULES))
def test_enumerated_it_equals_the_rule_written_down_once_more(pool, rule):
    correct, clusters, scores = pool
    ks = list(range(1, len(correct) + 1))
    curve = weighted_vote_at_k(correct, clusters, scores, ks, rule, draws=ALL)
    assert curve.exact.all()
    assert (curve.error == 0).all()
    for column, k in enumerate(ks):
        expected = by_enumeration(rule, correct, clusters, scores, k)
        assert (curve.accuracy[column], curve.abstained[column]) == pytest.approx(expected, abs=1e-12)


def make_pool(size=14, seed=5):
    rng = np.random.default_rng(seed)
    clusters = rng.integers(-1, 5, size)
    return clusters == 0, clusters, np.round(rng.random(size) + 0.3 * (clusters == 0), 2)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_draws_are_unbiased_and_their_error_is_honest(rule):
    pool, ks = make_pool(), [3, 5, 7, 11]
    exact = weighted_vote_at_k(*pool, ks, rule, draws=ALL).accuracy
    curves = [weighted_vote_at_k(*pool, ks, rule, draws=64, seed=seed) for seed in range(300)]
    values = np.stack([curve.accuracy for curve in curves])
    errors = np.sqrt(np.mean([curve.error**2 for curve in curves], axis=0))
    assert not curves[0].exact.any()
    # The mean of 300 seeds is within four of its standard errors; the claimed error is near the spread of the seeds
    # (relative standard deviation of a spread of 300: 1 / sqrt(600) = 0.04, of their claim less).
    assert (np.abs(values.mean(axis=0) - exact) <= 4 * values.std(axis=0, ddof=1) / math.sqrt(300) + 1e-12).all()
    assert errors == pytest.approx(values.std(axis=0, ddof=1), rel=0.2, abs=1e-12)


def test_evenly_spaced_starts_beat_independent_permutations(monkeypatch):
    pool = make_pool(16)

    def spread():
        return np.std([weighted_vote_at_k(*pool, [4], SumVote(), seed=seed).accuracy for seed in range(200)])

    stratified = spread()
    monkeypatch.setattr(subsets, "_STARTS", 1)
    subsets._draw_positions.cache_clear()
    independent = spread()
    subsets._draw_positions.cache_clear()
    assert stratified < 0.9 * independent


def test_one_all_and_few_are_exact_the_rest_is_drawn():
    # C(14, 1) = 14, C(14, 2) = 91, C(14, 13) = 14, C(14, 14) = 1 are at most 100; C(14, 3) = 364 is more.
    curve = weighted_vote_at_k(*make_pool(), [1, 2, 3, 13, 14, 15], SumVote(), draws=100)
    assert curve.exact.tolist() == [True, True, False, True, True, True]
    assert (curve.error[[0, 1, 3, 4]] == 0).all()
    assert curve.error[2] > 0
    assert np.isnan([curve.accuracy[5], curve.abstained[5], curve.error[5]]).all()


def test_one_is_exact_for_any_pool():
    correct, clusters, scores = make_pool(300)
    curve = weighted_vote_at_k(correct, clusters, scores, [1], SumVote())
    assert curve.exact.all()
    assert curve.accuracy[0] == pytest.approx(np.mean(correct & (clusters >= 0)))
    assert curve.abstained[0] == pytest.approx(np.mean(clusters < 0))


def test_the_seed_fixes_the_subsets():
    def curve(seed):
        return weighted_vote_at_k(*make_pool(40), [6, 9], SumVote(), seed=seed).accuracy.tolist()

    assert curve(1) == curve(1)
    assert curve(1) != curve(2)


def test_a_k_does_not_depend_on_the_others():
    alone = weighted_vote_at_k(*make_pool(40), [8], SumVote(), seed=3)
    beside = weighted_vote_at_k(*make_pool(40), [2, 8, 30], SumVote(), seed=3)
    assert alone.accuracy[0] == beside.accuracy[1]


def test_limits_are_the_estimators_with_a_closed_form():
    # Every answer right or wrong as a whole, no ties of scores. Borda at power 0 counts votes; the clusters have sizes
    # 4, 2, 1 so that pools of 7 do not tie, and smaller ones share ties alike only in expectation over scores.
    clusters = np.array([0, 0, 0, 0, 1, 1, 2])
    correct, scores = clusters == 0, np.linspace(0.1, 0.7, 7)
    assert weighted_vote_at_k(correct, clusters, scores, [7], BordaVote(0.0)).accuracy == pytest.approx(
        majority_at_k(correct, clusters, [7]).accuracy
    )
    ks = [1, 2, 3, 4, 5, 6, 7]
    for rule in (MaximumVote(), SoftmaxVote(1e-3), FilteredVote(1e-6)):
        assert weighted_vote_at_k(correct, clusters, scores, ks, rule).accuracy == pytest.approx(
            best_of_k(correct, scores, ks).accuracy
        )


def test_an_empty_pool_is_undefined_and_a_silent_one_abstains():
    assert np.isnan(weighted_vote_at_k([], [], [], [1], SumVote()).accuracy).all()
    curve = weighted_vote_at_k([True, True, False], [-1, 0, -1], [1.0, NAN, 2.0], [1, 2, 3], SumVote())
    assert (curve.accuracy.tolist(), curve.abstained.tolist()) == ([0.0] * 3, [1.0] * 3)


def test_faults_of_the_arguments():
    with pytest.raises(UnavailableError, match=r"vote: 1 of 2 scores is negative.*borda:NAME"):
        weighted_vote_at_k([True, False], [0, 1], [0.5, -0.5], [1], SumVote())
    with pytest.raises(ConfigError, match="draws"):
        weighted_vote_at_k([True], [0], [0.5], [1], SumVote(), draws=1)
    with pytest.raises(ConfigError, match="at least 1"):
        weighted_vote_at_k([True], [0], [0.5], [0], SumVote())
    with pytest.raises(ConfigError, match="must be"):
        weighted_vote_at_k([True], [0, 1], [0.5, 0.1], [1], SumVote())


def test_scores_that_do_not_vote_may_be_negative():
    assert weighted_vote_at_k([True, False], [0, -1], [0.5, -0.5], [2], SumVote()).accuracy.tolist() == [1.0]
