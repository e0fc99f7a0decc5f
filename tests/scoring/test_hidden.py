import asyncio
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.records import Completion, HiddenStates, Step, Trajectory
from nbest.scoring.hidden import HiddenScorer, check_origin, load_step_scorer
from nbest.scoring.step_heads import StepMlpConfig, StepMlpModel, SwiftConfig, SwiftModel
from nbest.scoring.step_scorer import TrajSelectorConfig, create_trajselector
from nbest.stages import score_run
from nbest.states.sources import NO_STATES
from nbest.storage.run import Run
from tests.training.scorer_runs import ABOUT, HIDDEN, make_run, save_body


def make_model(**settings: object) -> StepMlpModel:
    torch.manual_seed(0)
    defaults = {"policy_hidden_size": HIDDEN, "layers": [3], "states_source": dict(ABOUT), "hidden_size": 8}
    return StepMlpModel(StepMlpConfig(**(defaults | settings))).eval()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", problems=3, n=6)


async def test_scores_are_those_of_the_model_alone_on_each_trajectory(run: Run) -> None:
    model = make_model()
    for pool in run.pools():
        for score, stored in zip(
            await HiddenScorer(model).score(pool, run.states_folder),
            run.states([t.id for t in pool.trajectories]),
            strict=True,
        ):
            states = torch.from_numpy(stored.values[None, :, [1]])
            steps = model(states, torch.ones(1, len(stored.steps), dtype=torch.bool)).scores[0].detach()
            assert score.steps == pytest.approx(steps.tolist(), abs=1e-6)
            assert score.value == pytest.approx(float(steps.mean()), abs=1e-6)


async def test_batches_of_any_size_give_the_same(run: Run) -> None:
    pool = next(iter(run.pools()))
    large = await HiddenScorer(make_model()).score(pool, run.states_folder)
    small = await HiddenScorer(make_model(), batch_steps=1).score(pool, run.states_folder)
    assert [s.value for s in small] == pytest.approx([s.value for s in large], abs=1e-6)
    assert [s.trajectory_id for s in small] == [t.id for t in pool.trajectories]


async def test_the_aggregation_is_the_models_unless_another_is_asked_for(run: Run) -> None:
    pool = next(iter(run.pools()))
    least = await HiddenScorer(make_model(aggregation="min")).score(pool, run.states_folder)
    assert all(score.value == pytest.approx(min(score.steps)) for score in least)
    last = await HiddenScorer(make_model(), aggregation="last").score(pool, run.states_folder)
    assert all(score.value == pytest.approx(score.steps[-1]) for score in last)


async def test_the_read_out_is_the_models_unless_another_is_asked_for(run: Run, tmp_path: Path) -> None:
    config = TrajSelectorConfig(policy_hidden_size=HIDDEN, layers=[3], states_source=ABOUT)
    model = create_trajselector(config, save_body(tmp_path / "body")).eval()
    pool = next(run.pools())
    right, other = [
        await HiddenScorer(model, readout=readout).score(pool, run.states_folder) for readout in (None, "not-wrong")
    ]
    (states,) = run.states([pool.trajectories[0].id])
    mask = torch.ones(1, len(states.steps), dtype=torch.bool)
    layer = torch.from_numpy(states.values[None, :, [1]].astype(np.float32))
    with torch.no_grad():
        p = model(layer, mask).logits[0].softmax(-1)
    assert right[0].steps == pytest.approx(p[:, 0].tolist(), abs=1e-5)
    assert other[0].steps == pytest.approx((1 - p[:, 1]).tolist(), abs=1e-5)
    assert other[0].value == pytest.approx((1 - p[:, 1]).mean().item(), abs=1e-5)
    model.config.readout = "not-wrong"
    (named, *_) = await HiddenScorer(model).score(pool, run.states_folder)
    assert named.steps == pytest.approx(other[0].steps, abs=1e-6)


async def test_gated_scores(run: Run) -> None:
    model = SwiftModel(SwiftConfig(policy_hidden_size=HIDDEN, layers=[3], states_source=dict(ABOUT))).eval()
    pool = next(iter(run.pools()))
    score = (await HiddenScorer(model).score(pool, run.states_folder))[0]
    stored = next(run.states([score.trajectory_id]))
    output = model(torch.from_numpy(stored.values[None, :, [1]]), torch.ones(1, len(stored.steps), dtype=torch.bool))
    expected = ((output.logits[0, :, 0] * output.gates[0]).sum() / output.gates[0].sum()).detach()
    assert score.value == pytest.approx(float(expected.sigmoid()), abs=1e-6)


async def test_log_probabilities_are_joined_where_the_model_reads_them(run: Run) -> None:
    model = make_model(features=4)
    pool = next(iter(run.pools()))
    with_numbers = await HiddenScorer(model).score(pool, run.states_folder)
    silent = [
        Trajectory(t.id, t.problem_id, t.index, t.seed, Completion(t.completion.text, tokens=t.completion.tokens))
        for t in pool.trajectories[:2]
    ]
    scorer = HiddenScorer(model)
    mixed = await scorer.score(
        type(pool)(pool.problem_id, pool.prompt, (*silent, *pool.trajectories[2:])), run.states_folder
    )
    assert [math.isnan(score.value) for score in mixed] == [True, True, False, False, False, False]
    assert [s.value for s in mixed[2:]] == pytest.approx([s.value for s in with_numbers[2:]], abs=1e-6)
    assert scorer.report().unscored == {"no log-probabilities": 2}


