import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.measuring.compare import compare, compare_runs, default_ns
from nbest.measuring.comparison import Comparison
from nbest.measuring.question import Question
from nbest.measuring.several import SeveralRuns
from nbest.records import Completion, Problem, Score, Trajectory, Verdict, trajectory_id
from nbest.selecting.estimators import Contestant
from nbest.statistics.estimators import best_of_k
from nbest.storage.run import Run
from tests.graded_runs import ROLES

POOLS = Path(__file__).parents[2].parent / "shared" / "data" / "pools"
RIGHT, WRONG = {"correct": True, "answer": "1"}, {"correct": False, "answer": "2"}


def accuracies(comparison, selector):
    return {row.n: row.accuracy for row in comparison.rows if row.selector == selector}


def test_a_row_is_the_macro_mean_over_problems(make_run, strings):
    # pass@1 is 2/3 and 0; at 2: 1 (every pair holds a right one) and 0. Majority at 3: 1 and 0.
    run = make_run([RIGHT, RIGHT, WRONG], [WRONG, WRONG, WRONG])
    result = compare(run, ["random", "oracle", "majority"], [1, 2, 3], equivalence=strings)
    assert accuracies(result, "random") == pytest.approx({1: 1 / 3, 2: 1 / 3, 3: 1 / 3})
    assert accuracies(result, "oracle") == pytest.approx({1: 1 / 3, 2: 1 / 2, 3: 1 / 2})
    assert accuracies(result, "majority")[3] == pytest.approx(1 / 2)
    row = result.rows[0]
    assert (row.low, row.high, row.problems, row.exact) == (0.0, 2 / 3, 2, True)
    assert row.sampled_tokens == 10.0


SCORED = [
    [RIGHT | {"scores": {"a": 0.9, "log": -0.1}}, WRONG | {"scores": {"a": 0.3, "log": -1.2}}, WRONG],
    [RIGHT | {"scores": {"a": 0.2, "log": -2.0}}, WRONG | {"scores": {"a": 0.5, "log": -0.7}}, WRONG],
]


def test_defaults_hold_one_vote_per_scorer_by_weight_or_by_rank(make_run, strings):
    result = compare(make_run(*SCORED), equivalence=strings)
    assert result.selectors == [
        *("first", "random", "majority", "longest", "shortest"),
        *("score:a", "vote:a", "score:log", "borda:log", "oracle"),
    ]
    # At 3 the unscored trajectory does not vote: 0.9 against 0.3 is right, 0.2 against 0.5 wrong.
    assert accuracies(result, "vote:a")[3] == 0.5
    assert strings.asked == 1  # by three votes, and both problems hold the same answers


@pytest.mark.parametrize("name", ["vote:log", "filtered:log"])
def test_negative_scores_are_no_weights(make_run, strings, name):
    message = rf"{name}: run .*4 of 4 scores are negative.*use borda:NAME or softmax:NAME"
    with pytest.raises(UnavailableError, match=message):
        compare(make_run(*SCORED), [name], equivalence=strings)
    result = compare(make_run(*SCORED, name="again"), ["softmax:log", "vote-max:log"], equivalence=strings)
    assert len(result.rows) == 6


def test_a_negative_score_without_an_answer_is_no_fault(make_run, strings):
    run = make_run([RIGHT | {"scores": {"a": 0.9}}, {"answer": None, "correct": False, "scores": {"a": -1.0}}])
    assert accuracies(compare(run, ["vote:a"], [2], equivalence=strings), "vote:a") == {2: 1.0}


