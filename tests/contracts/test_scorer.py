"""What every Scorer owes its callers: one Score a trajectory, in pool order, NaN where there is nothing to score,
determinism, blindness to the order of the pool.

To add a scorer, add a line to SCORERS: a function without arguments that makes one. It will be asked about
`all_pools()` and pools of the same trajectories in another order: attempts with text, token ids, log-probabilities,
confidences and certainties, some of them failed. A scorer that needs more (hidden states, say) makes it for the
trajectories of `all_pools()`.
"""

import math
import random

import numpy as np
import pytest

from nbest.judging.candidates import GenerativeSetting
from nbest.judging.conversation import Judge, JudgingPolicy
from nbest.judging.prompts import PromptFormat
from nbest.judging.scorer import GenSelectScorer
from nbest.judging.windows import Window
from nbest.protocols import Scorer
from nbest.records import Completion, Pool, Score, Trajectory
from nbest.sampling.scripted import ScriptedSampler
from nbest.scoring.confidence import CONFIDENCE, DeepConfScorer
from nbest.scoring.reward.families import FAMILIES
from nbest.scoring.reward.model import RewardModelScorer
from tests.scoring.reward_fixtures import create_checkpoint

POOLS = 6
SENTENCES = ("We add 2 and 3.", "That is 5.", "Wait, check it again.", "It is 5.")


def make_trajectory(number, index, finish):
    rng = np.random.default_rng([number, index])
    count = int(rng.integers(1, 40))
    if finish == "error":
        completion = Completion("", finish="error", note="failed")
    else:
        steps = [SENTENCES[i] for i in rng.integers(0, len(SENTENCES), int(rng.integers(1, 5)))]
        text = "<think>\n" + "\n\n".join(steps) + "\n\n</think>\n\n\\boxed{5}"
        logprobs, confidences, certainties = rng.gamma(1.0, 1.0, (3, count)).astype(np.float32) * [[-1], [-5], [5]]
        tokens = rng.integers(5, 30, count).astype(np.int32)
        completion = Completion(
            text=text,
            prompt_tokens=np.arange(3, dtype=np.int32),
            tokens=tokens,
            logprobs=logprobs.astype(np.float32),
            confidences=confidences.astype(np.float32),
            finish=finish,
            certainties=certainties.astype(np.float32),
        )
    return Trajectory(f"{number}#{index}", f"{number}", index, index, completion)


def make_pool(number, failed=0.25):
    draw = random.Random(number)
    finishes = ["error" if draw.random() < failed else "stop" for _ in range(draw.randint(1, 9))]
    trajectories = tuple(make_trajectory(number, index, finish) for index, finish in enumerate(finishes))
    return Pool(f"{number}", "What is 2 + 3?", trajectories)


def all_pools():
    return [make_pool(number) for number in range(POOLS)]


class Parity:
    """Every attempt of this suite answers 5; here answers differ by their place, so that something is asked."""

    def cluster(self, answers):
        return [None if answer is None else place % 3 for place, answer in enumerate(answers)]

    def same(self, a, b):
        return a == b


def genselect_scorer():
    judge = Judge(ScriptedSampler(lambda _, seed: f"Judgment: {seed % 2}"), JudgingPolicy())
    return GenSelectScorer(GenerativeSetting(judge, Parity(), PromptFormat(thinking="keep"), Window(3), repeats=4))


SCORERS = {
    **CONFIDENCE,
    **{f"reward model {n}": lambda n=n: RewardModelScorer(create_checkpoint(n, context=1024)) for n in FAMILIES},
    "genselect": genselect_scorer,
    "deepconf-bottom, windows of 4": lambda: DeepConfScorer("bottom", window=4, share=0.5),
}


@pytest.fixture(params=SCORERS)
def make(request):
    return SCORERS[request.param]


@pytest.fixture(params=range(POOLS))
def pool(request):
    return make_pool(request.param)


def as_plain(scores):
    """Scores as they compare: NaN equals NaN."""
    return [(score.trajectory_id, "none" if math.isnan(score.value) else score.value, score.steps) for score in scores]


def test_fits_the_protocol(make):
    assert isinstance(make(), Scorer)


async def test_one_score_a_trajectory_in_pool_order(make, pool):
    scores = await make().score(pool)
    assert all(isinstance(score, Score) and isinstance(score.value, float) for score in scores)
    assert [score.trajectory_id for score in scores] == [each.id for each in pool.trajectories]


async def test_values_are_finite_or_nan_and_failed_attempts_have_none(make, pool):
    for score, trajectory in zip(await make().score(pool), pool.trajectories, strict=True):
        if trajectory.completion.finish == "error":
            assert math.isnan(score.value)
            assert score.steps == ()
        else:
            assert math.isfinite(score.value)


async def test_an_empty_pool_has_no_scores(make):
    assert await make().score(Pool("p", "?", ())) == []


async def test_only_failed_attempts(make):
    pool = make_pool(1, failed=1.0)
    scores = await make().score(pool)
    assert len(scores) == len(pool.trajectories)
    assert all(math.isnan(score.value) for score in scores)


async def test_the_same_pool_gets_the_same_scores(make, pool):
    scorer = make()
    first = as_plain(await scorer.score(pool))
    assert as_plain(await scorer.score(pool)) == first
    assert as_plain(await make().score(pool)) == first


async def test_permuting_the_pool_permutes_the_scores(make, pool):
    order = list(range(len(pool.trajectories)))
    random.Random(0).shuffle(order)
    turned = Pool(pool.problem_id, pool.prompt, tuple(pool.trajectories[place] for place in order))
    scores, others = as_plain(await make().score(pool)), as_plain(await make().score(turned))
    assert [other[0] for other in others] == [scores[place][0] for place in order]
    for other, score in zip(others, (scores[place] for place in order), strict=True):
        assert other[1] == (score[1] if score[1] == "none" else pytest.approx(score[1], rel=1e-5, abs=1e-6))
        assert other[2] == pytest.approx(score[2], rel=1e-5, abs=1e-6)


async def test_the_pool_is_left_as_it_was(make, pool):
    before = [each.completion.tokens.copy() for each in pool.trajectories]
    await make().score(pool)
    assert all(np.array_equal(a, each.completion.tokens) for a, each in zip(before, pool.trajectories, strict=True))
