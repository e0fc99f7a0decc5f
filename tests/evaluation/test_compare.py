import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from bestofn.errors import ConfigError, UnavailableError
from bestofn.evaluation.compare import compare, default_ns
from bestofn.records import Completion, Problem, Score, Trajectory, Verdict, trajectory_id
from bestofn.storage.run import Run

POOLS = Path(__file__).parents[2].parent / "shared" / "data" / "pools"
RIGHT, WRONG = {"correct": True, "answer": "1"}, {"correct": False, "answer": "2"}


def accuracies(comparison, selector):
    return {row.n: row.accuracy for row in comparison.rows if row.selector == selector}


def test_a_row_is_the_macro_mean_over_problems(make_run, strings):
    # pass@1 is 2/3 and 0; at 2: 1 (every pair holds a right one) and 0. Majority at 3: 1 and 0.
    run = make_run([RIGHT, RIGHT, WRONG], [WRONG, WRONG, WRONG])
    found = compare(run, ["random", "oracle", "majority"], [1, 2, 3], equivalence=strings)
    assert accuracies(found, "random") == pytest.approx({1: 1 / 3, 2: 1 / 3, 3: 1 / 3})
    assert accuracies(found, "oracle") == pytest.approx({1: 1 / 3, 2: 1 / 2, 3: 1 / 2})
    assert accuracies(found, "majority")[3] == pytest.approx(1 / 2)
    row = found.rows[0]
    assert (row.low, row.high, row.problems, row.exact) == (0.0, 2 / 3, 2, True)
    assert row.sampled_tokens == 10.0


SCORED = [
    [RIGHT | {"scores": {"a": 0.9, "log": -0.1}}, WRONG | {"scores": {"a": 0.3, "log": -1.2}}, WRONG],
    [RIGHT | {"scores": {"a": 0.2, "log": -2.0}}, WRONG | {"scores": {"a": 0.5, "log": -0.7}}, WRONG],
]


def test_defaults_hold_one_vote_a_scorer_by_weight_or_by_rank(make_run, strings):
    found = compare(make_run(*SCORED), equivalence=strings)
    assert found.selectors == [
        *("first", "random", "majority", "longest", "shortest"),
        *("score:a", "vote:a", "score:log", "borda:log", "oracle"),
    ]
    # At 3 the unscored attempt does not vote: 0.9 against 0.3 is right, 0.2 against 0.5 wrong.
    assert accuracies(found, "vote:a")[3] == 0.5
    assert strings.asked == 1  # by three votes, and both problems hold the same answers


@pytest.mark.parametrize("name", ["vote:log", "filtered:log"])
def test_negative_scores_are_no_weights(make_run, strings, name):
    told = rf"{name}: run .*4 of 4 scores are negative.*use borda:NAME or softmax:NAME"
    with pytest.raises(UnavailableError, match=told):
        compare(make_run(*SCORED), [name], equivalence=strings)
    found = compare(make_run(*SCORED, name="again"), ["softmax:log", "vote-max:log"], equivalence=strings)
    assert len(found.rows) == 6


def test_a_negative_score_without_an_answer_is_no_fault(make_run, strings):
    run = make_run([RIGHT | {"scores": {"a": 0.9}}, {"answer": None, "correct": False, "scores": {"a": -1.0}}])
    assert accuracies(compare(run, ["vote:a"], [2], equivalence=strings), "vote:a") == {2: 1.0}


def test_drawn_rows_say_so_and_how_far_off_they_may_be(make_run, strings):
    attempts = [
        (RIGHT if i % 3 == 0 else WRONG | {"answer": str(i % 4)}) | {"scores": {"a": i % 5 / 5}} for i in range(20)
    ]
    found = compare(make_run(attempts, attempts[::-1]), ["vote:a", "majority"], [1, 6, 20], equivalence=strings)
    rows = {(row.selector, row.n): row for row in found.rows}
    assert [rows["vote:a", n].exact for n in (1, 6, 20)] == [True, False, True]
    assert rows["vote:a", 1].monte_carlo_error == rows["vote:a", 20].monte_carlo_error == 0.0
    assert 0 < rows["vote:a", 6].monte_carlo_error < 0.05
    assert (rows["majority", 6].exact, rows["majority", 6].monte_carlo_error) == (True, 0.0)
    assert found.warnings[-1].startswith("vote:a: subsets were drawn; Monte Carlo standard error at most ")