def test_drawn_rows_say_so_and_how_far_off_they_may_be(make_run, strings):
    attempts = [
        (RIGHT if i % 3 == 0 else WRONG | {"answer": str(i % 4)}) | {"scores": {"a": i % 5 / 5}} for i in range(20)
    ]
    result = compare(make_run(attempts, attempts[::-1]), ["vote:a", "majority"], [1, 6, 20], equivalence=strings)
    rows = {(row.selector, row.n): row for row in result.rows}
    assert [rows["vote:a", n].exact for n in (1, 6, 20)] == [True, False, True]
    assert rows["vote:a", 1].monte_carlo_error == rows["vote:a", 20].monte_carlo_error == 0.0
    assert 0 < rows["vote:a", 6].monte_carlo_error < 0.05
    assert (rows["majority", 6].exact, rows["majority", 6].monte_carlo_error) == (True, 0.0)
    assert result.warnings[-1].startswith("vote:a: measured on random subsets; Monte Carlo standard error at most ")


def test_differences_to_majority_are_paired_by_problem(make_run, strings):
    # Majority at 3 is wrong on both; score:a is right on the first alone: difference (1 + 0) / 2. One problem differs:
    # both sign patterns are as far from 0 as the one seen.
    result = compare(make_run(*SCORED), ["majority", "score:a", "oracle"], [3], equivalence=strings)
    (row,) = result.paired
    assert (row.selector, row.baseline, row.n, row.difference) == ("score:a", "majority", 3, 0.5)
    assert (row.low, row.high, row.p_value, row.p_holm) == (0.0, 1.0, 1.0, 1.0)
    assert (row.problems, row.problems_differing) == (2, 1)
    values = result.to_json()["paired"][0]
    names = {"selector", "baseline", "n", "difference", "low", "high", "p_value", "p_holm", "problems_differing"}
    assert names <= values.keys()


def test_another_baseline(make_run, strings):
    result = compare(make_run(*SCORED), ["majority", "score:a"], [3], equivalence=strings, baseline="score:a")
    assert [(row.selector, row.baseline, row.difference) for row in result.paired] == [("majority", "score:a", -0.5)]
    assert compare(make_run(*SCORED, name="b"), ["score:a"], [3], equivalence=strings).paired == ()
    with pytest.raises(ConfigError, match="'first' is none of the selectors compared: score:a"):
        compare(make_run(*SCORED, name="c"), ["score:a"], [3], equivalence=strings, baseline="first")


def test_votes_leave_the_other_rows_as_they_are(make_run, strings):
    names = ["majority", "score:a", "oracle"]
    alone = compare(make_run(*SCORED), names, equivalence=strings, seed=4)
    beside = compare(make_run(*SCORED, name="b"), [*names, "vote:a", "borda:a"], equivalence=strings, seed=4)
    rows_alone = [replace(row, seconds=0.0) for row in beside.rows if row.selector in names]
    assert rows_alone == [replace(row, seconds=0.0) for row in alone.rows]


def test_json_has_the_documented_keys_and_is_plain(make_run, strings):
    values = compare(make_run([RIGHT, WRONG], [WRONG, RIGHT]), ["first", "majority"], equivalence=strings).to_json()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert {"problems", "n_max", "rows", "abstained", "ungraded", "skipped", "counts", "scores"} <= values.keys()
    names = {"selector", "n", "accuracy", "low", "high", "exact", "seconds", "sampled_tokens", "monte_carlo_error"}
    assert names <= values["rows"][0].keys()
    assert values["problems"] == 2
    assert [(row["selector"], row["n"]) for row in values["rows"]] == [
        ("first", 1),
        ("first", 2),
        ("majority", 1),
        ("majority", 2),
    ]


def test_an_n_beyond_a_pool_leaves_its_problem_out_and_says_so(make_run, strings):
    # The problem with two trajectories must not count at n=3, nor change what n=1 means.
    run = make_run([RIGHT, WRONG, WRONG], [RIGHT, RIGHT])
    result = compare(run, ["random"], [1, 3, 4], equivalence=strings)
    assert accuracies(result, "random") == pytest.approx({1: (1 / 3 + 1) / 2, 3: 1 / 3, 4: None})
    assert [row.problems for row in result.rows] == [2, 1, 0]
    assert result.warnings[0] == "n=3: 1 of 2 problems has fewer graded trajectories and is left out"
    assert result.warnings[1] == "n=4: undefined, the largest pool has 3 graded trajectories"
    assert result.rows[1].low is None
    json.dumps(result.to_json(), allow_nan=False)


