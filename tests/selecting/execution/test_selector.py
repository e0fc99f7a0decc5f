"""Selectors by execution on pools of programs, which run in this process."""

import random
from dataclasses import replace

import pytest

from nbest.errors import SandboxError, UnavailableError
from nbest.programs.tasks import code_task
from nbest.records import Pool, Problem, Score, Usage
from nbest.registry import BuildContext, load_selector
from nbest.selecting.execution.agreement import NO_TESTS
from nbest.selecting.execution.writing import TestWriter, WrittenTests
from nbest.selecting.voting import MajoritySelector
from tests.graded_runs import Strings
from tests.selecting.execution.pools import make_code_pool, returning, stdin_test
from tests.selecting.execution.sandboxes import PlainSandbox

RULES = ["public-tests", "behaviour", "mbr-exec", "codet", "b4", "hybrid:a"]
TESTS = ["assert f(1) == 2", "assert f(2) == 3", "assert f(3) == 4", "assert f(2) == 4"]


def scores_of(pool, values=()):
    values = dict(enumerate(values))
    return lambda _: {each.id: Score(each.id, values.get(each.index, 0.0)) for each in pool.trajectories}


async def select(name, pool, sandbox=None, writer=None, scores=()):
    sandbox = sandbox or PlainSandbox()
    context = BuildContext(
        Strings(),
        scores=scores_of(pool, scores),
        sandbox=lambda: sandbox,
        writer=None if writer is None else lambda: writer,
    )
    async with load_selector(name, context) as selector:
        selection = await selector.select(pool)
    assert not sandbox.is_closed
    return selection


def right_pool(**options):
    return make_code_pool(
        None,
        returning("x * 2"),
        "I give up.",
        returning("x + 1"),
        returning("1 + x"),
        returning("x"),
        "def f(x:",
        **{"tests": TESTS, "public": ["assert f(1) == 2"]} | options,
    )


@pytest.mark.parametrize("name", RULES)
async def test_the_program_that_does_what_most_do_and_tests_say_is_selected(name):
    selection = await select(name, right_pool(), scores=[0, 0, 0, 1])
    # By public tests alone `x * 2` is as good, and comes first.
    assert selection.index == (1 if name == "public-tests" else 3)
    assert 0 < selection.confidence <= 1


@pytest.mark.parametrize("name", RULES)
async def test_the_order_of_the_pool_does_not_matter(name):
    pool = right_pool()
    order = list(range(len(pool.trajectories)))
    random.Random(1).shuffle(order)
    turned = replace(pool, trajectories=tuple(pool.trajectories[position] for position in order))
    selection, other = await select(name, pool), await select(name, turned)
    assert turned.trajectories[other.index].id == pool.trajectories[selection.index].id
    assert (selection.confidence, selection.note) == (other.confidence, other.note)


@pytest.mark.parametrize("name", RULES)
async def test_equal_programs_run_once(name):
    sandbox = PlainSandbox()
    await select(name, make_code_pool(*[returning("x + 1")] * 5, returning("x"), tests=TESTS[:2]), sandbox)
    assert len(sandbox.jobs) == 2


def make_problem(tests, meta):
    return Problem("p", "Write f.", kind="code", tests=tests, meta={"entry_point": "f", "gen_tests": TESTS, **meta})


@pytest.mark.parametrize("name", RULES)
async def test_hidden_tests_change_no_selection(name):
    """A pool is what a selector sees: it is the same without the hidden tests, and with others."""
    selections, jobs = [], []
    for tests in (("assert f(1) == 1", "assert f(2) == 2"), (), ("assert f(1) == 2",)):
        problem = make_problem(tests, {"public_tests": ["assert f(1) == 2"]})
        pool = replace(right_pool(), code=code_task(problem))
        sandbox = PlainSandbox()
        selections.append(await select(name, pool, sandbox))
        jobs.append(sandbox.jobs)
    assert selections[0] == selections[1] == selections[2]
    assert jobs[0] == jobs[1] == jobs[2]


