from dataclasses import replace
from itertools import permutations
from statistics import fmean

import numpy as np
import pytest

from nbest.errors import ConfigError
from nbest.measuring.question import Question
from nbest.records import Completion, Pool, Score, Trajectory
from nbest.registry import needed_scorers, specs
from nbest.selecting.estimators import RememberedClusters, cluster_answers, contestant
from nbest.selecting.outcomes import Outcomes
from nbest.selecting.scored import FirstSelector, LengthSelector, RandomSelector, ScoreSelector
from nbest.selecting.voting import MajoritySelector
from nbest.selecting.weighted import WeightedVoteSelector
from nbest.statistics.subsets import SampledCurve
from nbest.statistics.votes import RULES

VOTES = [f"{name}:NAME" for name in RULES]

# correct, answer, tokens, score, failed: ties in every column, two without a score, one failed, one without an answer.
ATTEMPTS = [
    (True, "1", 5, 0.5, False),
    (False, "2", 5, 0.5, False),
    (False, "2", 3, None, False),
    (True, "1", 2, 0.1, False),
    (True, "9", 9, 0.9, True),
    (False, None, 2, None, False),
]


def outcomes_of(attempts):
    correct, answers, tokens, scores, failed = zip(*attempts, strict=True)
    failed = np.array(failed)
    return Outcomes(
        problem_id="p",
        indices=np.arange(len(attempts)),
        correct=np.array(correct) & ~failed,
        failed=failed,
        answers=tuple(None if out else answer for answer, out in zip(answers, failed, strict=True)),
        sampled_tokens=np.array(tokens),
        characters=np.zeros(len(attempts), dtype=np.int64),
        scores={"NAME": np.array(scores, dtype=np.float64)},
    )


def pool_of(attempts):
    trajectories = []
    for index, (_, answer, tokens, _, failed) in enumerate(attempts):
        completion = Completion("", tokens=np.zeros(tokens, dtype=np.int32), finish="error" if failed else "stop")
        trajectories.append(Trajectory(f"p#{index}", "p", index, 0, completion, answer))
    return Pool("p", "?", tuple(trajectories))


def selector_of(name, attempts, equivalence):
    scores = {f"p#{i}": Score(f"p#{i}", each[3]) for i, each in enumerate(attempts) if each[3] is not None}
    return {
        "first": FirstSelector(),
        "longest": LengthSelector(is_longest=True),
        "shortest": LengthSelector(is_longest=False),
        "majority": MajoritySelector(equivalence),
        "score:NAME": ScoreSelector("NAME", scores),
        **{vote: WeightedVoteSelector("NAME", scores, equivalence, RULES[vote[:-5]]) for vote in VOTES},
    }[name]


async def accuracy_of(selector, attempts):
    selection = await selector.select(pool_of(attempts))
    return float(selection.index is not None and attempts[selection.index][0])


@pytest.mark.parametrize("name", ["first", "longest", "shortest", "majority", "score:NAME", *VOTES])
async def test_at_n_the_estimator_is_the_expectation_of_the_selector_over_the_order_of_samples(name, strings):
    selected, estimated = [], []
    for attempts in permutations(ATTEMPTS[:5] if name in VOTES else ATTEMPTS):
        selected.append(await accuracy_of(selector_of(name, attempts, strings), attempts))
        estimated.append(float(contestant(name, strings).estimate(outcomes_of(attempts), [len(attempts)]).accuracy[0]))
    assert fmean(selected) == pytest.approx(fmean(estimated), abs=1e-12)
    if name != "first":  # which is about the order itself
        assert estimated == pytest.approx([estimated[0]] * len(estimated))


@pytest.mark.parametrize("name", ["first", "longest", "shortest", "majority", "score:NAME", *VOTES])
async def test_without_ties_the_estimator_at_n_is_the_selector(name, strings):
    attempts = [
        (True, "1", 4, 0.3, False),
        (False, "2", 3, 0.8, False),
        (True, "1", 7, 0.1, False),
        (False, "3", 1, 0.2, False),
    ]
    expected = await accuracy_of(selector_of(name, attempts, strings), attempts)
    assert contestant(name, strings).estimate(outcomes_of(attempts), [4]).accuracy[0] == pytest.approx(expected)


