import pytest

from nbest.errors import UnavailableError
from nbest.records import Completion, Pool, Score, Trajectory
from nbest.selecting.weighted import WeightedVoteSelector
from nbest.statistics.votes import BordaVote, FilteredVote, MaximumVote, SoftmaxVote, SumVote

NAN = float("nan")
SAME = {"1/2": "0.5"}


class Halves:
    """An equivalence that knows two ways to write one half."""

    def cluster(self, answers, _kind="math"):
        numbers = {}
        return [None if a is None else numbers.setdefault(SAME.get(a, a), len(numbers)) for a in answers]

    def same(self, a, b, _kind="math"):
        return SAME.get(a, a) == SAME.get(b, b)


def pool_of(*answers, failed=()):
    return Pool(
        "p",
        "?",
        tuple(
            Trajectory(f"p#{i}", "p", i, 0, Completion("", finish="error" if i in failed else "stop"), answer)
            for i, answer in enumerate(answers)
        ),
    )


def selector(*values, rule=None, run=""):
    scores = {f"p#{i}": Score(f"p#{i}", value) for i, value in enumerate(values) if value is not None}
    return WeightedVoteSelector("prm", scores, Halves(), rule, run)


async def test_equal_answers_weigh_together_and_the_best_member_is_picked():
    # One half: 0.2 + 0.5 = 0.7 against 0.6 for 3. The best half is the second one; its share is 0.7 / 1.3.
    selection = await selector(0.6, 0.2, 0.5).select(pool_of("3", "0.5", "1/2"))
    assert (selection.index, selection.answer, selection.note) == (2, "1/2", "")
    assert selection.confidence == pytest.approx(0.7 / 1.3)


@pytest.mark.parametrize(
    ("rule", "index", "confidence"),
    [
        (SumVote(), 0, 0.8 / 1.3),  # 3: 0.45 + 0.35 = 0.8 against 0.5
        (MaximumVote(), 1, 0.5 / 0.95),  # 0.45 against 0.5
        (BordaVote(1.0), 1, 3 / 6),  # 3: ranks 2 and 3 weigh 2 + 1 = 3, 8: rank 1 weighs 3: a tie, to the best score
        (BordaVote(0.5), 0, (2**0.5 + 1) / (3**0.5 + 2**0.5 + 1)),
        (SoftmaxVote(1e-3), 1, 1.0),
        (FilteredVote(0.1), 1, 1.0),  # one of three is kept
    ],
)
async def test_each_rule_on_one_pool(rule, index, confidence):
    selection = await selector(0.45, 0.5, 0.35, rule=rule).select(pool_of("3", "8", "3"))
    assert selection.index == index
    assert selection.confidence == pytest.approx(confidence)


def test_names():
    assert selector().name == "vote:prm"
    assert [selector(rule=rule).name for rule in (MaximumVote(), BordaVote(), SoftmaxVote(), FilteredVote())] == [
        "vote-max:prm",
        "borda:prm",
        "softmax:prm",
        "filtered:prm",
    ]


async def test_picks_of_equal_score_go_by_index_not_by_position():
    made = selector(0.5, 0.5, 0.5, 0.5)
    pool = pool_of("7", "8", "8", "7")
    assert (await made.select(pool)).index == 0
    turned = Pool("p", "?", pool.trajectories[::-1])
    assert (await made.select(turned)).index == 3


@pytest.mark.parametrize("absent", [None, NAN])
async def test_those_without_a_score_do_not_vote_and_are_counted(absent):
    selection = await selector(absent, absent, 0.1, absent).select(pool_of("7", "7", "8", None))
    assert (selection.index, selection.confidence) == (2, 1.0)
    assert selection.note == "2 of 4 trajectories have an answer and no score of 'prm'"


async def test_failed_attempts_and_those_without_an_answer_do_not_vote():
    selection = await selector(9.0, 9.0, 0.1).select(pool_of("7", None, "8", failed=(0,)))
    assert (selection.index, selection.confidence, selection.note) == (2, 1.0, "")


async def test_who_abstains_and_why():
    made = selector(0.5, NAN)
    assert (await made.select(pool_of(None, None))).note == "none of 2 trajectories has an answer"
    selection = await made.select(pool_of(None, "7"))
    assert (selection.index, selection.note) == (None, "1 of 2 trajectories has an answer and no score of 'prm'")


async def test_a_pool_that_was_not_scored_is_an_error():
    message = r"run runs/a has no score of 'prm' for the only trajectory of problem 'p'"
    with pytest.raises(UnavailableError, match=message):
        await selector(None, 0.5, run="run runs/a").select(pool_of("7", "8", failed=(1,)))


@pytest.mark.parametrize("rule", [SumVote(), FilteredVote()])
async def test_negative_scores_are_no_weights(rule):
    message = rf"{rule.name}:prm: problem 'p' of run runs/a: 2 of 3 scores are negative.*borda.*-3 of trajectory 'p#1'"
    with pytest.raises(UnavailableError, match=message):
        await selector(-1.0, -3.0, 0.0, rule=rule, run="run runs/a").select(pool_of("7", "7", "8"))


@pytest.mark.parametrize("rule", [BordaVote(), SoftmaxVote(), MaximumVote()])
async def test_the_other_rules_take_log_probabilities(rule):
    # Two near the top against the top one: ranks 2 and 3 weigh more than rank 1; so do two exponentials.
    selection = await selector(-0.4, -0.3, -0.35, rule=rule).select(pool_of("7", "8", "7"))
    assert selection.index == (1 if rule.name == "vote-max" else 2)


async def test_confidence_is_undefined_without_positive_weights():
    assert (await selector(0.0, 0.0).select(pool_of("7", "8"))).confidence is None
    assert (await selector(-1.0, -2.0, rule=MaximumVote()).select(pool_of("7", "8"))).confidence is None


async def test_a_negative_score_that_does_not_vote_is_no_fault():
    assert (await selector(-1.0, 0.5).select(pool_of(None, "8"))).index == 1
