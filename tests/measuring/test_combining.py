from dataclasses import replace

import numpy as np
import pytest

from nbest.errors import ConfigError, UnavailableError
from nbest.measuring.combining import fit_combined, read_pools
from nbest.measuring.compare import compare
from nbest.records import Completion, Pool, Score, Trajectory
from nbest.selecting.combined.features import NormalScores, column_names
from nbest.selecting.combined.fit import fit_pools
from nbest.selecting.combined.model import CombinedModel, choice_names
from nbest.selecting.combined.selector import CombinedSelector
from nbest.selecting.combined.subsets import (
    GradedPool,
    combined_at_k,
    combined_estimator,
    draw_orders,
    draw_subsets,
)
from nbest.selecting.outcomes import Outcomes
from nbest.statistics.calibration import PlattMap
from nbest.statistics.estimators import best_of_k, majority_at_k

KS = (1, 2, 4, 8)


def model_of(weights, scorers=("a",), intercept=0.0):
    return CombinedModel(
        scorers=scorers,
        main=scorers[0],
        scales=tuple(NormalScores((-3.0, 3.0), (-3.0, 3.0)) for _ in scorers),
        weights=tuple(weights.get(name, 0.0) for name in column_names(scorers)),
        doubt=(0.0,) * len(choice_names(scorers)),
        intercept=intercept,
        calibration=PlattMap(1.0, 0.0),
    )


def draw_pools(count, seed, strengths=(1.2, 0.3), size=16):
    """Problems of several difficulties; wrong answers spread over a few values; two scores that know a little."""
    rng = np.random.default_rng(seed)
    pools = []
    for number in range(count):
        right = rng.random(size) < 1 / (1 + np.exp(-rng.normal(-0.4, 1.2)))
        wrong = 1 + rng.choice(6, size, p=rng.dirichlet(np.full(6, 0.4)))
        labels = np.where(right, 0, wrong)
        scores = np.array([strength * right + rng.normal(size=size) for strength in strengths])
        scores[1] = -np.exp(-scores[1])
        pools.append(GradedPool(f"p{number}", right, labels, scores))
    return pools


@pytest.fixture(scope="module")
def fitted():
    return fit_pools(draw_pools(80, seed=1), ("a", "b"))


def test_subsets_are_nested_and_numbered_by_first_appearance():
    pool = GradedPool("p", np.zeros(4, dtype=bool), np.array([3, 1, -1, 1]), np.arange(4.0)[None])
    orders = np.array([[1, 2, 3, 0], [0, 1, 2, 3]])
    drawn = draw_subsets(pool, orders, 3)
    assert drawn.labels.tolist() == [[0, -1, 0], [0, 1, -1]]
    assert drawn.scores[0].tolist() == [[1, 2, 3], [0, 1, 2]]
    assert drawn.clusters == 2
    assert all(sorted(order) == [0, 1, 2, 3] for order in draw_orders(4, 5, seed=0).tolist())


def test_votes_alone_simulate_the_majority():
    pools, model = draw_pools(30, seed=3, size=8), model_of({"log_votes": 5.0})
    found = [at_k(pool, model, draws=200).accuracy for pool in pools]
    exact = [majority_at_k(pool.correct, pool.labels, KS).accuracy for pool in pools]
    # 30 problems x 200 draws with a deviation of at most 0.5: the mean is within 0.5 / sqrt(6000) * 4 = 0.026. At
    # k = 8 there is one subset, whose ties fall to the answer stated first instead of being shared.
    assert np.mean(found, axis=0)[:3] == pytest.approx(np.mean(exact, axis=0)[:3], abs=0.026)


def test_a_score_alone_simulates_best_of_k():
    pools, model = draw_pools(30, seed=4, size=8), model_of({"a:best": 5.0})
    found = [at_k(pool, model, draws=200).accuracy for pool in pools]
    exact = [best_of_k(pool.correct, pool.scores[0], KS).accuracy for pool in pools]
    assert np.mean(found, axis=0) == pytest.approx(np.mean(exact, axis=0), abs=0.026)
    assert [each[3] for each in found] == [each[3] for each in exact]