async def test_random_is_the_expectation_over_seeds(strings):
    picks = [await accuracy_of(RandomSelector(seed), ATTEMPTS) for seed in range(500)]
    expected = contestant("random", strings).estimate(outcomes_of(ATTEMPTS), [6]).accuracy[0]
    assert expected == pytest.approx(2 / 5)  # five did not fail, two of them are right
    assert fmean(picks) == pytest.approx(expected, abs=0.07)  # three standard deviations: 3 sqrt(.24 / 500) = 0.066


def test_oracle_is_pass_at_k_and_bounds_every_selector(strings):
    ks = [1, 2, 3, 4, 5, 6]
    outcomes = outcomes_of(ATTEMPTS)
    oracle = contestant("oracle", strings).estimate(outcomes, ks).accuracy
    # 2 of 6 can win and are right (the failed one counts as wrong): k=2: 1 - C(4,2)/C(6,2) = 1 - 6/15.
    assert oracle[:2] == pytest.approx([1 / 3, 0.6])
    plain = [spec.name for spec in specs("selector") if spec.estimator is not None and not spec.needs & {"scores"}]
    assert {"first", "random", "majority", "longest", "shortest", "oracle"} <= set(plain)
    for name in (*plain, "score:NAME", *VOTES):
        assert (contestant(name, strings).estimate(outcomes, ks).accuracy <= oracle + 1e-12).all()


def test_the_oracle_is_no_selector():
    import nbest.selecting.scored as scored
    import nbest.selecting.voting as voting
    import nbest.selecting.weighted as weighted

    classes = [
        name for module in (scored, voting, weighted) for name, value in vars(module).items() if isinstance(value, type)
    ]
    assert "FirstSelector" in classes
    assert not any("oracle" in name.lower() for name in classes)


def test_lengths_are_characters_where_tokens_are_missing(strings):
    outcomes = outcomes_of([(True, "1", 0, 0.0, False), (False, "1", 900, 0.0, False)])
    outcomes.characters[:] = [12, 5]
    assert contestant("longest", strings).estimate(outcomes, [2]).accuracy[0] == 1.0


def test_each_distinct_answer_is_asked_about_once():
    class Recording:
        def cluster(self, answers, _kind="math"):
            self.answers = list(answers)
            return [0, None]

        def same(self, a, b, _kind="math"):
            return a == b

    equivalence = Recording()
    clusters = cluster_answers(outcomes_of(ATTEMPTS[:4]), equivalence)
    assert equivalence.answers == ["1", "2"]
    assert clusters.tolist() == [0, -1, -1, 0]  # an answer that the relation calls none does not vote


def test_every_vote_of_a_problem_draws_the_same_subsets_and_every_problem_its_own(strings):
    many = [(i % 3 == 0, str(i % 3), 5, i % 7 / 7, False) for i in range(30)]
    first, other = outcomes_of(many), replace(outcomes_of(many), problem_id="q")
    curves = [
        contestant("vote:NAME", strings, seed).estimate(outcomes, [9])
        for seed, outcomes in ((1, first), (1, other), (2, first))
    ]
    assert all(isinstance(curve, SampledCurve) and not curve.exact.any() for curve in curves)
    assert len({float(curve.accuracy[0]) for curve in curves}) == 3
    again = contestant("vote:NAME", strings, 1).estimate(first, [9])
    assert again.accuracy.tolist() == curves[0].accuracy.tolist()


def test_remembered_clusters_ask_once(strings):
    remembered = RememberedClusters(strings)
    for answers in (["1", "2"], ["1", "2"], ["1", "3"], ["1", "2"]):
        assert remembered.cluster(answers) == [0, 1]
    assert strings.asked == 3
    assert remembered.same("1", "1")


@pytest.mark.parametrize(
    ("name", "scorers"), [("score:a", ["a"]), ("vote-max:a:b", ["a:b"]), ("majority", []), ("borda(power=2):a", ["a"])]
)
def test_the_scorers_that_a_selector_reads(name, scorers):
    assert needed_scorers(name) == scorers


def test_unknown_names_are_all_named():
    with pytest.raises(ConfigError) as caught:
        Question(["first", "best", "score:", "score", "mean:a", "vote:a"]).check()
    assert [fault.split("'")[1] for fault in caught.value.faults] == ["best", "score:", "score", "mean:a"]
    assert "vote:NAME, vote-max:NAME, borda:NAME" in caught.value.faults[0]
    with pytest.raises(ConfigError, match="no selector was named"):
        Question([]).check()
