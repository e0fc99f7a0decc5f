"""Scorers of log-probabilities: by hand, against the published loops, and their errors where the run lacks numbers."""

import math

import numpy as np
import pytest

from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.records import Completion, Pool, Step, Trajectory
from nbest.registry import load_scorer, specs
from nbest.scoring.confidence import DeepConfScorer, LogprobScorer, RecordedScorer, SelfCertaintyScorer

SOURCES = dict.fromkeys(("mean-logprob", "min-logprob", "perplexity"), "logprobs")
SOURCES |= {f"deepconf-{kind}": "confidences" for kind in ("mean", "tail", "bottom", "window")}
SOURCES |= {"self-certainty": "certainties"}

NOUNS = {"logprobs": "log-probabilities", "confidences": "token confidences", "certainties": "token certainties"}


def make_with_steps(name, splitter):
    """Return the scorer of this name with a splitter, which the registry does not set."""
    if name == "self-certainty":
        return SelfCertaintyScorer(splitter=splitter)
    if name.startswith("deepconf-"):
        return DeepConfScorer(name.removeprefix("deepconf-"), splitter=splitter)
    return LogprobScorer(name.removesuffix("-logprob"), splitter=splitter)


def make_pool(*completions):
    return Pool(
        "p", "?", tuple(Trajectory(f"p#{i}", "p", i, i, completion) for i, completion in enumerate(completions))
    )


def complete(finish="stop", **arrays):
    numbers = {key: None if array is None else np.array(array, dtype=np.float32) for key, array in arrays.items()}
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


def test_these_are_the_registered_scorers_of_recorded_numbers():
    assert {spec.name: spec.needs for spec in specs("scorer") if spec.name in SOURCES} == {
        name: {source} for name, source in SOURCES.items()
    }
    for name in SOURCES:
        scorer = load_scorer(name)
        assert isinstance(scorer, RecordedScorer)
        assert scorer.name == name


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
        assert await value_of(load_scorer(name), confidences=confidences) == pytest.approx(value, rel=1e-12)


async def test_shorter_than_the_window_is_one_window():
    values = {
        name: await value_of(load_scorer(name), confidences=[-1.0, -5.0]) for name in SOURCES if "deepconf" in name
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
    for name in SOURCES:
        low, high = await load_scorer(name).score(make_pool(*completions))
        assert high.value > low.value
    # Uniform: -log(1/4) = 1.386 by DeepConf, 0 by self-certainty.
    assert (await DeepConfScorer("mean").score(make_pool(*completions)))[0].value == pytest.approx(math.log(4))
    assert (await SelfCertaintyScorer().score(make_pool(*completions)))[0].value == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("name", SOURCES)
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
    scorer = make_with_steps(name, lambda _: [Step(0, 1)])
    scores = await scorer.score(pool)
    assert [score.trajectory_id for score in scores] == [f"p#{i}" for i in range(6)]
    assert [math.isfinite(score.value) for score in scores] == [True] + [False] * 5
    assert all(math.isnan(score.value) and score.steps == () for score in scores[1:])
    noun = NOUNS[source]
    assert scorer.report().unscored == {"failed": 1, "no tokens": 1, f"no {noun}": 1, f"{noun} not finite": 2}


@pytest.mark.parametrize("name", SOURCES)
async def test_a_pool_without_the_numbers_says_what_to_do(name):
    fix = {"logprobs": "policy.type", "confidences": "top_logprobs = 20", "certainties": "self_certainty = true"}
    pool = make_pool(complete(), complete(), complete("error"))
    scorer = load_scorer(name)
    with pytest.raises(UnavailableError, match=f"{name}: problem 'p' .* 2 trajectories .*{fix[SOURCES[name]]}"):
        await scorer.score(pool)
    assert scorer.report().unscored == {}


@pytest.mark.parametrize("name", SOURCES)
async def test_failed_trajectories_alone_are_nan_and_no_error(name):
    scorer = load_scorer(name)
    (score,) = await scorer.score(make_pool(complete("error")))
    assert math.isnan(score.value)
    assert scorer.report().unscored == {"failed": 1}


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