def test_accuracy_at_one_does_not_depend_on_which_other_n_are_asked(make_run, strings):
    run = make_run([RIGHT, WRONG, WRONG, WRONG], [RIGHT, RIGHT, WRONG, WRONG])
    alone = compare(run, ["random"], [1], equivalence=strings)
    beside = compare(run, ["random"], [1, 2, 4, 64], equivalence=strings)
    assert accuracies(alone, "random")[1] == accuracies(beside, "random")[1] == pytest.approx(3 / 8)


def test_ungraded_are_left_out_and_counted(make_run, strings):
    result = compare(make_run([RIGHT, {"correct": None}, WRONG]), ["random"], equivalence=strings)
    assert (result.ungraded, result.n_max) == (1, 2)
    assert accuracies(result, "random")[1] == 0.5
    assert "1 of 3 trajectories could not be graded and is left out" in result.warnings


def test_failed_trajectories_count_as_wrong(make_run, strings):
    result = compare(make_run([RIGHT, {"correct": True, "finish": "error"}]), ["random"], [1, 2], equivalence=strings)
    # k=1: the failed one is drawn with 1/2 and abstains. k=2: the other one is picked.
    assert accuracies(result, "random") == pytest.approx({1: 0.5, 2: 1.0})
    assert result.rows[0].abstained == 0.5
    assert result.failed == 1
    assert result.to_json()["abstained"] == {"random": 0.0}


def test_defaults_hold_every_selector_that_works_and_say_why_others_do_not(make_run, strings):
    run = make_run([{"correct": True, "scores": {"a": 1.0, "b": 1.0}}], [{"correct": False, "scores": {"a": 0.0}}])
    result = compare(run, equivalence=strings)
    assert result.selectors == ["first", "random", "longest", "shortest", "score:a", "oracle"]
    assert result.skipped["majority"].endswith("has an answer to vote with")
    assert "1 of 2 problems" in result.skipped["score:b"]
    assert result.skipped["vote:a"].endswith("has an answer to vote with")
    assert strings.asked == 0


@pytest.mark.parametrize(
    ("selector", "message"),
    [("majority", "no trajectory of run"), ("score:none", "stored: a, b"), ("score:b", "1 of 2 problems")],
)
def test_a_named_selector_that_cannot_work_is_an_error(make_run, strings, selector, message):
    run = make_run([{"correct": True, "scores": {"a": 1.0, "b": 1.0}}], [{"correct": False, "scores": {"a": 0.0}}])
    with pytest.raises(UnavailableError, match=message):
        compare(run, ["first", selector], equivalence=strings)


def test_faults_of_the_arguments(make_run, strings):
    run = make_run([RIGHT])
    for ns in ([], [0, 1]):
        with pytest.raises(ConfigError, match="at least 1"):
            compare(run, ["first"], ns, equivalence=strings)
    with pytest.raises(ConfigError, match="'best' is none of first, random"):
        compare(run, ["best"], equivalence=strings)


def test_trajectories_without_verdicts_are_an_error(make_run, strings):
    with pytest.raises(UnavailableError, match="nbest verify"):
        compare(make_run([RIGHT, {"correct": "absent"}]), equivalence=strings)


def test_a_run_without_tokens_has_no_token_cost(make_run, strings):
    run = make_run([RIGHT | {"tokens": 0, "text": "long"}, WRONG | {"tokens": 0, "text": "x"}])
    result = compare(run, ["longest", "shortest"], [2], equivalence=strings)
    assert [(row.accuracy, row.sampled_tokens) for row in result.rows] == [(1.0, None), (0.0, None)]


def test_one_problem_has_no_interval(make_run, strings):
    result = compare(make_run([RIGHT, WRONG]), ["first"], [1], equivalence=strings)
    assert (result.rows[0].low, result.rows[0].standard_error) == (None, None)
    assert "there is only one problem, so intervals are undefined" in result.warnings


