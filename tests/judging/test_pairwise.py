import pytest

from nbest.judging.conversation import RetrySettings
from nbest.judging.pairwise import KnockoutSelector
from tests.scoring.judges import list_candidates, make_pool, make_settings, prefer, spend


def knockout(reply, **settings):
    return KnockoutSelector(make_settings(reply, RetrySettings(retries=0), **settings))


async def test_the_better_of_each_pair_goes_on():
    selector = knockout(prefer("best", "good", "fair"))
    selection = await selector.select(make_pool("1: poor", "2: best", "3: fair", "4: good"))
    assert (selection.index, selection.note, selection.confidence) == (1, "", None)
    # Two pairs and a final, each in both orders.
    assert (selector.counts.calls, selection.usage.sampled_tokens) == (6, 12)


async def test_every_pair_is_asked_in_both_orders():
    prompts = []

    def reply(prompt, seed):
        prompts.append(list_candidates(prompt))
        return prefer("a")(prompt, seed)

    await knockout(reply).select(make_pool("1: a", "2: b"))
    assert sorted(prompts) == [["1: a", "2: b"], ["2: b", "1: a"]]


async def test_an_inconsistent_pair_gains_nothing_and_is_counted():
    selector = knockout(lambda *_: spend("Judgment: 0", 1))
    # Neither gains a point; the answer that more trajectories gave goes on.
    selection = await selector.select(make_pool("1: a", "2: b", "2: b"))
    assert (selection.index, selection.note) == (1, "1 pair was inconsistent")
    assert selector.counts.inconsistent == 1
    assert [row["chosen"] for row in selector.counts.position_bias()] == [2, 0]


@pytest.mark.parametrize(("texts", "index"), [(("1: a", "2: b"), 0), (("1: a", "2: b", "2: b"), 1)])
async def test_a_tie_gives_half_a_point_each(texts, index):
    selector = knockout(lambda *_: spend("Judgment: tie", 1))
    selection = await selector.select(make_pool(*texts))
    assert (selection.index, selector.counts.inconsistent) == (index, 0)


async def test_points_of_earlier_rounds_decide_an_even_final():
    # 3 candidates: one pair and one bye. The pair's winner has a point, the bye has none; the final is inconsistent.
    def reply(prompt, seed):
        return prefer("b")(prompt, seed) if len(set(list_candidates(prompt)) & {"1: b", "2: c"}) == 2 else "Judgment: 0"

    for number in range(9):
        selector = knockout(reply)
        selection = await selector.select(make_pool("3: a", "1: b", "2: c", problem_id=f"p{number}"))
        assert selection.index is not None
        if selector.counts.inconsistent == 1:
            assert selection.index == 1
            return
    pytest.fail("no seed made the pair of b and c the first one")


async def test_equal_answers_are_not_asked_about():
    selector = knockout(prefer("1:"))
    selection = await selector.select(make_pool("1: a", "1: b", "1: c", "2: d"))
    # Pairs are mixed where they can: one of two pairs holds "2: d", the other one needs no call.
    assert selector.counts.calls in (2, 4)
    assert selection.answer == "1"


async def test_an_order_without_a_judgement_leaves_none():
    selector = knockout(lambda prompt, _: "Judgment: 0" if list_candidates(prompt)[0] == "1: a" else "?")
    selection = await selector.select(make_pool("1: a", "2: b"))
    assert selection.index is None
    assert selection.note == "no judgement: 1 of 1 pair of round 0 was not judged (1 unparsed)"
