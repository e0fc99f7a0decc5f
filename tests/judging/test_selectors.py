import re
from dataclasses import replace

import numpy as np
import pytest

from nbest.errors import UnavailableError
from nbest.judging.conversation import RetrySettings
from nbest.judging.selectors import ConsistencySelector, GenSelectSelector, TournamentSelector, VoteSelector
from nbest.judging.windows import Window
from nbest.records import Pool, Usage
from nbest.sampling.scripted import ScriptedSampler
from tests.scoring.judges import list_candidates, make_pool, make_settings, prefer, spend

ALL = [GenSelectSelector, ConsistencySelector, TournamentSelector, VoteSelector]


def nothing(_prompt, _seed):
    return spend("I cannot say.", 3)


@pytest.mark.parametrize("kind", ALL)
async def test_the_call_is_skipped_when_all_answers_agree(kind):
    selector = kind(make_settings(lambda *_: 1 / 0))
    selection = await selector.select(make_pool(None, "1: a", "no answer", "1: b"))
    assert (selection.index, selection.answer, selection.confidence, selection.usage) == (1, "1", None, Usage())
    assert selection.note == "all 2 answers agree: nothing was asked"
    assert (selector.counts.calls, selector.counts.agreed, selector.counts.selections) == (0, 1, 1)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (3, 1, 4, 0, 2)])
async def test_the_candidate_the_judge_names_is_selected(kind, order):
    pool = make_pool("1: poor", "2: good", "3: poor", None, "2: fair")
    turned = replace(pool, trajectories=tuple(pool.trajectories[position] for position in order))

    def reply(prompt, seed):
        if kind is not ConsistencySelector:
            return prefer("good", "fair")(prompt, seed)
        # USC is always asked in its own words.
        candidate_texts = re.findall(r"Response (\d): (\d: \w+)", prompt)
        return f"The most consistent response is Response {next(at for at, text in candidate_texts if 'good' in text)}"

    selection = await kind(make_settings(reply)).select(turned)
    assert turned.trajectories[selection.index].id == "p#1"
    assert selection.answer == "2"


@pytest.mark.parametrize("kind", ALL)
async def test_a_failed_judgement_is_never_replaced_by_a_pick(kind):
    selector = kind(make_settings(nothing, RetrySettings(retries=1), repeats=1))
    selection = await selector.select(make_pool("1: a", "2: b", "2: c"))
    assert selection.index is None
    assert selection.note.startswith("no judgement: ")
    assert selection.note.endswith("(1 unparsed)")
    assert (selection.usage.prompt_tokens, selection.usage.sampled_tokens) == (6, 4)
    counts = selector.counts
    assert (counts.abstained, counts.fell_back, dict(counts.failed)) == (1, 0, {"unparsed": 1})


@pytest.mark.parametrize("kind", ALL)
async def test_the_majority_stands_for_it_only_where_the_settings_say_so(kind):
    selector = kind(make_settings(nothing, on_failure="majority"))
    selection = await selector.select(make_pool("1: a", "2: b", "2: c"))
    assert (selection.index, selection.answer) == (1, "2")
    assert "the majority stands" in selection.note
    assert (selector.counts.abstained, selector.counts.fell_back) == (0, 1)
    # Code has no answers that could agree.
    code = make_pool("```\na\n```", "```\nb\n```", "```\nb\n```", kind="code")
    assert (await selector.select(code)).index is None


async def test_nobody_to_select():
    selector = GenSelectSelector(make_settings(nothing))
    assert (await selector.select(make_pool("none", "none"))).note == "none of 2 trajectories has an answer"
    assert (await selector.select(make_pool("none", kind="code"))).note == "none of 1 trajectory has code"
    assert "failed" in (await selector.select(make_pool(None, None))).note


async def test_a_judgement_on_code():
    pool = make_pool("```\nx = 1\n```", "nothing", "```\ny = 2\n```", kind="code")
    selection = await GenSelectSelector(make_settings(prefer("y = 2"))).select(pool)
    assert (selection.index, selection.answer) == (2, None)
    assert "1 of 3 trajectories was not shown: nothing to show" in selection.note


