import json

import pytest

from nbest.programs.tasks import code_task
from nbest.programs.tests import CallTest, CheckTest, ReferenceTest, write_test
from nbest.records import CodeTask, Problem
from nbest.sandbox.executions import Call
from nbest.sandbox.values import encode_value
from nbest.selecting.execution.planning import make_plan
from nbest.selecting.execution.running import Reply
from tests.selecting.execution.pools import stdin_test

TASK = CodeTask(entry_point="f")


def reply_of(value):
    return Reply("returned", encode_value(value))


def test_tests_of_one_call_share_one_input():
    written = ["assert f(1) == 2", "assert f(1) == 3", "assert f(1) == 2", "assert 4 == f(2)"]
    plan = make_plan(TASK, (), written, 10)
    assert plan.inputs == (Call("f", (1,)), Call("f", (2,)))
    # The one that was written most often goes first.
    assert [test.weight for test in plan.written] == [2, 1, 1]
    replies = [reply_of(2), reply_of(5)]
    assert [test.holds(replies) for test in plan.written] == [True, False, False]
    assert plan.notes == ()


def test_one_and_true_are_different_inputs():
    plan = make_plan(
        TASK, (), ["assert f(1)", "assert f(True)", "assert f(1.0)", "assert f([1])", "assert f((1,))"], 10
    )
    assert len(plan.inputs) == 5


def test_a_test_of_several_assertions_holds_where_all_do():
    text = json.dumps({"statements": ["assert f(1) == 2", "assert f(2) == 3"]})
    plan = make_plan(TASK, [text], (), 10)
    (test,) = plan.public
    assert test.statement is None
    assert test.holds([reply_of(2), reply_of(3)])
    assert not test.holds([reply_of(2), reply_of(4)])


@pytest.mark.parametrize(
    ("text", "statement", "setup"),
    [
        ("assert abs(f(1) - 2) < 0.1", "assert abs(f(1) - 2) < 0.1", ""),
        (json.dumps({"statements": ["y = f(1)", "assert y == 2"]}), "y = f(1)\nassert y == 2", ""),
        ("import math\nassert f(math.pi) == 1", "assert f(math.pi) == 1", "import math"),
    ],
)
def test_other_statements_are_run_and_their_calls_are_inputs(text, statement, setup):
    plan = make_plan(TASK, (), [text], 10)
    (test,) = plan.written
    assert (test.statement, test.setup) == (statement, setup)
    assert plan.inputs == (() if "math" in text else (Call("f", (1,)),))


def test_a_check_function_runs_as_one_statement():
    plan = make_plan(TASK, [write_test(CheckTest("def check(c):\n    assert c(1) == 2\n", "f"))], (), 10)
    (test,) = plan.public
    assert test.statement == "check(f)"
    assert test.setup.startswith("def check")


def test_calls_with_an_expected_value():
    plan = make_plan(TASK, [write_test(CallTest("f", (1,), [1, 2]))], (), 10)
    (test,) = plan.public
    # JSON has no tuples: one at the top is a list.
    assert test.holds([reply_of((1, 2))])
    assert test.holds([reply_of([1, 2])])
    assert not test.holds([reply_of([1, 3])])
    assert not test.holds([Reply("raised ValueError")])
    strict = make_plan(TASK, [write_test(CallTest("f", (1,), [1, 2], is_json=False))], (), 10)
    assert not strict.public[0].holds([reply_of((1, 2))])


def test_programs_that_read_stdin():
    plan = make_plan(CodeTask(), [stdin_test("1 2\n", "3.50\n")], [stdin_test("4", "5"), "assert f(1) == 2"], 10)
    assert plan.inputs == ("1 2\n", "4")
    (test,) = plan.public
    assert test.holds([Reply("printed", " 3.5 \n\n"), Reply("")])
    assert not test.holds([Reply("printed", "3.6"), Reply("")])
    assert not test.holds([Reply("timed_out"), Reply("")])
    assert len(plan.written) == 1


def test_a_reference_gives_inputs_and_no_test():
    text = write_test(ReferenceTest("def f(x): return x", "f", inputs=((1,),), plus_inputs=((2,),)))
    plan = make_plan(TASK, [text], (), 10)
    assert (plan.inputs, plan.public) == ((Call("f", (1,)), Call("f", (2,))), ())


def test_what_is_left_out_is_said():
    written = [
        "assert f(1) == 2",
        "assert g(1) == 2",
        "assert True",
        "assert f(",
        "assert f(3) == 1",
        "assert f(3) == 1",
    ]
    plan = make_plan(TASK, ["nonsense ("], written, 1)
    # Of the two inputs that there is no room for both, the one of the test that was written twice stays.
    assert plan.inputs == (Call("f", (3,)),)
    assert [test.weight for test in plan.written] == [2]
    notes = "; ".join(plan.notes)
    assert "public tests cannot be read" in notes
    assert "1 written test cannot be read" in notes
    assert "2 written tests left out: without a call of 'f'" in notes
    assert "1 input beyond the first 1 left out" in notes


def test_nothing_to_run():
    assert make_plan(TASK, (), (), 10).is_empty
    assert not make_plan(TASK, (), ["assert f(1)"], 10).is_empty


@pytest.mark.parametrize(
    ("counts", "weights"), [([3, 1], [3, 1]), ([1, 3], [3, 1]), ([3], [1, 1]), ([0, 2], [1, 1]), ("3, 1", [1, 1])]
)
def test_a_source_may_count_how_often_a_test_was_written(counts, weights):
    meta = {"entry_point": "f", "gen_tests": ["assert f(1) == 2", "assert f(2) == 3"], "gen_test_counts": counts}
    task = code_task(Problem("p", "Write f.", kind="code", meta=meta))
    plan = make_plan(task, (), task.generated_tests, 10)
    assert [test.weight for test in plan.written] == weights


def test_a_text_of_several_tests_counts_once_where_it_cannot_be_read():
    many = json.dumps([{"input": str(number), "output": "1", "testtype": "stdin"} for number in range(5)])
    plan = make_plan(CodeTask(), (), [many, '{"stdin": 3}'], 10)
    assert len(plan.written) == 5
    assert plan.notes == ("1 written test cannot be read",)
