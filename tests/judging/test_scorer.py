import math

import pytest

from nbest.judging.conversation import RetrySettings
from nbest.judging.scorer import GenSelectScorer
from nbest.judging.windows import Window
from tests.scoring.judges import list_candidates, make_pool, make_settings, prefer


async def values(scorer, pool):
    return [score.value for score in await scorer.score(pool)]


async def test_wins_over_appearances_smoothed():
    scorer = GenSelectScorer(make_settings(prefer("a"), repeats=4))
    # One window a round, 4 rounds: "1" wins them all, (4 + 1) / (4 + 2), "2" none, (0 + 1) / (4 + 2).
    # The second trajectory for "1" shares the wins of its answer, the same text twice is one candidate.
    pool = make_pool("1: a", "2: b", "1: c", None, "no answer", "2: b")
    scores = await values(scorer, pool)
    assert scores[:3] == pytest.approx([5 / 6, 1 / 6, 5 / 6])
    assert math.isnan(scores[3])
    assert math.isnan(scores[4])
    assert scores[5] == pytest.approx(1 / 6)
    assert scorer.report().unscored == {"failed": 1, "no answer": 1}
    report = scorer.report()
    assert (report.calls, report.judgements["judged"]) == (4, 4)


async def test_for_code_a_candidate_wins_alone():
    pool = make_pool("```\na\n```", "```\nb\n```", "no code", kind="code")
    scores = await values(GenSelectScorer(make_settings(prefer("a"), repeats=1)), pool)
    assert scores[:2] == pytest.approx([2 / 3, 1 / 3])
    assert math.isnan(scores[2])


async def test_where_all_answers_agree_nothing_is_asked():
    scorer = GenSelectScorer(make_settings(lambda *_: 1 / 0, repeats=8))
    assert await values(scorer, make_pool("1: a", "1: b")) == pytest.approx([9 / 10, 9 / 10])
    assert scorer.report().calls == 0


async def test_a_window_of_one_answer_is_won_without_a_call():
    prompts = []

    def reply(prompt, seed):
        prompts.append(list_candidates(prompt))
        return prefer("2:")(prompt, seed)

    # Two windows of 2, one of them holds "1" twice: its members win, the one beside "2" loses.
    scorer = GenSelectScorer(make_settings(reply, window=Window(2), repeats=1))
    scores = await values(scorer, make_pool("1: a", "1: b", "1: c", "2: d"))
    assert len(prompts) == 1
    assert sorted(scores) == pytest.approx([1 / 3, 2 / 3, 2 / 3, 2 / 3])


async def test_judgements_that_fail_are_no_appearances():
    scorer = GenSelectScorer(make_settings(lambda *_: "?", RetrySettings(retries=0), repeats=2))
    assert all(math.isnan(value) for value in await values(scorer, make_pool("1: a", "2: b")))
    assert scorer.report().unscored == {"no judgement": 2}
    assert scorer.report().failed == {"unparsed": 2}


async def test_closing_leaves_the_judge_open_because_other_methods_share_it():
    settings = make_settings(prefer("a"), repeats=1)
    async with GenSelectScorer(settings) as first:
        await first.score(make_pool("1: a", "2: b"))
    assert len(await GenSelectScorer(settings).score(make_pool("1: a", "2: b"))) == 2
    assert settings.judge.report().calls == 2