async def test_one_window_refuses_more_than_it_takes():
    pool = make_pool("1: a", "2: b", "3: c", "1: a")
    with pytest.raises(UnavailableError, match=r"'p' has 3 distinct candidates and one window takes 2\. .*tournament"):
        await GenSelectSelector(make_settings(nothing, window=Window(2))).select(pool)
    # Each of the three takes 18 characters, of 50 the prompt takes 6.
    selector = GenSelectSelector(make_settings(nothing, window=Window(8, 50, len)))
    selection = await selector.select(pool)
    assert (selection.index, selection.usage) == (None, Usage())
    assert selection.note == "no judgement: the candidates take 54 tokens, the budget leaves 44"


async def test_candidates_are_shuffled_and_the_position_is_counted():
    selector = GenSelectSelector(make_settings(lambda *_: spend("Judgment: 0", 1)))
    pools = [make_pool("1: a", "2: b", problem_id=f"p{number}") for number in range(200)]
    picks = [(await selector.select(pool)).index for pool in pools]
    # 100 expected, standard deviation sqrt(200 / 4) = 7.1
    assert 70 < sum(picks) < 130
    first, second = selector.counts.position_bias()
    assert (first["chosen"], first["expected"], second["chosen"], second["expected"]) == (200, 100, 0, 100)


# The tournament