def test_differences_to_majority_are_paired_by_problem(make_run, strings):
    # Majority at 3 is wrong on both; score:a is right on the first alone: difference (1 + 0) / 2. One problem differs:
    # both sign patterns are as far from 0 as the one seen.
    found = compare(make_run(*SCORED), ["majority", "score:a", "oracle"], [3], equivalence=strings)
    (row,) = found.paired
    assert (row.selector, row.baseline, row.n, row.difference) == ("score:a", "majority", 3, 0.5)
    assert (row.low, row.high, row.p_value, row.p_holm) == (0.0, 1.0, 1.0, 1.0)
    assert (row.problems, row.problems_differing) == (2, 1)
    made = found.to_json()["paired"][0]
    names = {"selector", "baseline", "n", "difference", "low", "high", "p_value", "p_holm", "problems_differing"}
    assert names <= made.keys()


def test_another_baseline(make_run, strings):
    found = compare(make_run(*SCORED), ["majority", "score:a"], [3], equivalence=strings, baseline="score:a")
    assert [(row.selector, row.baseline, row.difference) for row in found.paired] == [("majority", "score:a", -0.5)]
    assert compare(make_run(*SCORED, name="b"), ["score:a"], [3], equivalence=strings).paired == ()
    with pytest.raises(ConfigError, match="'first' is none of the selectors compared: score:a"):
        compare(make_run(*SCORED, name="c"), ["score:a"], [3], equivalence=strings, baseline="first")


def test_votes_leave_the_other_rows_as_they_are(make_run, strings):
    names = ["majority", "score:a", "oracle"]
    alone = compare(make_run(*SCORED), names, equivalence=strings, seed=4)
    beside = compare(make_run(*SCORED, name="b"), [*names, "vote:a", "borda:a"], equivalence=strings, seed=4)
    kept = [replace(row, seconds=0.0) for row in beside.rows if row.selector in names]
    assert kept == [replace(row, seconds=0.0) for row in alone.rows]


def test_json_has_the_documented_keys_and_is_plain(make_run, strings):
    made = compare(make_run([RIGHT, WRONG], [WRONG, RIGHT]), ["first", "majority"], equivalence=strings).to_json()
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert {"problems", "n_max", "rows", "abstained", "unjudged", "skipped"} <= made.keys()
    names = {"selector", "n", "accuracy", "low", "high", "exact", "seconds", "sampled_tokens", "monte_carlo_error"}
    assert names <= made["rows"][0].keys()
    assert made["problems"] == 2
    assert [(row["selector"], row["n"]) for row in made["rows"]] == [
        ("first", 1),
        ("first", 2),
        ("majority", 1),
        ("majority", 2),
    ]


def test_an_n_beyond_a_pool_leaves_its_problem_out_and_says_so(make_run, strings):
    # The problem with two attempts must not count at n=3, nor change what n=1 means.
    run = make_run([RIGHT, WRONG, WRONG], [RIGHT, RIGHT])
    found = compare(run, ["random"], [1, 3, 4], equivalence=strings)
    assert accuracies(found, "random") == pytest.approx({1: (1 / 3 + 1) / 2, 3: 1 / 3, 4: None})
    assert [row.problems for row in found.rows] == [2, 1, 0]
    assert found.warnings[0] == "n=3: 1 of 2 problems have fewer judged trajectories and are left out"
    assert found.warnings[1] == "n=4: undefined, the largest pool has 3 judged trajectories"
    assert found.rows[1].low is None
    json.dumps(found.to_json(), allow_nan=False)


def test_accuracy_at_one_does_not_depend_on_which_other_n_are_asked(make_run, strings):
    run = make_run([RIGHT, WRONG, WRONG, WRONG], [RIGHT, RIGHT, WRONG, WRONG])
    alone = compare(run, ["random"], [1], equivalence=strings)
    beside = compare(run, ["random"], [1, 2, 4, 64], equivalence=strings)
    assert accuracies(alone, "random")[1] == accuracies(beside, "random")[1] == pytest.approx(3 / 8)


