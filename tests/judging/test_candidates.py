import asyncio

import pytest

from nbest.judging.candidates import read_slate
from nbest.judging.conversation import JudgingPolicy
from nbest.judging.windows import Window
from nbest.records import Completion, Pool, Trajectory
from nbest.sampling.scripted import ScriptedSampler
from tests.scoring.judges import make_pool, make_setting

NOBODY = ScriptedSampler(lambda *_: 1 / 0)


def slate_of(pool, setting=None):
    setting = setting or make_setting(NOBODY)
    return asyncio.run(read_slate(pool, setting, setting.judge.open(pool.problem_id)))


def test_failed_attempts_and_those_without_an_answer_are_no_candidates():
    slate = slate_of(make_pool("1: a", None, "no answer", "2: b", "1: c"))
    assert [(each.place, each.text, each.cluster, each.answer) for each in slate.candidates] == [
        (0, "1: a", 0, "1"),
        (3, "2: b", 1, "2"),
        (4, "1: c", 0, "1"),
    ]
    assert slate.members == {0: (0, 4), 1: (3,)}
    assert slate.reasons == {1: "failed", 2: "no answer"}


def test_equal_texts_are_shown_once():
    slate = slate_of(make_pool("1: a", "2: b", "1: a", "1: c"))
    assert [(each.place, each.places) for each in slate.candidates] == [(0, (0, 2)), (1, (1,)), (3, (3,))]
    assert slate.members == {0: (0, 2, 3), 1: (1,)}


def test_where_all_answers_agree_nothing_is_read():
    slate = slate_of(make_pool("1: a", None, "1: b", "no answer"))
    assert (slate.is_agreed, slate.candidates, slate.members) == (True, (), {0: (0, 2)})
    assert slate_of(make_pool("nothing", None)).members == {}


def test_code_is_one_candidate_a_text():
    block = "```python\n{}\n```"
    pool = make_pool(
        block.format("a()"), "no code", block.format("b()"), "so " * 9 + "\n" + block.format("a()"), kind="code"
    )
    slate = slate_of(pool)
    assert [(each.text, each.places) for each in slate.candidates] == [("a()", (0, 3)), ("b()", (2,))]
    assert slate.members == {0: (0, 3), 1: (2,)}
    assert slate.reasons == {1: "nothing to show"}
    assert slate.notes == ("1 of 4 attempts were not shown: nothing to show",)
    assert slate_of(make_pool(*[block.format("a()")] * 3, kind="code")).is_agreed


def test_a_candidate_beyond_the_budget_alone_is_counted_and_told():
    # The prompt without candidates is "Which?", 6 characters; "\nCandidate 0\n\n" is 14.
    setting = make_setting(NOBODY, window=Window(8, 6 + 14 + 10, len))
    slate = slate_of(make_pool("1: 10 char", "2: 11 chars", "3: c"), setting)
    assert [(each.place, each.tokens) for each in slate.candidates] == [(0, 24), (2, 18)]
    assert slate.notes == ("1 of 3 attempts were not shown: beyond the token budget",)
    assert setting.judge.counts.unread == 1


def test_candidates_stand_by_index_whatever_the_order_of_the_pool():
    pool = make_pool("1: a", "2: b", "3: c")
    turned = Pool(pool.problem_id, pool.prompt, pool.trajectories[::-1])
    assert [each.text for each in slate_of(turned).candidates] == ["1: a", "2: b", "3: c"]
    assert [each.place for each in slate_of(turned).candidates] == [2, 1, 0]


@pytest.mark.parametrize("is_cut", [False, True])
def test_summaries_are_asked_for_and_paid(is_cut):
    texts = ["<think>\nlong\n</think>\n1", "<think>\nlonger\n</think>\n2"]
    trajectories = tuple(
        Trajectory(f"p#{at}", "p", at, at, Completion(text, finish="stop"), str(at)) for at, text in enumerate(texts)
    )

    def reply(prompt, _seed):
        assert "without all the exploration" in prompt
        is_second = "longer" in prompt
        return Completion(f"in short, {2 if is_second else 1}", finish="length" if is_cut and is_second else "stop")

    setting = make_setting(reply, JudgingPolicy(retries=1), summary_tokens=64)
    slate = slate_of(Pool("p", "Which?", trajectories), setting)
    # What was cut is shown as it would have been: the whole text here, thinking is kept.
    second = "longer\n\n2" if is_cut else "in short, 2"
    assert [each.text for each in slate.candidates] == ["in short, 1", second]
    assert setting.judge.counts.calls == (3 if is_cut else 2)
    assert slate.notes == (("1 of 2 attempts have no summary and are shown without",) if is_cut else ())