class Reader:
    """Names the candidate with the highest number; keeps what it was shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, prompt, _seed):
        candidate_texts = list_candidates(prompt)
        self.seen.append(candidate_texts)
        values = [int(text.split()[1]) for text in candidate_texts]
        return spend(f"Judgment: {values.index(max(values))}", len(candidate_texts))


@pytest.mark.parametrize(
    ("count", "size", "calls"), [(64, 8, 8 + 1), (9, 8, 2 + 1), (8, 8, 1), (3, 2, 2), (65, 8, 9 + 2 + 1)]
)
async def test_every_candidate_is_read_at_least_once(count, size, calls):
    reader = Reader()
    pool = make_pool(*(f"{number}: {number}" for number in range(count)))
    selection = await TournamentSelector(make_settings(reader, window=Window(size))).select(pool)
    assert selection.index == count - 1
    assert {text for candidate_texts in reader.seen for text in candidate_texts} == {
        t.completion.text for t in pool.trajectories
    }
    assert max(map(len, reader.seen)) <= size
    assert len(reader.seen) == calls
    assert selection.usage.sampled_tokens == 2 * calls
    assert selection.usage.prompt_tokens == sum(map(len, reader.seen))


async def test_a_tournament_in_tokens():
    reader = Reader()
    pool = make_pool(*(f"{number}: {number}" for number in range(10, 22)))
    # Room for 3 candidates of 20 characters ("10: 10\nCandidate 0\n\n") beside the 6 of the problem.
    settings = make_settings(reader, window=Window(8, 6 + 3 * 20 + 2, len))
    selection = await TournamentSelector(settings).select(pool)
    assert selection.index == 11
    assert max(map(len, reader.seen)) == 3
    assert {text for candidate_texts in reader.seen for text in candidate_texts} == {
        t.completion.text for t in pool.trajectories
    }


async def test_what_fits_beside_nothing_is_told():
    settings = make_settings(Reader(), window=Window(8, 6 + 30, len))
    selection = await TournamentSelector(settings).select(make_pool("1: 1", "2: 2", "3: 3 and many words more"))
    assert selection.index is None
    assert "no two of the 2 candidates left fit into 30 tokens" in selection.note
    assert "1 of 3 trajectories was not shown: beyond the token budget" in selection.note


async def test_it_ends_where_all_that_are_left_agree():
    reader = Reader()
    # Two windows of 2; in each the trajectory for "1" wins, so the final has nothing to decide: the first one stands.
    selection = await TournamentSelector(make_settings(reader, window=Window(2))).select(
        make_pool("2: 1", "1: 8", "1: 9", "2: 2")
    )
    assert (len(reader.seen), selection.index) == (2, 1)


async def test_one_window_without_a_judgement_leaves_none():
    def reply(prompt, seed):
        return nothing(prompt, seed) if " 0" in list_candidates(prompt)[-1] else Reader()(prompt, seed)

    selector = TournamentSelector(make_settings(reply, RetrySettings(retries=0), window=Window(2)))
    selections = [
        await selector.select(make_pool(*(f"{at}: {at}" for at in range(8)), problem_id=f"p{number}"))
        for number in range(9)
    ]
    lost = [entry for entry in selections if entry.index is None]
    assert lost
    assert all(entry.index == 7 for entry in selections if entry.index is not None)
    assert all(re.search(r"1 of \d windows? of round \d was not judged \(1 unparsed\)", entry.note) for entry in lost)
    assert selector.counts.abstained == len(lost)


# The vote


async def test_the_vote_is_over_answers():
    # "1" has two members that win a judgement in turn: 3 of 5 votes, though "2: b" is the single text named most often.
    names = iter(["b", "a", "b", "c", "a"])
    selector = VoteSelector(make_settings(lambda prompt, seed: prefer(next(names))(prompt, seed), repeats=5))
    selection = await selector.select(make_pool("1: c", "2: b", "1: a"))
    assert (selection.index, selection.answer, selection.confidence) == (2, "1", pytest.approx(3 / 5))


async def test_judgements_that_fail_cast_no_vote_and_are_told():
    names = iter(["a", "nobody", "b", "a"])
    settings = make_settings(
        lambda prompt, seed: prefer(next(names))(prompt, seed), RetrySettings(retries=0), repeats=4
    )
    selection = await VoteSelector(settings).select(make_pool("1: a", "2: b"))
    assert (selection.index, selection.confidence) == (0, pytest.approx(2 / 3))
    assert selection.note == "1 of 4 judgements failed and cast no vote"


async def test_equal_votes_go_to_the_answer_of_more_attempts():
    names = iter(["a", "b"])
    selector = VoteSelector(make_settings(lambda prompt, seed: prefer(next(names))(prompt, seed), repeats=2))
    assert (await selector.select(make_pool("1: a", "2: b", "2: c"))).index == 1


async def test_beyond_one_window_candidates_are_read_equally_often():
    reader = Reader()
    pool = make_pool(*(f"{number}: {number}" for number in range(16)))
    await VoteSelector(make_settings(reader, window=Window(4), repeats=8)).select(pool)
    counts = np.unique([text for candidate_texts in reader.seen for text in candidate_texts], return_counts=True)[1]
    assert (len(reader.seen), len(counts), set(counts.tolist())) == (8, 16, {2})  # 8 windows of 4 hold 16 twice
    few = await VoteSelector(make_settings(reader, window=Window(4), repeats=3)).select(pool)
    assert "4 of 16 candidates were in none of 3 windows" in few.note


async def test_a_window_of_one_answer_votes_without_a_call():
    reader = Reader()
    # 7 of "1" and one of "2" in windows of 2: three of four windows hold "1" alone.
    pool = make_pool(*(f"1: {number}" for number in range(7)), "2: 9")
    selection = await VoteSelector(make_settings(reader, window=Window(2), repeats=4)).select(pool)
    assert len(reader.seen) == 1
    assert (selection.answer, selection.confidence) == ("1", 0.75)


@pytest.mark.parametrize("kind", ALL)
async def test_the_same_seed_asks_the_same(kind):
    pool = make_pool(*(f"{number}: {number}" for number in range(8)))
    samplers = [
        ScriptedSampler(lambda _, seed: f"Judgment: {seed % 8} most consistent response is {seed % 8}")
        for _ in range(3)
    ]
    for seed, sampler in zip((1, 1, 2), samplers, strict=True):
        await kind(make_settings(sampler, RetrySettings(seed=seed), repeats=3)).select(pool)
    assert samplers[0].calls == samplers[1].calls != samplers[2].calls


async def test_an_empty_pool_asks_nothing():
    selector = TournamentSelector(make_settings(nothing))
    assert (await selector.select(Pool("p", "?", ()))).index is None
    assert selector.counts.calls == 0
