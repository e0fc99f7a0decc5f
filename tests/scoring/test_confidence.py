"""Scorers of log-probabilities: by hand, against the published loops, and what they say when the run lacks numbers."""

import math

import numpy as np
import pytest

from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.protocols import Scorer
from nbest.records import Completion, Pool, Step, Trajectory
from nbest.scoring.confidence import CONFIDENCE, DeepConfScorer, LogprobScorer, SelfCertaintyScorer

SOURCES = dict.fromkeys(("mean-logprob", "min-logprob", "perplexity"), "logprobs")
SOURCES |= {f"deepconf-{kind}": "confidences" for kind in ("mean", "tail", "bottom", "window")}
SOURCES |= {"self-certainty": "certainties"}


def make_pool(*completions):
    return Pool("p", "?", tuple(Trajectory(f"p#{i}", "p", i, i, each) for i, each in enumerate(completions)))


def complete(finish="stop", **arrays):
    numbers = {key: None if each is None else np.array(each, dtype=np.float32) for key, each in arrays.items()}
    return Completion("x", finish=finish, **numbers)


async def value_of(scorer, **arrays):
    return (await scorer.score(make_pool(complete(**arrays))))[0].value


def published_bottom(confidences, window, share):
    """facebookresearch/deepconf, analysis_offline.py, in words: a running sum, floor of the share, at least one."""
    if len(confidences) < window:
        return sum(confidences) / len(confidences)
    means = sorted(sum(confidences[i : i + window]) / window for i in range(len(confidences) - window + 1))
    lowest = means[: max(1, int(len(means) * share))]
    return sum(lowest) / len(lowest)


def test_the_table_names_every_scorer():
    assert set(CONFIDENCE) == set(SOURCES)
    for name, make in CONFIDENCE.items():
        assert isinstance(make(), Scorer)
        assert make().name == name


async def test_logprobs_by_hand():
    logprobs = [-0.5, -1.5, -4.0]
    assert await value_of(LogprobScorer("mean"), logprobs=logprobs) == -2.0  # -6 / 3
    assert await value_of(LogprobScorer("min"), logprobs=logprobs) == -4.0
    assert await value_of(LogprobScorer("perplexity"), logprobs=logprobs) == pytest.approx(-math.exp(2.0))


async def test_perplexity_is_capped_where_floats_end():
    assert await value_of(LogprobScorer("perplexity"), logprobs=[-5000.0]) == -math.exp(709.0)


async def test_deepconf_by_hand():
    # Token confidences (minus the stored means): 8, 2, 4, 6, 10.
    confidences = [-8.0, -2.0, -4.0, -6.0, -10.0]
    assert await value_of(DeepConfScorer("mean"), confidences=confidences) == 6.0  # 30 / 5
    assert await value_of(DeepConfScorer("tail", tail=2), confidences=confidences) == 8.0  # (6 + 10) / 2
    # Windows of 2: 5, 3, 5, 8. The lowest is 3; half of them: (3 + 5) / 2.
    assert await value_of(DeepConfScorer("window", window=2), confidences=confidences) == 3.0
    assert await value_of(DeepConfScorer("bottom", window=2), confidences=confidences) == 3.0  # int(0.4), at least 1
    assert await value_of(DeepConfScorer("bottom", window=2, share=0.5), confidences=confidences) == 4.0


@pytest.mark.parametrize("length", [1, 5, 2047, 2048, 2049, 2058, 2068, 5000])
async def test_deepconf_equals_the_published_loop(length):
    confidences = -np.random.default_rng(length).gamma(4.0, 3.0, length).astype(np.float32)
    plain = (-confidences.astype(float)).tolist()
    expected = {
        "deepconf-mean": sum(plain) / length,
        "deepconf-tail": sum(plain[-2048:]) / min(length, 2048),
        "deepconf-bottom": published_bottom(plain, 2048, 0.1),
        "deepconf-window": published_bottom(plain, 2048, 1e-9),
    }
    for name, value in expected.items():
        assert await value_of(CONFIDENCE[name](), confidences=confidences) == pytest.approx(value, rel=1e-12)


async def test_shorter_than_the_window_is_one_window():
    values = {
        name: await value_of(make(), confidences=[-1.0, -5.0])
        for name, make in CONFIDENCE.items()
        if "deepconf" in name
    }
    assert set(values.values()) == {3.0}


async def test_self_certainty_is_the_mean():
    assert await value_of(SelfCertaintyScorer(), certainties=[1.0, 2.0, 6.0]) == 3.0


