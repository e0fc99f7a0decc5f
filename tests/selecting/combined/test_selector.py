import json

import numpy as np
import pytest

from nbest.errors import ConfigError, UnavailableError
from nbest.records import Completion, Pool, Score, Trajectory
from nbest.selecting.combined.features import NormalScores, column_names
from nbest.selecting.combined.model import CombinedModel, choice_names
from nbest.selecting.combined.selector import CombinedSelector
from nbest.statistics.calibration import IsotonicMap, PlattMap

NAN = float("nan")


class Strings:
    def cluster(self, answers, _kind="math"):
        numbers = {}
        return [None if answer is None else numbers.setdefault(answer, len(numbers)) for answer in answers]

    def same(self, a, b, _kind="math"):
        return a == b


def model_of(weights, scorers=("a",), doubt=None, calibration=None):
    """A model with the named weights; scores from -3 to 3 are taken as they are."""
    columns, choices = column_names(scorers), choice_names(scorers)
    return CombinedModel(
        scorers=scorers,
        main=scorers[0] if scorers else "",
        scales=tuple(NormalScores((-3.0, 3.0), (-3.0, 3.0)) for _ in scorers),
        weights=tuple(weights.get(name, 0.0) for name in columns),
        doubt=tuple((doubt or {}).get(name, 0.0) for name in choices),
        intercept=0.0,
        calibration=calibration or PlattMap(1.0, 0.0),
        policy="abc",
        about={"problems": 7},
    )


def pool_of(*answers, failed=()):
    finish = ["error" if place in failed else "stop" for place in range(len(answers))]
    return Pool(
        "p",
        "?",
        tuple(
            Trajectory(f"p#{i}", "p", i, 0, Completion("", finish=finish[i]), answer)
            for i, answer in enumerate(answers)
        ),
    )


def scores_of(*values, name="a"):
    return {name: {f"p#{i}": Score(f"p#{i}", value) for i, value in enumerate(values) if value is not None}}


async def select(weights, pool, scores, threshold=None, **model):
    return await CombinedSelector(model_of(weights, **model), scores, Strings(), threshold).select(pool)


POOL = pool_of("7", "7", "7", "8", "8", "9")
SCORES = scores_of(0.0, 0.5, -1.0, 1.8, 1.7, 2.0)


async def test_votes_alone_are_the_majority():
    # 7 has three votes; of its members #1 has the highest score.
    assert (await select({"log_votes": 5.0}, POOL, SCORES)).index == 1


async def test_the_best_score_alone_is_the_argmax():
    assert (await select({"a:best": 5.0}, POOL, SCORES)).index == 5


async def test_summed_scores_are_a_weighted_vote():
    # Sums of e^score: 7: 1 + 1.65 + 0.37 = 3.0; 8: 6.05 + 5.47 = 11.5; 9: 7.39.
    selection = await select({"a:log_sum": 5.0}, POOL, SCORES)
    assert (selection.index, selection.answer) == (3, "8")


async def test_tied_clusters_go_to_the_lowest_index():
    pool = pool_of("7", "8")
    assert (await select({}, pool, scores_of(0.0, 1.0))).index == 0
    turned = Pool("p", "?", pool.trajectories[::-1])
    assert (await select({}, turned, scores_of(0.0, 1.0))).index == 1


async def test_confidence_is_the_calibrated_signal():
    # share 3/6 times 2 = 1: 1 / (1 + e^-1) as it is; an isotonic map reads 0.5 between (0, 0.2) and (2, 0.8).
    selection = await select({"log_votes": 5.0}, POOL, SCORES, doubt={"share": 2.0})
    assert selection.confidence == pytest.approx(1 / (1 + np.exp(-1)))
    mapped = IsotonicMap((0.0, 2.0), (0.2, 0.8))
    selection = await select({"log_votes": 5.0}, POOL, SCORES, doubt={"share": 2.0}, calibration=mapped)
    assert selection.confidence == pytest.approx(0.5)


