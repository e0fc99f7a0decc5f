import random

import pytest

from nbest.errors import ConfigError
from nbest.judging.windows import Candidate, Window, deal


def candidates(*clusters, tokens=1):
    return [Candidate(number, f"text {number}", cluster, tokens=tokens) for number, cluster in enumerate(clusters)]


def dealt(members, size, room=None, seed=0):
    return deal(members, size, room, random.Random(seed))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("count", "size"), [(1, 8), (8, 8), (9, 8), (64, 8), (65, 8), (7, 2)])
def test_every_candidate_stands_in_exactly_one_window(count, size, seed):
    windows = dealt(candidates(*(number % 3 for number in range(count))), size, seed=seed)
    assert sorted(candidate.position for window in windows for candidate in window) == list(range(count))
    lengths = [len(window) for window in windows]
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1
    assert len(windows) == -(-count // size)


@pytest.mark.parametrize("seed", range(10))
def test_windows_hold_one_of_each_distinct_answer_where_they_can(seed):
    # 16 candidates in two windows of 8: answers given 9, 5 and 2 times can all stand in both.
    windows = dealt(candidates(*[0] * 9, *[1] * 5, *[2] * 2), 8, seed=seed)
    assert [{candidate.cluster for candidate in window} for window in windows] == [{0, 1, 2}, {0, 1, 2}]


def test_positions_are_drawn_at_random():
    members = candidates(0, 1, 2, 3)
    firsts = [dealt(members, 4, seed=seed)[0][0].position for seed in range(400)]
    # 100 expected each, standard deviation sqrt(400 * 1/4 * 3/4) = 8.7
    assert all(60 < firsts.count(number) < 140 for number in range(4))


def test_the_same_seed_deals_the_same():
    members = candidates(*range(20))
    assert dealt(members, 8, seed=3) == dealt(members, 8, seed=3) != dealt(members, 8, seed=4)


def test_tokens_limit_a_window_too():
    windows = dealt(candidates(*range(10), tokens=30), 8, room=100)  # 3 of 30 tokens fit into 100
    assert sorted(map(len, windows)) == [2, 2, 3, 3]


def test_a_long_candidate_does_not_spread_the_short_ones_thin():
    members = [*candidates(*range(8), tokens=10), Candidate(8, "long", 8, tokens=95)]
    windows = dealt(members, 8, room=100)
    assert all(sum(candidate.tokens for candidate in window) <= 100 for window in windows)
    assert sorted(map(len, windows)) == [1, 8]


def test_nobody_gives_no_window():
    assert dealt([], 8) == []


def test_faulty_windows():
    with pytest.raises(ConfigError, match="at least 2 candidates, got 1"):
        Window(1)
    with pytest.raises(ConfigError, match="the tokens of this model cannot be counted"):
        Window(8, budget_tokens=100)


def test_the_room_beside_a_prompt():
    assert Window(8, 100, len).room_tokens("twelve chars") == 88
    assert Window(8).room_tokens("twelve chars") is None
    assert (Window(8).count("abc"), Window(8, None, len).count("abc")) == (0, 3)