def test_the_seed_fixes_the_intervals(make_run, strings):
    run = make_run(*([RIGHT if (n + i) % 3 else WRONG for i in range(4)] for n in range(9)), [WRONG] * 4)

    def bounds(seed):
        return [(r.low, r.high) for r in compare(run, ["first"], equivalence=strings, seed=seed, resamples=50).rows]

    assert bounds(1) == bounds(1)
    assert bounds(1) != bounds(2)


@pytest.mark.parametrize(("n_max", "ns"), [(1, [1]), (8, [1, 2, 4, 8]), (100, [1, 2, 4, 8, 16, 32, 64, 100]), (0, [])])
def test_default_ns(n_max, ns):
    assert default_ns(n_max) == ns


def test_ungraded_have_bounds(make_run, strings):
    # Graded: right, wrong: 1/2. With the third wrong 1/3, right 2/3; the oracle at 2: graded 1, wrong 1 - C(2,2)/3.
    run = make_run([RIGHT, {"correct": None, "answer": "3"}, WRONG])
    result = compare(run, ["random", "oracle"], [1, 2, 3], equivalence=strings)
    rows = {(row.selector, row.n): row for row in result.rows}
    bounds = {key: (row.accuracy_if_wrong, row.accuracy, row.accuracy_if_right) for key, row in rows.items()}
    assert bounds["random", 1] == pytest.approx((1 / 3, 1 / 2, 2 / 3))
    assert bounds["oracle", 2] == pytest.approx((2 / 3, 1, 1))
    assert bounds["oracle", 3] == (1.0, None, 1.0)  # three graded ones are not there: undefined, never 1.0
    assert result.bounds_table().rows[0] == ["random", *["33.3 to 66.7"] * 3]


def test_by_a_field(make_run, strings):
    run = make_run([RIGHT, RIGHT], [WRONG, WRONG], [RIGHT, WRONG], metas=[{"level": 2}, {"level": 1}, {"level": 2}])
    result = compare(run, ["random", "majority"], [1, 2], equivalence=strings, by="level", resamples=50)
    assert result.by == "level"
    assert {label: group.problems for label, group in result.groups.items()} == {"1": 1, "2": 2}
    assert {label: accuracies(group, "random")[1] for label, group in result.groups.items()} == {"1": 0.0, "2": 0.75}
    assert [row.problems for row in result.groups["2"].paired] == [2, 2]
    json.dumps(result.to_json(), allow_nan=False)


def test_several_runs_are_averaged(make_run, strings):
    one = make_run([RIGHT, RIGHT], [RIGHT, WRONG], name="one")
    two = make_run([WRONG, WRONG], [WRONG, WRONG], [RIGHT, WRONG], [WRONG] * 4, name="two")
    question = Question(["random", "majority", "oracle"], [1, 2, 4], resamples=100)
    result = compare_runs({"one": one, "two": two}, question, strings)
    # random: 3/4 of two problems, 1/8 of four. Majority at 2: ties share, so the same as random.
    assert accuracies(result.macro, "random")[1] == pytest.approx((3 / 4 + 1 / 8) / 2)
    assert accuracies(result.pooled, "random")[1] == pytest.approx(2 / 6)
    assert accuracies(result.macro, "random")[4] is None  # no pool of four in the first
    assert "n=4: no average, one has no pool of 4 graded trajectories" in result.macro.warnings
    assert result.largest_n == 2
    assert result.accuracy_table(1).heads == ["selector", "one", "two", "macro average", "95% interval", "pooled"]
    assert result.accuracy_table(1).rows[0][:4] == ["random", "75.0", "12.5", "43.8"]
    assert result.accuracy_table(1).rows[0][5] == "33.3"
    (row,) = [row for row in result.macro.paired if row.n == 2]
    assert (row.selector, row.difference, row.problems, row.p_value) == ("random", 0.0, 6, 1.0)
    assert result.macro.rows[0].sampled_tokens == 10.0
    json.dumps(result.to_json(), allow_nan=False)


