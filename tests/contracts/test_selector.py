"""What every Selector owes its callers: valid index, abstention, determinism, blindness to the order of the pool."""

import random

import numpy as np
import pytest

from nbest.judging.candidates import GenerativeSetting
from nbest.judging.conversation import Judge, JudgingPolicy
from nbest.judging.pairwise import KnockoutSelector
from nbest.judging.pointwise import PointwiseSelector
from nbest.judging.selectors import ConsistencySelector, GenSelectSelector, TournamentSelector, VoteSelector
from nbest.judging.windows import Window
from nbest.protocols import Selector
from nbest.records import Completion, Pool, Score, Trajectory
from nbest.sampling.scripted import ScriptedSampler
from nbest.selecting.combined.features import NormalScores, column_names
from nbest.selecting.combined.model import CombinedModel, choice_names
from nbest.selecting.combined.selector import CombinedSelector
from nbest.selecting.limited import LimitedSelector
from nbest.selecting.scored import FirstSelector, LengthSelector, RandomSelector, ScoreSelector
from nbest.selecting.voting import MajoritySelector
from nbest.selecting.weighted import WeightedVoteSelector
from nbest.statistics.calibration import PlattMap
from nbest.statistics.votes import RULES

POOLS = 12


class Strings:
    def cluster(self, answers):
        numbers = {}
        return [None if answer is None else numbers.setdefault(answer, len(numbers)) for answer in answers]

    def same(self, a, b):
        return a == b


def make_pool(number, failed=0.2):
    draw = random.Random(number)
    trajectories = []
    for index in range(draw.randint(1, 9)):
        finish = "error" if draw.random() < failed else "stop"
        tokens = np.zeros(draw.randint(1, 5), dtype=np.int32)
        answer = draw.choice(["1", "2", "3"])
        completion = Completion("x" * draw.randint(1, 9), tokens=tokens, finish=finish)
        trajectories.append(Trajectory(f"{number}#{index}", f"{number}", index, index, completion, answer))
    return Pool(f"{number}", "?", tuple(trajectories))


def all_scores():
    ids = [each.id for number in range(POOLS) for each in make_pool(number).trajectories]
    return {key: Score(key, place % 4 / 4) for place, key in enumerate(ids)}


def combined_model():
    scorers = ("NAME",)
    return CombinedModel(
        scorers=scorers,
        main="NAME",
        scales=(NormalScores((0.0, 1.0), (-1.0, 1.0)),),
        weights=tuple(place % 3 / 3 for place in range(len(column_names(scorers)))),
        doubt=tuple(place % 2 / 2 for place in range(len(choice_names(scorers)))),
        intercept=-1.0,
        calibration=PlattMap(1.0, 0.0),
    )


def judge_by_lot(_prompt, seed):
    index, word = seed % 2, "Yes" if seed % 3 else "No"
    return (
        f"The most consistent response is Response {index}\nIs the answer correct (Yes/No)? {word}\nJudgment: {index}"
    )


def setting(window):
    judge = Judge(ScriptedSampler(judge_by_lot), JudgingPolicy(seed=5), clock=lambda: 0.0)
    return GenerativeSetting(judge, Strings(), window=Window(window), repeats=3)


SELECTORS = (
    {
        "first": FirstSelector,
        "random": lambda: RandomSelector(seed=3),
        "longest": lambda: LengthSelector(is_longest=True),
        "shortest": lambda: LengthSelector(is_longest=False),
        "score:NAME": lambda: ScoreSelector("NAME", all_scores()),
        "majority": lambda: MajoritySelector(Strings()),
        "combined": lambda: CombinedSelector(combined_model(), {"NAME": all_scores()}, Strings()),
    }
    | {
        "genselect": lambda: GenSelectSelector(setting(9)),
        "genselect-tournament": lambda: TournamentSelector(setting(2)),
        "genselect-vote": lambda: VoteSelector(setting(3)),
        "usc": lambda: ConsistencySelector(setting(9)),
        "knockout": lambda: KnockoutSelector(setting(2)),
        "genrm": lambda: PointwiseSelector(setting(2)),
        "majority@1": lambda: LimitedSelector(MajoritySelector(Strings()), "majority", 1),
    }
    | {
        f"{name}:NAME": lambda rule=rule: WeightedVoteSelector("NAME", all_scores(), Strings(), rule)
        for name, rule in RULES.items()
    }
)


@pytest.fixture(params=SELECTORS)
def make(request):
    return SELECTORS[request.param]


@pytest.fixture(params=range(POOLS))
def pool(request):
    return make_pool(request.param)


def test_fits_the_protocol(make):
    selector = make()
    assert isinstance(selector, Selector)
    assert selector.name


async def test_picks_one_of_the_pool_that_did_not_fail(make, pool):
    selection = await make().select(pool)
    assert selection.problem_id == pool.problem_id
    able = [place for place, each in enumerate(pool.trajectories) if each.completion.finish != "error"]
    assert selection.index in able or (not able and selection.index is None)


async def test_says_the_answer_of_what_it_picked(make, pool):
    selection = await make().select(pool)
    if selection.index is not None:
        assert selection.answer == pool.trajectories[selection.index].answer


async def test_an_empty_pool_abstains_with_a_note(make):
    selection = await make().select(Pool("p", "?", ()))
    assert (selection.problem_id, selection.index, selection.note) == ("p", None, "the pool is empty")


async def test_only_failed_attempts_abstain(make):
    selection = await make().select(make_pool(1, failed=1.0))
    assert selection.index is None
    assert "failed" in selection.note


async def test_the_same_pool_gives_the_same_selection(make, pool):
    assert await make().select(pool) == await make().select(pool)


async def test_permuting_the_pool_permutes_the_selection(make, pool):
    order = list(range(len(pool.trajectories)))
    random.Random(0).shuffle(order)
    turned = Pool(pool.problem_id, pool.prompt, tuple(pool.trajectories[place] for place in order))
    selection, other = await make().select(pool), await make().select(turned)
    if selection.index is None:
        assert other.index is None
    else:
        assert turned.trajectories[other.index].id == pool.trajectories[selection.index].id
