import gzip
import json
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


def test_json_has_the_documented_keys_and_is_plain(make_run, strings):
    made = compare(make_run([RIGHT, WRONG], [WRONG, RIGHT]), ["first", "majority"], equivalence=strings).to_json()
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert {"problems", "n_max", "rows", "abstained", "unjudged", "skipped"} <= made.keys()
    assert {"selector", "n", "accuracy", "low", "high", "exact", "seconds", "sampled_tokens"} <= made["rows"][0].keys()
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