def test_the_average_of_a_run_and_itself_is_the_run(make_run, strings):
    run = make_run(*SCORED)
    question = Question(["majority", "score:a", "vote:a"], [1, 3], resamples=100)
    result = compare_runs({"a": run, "b": run}, question, strings)
    for average in (result.macro, result.pooled):
        assert [row.accuracy for row in average.rows] == [row.accuracy for row in result.runs["a"].rows]
        assert [row.difference for row in average.paired] == [row.difference for row in result.runs["a"].paired]
    with pytest.raises(ConfigError, match="at least two runs"):
        compare_runs({"a": run}, question, strings)


def test_a_selector_that_one_run_lacks_has_no_average(make_run, strings):
    one, two = make_run(*SCORED, name="one"), make_run([RIGHT, WRONG], name="two")
    result = compare_runs({"one": one, "two": two}, Question(resamples=20), strings)
    assert "score:a" not in result.macro.selectors
    assert result.macro.skipped["score:a"] == "score:a: not every run has it"
    (cells,) = [cells for cells in result.accuracy_table(1).rows if cells[0] == "score:a"]
    assert cells[1] != "-"
    assert cells[2:] == ["-"] * 4


def test_samples_may_be_resampled_too(make_run, strings):
    attempts = [[RIGHT if (n * i) % 3 else WRONG for i in range(6)] for n in range(1, 9)]
    run = make_run(*attempts)
    widths = {}
    for kind in ("problems", "samples", "both"):
        result = compare(run, ["random", "majority"], [1], equivalence=strings, resample=kind, resamples=500)
        assert result.resample == kind
        widths[kind] = result.rows[0].high - result.rows[0].low
        # The two sums round differently on some processors.
        assert accuracies(result, "random")[1] == pytest.approx(accuracies(result, "majority")[1], rel=1e-12)
        assert result.paired[0].difference == 0.0
    assert widths["both"] > max(widths["problems"], widths["samples"]) > 0
    assert strings.asked <= 3 * len(attempts)  # resampled pools are not asked about again


def test_flops_come_from_the_manifest(make_run, strings):
    policy = {"non_embedding_parameters": 100, "layers": 2, "hidden_size": 8}
    run = make_run([RIGHT, WRONG], info={"policy": policy})
    result = compare(run, ["first"], [1, 2], equivalence=strings)
    # Ten sampled tokens and no prompt: 2 * 100 * 10 + 2 * 2 * 8 * 10^2.
    assert [row.flops for row in result.rows] == [5200.0, 10400.0]
    assert [row.flops for row in compare(make_run([RIGHT], name="b"), ["first"], equivalence=strings).rows] == [None]


def highest_score(outcomes, ks):
    return best_of_k(outcomes.correct, outcomes.scores["a"], ks)


def test_a_selector_of_ones_own_is_not_taken_as_exact(make_run, strings):
    mine = Contestant("mine", highest_score, ("a",), tells_draws=False)
    row = compare(make_run(*SCORED), ["majority", mine], [3], equivalence=strings).rows[1]
    assert (row.selector, row.accuracy, row.exact, row.monte_carlo_error) == ("mine", 0.5, False, None)
    lacking = Contestant("mine", highest_score, ("none",))
    with pytest.raises(UnavailableError, match=r"mine: run .* holds no scores of 'none'"):
        compare(make_run(*SCORED, name="b"), ["majority", lacking], equivalence=strings)
    with pytest.raises(ConfigError, match="two selectors have the name 'first'"):
        compare(make_run(*SCORED, name="c"), ["first", Contestant("first", highest_score)], equivalence=strings)


def test_default_stands_for_all_that_a_run_allows(make_run, strings):
    run = make_run(*SCORED)
    everything = compare(run, equivalence=strings).selectors
    assert compare(run, ["default"], equivalence=strings).selectors == everything
    assert compare(run, ["softmax:a", "default", "majority"], equivalence=strings).selectors == [
        "softmax:a",
        *everything,
    ]


