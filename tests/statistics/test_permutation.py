from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbest.errors import ConfigError
from nbest.statistics.permutation import holm, sign_flip_p_values

NAN = float("nan")


def test_few_problems_by_hand():
    # Differences 1, 2, 3: sums of the eight patterns are +-6, +-4, +-2, 0, 0. Two are as far from 0 as 6: 2/8.
    # Differences 1, 2, -3: the sum is 0, and all eight are at least that far.
    p_values = sign_flip_p_values(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, -3.0]]), seed=0)
    assert p_values == pytest.approx([0.25, 1.0])


def test_zeros_and_missing_ones_drop_out():
    table = np.array([[1.0, 0.0, NAN], [2.0, 0.0, NAN], [3.0, 0.0, NAN], [0.0, 0.0, NAN], [NAN, NAN, NAN]])
    assert sign_flip_p_values(table, seed=0) == pytest.approx([0.25, 1.0, NAN], nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-0.3, -0.1, 0.1, 0.2, 0.7]), min_size=1, max_size=8))
def test_exact_p_values_are_the_enumeration(differences):
    observed = abs(sum(differences))
    patterns = list(product([1, -1], repeat=len(differences)))
    extreme = sum(
        abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= observed - 1e-9 for signs in patterns
    )
    p_values = sign_flip_p_values(np.array(differences)[:, None], seed=0)
    assert p_values == pytest.approx([extreme / len(patterns)])


def test_drawn_p_values_agree_with_exact_ones_and_are_never_zero():
    rng = np.random.default_rng(3)
    table = rng.normal(0.25, 1, size=(12, 3))
    exact = sign_flip_p_values(table, seed=0)  # 2^12 = 4096 patterns
    sampled = sign_flip_p_values(table, seed=0, flips=4000)  # fewer than the patterns
    assert sampled == pytest.approx(exact, abs=4 * 0.5 / np.sqrt(4000))
    clear = np.ones((100, 1))
    assert sign_flip_p_values(clear, seed=0, flips=999) == pytest.approx([1 / 1000])


def test_under_the_null_small_p_values_are_as_rare_as_they_say():
    table = np.random.default_rng(0).normal(size=(30, 1000))
    p_values = sign_flip_p_values(table, seed=1, flips=2000)
    # 50 of 1000 expected below 0.05, standard deviation sqrt(1000 * .05 * .95) = 6.9.
    assert 25 < np.count_nonzero(p_values < 0.05) < 75


def test_a_column_does_not_depend_on_its_neighbours_and_the_seed_fixes_it():
    table = np.random.default_rng(0).normal(0.2, 1, size=(40, 3))
    together = sign_flip_p_values(table, seed=5, flips=500)
    alone = [float(sign_flip_p_values(table[:, [c]], seed=5, flips=500)[0]) for c in range(3)]
    assert together.tolist() == alone
    assert together.tolist() != sign_flip_p_values(table, seed=6, flips=500).tolist()


def test_chunks_are_of_no_effect(monkeypatch):
    table = np.random.default_rng(0).normal(0.2, 1, size=(40, 2))
    whole = sign_flip_p_values(table, seed=5, flips=500)
    monkeypatch.setattr("nbest.statistics.permutation._CHUNK_SIGNS", 40 * 64)
    assert sign_flip_p_values(table, seed=5, flips=500) == pytest.approx(whole, abs=0.1)


def test_holm_by_hand():
    # Sorted .01 .02 .03 .04: 4 * .01 = .04, 3 * .02 = .06, 2 * .03 = .06, 1 * .04 raised to .06.
    assert holm([0.04, 0.01, NAN, 0.03, 0.02]) == pytest.approx([0.06, 0.04, NAN, 0.06, 0.06], nan_ok=True)
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]).tolist() == []


def test_faults_of_the_arguments():
    with pytest.raises(ConfigError, match="shape"):
        sign_flip_p_values([1.0, 2.0], seed=0)
    with pytest.raises(ConfigError, match="flips"):
        sign_flip_p_values([[1.0]], seed=0, flips=0)
