import numpy as np
import pytest

from nbest.selecting.combined.features import ABSENT, NormalScores, column_names, describe_clusters

NAN = float("nan")


def describe(labels, scores, clusters):
    """Columns by name of one pool: each [C]."""
    rows = np.array(scores, dtype=np.float64).reshape(-1, 1, len(labels))
    names = column_names(tuple("ab"[: len(rows)]))
    columns, votes = describe_clusters(np.array([labels]), rows, clusters)
    assert columns.shape == (1, clusters, len(names))
    return dict(zip(names, columns[0].T, strict=True)), votes[0].tolist()


def test_votes():
    # 3, 1 and 2 of 6 votes (one candidate has no answer): shares 1/2, 1/6, 1/3; leads 3 - 2, 1 - 3, 2 - 3.
    columns, votes = describe([0, 0, 0, 1, 2, 2, -1], [], 3)
    assert votes == [3, 1, 2]
    assert columns["share"] == pytest.approx([1 / 2, 1 / 6, 1 / 3])
    assert columns["log_votes"] == pytest.approx(np.log([1 / 2, 1 / 6, 1 / 3]))
    assert columns["lead"] == pytest.approx([1 / 6, -2 / 6, -1 / 6])
    assert columns["votes_per_root"] == pytest.approx(np.array([3, 1, 2]) / np.sqrt(6))


def test_scores_of_one_scorer():
    # Clusters {1.0, -1.0} and {0.5}; the voter without an answer (score 3) is nobody.
    columns, _ = describe([0, 0, 1, -1], [[1.0, -1.0, 0.5, 3.0]], 2)
    assert columns["a:best"] == pytest.approx([1.0, 0.5])
    assert columns["a:mean"] == pytest.approx([0.0, 0.5])
    assert columns["a:log_sum"] == pytest.approx(np.log([(np.e + 1 / np.e) / 3, np.exp(0.5) / 3]))
    # Borda: ranks 2, 0, 1 of 3 voters over 2 others: (1 + 0) / 3 and 0.5 / 3.
    assert columns["a:borda"] == pytest.approx([1 / 3, 1 / 6])
    # The top tenth of 3 is one: the 1.0.
    assert columns["a:top_share"] == pytest.approx([1.0, 0.0])
    assert columns["a:holds_best"].tolist() == [1.0, 0.0]


def test_ties_share_the_top_and_the_ranks():
    # Two of four share the top place, one in each cluster; Borda of a tie at ranks 2 and 3 is 2.5 / 3.
    columns, _ = describe([0, 1, 0, 0], [[2.0, 2.0, 0.0, -1.0]], 2)
    assert columns["a:top_share"] == pytest.approx([0.5, 0.5])
    assert columns["a:borda"] == pytest.approx([(2.5 / 3 + 1 / 3 + 0) / 4, 2.5 / 3 / 4])


def test_the_top_tenth_of_twenty_is_two():
    labels = [0] * 19 + [1]
    columns, _ = describe(labels, [np.arange(20.0) / 10], 2)
    assert columns["a:top_share"] == pytest.approx([0.5, 0.5])


def test_the_second_half_grows_with_the_pool():
    # log2(4) / 6 = 1/3.
    columns, _ = describe([0, 0, 0, 1], [], 2)
    assert columns["share*log_n"] == pytest.approx(columns["share"] / 3)


def test_a_voter_without_a_score_stands_below_all():
    columns, _ = describe([0, 1], [[NAN, -3.9]], 2)
    assert columns["a:best"] == pytest.approx([ABSENT, -3.9])
    assert columns["a:holds_best"].tolist() == [0.0, 1.0]


def test_no_votes_at_all():
    columns, votes = describe([-1, -1], [[0.0, 1.0]], 1)
    assert votes == [0]
    assert all(column.tolist() == [0.0] for column in columns.values())


def test_pools_evaluated_together_are_as_each_alone():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(-1, 4, (5, 9)), rng.normal(size=(2, 5, 9)).round(1)
    together, _ = describe_clusters(labels, scores, 4)
    for place in range(5):
        alone, _ = describe_clusters(labels[place : place + 1], scores[:, place : place + 1], 4)
        assert together[place] == pytest.approx(alone[0])


def test_the_order_of_candidates_does_not_matter():
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(-1, 3, (1, 8)), rng.normal(size=(1, 1, 8)).round(1)
    order = rng.permutation(8)
    here, _ = describe_clusters(labels, scores, 3)
    there, _ = describe_clusters(labels[:, order], scores[:, :, order], 3)
    assert here == pytest.approx(there)


def test_normal_scores_of_normal_values_are_themselves():
    values = np.random.default_rng(0).normal(5, 2, 50_000)
    scale = NormalScores.fit(values)
    assert scale(np.array([3.0, 5.0, 7.0])) == pytest.approx([-1, 0, 1], abs=0.05)


def test_normal_scores_rise_and_keep_nan():
    values = np.exp(np.random.default_rng(0).normal(size=2000))
    scale = NormalScores.fit(values)
    assert (np.diff(scale(np.sort(values))) >= 0).all()
    assert np.isnan(scale(np.array([NAN]))).all()
    assert scale(np.array([-1e9, 1e9])).tolist() == [-4.0, 4.0]


@pytest.mark.parametrize("values", [[], [NAN], [2.0, 2.0]])
def test_normal_scores_of_nothing_to_tell_apart_are_equal(values):
    scale = NormalScores.fit(np.array(values, dtype=np.float64))
    assert len(set(scale(np.array([1.0, 2.0, 3.0])).tolist())) == 1