def test_roles_come_from_the_registry(make_run, strings):
    comparison = compare(make_run(*SCORED), ["first", "random", "majority", "score:a", "oracle"], equivalence=strings)
    assert comparison.roles == ROLES | {"score:a": "competitor"}
    assert comparison.baseline == "majority"
    assert {row.selector for row in comparison.paired} == {"first", "random", "score:a"}


def test_runs_are_given_as_one_or_several(make_run, strings):
    one, two = make_run(*SCORED, name="a/run"), make_run(*SCORED, name="b/run")
    alone = compare(one, ["majority"], [1], equivalence=strings)
    assert isinstance(alone, Comparison)
    assert compare([one], ["majority"], [1], equivalence=strings).to_json().keys() == alone.to_json().keys()
    several = compare([one, two], ["majority"], [1], equivalence=strings)
    assert isinstance(several, SeveralRuns)
    assert list(several.runs) == ["a/run", "b/run"]
    by_name = compare({"x": one, "y": two}, ["majority"], [1], equivalence=strings)
    assert list(by_name.runs) == ["x", "y"]
    with pytest.raises(ConfigError, match="was named twice"):
        compare([one, one], equivalence=strings)
    with pytest.raises(ConfigError, match="no run was named"):
        compare([], equivalence=strings)


def test_an_equivalence_is_made_where_none_is_given(make_run):
    run = make_run([RIGHT, WRONG | {"answer": "1.0"}, WRONG])
    # 1 and 1.0 are one answer, so it has two of three votes; it is worth half.
    assert accuracies(compare(run, ["majority"], [3]), "majority") == {3: 0.5}


def test_trajectories_stored_twice_count_once_and_are_warned_of(make_run, strings):
    run = make_run([RIGHT, WRONG])
    run.append_trajectories([t for pool in run.pools() for t in pool.trajectories])
    result = compare(run, ["random"], [1], equivalence=strings)
    assert (result.duplicates, accuracies(result, "random")[1]) == (2, 0.5)
    assert "2 trajectories are stored twice; the first of each id counts" in result.warnings


def test_an_index_that_a_pool_holds_twice_is_an_error(make_run, strings):
    run = make_run([RIGHT, WRONG])
    run.append_trajectories([Trajectory("other", "p0", 1, 0, Completion("x"))])
    run.append_verdicts([Verdict("other", True)])
    with pytest.raises(DataError, match="problem 'p0': two of its trajectories have the same index"):
        compare(run, ["random"], equivalence=strings)


def import_pools(path, folder):
    run = Run.create(folder, {"identity": {"source": path.name}, "info": {}})
    problems, trajectories, verdicts, scores = [], [], [], []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            key = line["problem_id"]
            problems.append(Problem(key, line["question"], line["target"]))
            for index, sample in enumerate(line["samples"]):
                trajectory = Trajectory(
                    trajectory_id(key, index), key, index, 0, Completion(sample["text"]), sample.get("answer")
                )
                trajectories.append(trajectory)
                verdicts.append(Verdict(trajectory.id, sample["correct"], trajectory.answer))
                if "scores" in sample:
                    scores.append(Score(trajectory.id, sample["scores"]["reward_model"]))
    run.write_problems(problems)
    run.append_trajectories(trajectories)
    run.append_verdicts(verdicts)
    run.append_scores("reward_model", scores)
    return run


@pytest.mark.parametrize(
    ("name", "n", "expected"),
    [
        ("math_qwen_rm8", 8, {"random": 0.91, "majority": 0.925, "oracle": 0.96, "score:reward_model": 0.94}),
        ("gsm8k_gpt3_4sys", 4, {"random": 0.3793, "majority": 0.4810, "oracle": 0.6725}),
        ("game24_gpt4_cot", 100, {"random": 0.0403, "majority": 0.0850, "oracle": 0.49}),
        ("humaneval_codegen16b", 100, {"random": 0.2213, "oracle": 0.7378}),
    ],
)
def test_real_pools_give_the_known_figures(tmp_path, strings, name, n, expected):
    path = POOLS / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    result = compare(import_pools(path, tmp_path / "run"), list(expected), [1, n], equivalence=strings, resamples=200)
    assert {row.selector: round(row.accuracy, 4) for row in result.rows if row.n == n} == expected
    assert {round(row.accuracy, 4) for row in result.rows if row.n == 1} == {expected["random"]}


