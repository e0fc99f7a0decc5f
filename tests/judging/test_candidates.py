import asyncio
from dataclasses import replace

import pytest

from nbest.judging.candidates import read_candidates
from nbest.judging.conversation import RetrySettings
from nbest.judging.windows import Window
from nbest.records import CodeTask, Completion, Pool, Trajectory
from nbest.sampling.scripted import ScriptedSampler
from tests.scoring.judges import make_pool, make_settings

NOBODY = ScriptedSampler(lambda *_: 1 / 0)


def candidates_of(pool, settings=None):
    settings = settings or make_settings(NOBODY)
    return asyncio.run(read_candidates(pool, settings, settings.judge.open(pool.problem_id)))


def test_failed_attempts_and_those_without_an_answer_are_no_candidates():
    candidate_set = candidates_of(make_pool("1: a", None, "no answer", "2: b", "1: c"))
    assert [
        (candidate.position, candidate.text, candidate.cluster, candidate.answer)
        for candidate in candidate_set.candidates
    ] == [
        (0, "1: a", 0, "1"),
        (3, "2: b", 1, "2"),
        (4, "1: c", 0, "1"),
    ]
    assert candidate_set.members == {0: (0, 4), 1: (3,)}
    assert candidate_set.reasons == {1: "failed", 2: "no answer"}


def test_equal_texts_are_shown_once():
    candidate_set = candidates_of(make_pool("1: a", "2: b", "1: a", "1: c"))
    assert [(candidate.position, candidate.positions) for candidate in candidate_set.candidates] == [
        (0, (0, 2)),
        (1, (1,)),
        (3, (3,)),
    ]
    assert candidate_set.members == {0: (0, 2, 3), 1: (1,)}


def test_where_all_answers_agree_nothing_is_read():
    candidate_set = candidates_of(make_pool("1: a", None, "1: b", "no answer"))
    assert (candidate_set.is_agreed, candidate_set.candidates, candidate_set.members) == (True, (), {0: (0, 2)})
    assert candidates_of(make_pool("nothing", None)).members == {}


def test_code_is_one_candidate_a_text():
    block = "```python\n{}\n```"
    pool = make_pool(
        block.format("a()"), "no code", block.format("b()"), "so " * 9 + "\n" + block.format("a()"), kind="code"
    )
    candidate_set = candidates_of(pool)
    assert [(candidate.text, candidate.positions) for candidate in candidate_set.candidates] == [
        ("a()", (0, 3)),
        ("b()", (2,)),
    ]
    assert candidate_set.members == {0: (0, 3), 1: (2,)}
    assert candidate_set.reasons == {1: "nothing to show"}
    assert candidate_set.notes == ("1 of 4 trajectories was not shown: nothing to show",)
    assert candidates_of(make_pool(*[block.format("a()")] * 3, kind="code")).is_agreed


def test_code_is_found_by_the_task_of_its_pool():
    solution, example = "```python\ndef f(x):\n    return {}\n```", "```python\nprint(f(3))\n```"
    bodies = ("    return 1\n", "Sorry.", f"{solution.format(2)}\n{example}", "    return 1\n\n\ndef g(")
    pool = make_pool(*bodies, kind="code")
    assert [candidate.text for candidate in candidates_of(pool).candidates] == ["print(f(3))"]
    pool = replace(pool, code=CodeTask("f", "def f(x):\n"))
    candidate_set = candidates_of(pool)
    assert [(candidate.text, candidate.positions) for candidate in candidate_set.candidates] == [
        ("    return 1", (0, 3)),
        ("def f(x):\n    return 2", (2,)),
    ]
    assert candidate_set.reasons == {1: "nothing to show"}


def test_a_candidate_beyond_the_budget_alone_is_counted_and_told():
    # The prompt without candidates is "Which?", 6 characters; "\nCandidate 0\n\n" is 14.
    settings = make_settings(NOBODY, window=Window(8, 6 + 14 + 10, len))
    candidate_set = candidates_of(make_pool("1: 10 char", "2: 11 chars", "3: c"), settings)
    assert [(candidate.position, candidate.tokens) for candidate in candidate_set.candidates] == [(0, 24), (2, 18)]
    assert candidate_set.notes == ("1 of 3 trajectories was not shown: beyond the token budget",)
    assert settings.judge.counts.unread == 1


def test_candidates_stand_by_index_whatever_the_order_of_the_pool():
    pool = make_pool("1: a", "2: b", "3: c")
    turned = Pool(pool.problem_id, pool.prompt, pool.trajectories[::-1])
    assert [candidate.text for candidate in candidates_of(turned).candidates] == ["1: a", "2: b", "3: c"]
    assert [candidate.position for candidate in candidates_of(turned).candidates] == [2, 1, 0]


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

    settings = make_settings(reply, RetrySettings(retries=1), summary_tokens=64)
    candidate_set = candidates_of(Pool("p", "Which?", trajectories), settings)
    # What was cut is shown as it would have been: the whole text here, thinking is kept.
    second = "longer\n\n2" if is_cut else "in short, 2"
    assert [candidate.text for candidate in candidate_set.candidates] == ["in short, 1", second]
    assert settings.judge.counts.calls == (3 if is_cut else 2)
    assert candidate_set.notes == (("1 of 2 trajectories has no summary and is shown without",) if is_cut else ())