async def test_what_cannot_be_scored_is_counted_by_reason(run: Run) -> None:
    """A trajectory without states, one without steps, one with NaN in its states, and a failed one."""
    nan = np.full((1, 2, HIDDEN), np.nan, np.float32)
    run.append_states(
        {"x#1": HiddenStates((1, 3), (), nan[:0]), "x#2": HiddenStates((1, 3), (Step(0, 1),), nan)}, ABOUT
    )
    completion = Completion("text", tokens=np.arange(3, dtype=np.int32), finish="length")
    failed = Completion("", finish="error", note="failed")
    pool = next(iter(run.pools()))
    odd = tuple(Trajectory(f"x#{i}", "x", i, i, completion) for i in range(3))
    scorer = HiddenScorer(make_model())
    scores = await scorer.score(
        type(pool)("x", "?", (*odd, Trajectory("x#3", "x", 3, 3, failed), pool.trajectories[0])), run.states_folder
    )
    assert [math.isnan(score.value) for score in scores] == [True, True, True, True, False]
    assert all(score.steps == () for score in scores[:4])
    reasons = {"no states": 1, "no steps": 1, "states not finite": 1, "failed": 1}
    assert scorer.report().unscored == reasons


async def test_an_empty_pool_has_no_scores(run: Run) -> None:
    pool = next(iter(run.pools()))
    assert await HiddenScorer(make_model()).score(type(pool)("x", "?", ()), run.states_folder) == []


async def test_a_run_without_states_says_what_to_do(run: Run, tmp_path: Path) -> None:
    empty = Run.create(tmp_path / "empty", {"identity": {}, "info": {}})
    pool = next(iter(run.pools()))
    for source in (empty.states_folder, NO_STATES):
        with pytest.raises(UnavailableError, match=r"no hidden states to score: .*`nbest encode RUN`"):
            await HiddenScorer(make_model()).score(pool, source)


@pytest.mark.parametrize(
    ("field", "value"), [("content_hash", "zzz"), ("step_rule", "every-token"), ("last_layer_after_norm", "false")]
)
async def test_states_of_another_policy_norm_or_rule_are_refused(tmp_path: Path, field: str, value: str) -> None:
    run = make_run(tmp_path / "run", problems=1, about={**ABOUT, field: value})
    with pytest.raises(DataError, match=f"{field} is '{value}', the scorer was trained with '{ABOUT[field]}'"):
        await HiddenScorer(make_model()).score(next(iter(run.pools())), run.states_folder)


async def test_states_of_another_policy_beside_fitting_ones_are_skipped(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", problems=1)
    pool = next(iter(run.pools()))
    foreign = Trajectory("x#9", "x", 9, 9, pool.trajectories[0].completion)
    (states,) = run.states([pool.trajectories[0].id])
    run.append_states({"x#9": states}, {**ABOUT, "content_hash": "zzz"})
    run.states_folder.refresh()
    scorer = HiddenScorer(make_model())
    mixed = type(pool)(pool.problem_id, "?", (*pool.trajectories, foreign))
    scores = await scorer.score(mixed, run.states_folder)
    assert [math.isnan(score.value) for score in scores] == [False] * len(pool.trajectories) + [True]
    alone = type(pool)("x", "?", (foreign,))
    assert math.isnan((await scorer.score(alone, run.states_folder))[0].value)
    assert scorer.report().unscored == {"states of another policy or layer": 2}
    with pytest.raises(DataError, match="content_hash is 'zzz'"):
        await HiddenScorer(make_model()).score(alone, run.states_folder)


def test_a_field_that_one_side_lacks_is_not_compared() -> None:
    check_origin({"content_hash": "a"}, {"model": "b"}, "here")
    check_origin({}, dict(ABOUT), "here")


async def test_states_without_the_layer_are_refused(run: Run) -> None:
    with pytest.raises(DataError, match=r"states of layers \[1, 3\]; the scorer was trained on \[2\]"):
        await HiddenScorer(make_model(layers=[2])).score(next(iter(run.pools())), run.states_folder)


def test_a_checkpoint_that_is_missing_or_cut_short_is_named(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "scorer")
    assert load_step_scorer(tmp_path / "scorer").config.layers == [3]
    weights = tmp_path / "scorer" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_step_scorer(tmp_path / "scorer")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_step_scorer(tmp_path / "nothing")


async def test_a_stage_scores_what_is_missing_and_goes_on(run: Run) -> None:
    done: list[int] = []
    scorer = HiddenScorer(make_model())
    await score_run(run, scorer, "tiny", lambda count, _: done.append(count))
    assert sum(done) == 18
    await score_run(run, scorer, "tiny", lambda count, _: done.append(count))
    assert sum(done) == 18
    assert len(list(run.scores("tiny"))) == 18


def test_concurrent_pools_are_safe(run: Run) -> None:
    scorer = HiddenScorer(make_model())

    async def score_all() -> list[list[float]]:
        pools = await asyncio.gather(*(scorer.score(pool, run.states_folder) for pool in run.pools()))
        return [[score.value for score in scores] for scores in pools]

    assert len(asyncio.run(score_all())) == 3


async def test_a_truncated_trajectory_is_scored_on_the_steps_it_has(run: Run) -> None:
    """Cut by the token limit, or without `</think>`: the steps that the step rule found are read."""
    pool = next(iter(run.pools()))
    whole = await HiddenScorer(make_model()).score(pool, run.states_folder)
    cut = tuple(
        replace(t, completion=replace(t.completion, text=t.completion.text.split("</think>")[0], finish="length"))
        for t in pool.trajectories
    )
    scores = await HiddenScorer(make_model()).score(type(pool)(pool.problem_id, pool.prompt, cut), run.states_folder)
    assert [score.value for score in scores] == [score.value for score in whole]
