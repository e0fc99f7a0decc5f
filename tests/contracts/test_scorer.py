"""What every Scorer owes its callers: one Score per trajectory, in pool order, NaN where there is nothing to score,
determinism, blindness to the order of the pool, a report, an end.

Every registered scorer is tested. To add one, add a line to SCORERS: the scorer's name, with options where they matter,
and a function without arguments that makes one; a scorer of recorded numbers needs none. It scores the pools of
`make_pool`, and pools of the same trajectories in another order: trajectories with text, token ids, log-probabilities,
confidences, certainties and captured hidden states, some of them failed. `make_gappy_pool` leaves some of this out.
"""

import math
import random
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import Qwen3Config

from nbest.judging.candidates import JudgeSettings
from nbest.judging.conversation import Judge, RetrySettings
from nbest.judging.prompts import PromptFormat
from nbest.judging.scorer import GenSelectScorer
from nbest.judging.windows import Window
from nbest.protocols import Scorer
from nbest.records import Completion, HiddenStates, Pool, Score, Step, Trajectory, WorkReport
from nbest.registry import load_scorer, specs
from nbest.sampling.scripted import ScriptedSampler
from nbest.scoring.hidden import HiddenScorer
from nbest.scoring.reward.families import FAMILIES
from nbest.scoring.reward.model import RewardModelScorer
from nbest.scoring.step_heads import MODELS
from nbest.scoring.step_scorer import TrajSelectorConfig, TrajSelectorModel
from nbest.states.sources import CapturedSource
from tests.scoring.reward_fixtures import create_checkpoint

POOLS = 6
LAYERS, HIDDEN = (1, 3), 6
NUMBERS = ("logprobs", "confidences", "certainties")
ORIGIN = {"model": "tiny", "content_hash": "abc", "step_rule": "blank-line", "last_layer_after_norm": "true"}
SENTENCES = ("We add 2 and 3.", "That is 5.", "Wait, check it again.", "It is 5.")


def make_trajectory(number, index, finish):
    rng = np.random.default_rng([number, index])
    count = int(rng.integers(1, 40))
    if finish == "error":
        completion = Completion("", finish="error", note="failed")
    else:
        sentences = [SENTENCES[i] for i in rng.integers(0, len(SENTENCES), int(rng.integers(1, 5)))]
        text = "<think>\n" + "\n\n".join(sentences) + "\n\n</think>\n\n\\boxed{5}"
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
            states=make_states(rng, count),
        )
    return Trajectory(f"{number}#{index}", f"{number}", index, index, completion)


def make_states(rng, tokens):
    """States at the ends of one to five steps of about the same number of tokens."""
    ends = np.unique(np.linspace(0, tokens, int(rng.integers(2, 7))).astype(int)).tolist()
    steps = tuple(Step(start, end) for start, end in pairwise(ends))
    values = rng.normal(size=(len(steps), len(LAYERS), HIDDEN)).astype(np.float32)
    return HiddenStates(LAYERS, steps, values)


def make_pool(number, failed=0.25):
    draw = random.Random(number)
    finishes = ["error" if draw.random() < failed else "stop" for _ in range(draw.randint(1, 9))]
    trajectories = tuple(make_trajectory(number, index, finish) for index, finish in enumerate(finishes))
    return Pool(f"{number}", "What is 2 + 3?", trajectories)


def make_gappy_pool():
    """A pool of trajectories that lack text, an answer, tokens, numbers or states, or have some that are not finite."""
    whole = [make_trajectory(POOLS, index, "stop").completion for index in range(6)]
    completions = [
        whole[0],
        make_trajectory(POOLS, 0, "error").completion,
        Completion("", finish="stop", **dict.fromkeys(NUMBERS, np.zeros(0, dtype=np.float32))),
        replace(whole[1], text="no answer", **dict.fromkeys(NUMBERS)),
        replace(whole[2], states=None),
        replace(whole[3], text=" \n\n"),
        fill(whole[4], math.nan),
        fill(whole[5], -math.inf),
    ]
    trajectories = [Trajectory(f"p#{index}", "p", index, index, each) for index, each in enumerate(completions)]
    return Pool("p", "What is 2 + 3?", tuple(trajectories))


def fill(completion, value):
    """Return the completion with `value` as every number and hidden state."""
    numbers = {name: np.full_like(getattr(completion, name), value) for name in NUMBERS}
    states = replace(completion.states, values=np.full_like(completion.states.values, value))
    return replace(completion, states=states, **numbers)


class Parity:
    """Every trajectory of this suite answers 5; here answers differ by position, so that something is asked."""

    def cluster(self, answers, _kind="math"):
        return [None if answer is None else position % 3 for position, answer in enumerate(answers)]

    def same(self, a, b, _kind="math"):
        return a == b


def genselect_scorer():
    judge = Judge(ScriptedSampler(lambda _, seed: f"Judgment: {seed % 2}"), RetrySettings())
    return GenSelectScorer(JudgeSettings(judge, Parity(), PromptFormat(thinking="keep"), Window(3), repeats=4))


