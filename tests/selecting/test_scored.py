from dataclasses import replace

import numpy as np
import pytest

from nbest.errors import UnavailableError
from nbest.records import Completion, Pool, Score, Trajectory
from nbest.selecting.scored import FirstSelector, LengthSelector, RandomSelector, ScoreSelector


def attempt(index, text="x", tokens=0, finish="stop", problem="p"):
    ids = np.zeros(tokens, dtype=np.int32)
    return Trajectory(f"{problem}#{index}", problem, index, 0, Completion(text, tokens=ids, finish=finish))


def pool_of(*trajectories, problem="p"):
    return Pool(problem, "?", trajectories)


def scores_of(*values):
    return {f"p#{index}": Score(f"p#{index}", value) for index, value in enumerate(values) if value is not None}


async def test_first_is_the_lowest_index_not_the_first_position():
    selection = await FirstSelector().select(pool_of(attempt(2), attempt(0), attempt(1)))
    assert selection.index == 1


async def test_first_passes_over_a_failed_attempt():
    selection = await FirstSelector().select(pool_of(attempt(0, finish="error"), attempt(1)))
    assert selection.index == 1


async def test_selection_carries_the_answer():
    selection = await FirstSelector().select(pool_of(attempt(0, text="so \\boxed{42}")))
    assert selection.answer == "42"


async def test_random_spreads_over_the_pool_and_over_problems():
    selector = RandomSelector(seed=7)
    picks = [
        (await selector.select(pool_of(*(attempt(i, problem=f"p{n}") for i in range(4)), problem=f"p{n}"))).index
        for n in range(400)
    ]
    counts = np.bincount(picks, minlength=4)
    assert counts.min() > 60  # 100 expected, standard deviation sqrt(400 * 1/4 * 3/4) = 8.7


async def test_random_depends_on_its_seed():
    pool = pool_of(*(attempt(i) for i in range(64)))
    picks = {(await RandomSelector(seed).select(pool)).index for seed in range(8)}
    assert len(picks) > 1


async def test_longest_and_shortest_count_tokens():
    pool = pool_of(attempt(0, "a long text", tokens=2), attempt(1, "short", tokens=9), attempt(2, "x", tokens=5))
    assert (await LengthSelector(is_longest=True).select(pool)).index == 1
    assert (await LengthSelector(is_longest=False).select(pool)).index == 0


async def test_lengths_fall_back_to_characters_for_the_whole_pool():
    pool = pool_of(attempt(0, "longest text", tokens=0), attempt(1, "short", tokens=900))
    selection = await LengthSelector(is_longest=True).select(pool)
    assert selection.index == 0
    assert "characters" in selection.note


async def test_lengths_of_absent_texts_are_an_error():
    answered = replace(attempt(1, ""), answer="7")
    message = r"'longest': 1 of 2 trajectories of problem 'p' has neither text nor tokens, so lengths"
    with pytest.raises(UnavailableError, match=message):
        await LengthSelector(is_longest=True).select(pool_of(attempt(0, "text"), answered))
    with pytest.raises(UnavailableError, match="2 of 2 trajectories"):
        await LengthSelector(is_longest=False).select(pool_of(attempt(0, ""), attempt(1, "")))
    # An empty completion without an answer is empty, not absent.
    assert (await LengthSelector(is_longest=False).select(pool_of(attempt(0, "text"), attempt(1, "")))).index == 1


async def test_a_failed_attempt_does_not_set_the_unit():
    pool = pool_of(attempt(0, "", finish="error"), attempt(1, "long text", tokens=1), attempt(2, "x", tokens=5))
    selection = await LengthSelector(is_longest=True).select(pool)
    assert (selection.index, selection.note) == (2, "")


async def test_score_picks_the_highest_and_breaks_ties_by_index():
    pool = pool_of(attempt(2), attempt(1), attempt(0))
    assert (await ScoreSelector("prm", scores_of(0.1, 0.7, 0.7)).select(pool)).index == 1
    assert (await ScoreSelector("prm", scores_of(-3.0, -2.0, -5.0)).select(pool)).index == 1


@pytest.mark.parametrize("absent", [None, float("nan")])
async def test_unscored_ones_cannot_win_and_are_counted(absent):
    pool = pool_of(attempt(0), attempt(1), attempt(2))
    selection = await ScoreSelector("prm", scores_of(absent, -9.0, absent)).select(pool)
    assert selection.index == 1
    assert selection.note == "2 of 3 trajectories have no score of 'prm'"


async def test_a_pool_that_was_not_scored_is_an_error_that_names_what_is_missing():
    selector = ScoreSelector("prm", {}, run="run runs/a")
    with pytest.raises(UnavailableError, match=r"runs/a has no score of 'prm' for any of the 2 .* 'p'"):
        await selector.select(pool_of(attempt(0), attempt(1), attempt(2, finish="error")))


async def test_a_failed_attempt_never_wins_by_its_score():
    pool = pool_of(attempt(0, finish="error"), attempt(1))
    assert (await ScoreSelector("prm", scores_of(9.0, 0.0)).select(pool)).index == 1


async def test_a_pool_of_failed_attempts_abstains():
    selection = await ScoreSelector("prm", {}).select(pool_of(attempt(0, finish="error"), attempt(1, finish="error")))
    assert (selection.index, selection.note) == (None, "all 2 trajectories failed")
