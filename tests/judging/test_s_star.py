import re

import pytest

from nbest.judging.methods import SStarOptions
from nbest.judging.s_star import SStarSelector
from nbest.selecting.execution.observing import Observer
from tests.scoring.judges import make_settings, spend
from tests.selecting.execution.pools import make_code_pool, returning, stdin_test
from tests.selecting.execution.sandboxes import PlainSandbox

TESTS = ["assert f(1) == 2"]


class Judge:
    """Writes `inputs` for two programs, and prefers the one that gives `right` on the first of them."""

    def __init__(self, right, inputs="```python\nf(1)\nf(5)\n```"):
        self.right, self.inputs, self.prompts = right, inputs, []

    def __call__(self, prompt, _seed):
        self.prompts.append(prompt)
        if "# Results" not in prompt:
            return spend(self.inputs, 5)
        results = re.findall(r"^Solution (\d): (.*)$", prompt[prompt.index("# Results") :], re.MULTILINE)
        number = next((number for number, shown in results if shown == self.right), "tie")
        return spend(f"It is clear.\nJudgment: {number}", 7)


def make_selector(judge, sandbox=None, settings=None, **options):
    parsed = SStarOptions(**options)
    observer = Observer(sandbox or PlainSandbox(), parsed)
    return SStarSelector(make_settings(judge, **(settings or {})), observer, parsed)


def make_pool(*expressions, **options):
    return make_code_pool(*map(returning, expressions), **{"tests": ["assert f(1) == 2", "assert f(0) == 0"]} | options)


# All but the last one give the same on the test's inputs 0 and 1 as another: three clusters of 2, 1 and 1.
PROGRAMS = ("x * 2", "2 * x", "x + 1", "x * 3")


@pytest.mark.parametrize(("right", "index"), [("10", 0), ("6", 2), ("15", 3)])
async def test_the_program_whose_results_the_judge_calls_right_wins(right, index):
    judge = Judge(right, "f(5)")
    selection = await make_selector(judge).select(make_pool(*PROGRAMS))
    assert selection.index == index
    # It won both of its pairs.
    assert selection.confidence == pytest.approx(2.5 / 3)
    assert len(judge.prompts) == 6
    assert (selection.usage.prompt_tokens, selection.usage.sampled_tokens) == (3 * 5 + 3 * 7, 12)


async def test_the_judge_reads_both_programs_and_only_results_that_differ():
    judge = Judge("2", "f(1)\nf(0)\nf(7)")
    await make_selector(judge).select(make_pool("x + 1", "x * 2", tests=["assert f(5) == 6"]))
    asked, shown = judge.prompts
    for prompt in (asked, shown):
        assert "return x + 1" in prompt
        assert "return x * 2" in prompt
    assert "at most 5 inputs" in asked
    # On 1 they do not differ.
    assert "Input: f(1)" not in shown
    assert "Input: f(0)" in shown
    assert "Input: f(7)" in shown


async def test_which_program_is_shown_first_does_not_decide():
    first_shown = set()
    for number in range(12):
        judge = Judge("10", "f(5)")
        selection = await make_selector(judge).select(make_pool("x * 2", "x + 1", "x + 1", problem_id=f"p{number}"))
        assert selection.index == 0
        first_shown.add(judge.prompts[0].index("x * 2") < judge.prompts[0].index("x + 1"))
    assert first_shown == {True, False}


async def test_nothing_is_asked_where_all_programs_behave_alike():
    judge = Judge("10")
    selector = make_selector(judge)
    selection = await selector.select(make_pool("x * 2", "2 * x", "x + x"))
    assert (selection.index, judge.prompts, selector.counts.agreed) == (0, [], 1)
    assert selection.note.startswith("one cluster is left: nothing was asked")


async def test_programs_that_fail_public_tests_take_no_part():
    judge = Judge("15", "f(5)")
    selection = await make_selector(judge).select(make_pool(*PROGRAMS, public=["assert f(1) == 2"]))
    # `x * 3` would be preferred.
    assert selection.index != 3
    assert all("x * 3" not in prompt for prompt in judge.prompts)


async def test_only_the_largest_clusters_take_part():
    judge = Judge("15", "f(5)")
    selection = await make_selector(judge, clusters=2).select(make_pool(*PROGRAMS))
    assert selection.index == 0
    assert len(judge.prompts) == 2


async def test_where_the_judge_calls_it_a_tie_the_larger_cluster_stands():
    selection = await make_selector(Judge("no such result", "f(5)")).select(make_pool("x + 1", "x * 2", "2 * x"))
    assert selection.index == 1
    assert selection.confidence == pytest.approx(1 / 2)


async def test_inputs_that_tell_nothing_apart_are_half_a_point_each():
    judge = Judge("2", "f(1)")
    selection = await make_selector(judge).select(make_pool("x + 1", "x * 2", "2 * x", tests=["assert f(5) == 6"]))
    assert selection.index == 1
    assert len(judge.prompts) == 1


@pytest.mark.parametrize("on_failure", ["abstain", "majority"])
async def test_a_failed_judgement_is_never_replaced_by_a_guess(on_failure):
    selector = make_selector(Judge("2", "I cannot think of any."), settings={"on_failure": on_failure})
    selection = await selector.select(make_pool(*PROGRAMS))
    assert selection.note.startswith("no judgement: no pair was judged (3 unparsed)")
    assert selection.index == (None if on_failure == "abstain" else 0)
    assert (selector.counts.abstained, selector.counts.fell_back) == ((1, 0) if on_failure == "abstain" else (0, 1))
    assert selection.usage.prompt_tokens == 3 * 3 * 5


async def test_an_option_overrides_what_the_settings_do_without_a_judgement():
    selector = make_selector(Judge("2", "none"), on_failure="majority")
    assert (await selector.select(make_pool(*PROGRAMS))).index == 0


async def test_a_pair_without_a_judgement_gives_no_points():
    judge = Judge("10", "f(5)")

    def reply(prompt, seed):
        broken = "# Results" not in prompt and "x * 3" in prompt and "x * 2" in prompt
        return spend("nothing", 1) if broken else judge(prompt, seed)

    selection = await make_selector(reply).select(make_pool(*PROGRAMS))
    assert selection.index == 0
    assert selection.confidence == pytest.approx(1.5 / 2)
    assert selection.note.startswith("1 of 3 pairs was not judged")


async def test_programs_that_read_stdin():
    judge = Judge("'6\\n'", '```json\n{"stdin": "5"}\n```')
    texts = ["print(int(input()) * 2)", "print(int(input()) + 1)"]
    pool = make_code_pool(*texts, entry_point="", tests=[stdin_test("2", "3")])
    assert (await make_selector(judge).select(pool)).index == 1
    assert "Input: '5'" in judge.prompts[1]


async def test_a_pool_without_programs_abstains():
    selection = await make_selector(Judge("2")).select(make_code_pool("", "", tests=TESTS))
    assert (selection.index, selection.note) == (None, "none of 2 trajectories has a program")


async def test_what_a_program_does_is_shown_in_short():
    judge = Judge("2", "f(3)")
    await make_selector(judge).select(make_pool("'a' * 10_000 * x", "1 // (3 - x)", tests=["assert f(1) == 1"]))
    shown = judge.prompts[1]
    assert "raised ZeroDivisionError" in shown
    assert "... (30,002 characters)" in shown
    assert len(shown) < 4_000
