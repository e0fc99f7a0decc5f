from collections.abc import Callable
from typing import Any

import pytest

from nbest.programs.tests import ReferenceTest
from nbest.records import CodeTask
from nbest.sandbox.executions import Calls, Outcome, Return
from nbest.user_cache import find_cache_folder
from nbest.verifying.code.differential import grade_by_reference
from nbest.verifying.code.grading import grade_program, read_reference
from nbest.verifying.code.references import FailedReference, find_expected
from nbest.verifying.code.running import Runner
from nbest.verifying.code.settings import CodeSettings

ROOT = "def root(x):\n    return x ** 0.5\n"
TEST = ReferenceTest(ROOT, "root", ((4,), (9,)), ((2,), (16,)))
TASK = CodeTask("root")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


async def test_a_program_has_to_agree_on_base_and_plus_inputs(runner: Runner) -> None:
    assert (await grade_program(runner, ROOT, [TEST], TASK)).correct is True
    close = "import math\ndef root(x): return math.sqrt(x) + 1e-9"
    assert (await grade_program(runner, close, [TEST], TASK)).correct is True
    grade = await grade_program(runner, "def root(x): return x // 2 if x == 4 else 3.0", [TEST], TASK)
    assert grade.correct is False
    assert grade.note == "plus test 1 of 2: got 3.0, expected 1.4142135623730951; arguments [2]"
    grade = await grade_program(runner, "def root(x): return str(x)", [TEST], TASK)
    assert grade.note.startswith("base test 1 of 2: got '4', expected 2.0")


async def test_values_of_the_reference_are_computed_once(runner: Runner, make_fake: Callable[..., Any]) -> None:
    first = await find_expected(runner, ROOT, "root", [(4,), (9,)])
    fake = make_fake([AssertionError("nothing is run")], packages=runner.sandbox.describe().packages)
    assert await find_expected(Runner(fake, CodeSettings()), ROOT, "root", [(4,), (9,)]) == first
    other = make_fake([Outcome("finished", returns=(Return("5"),))], packages={"python": "9"})
    assert (await find_expected(Runner(other, CodeSettings()), ROOT, "root", [(4,)])).values == ("5",)


async def test_a_damaged_entry_of_the_cache_is_computed_again(runner: Runner) -> None:
    first = await find_expected(runner, ROOT, "root", [(4,), (9,)])
    (entry,) = (find_cache_folder() / "code_references").iterdir()
    data = entry.read_bytes()
    for damaged in (b"", data[:20], data[:-1] + bytes([data[-1] ^ 1]), b"not compressed"):
        entry.write_bytes(damaged)
        assert (await find_expected(runner, ROOT, "root", [(4,), (9,)])).values == first.values
        assert entry.read_bytes() != damaged


async def test_expected_values_never_reach_the_job_of_a_candidate(make_fake: Callable[..., Any]) -> None:
    reference = Outcome("finished", returns=(Return('"secret"'),))
    fake = make_fake([reference, Outcome("finished", returns=(Return('"guess"'),))])
    test = read_reference(ReferenceTest("def f(x): return 'secret'", "f", ((1,),)))
    grade = await grade_by_reference(Runner(fake, CodeSettings()), "def f(x): return 'guess'", test)
    assert grade.correct is False
    (_, _, _), (job, _, _) = fake.jobs
    assert isinstance(job, Calls)
    assert "secret" not in repr(job)


async def test_a_reference_that_fails_leaves_the_program_ungraded(runner: Runner) -> None:
    for reference, reason in [
        ("def root(x): return 1 / 0", "the reference solution raised ZeroDivisionError"),
        ("def root(x) return", "the reference solution raised SyntaxError"),
        ("def other(x): return x", "is not defined"),
    ]:
        grade = await grade_program(runner, ROOT, [ReferenceTest(reference, "root", ((4,),))], TASK)
        assert grade.correct is None
        assert reason in grade.note
        assert "nothing to compare with" in grade.note


async def test_inputs_beyond_the_limits_of_the_reference_are_left_out(make_fake: Callable[..., Any]) -> None:
    outcomes = [
        Outcome("too_much_output", returns=(Return("1"),)),
        Outcome("finished", returns=(Return("3"),)),
        Outcome("finished", returns=(Return("1"), Return("3"))),
    ]
    fake = make_fake(outcomes)
    test = read_reference(ReferenceTest("...", "f", ((1,), (2,), (3,))))
    grade = await grade_by_reference(Runner(fake, CodeSettings()), "def f(x): ...", test)
    assert grade.correct is True
    assert grade.note == "1 of 3 inputs left out, on which the reference reaches a limit"
    assert [call.arguments for call in fake.jobs[2][0].calls] == [(1,), (3,)]
    fake = make_fake([Outcome("out_of_memory")])
    with pytest.raises(FailedReference, match="on every input"):
        await find_expected(Runner(fake, CodeSettings()), "...", "g", [(1,), (2,)])


async def test_limits_follow_the_reference(make_fake: Callable[..., Any]) -> None:
    answers = (Return("1", seconds=3.0), Return("1", seconds=0.1))
    fake = make_fake([Outcome("finished", returns=answers)])
    test = read_reference(ReferenceTest("def f(x): return 1", "f", ((1,), (2,))))
    settings = CodeSettings(least_seconds=2.0, reference_factor=4.0, slack=1.0)
    await grade_by_reference(Runner(fake, settings), "def f(x): return 1", test)
    assert fake.jobs[1][1].wall_seconds == 12.0
    assert fake.jobs[1][1].total_seconds == 14.0


async def test_large_values_have_time_to_cross(make_fake: Callable[..., Any]) -> None:
    text = '"' + "x" * (8_000_000 + (1 << 20) - 2) + '"'
    fake = make_fake([Outcome("finished", returns=(Return(text, seconds=1.0),))])
    test = read_reference(ReferenceTest("def f(x): return 1", "f", ((1,),)))
    settings = CodeSettings(reference_factor=4.0, slack=1.0)
    assert (await grade_by_reference(Runner(fake, settings), "def f(x): return 1", test)).correct is True
    assert fake.jobs[1][1].wall_seconds == 8.0
    assert fake.jobs[1][1].output_bytes == 2 * len(text)


def test_an_unknown_oracle_is_an_error() -> None:
    with pytest.raises(ValueError, match="oracle: got 'close'; allowed: find_zero"):
        read_reference(ReferenceTest("x", "f", ((1,),), oracle="close"))


async def test_values_are_remembered_by_memory_and_machine(
    make_fake: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = make_fake([Outcome("finished", returns=(Return("5"),))])

    async def count_jobs(memory_bytes: int) -> int:
        await find_expected(Runner(fake, CodeSettings(memory_bytes=memory_bytes)), ROOT, "root", [(4,)])
        return len(fake.jobs)

    assert [await count_jobs(size) for size in (1 << 30, 1 << 30, 2 << 30)] == [1, 1, 2]
    monkeypatch.setattr("platform.node", lambda: "another")
    assert [await count_jobs(size) for size in (1 << 30, 1 << 30)] == [3, 3]


async def test_a_test_without_inputs_grades_nothing(make_fake: Callable[..., Any]) -> None:
    grade = await grade_program(Runner(make_fake(), CodeSettings()), "raise 1", [ReferenceTest(ROOT, "root")], TASK)
    assert (grade.correct, grade.note) == (None, "the test has no inputs")