def at_k(pool, model, draws=8, ks=KS, **settings):
    scores = dict(zip("ab", pool.scores, strict=True))
    return combined_at_k(pool.correct, pool.labels, scores, ks, model, draws=draws, **settings)


def test_the_fit_beats_every_single_rule_on_other_problems(fitted):
    model, _ = fitted
    pools = draw_pools(150, seed=2)
    combined = np.mean([at_k(pool, model, ks=(4, 16)).accuracy for pool in pools], axis=0)
    for exact in (
        [majority_at_k(pool.correct, pool.labels, (4, 16)).accuracy for pool in pools],
        [best_of_k(pool.correct, pool.scores[0], (4, 16)).accuracy for pool in pools],
        [best_of_k(pool.correct, pool.scores[1], (4, 16)).accuracy for pool in pools],
    ):
        assert (combined > np.mean(exact, axis=0)).all()


def test_the_report_is_held_out_and_whole(fitted):
    model, report = fitted
    assert report.problems == {1: 80, 2: 80, 4: 80, 8: 80, 16: 80}
    assert set(report.accuracy) == {"combined", "log_votes"} | {
        f"{name}:{rule}" for name in "ab" for rule in ("best", "log_trust", "borda", "top_share")
    }
    assert report.accuracy["combined"][16] >= max(by[16] for by in report.accuracy.values()) - 0.05
    assert 0 <= report.ece["after"] < 0.1
    assert [row[0] for row in report.coverage[16]] == [round(0.1 * step, 1) for step in range(1, 11)]
    # Answering all is the accuracy; answering the surest half is better.
    assert report.coverage[16][-1][1] == pytest.approx(report.accuracy["combined"][16])
    assert report.coverage[16][4][1] > report.coverage[16][-1][1]
    assert model.main == "a"
    assert report.to_json()["calibration"] == model.about["calibration"]


def test_a_fit_is_the_same_every_time():
    pools = draw_pools(30, seed=5, size=4)
    assert fit_pools(pools, ("a", "b"))[0] == fit_pools(pools, ("a", "b"))[0]


@pytest.mark.parametrize("kind", ["platt", "isotonic", "none"])
def test_the_calibration_can_be_chosen(kind):
    model, report = fit_pools(draw_pools(30, seed=5, size=4), ("a", "b"), calibration=kind)
    assert report.calibration == kind
    assert (model.calibration == PlattMap(1.0, 0.0)) is (kind == "none")


def test_useless_scores_do_no_harm():
    model, _ = fit_pools(draw_pools(50, seed=6, strengths=(0.0, 0.0), size=8), ("a", "b"))
    pools = draw_pools(150, seed=7, strengths=(0.0, 0.0), size=8)
    combined = np.mean([at_k(pool, model, ks=(8,)).accuracy for pool in pools])
    majority = np.mean([majority_at_k(pool.correct, pool.labels, (8,)).accuracy for pool in pools])
    # Paired over 150 problems: 0.05 is some three standard errors of the difference.
    assert combined > majority - 0.05


def test_the_simulation_picks_what_the_selector_picks(fitted, strings):
    model, _ = fitted
    for pool in draw_pools(20, seed=8):
        answers = [str(label) for label in pool.labels]
        selection = run_selector(model, pool, answers, strings)
        whole = at_k(pool, model, ks=(16,)).accuracy[0]
        assert whole == float(pool.correct[selection.index])


def run_selector(model, pool, answers, strings):
    import asyncio

    trajectories = tuple(
        Trajectory(f"{place}", pool.problem_id, place, 0, Completion(""), answer)
        for place, answer in enumerate(answers)
    )
    scores = {
        name: {f"{place}": Score(f"{place}", float(value)) for place, value in enumerate(row)}
        for name, row in zip("ab", pool.scores, strict=True)
    }
    return asyncio.run(CombinedSelector(model, scores, strings).select(Pool(pool.problem_id, "?", trajectories)))


def test_a_threshold_counts_abstentions_as_wrong():
    pool = draw_pools(1, seed=9, size=8)[0]
    sure, unsure = model_of({"a:best": 1.0}, intercept=1.0), model_of({"a:best": 1.0}, intercept=-1.0)
    assert at_k(pool, sure, threshold=0.5).abstained.tolist() == [0, 0, 0, 0]
    found = at_k(pool, unsure, threshold=0.5)
    assert (found.abstained.tolist(), found.accuracy.tolist()) == ([1, 1, 1, 1], [0, 0, 0, 0])