def test_majority_at_one_is_pass_at_one_or_the_reason_is_said(make_run, strings):
    pools = [RIGHT, {"correct": True}, WRONG, {"correct": None}], [RIGHT, WRONG, {"correct": False}]
    result = compare(make_run(*pools), ["majority", "oracle", "random"], [1, 2], equivalence=strings)
    # pass@1: (2/3 + 1/3) / 2. One right trajectory has no answer: (1/3 + 1/3) / 2 for the vote.
    assert accuracies(result, "oracle")[1] == accuracies(result, "random")[1] == pytest.approx(1 / 2)
    assert accuracies(result, "majority")[1] == pytest.approx(1 / 3)
    messages = [warning for warning in result.warnings if warning.startswith("N=1")]
    assert messages == [
        "N=1: pass@1 is 50.0, but majority: 33.3, because 1 right trajectory has no answer that could be read, and "
        "so no vote"
    ]
    assert result.counts.right_without_answer == 1
    readable = compare(make_run([RIGHT, WRONG], [WRONG], name="b"), ["majority", "oracle"], [1], equivalence=strings)
    assert accuracies(readable, "majority") == accuracies(readable, "oracle")
    assert not any(warning.startswith("N=1") for warning in readable.warnings)


def test_a_score_that_is_absent_is_another_reason(make_run, strings):
    pools = [RIGHT | {"scores": {"a": 0.1}}, RIGHT], [WRONG | {"scores": {"a": 0.2}}]
    result = compare(make_run(*pools), ["score:a", "majority"], [1], equivalence=strings)
    assert accuracies(result, "majority")[1] == 0.5
    assert [warning for warning in result.warnings if warning.startswith("N=1")] == [
        "N=1: pass@1 is 50.0, but score:a: 25.0, because they pick nothing if the one trajectory has no answer or no "
        "score"
    ]


def test_stored_scores_are_ranked_within_pools_whatever_is_compared(make_run, strings):
    pools = [
        [RIGHT | {"scores": {"a": 0.9}}, WRONG | {"scores": {"a": 0.1}}, WRONG | {"scores": {"a": 0.95}}],
        [RIGHT | {"scores": {"a": 0.5}}, WRONG | {"scores": {"a": 0.5}}, WRONG],
        [RIGHT | {"scores": {"a": 0.1}}, RIGHT | {"scores": {"a": 0.2}}],  # all right: not counted
        [RIGHT | {"scores": {"a": 0.9}}, {"finish": "error", "scores": {"a": 0.1}}],  # the only other one failed
    ]
    result = compare(make_run(*pools), ["majority"], [1], equivalence=strings)
    (ranking,) = result.scores
    # One of two pairs, and a tie.
    assert (ranking.scorer, ranking.auc, ranking.pools) == ("a", 0.5, 2)
    assert (ranking.low, ranking.high) == (0.5, 0.5)
    assert result.scores_table().rows == [["a", "0.500", "-", "2"]]


def test_an_auc_of_few_pools_has_no_interval_though_there_are_enough_problems(make_run, strings):
    good = [RIGHT | {"scores": {"a": 0.9}}, WRONG | {"scores": {"a": 0.1}}]
    alike = [RIGHT | {"scores": {"a": 0.9}}] * 2
    few = compare(make_run(*[good] * 4, *[alike] * 4, name="few"), ["majority"], [1], equivalence=strings)
    assert few.scores_table().rows == [["a", "1.000", "-", "4"]]
    assert "a: no interval of the AUC; it needs at least 5 pools with right and wrong trajectories" in few.warnings
    enough = compare(make_run(*[good] * 5, *[alike] * 3, name="enough"), ["majority"], [1], equivalence=strings)
    assert enough.scores_table().rows == [["a", "1.000", "1.000 to 1.000", "5"]]
    assert not [warning for warning in enough.warnings if "interval" in warning]