@pytest.mark.parametrize("name", RULES)
async def test_abstentions_say_why(name):
    note = (await select(name, make_code_pool("", "", tests=TESTS))).note
    assert note == "none of 2 trajectories has a program"
    nothing = await select(name, make_code_pool(returning("x"), returning("1")))
    assert nothing.index is None
    assert "the problem shows no tests and none were generated; with inputs=policy" in nothing.note
    broken = await select(name, make_code_pool("def f(x:", "1 / 0\n" + returning("x"), tests=TESTS))
    assert broken.index is None
    assert broken.note


async def test_only_some_inputs_are_asked_for():
    pool = right_pool()
    generated = await select("behaviour(inputs=generated)", pool)
    assert generated.index == 3
    public = await select("behaviour(inputs=public)", pool)
    # On the only public input three programs behave alike, and `x * 2` is the first of them.
    assert public.index == 1
    none = await select("codet(inputs=public)", pool)
    assert (none.index, none.note) == (None, NO_TESTS)
    missing = await select("behaviour(inputs=public)", replace(right_pool(public=())))
    assert "the problem shows no tests;" in missing.note


async def test_programs_that_read_stdin():
    texts = ["print(int(input()) + 1)", "print(1 + int(input()))", "print(int(input()) * 2)", "print(2)"]
    pool = make_code_pool(*texts, entry_point="", tests=[stdin_test("5", "6")], public=[stdin_test("1", "2")])
    for name in RULES:
        assert (await select(name, pool)).index == 0


async def test_a_test_may_call_other_functions_of_the_task():
    prefix = 'def g(x):\n    return x + 1\n\n\ndef f(x):\n    """Undo g."""\n'
    pool = make_code_pool(
        *["    return x", "    return x - 1", "    return x + 2"],
        entry_point="f",
        prefix=prefix,
        tests=["assert f(g(1)) == 1"],
    )
    pool = replace(
        pool,
        trajectories=tuple(
            replace(
                each,
                completion=replace(each.completion, text=each.completion.text.split("\n", 1)[1].rsplit("\n", 1)[0]),
            )
            for each in pool.trajectories
        ),
    )
    selection = await select("codet", pool)
    assert selection.index == 1


async def test_another_kind_of_problem_is_refused():
    pool = Pool("p", "?", right_pool().trajectories, "math")
    with pytest.raises(UnavailableError, match="is of kind 'math', needed is code"):
        await select("behaviour", pool)


async def test_an_error_of_the_sandbox_is_raised_and_says_nothing_of_programs():
    with pytest.raises(SandboxError, match="no worker"):
        await select("behaviour", right_pool(), PlainSandbox(broken=SandboxError("no worker")))


async def test_without_a_sandbox_no_program_runs():
    with pytest.raises(UnavailableError, match="selector 'behaviour' runs programs, and this pool has no sandbox"):
        load_selector("behaviour", BuildContext())


class Writer(TestWriter):
    def __init__(self, *tests, note=""):
        self.tests, self.note, self.counts = tests, note, []

    async def write(self, pool, count):  # noqa: ARG002
        self.counts.append(count)
        return WrittenTests(self.tests, Usage(3, 4), self.note)


async def test_a_policy_may_write_the_tests():
    writer = Writer(*TESTS)
    selection = await select("codet(inputs=policy, count=7)", right_pool(tests=()), writer=writer)
    assert (selection.index, selection.usage, writer.counts) == (3, Usage(3, 4), [7])


async def test_what_a_policy_could_not_write_costs_nevertheless():
    selection = await select(
        "behaviour(inputs=policy)", right_pool(tests=(), public=()), writer=Writer(note="none (2 unparsed)")
    )
    assert (selection.index, selection.usage) == (None, Usage(3, 4))
    assert selection.note == "no input to run programs on: none (2 unparsed)"


async def test_the_score_decides_between_the_groups_that_execution_leaves():
    pool = right_pool()
    scores = [9, 5, 9, 1, 2, 7, 9]
    # `x` is the best-scored program, and passes fewest tests: execution leaves it out.
    assert (await select("hybrid(groups=2):a", pool, scores=scores)).index == 1
    assert (await select("hybrid(groups=1):a", pool, scores=scores)).index == 4
    assert (await select("hybrid(groups=9, rule=behaviour):a", pool, scores=scores)).index in (1, 5)


async def test_the_majority_vote_says_what_to_use_for_code():
    selection = await MajoritySelector(Strings()).select(right_pool())
    assert selection.index is None
    assert "the selector behaviour runs them" in selection.note
