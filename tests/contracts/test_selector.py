"""What every Selector owes its callers: valid index, abstention, determinism, blindness to the order of the pool, a
report, an end.

Every registered selector is tested, built by the registry as commands build it. One that needs more than scores, a
judge or a fitted file gets it in `make_context`.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nbest.judging.candidates import JudgeSettings
from nbest.judging.conversation import Judge, RetrySettings
from nbest.judging.windows import Window
from nbest.protocols import Selector
from nbest.records import CodeTask, Completion, Pool, Score, Trajectory, WorkReport
from nbest.registry import BuildContext, load_selector, specs
from nbest.sampling.scripted import ScriptedSampler
from nbest.selecting.combined.features import NormalScores, column_names
from nbest.selecting.combined.model import CombinedModel, choice_names
from nbest.selecting.limited import LimitedSelector
from nbest.specs import Spec
from nbest.statistics.calibration import PlattMap
from tests.selecting.execution.sandboxes import PlainSandbox

POOLS = 12


class Strings:
    def cluster(self, answers, _kind="math"):
        numbers = {}
        return [None if answer is None else numbers.setdefault(answer, len(numbers)) for answer in answers]

    def same(self, a, b, _kind="math"):
        return a == b


def make_pool(number, failed=0.2):
    draw = random.Random(number)
    trajectories = []
    for index in range(draw.randint(1, 9)):
        finish = "error" if draw.random() < failed else "stop"
        tokens = np.zeros(draw.randint(1, 5), dtype=np.int32)
        answer = draw.choice(["1", "2", "3"])
        completion = Completion("x" * draw.randint(1, 9), tokens=tokens, finish=finish)
        trajectories.append(Trajectory(f"{number}#{index}", f"{number}", index, index, completion, answer))
    return Pool(f"{number}", "?", tuple(trajectories))


def make_programs(pool):
    """The pool with programs: each returns the answer of its trajectory."""
    tests = ("assert f(1) == 1", "assert f(2) == 2", "assert f(1) == 2")
    task = CodeTask(entry_point="f", public_tests=("assert f(0) > 0",), generated_tests=tests)
    trajectories = (
        replace(each, completion=replace(each.completion, text=f"```python\ndef f(x):\n    return {each.answer}\n```"))
        for each in pool.trajectories
    )
    return replace(pool, trajectories=tuple(trajectories), kind="code", code=task)


def all_scores():
    ids = [each.id for number in range(POOLS) for each in make_pool(number).trajectories]
    return {key: Score(key, place % 4 / 4) for place, key in enumerate(ids)}


def combined_model():
    scorers = ("NAME",)
    return CombinedModel(
        scorers=scorers,
        main="NAME",
        scales=(NormalScores((0.0, 1.0), (-1.0, 1.0)),),
        weights=tuple(place % 3 / 3 for place in range(len(column_names(scorers)))),
        doubt=tuple(place % 2 / 2 for place in range(len(choice_names(scorers)))),
        intercept=-1.0,
        calibration=PlattMap(1.0, 0.0),
    )


def judge_by_lot(_prompt, seed):
    index, word = seed % 2, "Yes" if seed % 3 else "No"
    calls = "f(1)\nf(2)"
    return (
        f"{calls}\nThe most consistent response is Response {index}\nIs the answer correct (Yes/No)? {word}\n"
        f"Judgment: {index}"
    )


def make_context(window: int) -> BuildContext:
    def make_settings(equivalence):
        judge = Judge(ScriptedSampler(judge_by_lot), RetrySettings(seed=5), clock=lambda: 0.0)
        return JudgeSettings(judge, equivalence, window=Window(window), repeats=3)

    return BuildContext(
        Strings(),
        seed=3,
        scores=lambda _: all_scores(),
        judge=lambda: SimpleNamespace(settings=make_settings),
        sandbox=PlainSandbox,
    )


WINDOWS = {"genselect-tournament": 2, "genselect-vote": 3, "knockout": 2, "genrm": 2}
"""How many candidates a model reads at once; the others read all of a pool."""
LIMITED = "majority@1"


def str_of(param: Spec | str) -> str:
    return param if isinstance(param, str) else param.name


def name_selector(spec: Spec, folder: Path) -> str:
    if spec.suffix:
        file = folder / f"fitted{spec.suffix}"
        combined_model().save(file)
        return str(file)
    return f"{spec.name}:NAME" if spec.reads_scores else spec.name


class OnPrograms(Selector):
    """A selector by execution, which is given the programs of every pool of this suite."""

    def __init__(self, selector: Selector):
        self.selector = selector
        self.name = selector.name

    def report(self):
        return self.selector.report()

    async def aclose(self):
        await self.selector.aclose()

    async def select(self, pool):
        return await self.selector.select(make_programs(pool))


@pytest.fixture(params=[*(spec for spec in specs("selector") if spec.role != "bound"), LIMITED], ids=str_of)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Selector]:
    if request.param == LIMITED:
        return lambda: LimitedSelector(load_selector("majority", make_context(9)), "majority", 1)
    name, context = name_selector(request.param, tmp_path), make_context(WINDOWS.get(request.param.name, 9))
    if "sandbox" in request.param.needs:
        return lambda: OnPrograms(load_selector(name, context))
    return lambda: load_selector(name, context)


@pytest.fixture(params=range(POOLS))
def pool(request):
    return make_pool(request.param)


def test_fits_the_protocol(make):
    selector = make()
    assert isinstance(selector, Selector)
    assert selector.name


async def test_reports_and_closes(make):
    async with make() as selector:
        assert selector.report() == WorkReport(judgements=selector.report().judgements)
        await selector.select(make_pool(1))
        report = selector.report()
    await selector.aclose()
    assert selector.report() == report


async def test_picks_one_of_the_pool_that_did_not_fail(make, pool):
    selection = await make().select(pool)
    assert selection.problem_id == pool.problem_id
    usable = [index for index, trajectory in enumerate(pool.trajectories) if not trajectory.has_failed]
    assert selection.index in usable or (not usable and selection.index is None)


async def test_says_the_answer_of_what_it_picked(make, pool):
    selector = make()
    selection = await selector.select(pool)
    if selection.index is not None:
        # A program has no answer.
        answer = None if isinstance(selector, OnPrograms) else pool.trajectories[selection.index].answer
        assert selection.answer == answer


async def test_an_empty_pool_abstains_with_a_note(make):
    selection = await make().select(Pool("p", "?", ()))
    assert (selection.problem_id, selection.index, selection.note) == ("p", None, "the pool is empty")


async def test_only_failed_attempts_abstain(make):
    selection = await make().select(make_pool(1, failed=1.0))
    assert selection.index is None
    assert "failed" in selection.note


async def test_the_same_pool_gives_the_same_selection(make, pool):
    assert await make().select(pool) == await make().select(pool)


async def test_permuting_the_pool_permutes_the_selection(make, pool):
    order = list(range(len(pool.trajectories)))
    random.Random(0).shuffle(order)
    turned = Pool(pool.problem_id, pool.prompt, tuple(pool.trajectories[place] for place in order))
    selection, other = await make().select(pool), await make().select(turned)
    if selection.index is None:
        assert other.index is None
    else:
        assert turned.trajectories[other.index].id == pool.trajectories[selection.index].id