@pytest.mark.parametrize(("problems", "is_claimed"), [(4, False), (5, True)])
def test_an_average_claims_an_interval_only_if_every_run_has_enough_problems(make_run, strings, problems, is_claimed):
    pool = [RIGHT | {"scores": {"a": 0.9}}, WRONG | {"scores": {"a": 0.1}}]
    runs = {"large": make_run(*[pool] * 9, name="large"), "small": make_run(*[pool] * problems, name="small")}
    result = compare(runs, ["random", "majority"], [1, 2], equivalence=strings, resamples=50)
    cells = {
        "runs": result.accuracy_table(2).rows[0][4],
        "accuracy": result.macro.accuracy_table().rows[0][3],
        "pooled": result.pooled.accuracy_table().rows[0][3],
        "every N": result.macro.interval_table().rows[0][1],
        "difference": result.macro.paired_table().rows[0][3],
        "AUC": result.macro.scores_table().rows[0][2],
    }
    assert {name: cell != "-" for name, cell in cells.items()} == dict.fromkeys(cells, is_claimed)
    note = "small has 4 problems, so no intervals of averages are shown; they need at least 5 in every run"
    assert (note in result.macro.warnings) is not is_claimed
    # Other samples of the same problems: their number does not matter.
    question = Question(["random", "majority"], [1, 2], resample="samples", resamples=50)
    fixed = compare_runs(runs, question, strings)
    assert fixed.accuracy_table(2).rows[0][4] != "-"


def test_the_average_of_rankings_weighs_runs_alike(make_run, strings):
    good = [RIGHT | {"scores": {"a": 0.9}}, WRONG | {"scores": {"a": 0.1}}]
    bad = [RIGHT | {"scores": {"a": 0.1, "b": 1.0}}, WRONG | {"scores": {"a": 0.9, "b": 0.0}}]
    runs = {"one": make_run(good, good, good, name="one"), "two": make_run(bad, name="two")}
    result = compare(runs, ["majority"], [1], equivalence=strings)
    assert isinstance(result, SeveralRuns)
    assert [(ranking.scorer, ranking.auc) for ranking in result.macro.scores] == [("a", 0.5)]
    assert [(ranking.scorer, ranking.auc) for ranking in result.pooled.scores] == [("a", 0.75)]
    assert [ranking.scorer for ranking in result.runs["two"].scores] == ["a", "b"]


def test_groups_have_counts_of_their_own(make_run, strings):
    run = make_run([RIGHT, {"correct": False}], [WRONG, WRONG], metas=[{"level": 1}, {"level": 2}])
    groups = compare(run, ["majority"], [1], equivalence=strings, by="level").groups
    assert [group.counts.without_answer for group in groups.values()] == [1, 0]


@pytest.mark.parametrize(
    ("pool", "is_left_out"),
    [
        ([RIGHT | {"text": "", "tokens": 0}, WRONG | {"text": "ab", "tokens": 0}], True),
        ([{"text": "", "tokens": 0}, {"text": "", "tokens": 0}], True),
        # An empty completion without an answer is empty, not absent.
        ([RIGHT | {"text": "abc", "tokens": 0}, {"text": "", "tokens": 0}], False),
        ([RIGHT | {"text": "", "tokens": 3}, WRONG | {"text": "", "tokens": 2}], False),
        ([RIGHT | {"text": "abc", "tokens": 0}, {"text": "", "tokens": 0, "finish": "error"}], False),
    ],
)
def test_lengths_are_left_out_if_texts_are_absent(make_run, strings, pool, is_left_out):
    result = compare(make_run([RIGHT, WRONG], pool), equivalence=strings)
    assert ("longest" in result.skipped) == ("shortest" in result.skipped) == is_left_out
    if is_left_out:
        assert result.skipped["longest"].startswith("longest: 1 of 2 problems of run ")