async def test_abstains_below_the_threshold_and_says_so():
    selection = await select({}, POOL, SCORES, threshold=0.6)
    assert (selection.index, selection.answer, selection.confidence) == (None, None, 0.5)
    assert selection.note == "confidence 0.500 is below the threshold 0.6"
    assert (await select({}, POOL, SCORES, threshold=0.5)).index is not None


@pytest.mark.parametrize("threshold", [-0.1, 1.1, NAN])
def test_a_threshold_is_a_probability(threshold):
    with pytest.raises(ConfigError, match="threshold"):
        CombinedSelector(model_of({}), {}, Strings(), threshold)


async def test_those_without_an_answer_form_no_cluster():
    pool = pool_of(None, None, "8")
    assert (await select({"log_votes": 5.0}, pool, scores_of(2.0, 2.0, 0.0))).index == 2
    nobody = await select({}, pool_of(None, None), scores_of(1.0, 1.0))
    assert (nobody.index, nobody.note) == (None, "none of 2 trajectories has an answer")


async def test_a_failed_attempt_neither_votes_nor_wins():
    pool = pool_of("7", "7", "8", failed=(0, 1))
    assert (await select({"log_votes": 5.0, "a:best": 1.0}, pool, scores_of(2.0, 2.0, -2.0))).index == 2


async def test_missing_scores_are_counted_and_never_win():
    selection = await select({"a:best": 5.0}, pool_of("7", "8", "8"), scores_of(None, NAN, -2.5))
    assert selection.index == 2
    assert selection.note == "2 of 3 trajectories have no score of 'a'"


@pytest.mark.parametrize("scores", [{}, scores_of(1.0, name="b"), scores_of(NAN)])
async def test_a_pool_that_was_not_scored_names_the_scorer(scores):
    with pytest.raises(UnavailableError, match=r"no score of 'a' for the only trajectory of problem 'p'"):
        await select({}, pool_of("7"), scores)


async def test_a_model_of_votes_alone_needs_no_scores():
    assert (await select({"log_votes": 1.0}, pool_of("7", "8", "8"), {}, scorers=())).index == 1


@pytest.mark.parametrize("calibration", [PlattMap(0.9, -0.1), IsotonicMap((0.0, 1.0), (0.1, 0.9))])
def test_a_model_comes_back_as_it_was_saved(tmp_path, calibration):
    model = model_of({"share": 0.25}, scorers=("a", "b"), doubt={"log_n": 1 / 3}, calibration=calibration)
    model.save(tmp_path / "model.json")
    assert CombinedModel.load(tmp_path / "model.json") == model


def damage(content, field, value):
    return json.dumps({**content, field: value})


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("kind", "other", "not a combined selector"),
        ("format", 99, "format 99 is not known"),
        ("weights", [1.0], "finite numbers, got 1"),
        ("weights", None, "fit it again"),
        ("main", "z", "main"),
        ("columns", ["x"], "columns are not those of this version"),
        ("calibration", {"kind": "magic"}, "neither isotonic nor platt"),
        ("calibration", {"kind": "isotonic", "x": [1, 0], "y": [0, 1]}, "ascending"),
        ("calibration", {"kind": "isotonic", "x": [0, 1], "y": [0, 2]}, "within 0 and 1"),
        ("calibration", {"kind": "platt"}, "'slope' is missing"),
    ],
)
def test_a_foreign_or_damaged_file_is_named(tmp_path, field, value, says):
    path = tmp_path / "model.json"
    model_of({}).save(path)
    path.write_text(damage(json.loads(path.read_text()), field, value))
    with pytest.raises(ConfigError, match=says) as caught:
        CombinedModel.load(path)
    assert str(path) in str(caught.value)


def test_a_file_cut_short_or_absent_is_named(tmp_path):
    path = tmp_path / "model.json"
    with pytest.raises(ConfigError, match="cannot be read"):
        CombinedModel.load(path)
    model_of({}).save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ConfigError, match="not whole JSON"):
        CombinedModel.load(path)
    path.write_text("[]")
    with pytest.raises(ConfigError, match="not a combined selector"):
        CombinedModel.load(path)