async def test_a_peaked_policy_scores_higher_by_every_scorer():
    # Distributions over V = 4. Sampled token: the most probable one. k = V: all four log-probabilities are "top".
    flat, peaked = np.full(4, 0.25), np.array([0.97, 0.01, 0.01, 0.01])
    completions = [
        complete(
            logprobs=[math.log(p.max())] * 3,
            confidences=[np.log(p).mean()] * 3,
            certainties=[-np.log(4 * p).mean()] * 3,
        )
        for p in (flat, peaked)
    ]
    for make in CONFIDENCE.values():
        low, high = await make().score(make_pool(*completions))
        assert high.value > low.value
    # Uniform: -log(1/4) = 1.386 by DeepConf, 0 by self-certainty.
    assert (await DeepConfScorer("mean").score(make_pool(*completions)))[0].value == pytest.approx(math.log(4))
    assert (await SelfCertaintyScorer().score(make_pool(*completions)))[0].value == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("name", CONFIDENCE)
async def test_what_cannot_be_scored_gets_nan(name):
    source = SOURCES[name]
    pool = make_pool(
        complete(**{source: [-1.0, -2.0]}),
        complete("error", **{source: [-1.0]}),
        complete(**{source: []}),
        complete(**{source: None}),
        complete(**{source: [-1.0, math.nan]}),
        complete(**{source: [-1.0, -math.inf]}),
    )
    scores = await CONFIDENCE[name](splitter=lambda _: [Step(0, 1)]).score(pool)
    assert [score.trajectory_id for score in scores] == [f"p#{i}" for i in range(6)]
    assert [math.isfinite(score.value) for score in scores] == [True] + [False] * 5
    assert all(math.isnan(score.value) and score.steps == () for score in scores[1:])


@pytest.mark.parametrize("name", CONFIDENCE)
async def test_a_pool_without_the_numbers_says_what_to_do(name):
    fix = {"logprobs": "policy.type", "confidences": "top_logprobs = 20", "certainties": "self_certainty = true"}
    pool = make_pool(complete(), complete(), complete("error"))
    with pytest.raises(UnavailableError, match=f"{name}: problem 'p' .* 2 trajectories .*{fix[SOURCES[name]]}"):
        await CONFIDENCE[name]().score(pool)


@pytest.mark.parametrize("name", CONFIDENCE)
async def test_only_failed_attempts_are_nan_and_no_fault_of_the_run(name):
    (score,) = await CONFIDENCE[name]().score(make_pool(complete("error")))
    assert math.isnan(score.value)


async def test_steps_are_scored_where_a_splitter_is_given():
    def splitter(_):
        return [Step(0, 2), Step(2, 3)]

    logprobs, confidences = [-1.0, -3.0, -0.5], [-4.0, -6.0, -1.0]

    async def steps_of(scorer):
        return (await scorer.score(make_pool(complete(logprobs=logprobs, confidences=confidences))))[0].steps

    assert await steps_of(LogprobScorer("mean", splitter=splitter)) == (-2.0, -0.5)
    assert await steps_of(LogprobScorer("min", splitter=splitter)) == (-3.0, -0.5)
    expected = (-math.exp(2.0), -math.exp(0.5))
    assert await steps_of(LogprobScorer("perplexity", splitter=splitter)) == pytest.approx(expected, rel=1e-6)
    assert await steps_of(DeepConfScorer("window", window=1, splitter=splitter)) == (5.0, 1.0)
    assert await steps_of(LogprobScorer("mean")) == ()
    assert await steps_of(LogprobScorer("mean", splitter=lambda _: [])) == ()


async def test_steps_of_another_completion_are_refused():
    scorer = LogprobScorer(splitter=lambda _: [Step(0, 9)])
    with pytest.raises(DataError, match=r"trajectory 'p#0': step 0 is the span \[0, 9\) of 1 log-prob"):
        await scorer.score(make_pool(complete(logprobs=[-1.0])))


def test_settings_out_of_range_are_named_together():
    with pytest.raises(ConfigError, match=r"(?s)window: .*got 0.*tail: .*got -1.*share: .*got 0"):
        DeepConfScorer("bottom", window=0, tail=-1, share=0)
    with pytest.raises(ConfigError, match="share"):
        DeepConfScorer("bottom", share=1.5)
    with pytest.raises(ConfigError, match="kind: 'median' is none of mean, tail, bottom, window"):
        DeepConfScorer("median")
    with pytest.raises(ConfigError, match="how: 'sum' is none of mean, min, perplexity"):
        LogprobScorer("sum")