def test_unjudged_are_left_out_and_counted(make_run, strings):
    found = compare(make_run([RIGHT, {"correct": None}, WRONG]), ["random"], equivalence=strings)
    assert (found.unjudged, found.n_max) == (1, 2)
    assert accuracies(found, "random")[1] == 0.5
    assert "1 of 3 trajectories could not be judged and are left out" in found.warnings


def test_failed_attempts_count_as_wrong(make_run, strings):
    found = compare(make_run([RIGHT, {"correct": True, "finish": "error"}]), ["random"], [1, 2], equivalence=strings)
    # k=1: the failed one is drawn with 1/2 and abstains. k=2: the other one is picked.
    assert accuracies(found, "random") == pytest.approx({1: 0.5, 2: 1.0})
    assert found.rows[0].abstained == 0.5
    assert found.failed == 1
    assert found.to_json()["abstained"] == {"random": 0.0}


def test_defaults_hold_every_selector_that_works_and_say_why_others_do_not(make_run, strings):
    run = make_run([{"correct": True, "scores": {"a": 1.0, "b": 1.0}}], [{"correct": False, "scores": {"a": 0.0}}])
    found = compare(run, equivalence=strings)
    assert found.selectors == ["first", "random", "longest", "shortest", "score:a", "oracle"]
    assert found.skipped["majority"].endswith("has an answer to vote with")
    assert "1 of 2 problems" in found.skipped["score:b"]
    assert found.skipped["vote:a"].endswith("has an answer to vote with")
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
    with pytest.raises(UnavailableError, match="bestofn verify"):
        compare(make_run([RIGHT, {"correct": "absent"}]), equivalence=strings)


def test_a_run_without_tokens_has_no_token_cost(make_run, strings):
    run = make_run([RIGHT | {"tokens": 0, "text": "long"}, WRONG | {"tokens": 0, "text": "x"}])
    found = compare(run, ["longest", "shortest"], [2], equivalence=strings)
    assert [(row.accuracy, row.sampled_tokens) for row in found.rows] == [(1.0, None), (0.0, None)]


def test_one_problem_has_no_interval(make_run, strings):
    found = compare(make_run([RIGHT, WRONG]), ["first"], [1], equivalence=strings)
    assert (found.rows[0].low, found.rows[0].standard_error) == (None, None)
    assert "one problem: its interval is undefined" in found.warnings


def test_the_seed_fixes_the_intervals(make_run, strings):
    run = make_run(*([RIGHT if (n + i) % 3 else WRONG for i in range(4)] for n in range(9)), [WRONG] * 4)

    def bounds(seed):
        return [(r.low, r.high) for r in compare(run, ["first"], equivalence=strings, seed=seed, resamples=50).rows]

    assert bounds(1) == bounds(1)
    assert bounds(1) != bounds(2)


@pytest.mark.parametrize(("n_max", "ns"), [(1, [1]), (8, [1, 2, 4, 8]), (100, [1, 2, 4, 8, 16, 32, 64, 100]), (0, [])])
def test_default_ns(n_max, ns):
    assert default_ns(n_max) == ns


def import_pools(path, folder):
    run = Run.create(folder, {"identity": {"source": path.name}, "info": {}})
    problems, trajectories, verdicts, scores = [], [], [], []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            key = line["problem_id"]
            problems.append(Problem(key, line["question"], line["target"]))
            for index, sample in enumerate(line["samples"]):
                made = Trajectory(
                    trajectory_id(key, index), key, index, 0, Completion(sample["text"]), sample.get("answer")
                )
                trajectories.append(made)
                verdicts.append(Verdict(made.id, sample["correct"], made.answer))
                if "scores" in sample:
                    scores.append(Score(made.id, sample["scores"]["reward_model"]))
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
    found = compare(import_pools(path, tmp_path / "run"), list(expected), [1, n], equivalence=strings, resamples=200)
    assert {row.selector: round(row.accuracy, 4) for row in found.rows if row.n == n} == expected
    assert {round(row.accuracy, 4) for row in found.rows if row.n == 1} == {expected["random"]}