@cache
def step_model(name):
    """A step scorer of random weights: one of the two with a decoder, of one tiny layer here, or one of the heads."""
    torch.manual_seed(0)
    known = {"policy_hidden_size": HIDDEN, "layers": [3], "states_source": dict(ORIGIN)}
    if name in ("trajselector", "trajselector-fused"):
        body = Qwen3Config(
            vocab_size=8,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
        )
        return TrajSelectorModel(
            TrajSelectorConfig(body=body.to_dict(), features=4 * (name == "trajselector-fused"), **known)
        ).eval()
    model = MODELS[name](MODELS[name].config_class(**known)).eval()
    if name == "clue":
        model.fit_centroids(torch.randn(HIDDEN), torch.randn(HIDDEN))
    return model


async def score_pool(scorer, pool):
    return await scorer.score(pool, CapturedSource(pool.trajectories, ORIGIN))


RECORDED = [spec.name for spec in specs("scorer") if spec.needs and spec.needs <= {*NUMBERS}]
SCORERS = {
    **{name: lambda name=name: load_scorer(name) for name in (*RECORDED, "deepconf-bottom(window=4, share=0.5)")},
    **{f"reward({n})": lambda n=n: RewardModelScorer(create_checkpoint(n, context=1024)) for n in FAMILIES},
    **{
        name: lambda name=name: HiddenScorer(step_model(name))
        for name in ("trajselector", "trajselector-fused", *MODELS)
    },
    "step-scorer": lambda: HiddenScorer(step_model("step-mlp")),
    "genselect": genselect_scorer,
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


def test_every_registered_scorer_is_tested():
    assert {spec.name for spec in specs("scorer")} == {name.partition("(")[0] for name in SCORERS}


def test_fits_the_protocol(make):
    assert isinstance(make(), Scorer)


async def test_one_score_per_trajectory_in_pool_order(make, pool):
    scores = await score_pool(make(), pool)
    assert all(isinstance(score, Score) and isinstance(score.value, float) for score in scores)
    assert [score.trajectory_id for score in scores] == [trajectory.id for trajectory in pool.trajectories]


async def test_values_are_finite_or_nan_and_failed_trajectories_have_none(make, pool):
    for score, trajectory in zip(await score_pool(make(), pool), pool.trajectories, strict=True):
        if trajectory.has_failed:
            assert math.isnan(score.value)
            assert score.steps == ()
        else:
            assert math.isfinite(score.value)


async def test_an_empty_pool_has_no_scores(make):
    assert await score_pool(make(), Pool("p", "?", ())) == []


async def test_only_failed_trajectories(make):
    pool = make_pool(1, failed=1.0)
    scores = await score_pool(make(), pool)
    assert len(scores) == len(pool.trajectories)
    assert all(math.isnan(score.value) for score in scores)


async def test_the_same_pool_gets_the_same_scores(make, pool):
    scorer = make()
    first = as_plain(await score_pool(scorer, pool))
    assert as_plain(await score_pool(scorer, pool)) == first
    assert as_plain(await score_pool(make(), pool)) == first


async def test_permuting_the_pool_permutes_the_scores(make, pool):
    order = list(range(len(pool.trajectories)))
    random.Random(0).shuffle(order)
    turned = Pool(pool.problem_id, pool.prompt, tuple(pool.trajectories[place] for place in order))
    scores, others = as_plain(await score_pool(make(), pool)), as_plain(await score_pool(make(), turned))
    assert [other[0] for other in others] == [scores[place][0] for place in order]
    for other, score in zip(others, (scores[place] for place in order), strict=True):
        assert other[1] == (score[1] if score[1] == "none" else pytest.approx(score[1], rel=1e-5, abs=1e-6))
        assert other[2] == pytest.approx(score[2], rel=1e-5, abs=1e-6)


async def test_the_pool_is_left_as_it_was(make, pool):
    before = [each.completion.tokens.copy() for each in pool.trajectories]
    await score_pool(make(), pool)
    assert all(np.array_equal(a, each.completion.tokens) for a, each in zip(before, pool.trajectories, strict=True))


async def test_the_report_says_what_was_done(make, pool):
    scorer = make()
    assert scorer.report() == WorkReport() or scorer.report().judgements is not None
    await score_pool(scorer, pool)
    report = scorer.report()
    assert isinstance(report, WorkReport)
    assert all(count > 0 for count in report.unscored.values())


async def test_the_report_counts_every_trajectory_without_a_score_by_a_reason(make):
    scorer, without_score = make(), 0
    for pool in (make_gappy_pool(), make_pool(1, failed=1.0), *(make_pool(number) for number in range(POOLS))):
        without_score += sum(math.isnan(score.value) for score in await score_pool(scorer, pool))
        assert sum(scorer.report().unscored.values()) == without_score
    assert without_score > 0


async def test_it_is_a_context_manager_and_closes_twice(make, pool):
    async with make() as scorer:
        assert isinstance(scorer, Scorer)
        await score_pool(scorer, pool)
    await scorer.aclose()