def test_subsets_without_an_answer_abstain_and_large_k_is_undefined():
    pool = GradedPool("p", np.zeros(2, dtype=bool), np.array([-1, -1]), np.zeros((2, 2)))
    found = at_k(pool, model_of({}), ks=(1, 3))
    assert found.abstained[0] == 1
    assert np.isnan(found.accuracy[1])


def test_what_cannot_be_fitted_or_simulated_is_refused():
    pools = draw_pools(30, seed=5, size=4)
    with pytest.raises(UnavailableError, match="at least 20"):
        fit_pools(pools[:10], ("a", "b"))
    with pytest.raises(ConfigError, match="named twice"):
        fit_pools(pools, ("a", "a"))
    with pytest.raises(ConfigError, match="calibration must be one of"):
        fit_pools(pools, ("a", "b"), calibration="magic")
    with pytest.raises(UnavailableError, match="needs scores of a"):
        combined_at_k(pools[0].correct, pools[0].labels, {}, [1], model_of({}))
    with pytest.raises(ConfigError, match="k must be at least 1"):
        at_k(pools[0], model_of({}), ks=(0,))


def attempts_of(pool):
    rows = zip(pool.correct.tolist(), pool.labels.tolist(), pool.scores[0].tolist(), strict=True)
    return [{"correct": right, "answer": str(label), "scores": {"a": score}} for right, label, score in rows]


def test_a_run_is_fitted_from_its_verdicts_and_scores(make_run, strings):
    run = make_run(*(attempts_of(pool) for pool in draw_pools(40, seed=10, size=4)))
    model, report = fit_combined(run, ["a"], strings)
    assert (model.scorers, model.policy) == (("a",), None)
    assert report.problems[4] == 40


def test_what_a_run_lacks_is_named(make_run, strings):
    run = make_run([{"correct": True, "answer": "1", "scores": {"a": 1.0}}], [{"correct": False, "answer": "2"}])
    with pytest.raises(UnavailableError, match="no scores of 'z'; it has a"):
        fit_combined(run, ["z"], strings)
    with pytest.raises(UnavailableError, match="no score of 'a' for 1 of its problems"):
        next(read_pools(run, ["a"], strings))


def test_failed_attempts_have_no_vote(make_run, strings):
    run = make_run(
        [
            {"correct": True, "answer": "1", "scores": {"a": 1.0}},
            {"correct": "absent", "answer": "1", "finish": "error", "scores": {"a": 9.0}},
        ]
    )
    (pool,) = read_pools(run, ["a"], strings)
    assert pool.labels.tolist() == [0, -1]
    assert np.isnan(pool.scores[0, 1])


def test_the_estimator_reads_outcomes(strings):
    pool = draw_pools(1, seed=11, size=8)[0]
    model = model_of({"a:best": 5.0})
    nothing = np.zeros(8, dtype=np.int64)
    outcomes = Outcomes(
        "p", np.arange(8), pool.correct, np.zeros(8, bool), tuple(map(str, pool.labels)), nothing, nothing,
        {"a": pool.scores[0]},
    )  # fmt: skip
    found = combined_estimator(model, strings, draws=50)(outcomes, [8])
    assert found.accuracy == best_of_k(pool.correct, pool.scores[0], [8]).accuracy


def test_a_selector_fitted_on_another_policy_is_not_compared(make_run, strings, tmp_path):
    run = make_run([{"correct": True, "answer": "1", "scores": {"a": 1.0}}])
    file = tmp_path / "mix.json"
    replace(model_of({"a:best": 1.0}), policy="aaa").save(file)
    assert [row.selector for row in compare(run, [str(file)], [1], equivalence=strings).rows] == ["mix"]
    run.manifest["identity"]["policy"] = {"content_hash": "bbb"}
    with pytest.raises(ConfigError, match=r"fitted on the policy 'aaa'; run .* is of 'bbb'"):
        compare(run, [str(file)], [1], equivalence=strings)
