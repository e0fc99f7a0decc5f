import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from nbest.errors import ConfigError, SandboxError, UnavailableError
from nbest.protocols import Verifier
from nbest.records import Completion, Problem, Trajectory, Verdict
from nbest.sandbox.executions import CheckResult, Outcome, Sandbox
from nbest.verifying.code.settings import CodeSettings
from nbest.verifying.code.verifier import DIFFERS, CodeVerifier

CHECK = "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(3) == 9\n"
PROBLEM = Problem("p", "Write square(n).", kind="code", tests=(CHECK,), meta={"entry_point": "square"})
RIGHT = "def square(n):\n    return n * n\n"
STDIN = Problem("s", "Add.", kind="code", tests=(json.dumps({"stdin": "1 2\n", "stdout": "3\n"}),))
SUM = "print(sum(map(int, input().split())))"


def fence(code: str) -> str:
    return f"Here it is:\n```python\n{code}\n```\n"


def draw(*texts: str) -> list[Trajectory]:
    return [Trajectory(f"p#{index}", "p", index, 0, Completion(text)) for index, text in enumerate(texts)]


async def verify(sandbox: Any, problem: Problem, texts: Sequence[str], **settings: Any) -> list[Verdict]:
    verifier = CodeVerifier(lambda: sandbox, CodeSettings(**settings))
    return await verifier.verify(problem, draw(*texts))


async def test_verdicts_of_good_and_bad_input(sandbox: Sandbox) -> None:
    assert isinstance(CodeVerifier(lambda: sandbox), Verifier)
    cases = {
        fence(RIGHT): (True, ""),
        RIGHT: (True, ""),
        fence(RIGHT) + fence("print(square(3))"): (True, ""),
        fence("def square(n):\n    return 2 * n") + fence(RIGHT): (True, ""),
        fence(RIGHT).replace("\n", "\r\n"): (True, ""),
        fence("def square(n):\n    return 2 * n"): (False, "the test: failed"),
        fence("def square(n):\n    return n *"): (False, "raised SyntaxError"),
        fence("def cube(n):\n    return n ** 3"): (False, "square"),
        fence("import absent_package\n" + RIGHT): (
            False,
            "imports absent_package, which is not in the package set",
        ),
        "I do not know.": (False, "no program in the completion"),
        "": (False, "no program in the completion"),
    }
    verdicts = await verify(sandbox, PROBLEM, list(cases))
    for (text, (correct, note)), verdict in zip(cases.items(), verdicts, strict=True):
        assert (verdict.correct, verdict.answer) == (correct, None), (text, verdict.note)
        assert note in verdict.note, text


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ((), "the problem has no tests"),
        (('{"stdin": "1"}',), "the tests cannot be read"),
        (('{"question": "1"}',), "the tests cannot be read"),
        (('{"check": "def test(f): assert f(1)"}',), "the tests cannot be run: the test code does not define"),
    ],
)
async def test_faulty_tests_leave_programs_ungraded(sandbox: Sandbox, tests: tuple[str, ...], reason: str) -> None:
    problem = Problem("p", "?", kind="code", tests=tests, meta={"entry_point": "square"})
    (verdict,) = await verify(sandbox, problem, [fence(RIGHT)])
    assert verdict.correct is None
    assert reason in verdict.note
    assert "'p'" in verdict.note or "cannot be read" not in reason


async def test_a_failure_of_the_sandbox_is_not_the_programs(make_fake: Callable[..., Any]) -> None:
    fake = make_fake([SandboxError("the worker died")])
    (verdict,) = await verify(fake, PROBLEM, [fence(RIGHT)])
    assert (verdict.correct, verdict.note) == (None, "the sandbox failed: the worker died")
    with pytest.raises(ConfigError, match="memory"):
        await verify(make_fake([ConfigError("memory_bytes: too much")]), PROBLEM, [fence(RIGHT)])


async def test_nothing_is_run_without_isolation() -> None:
    calls: list[int] = []

    def refuse() -> Sandbox:
        calls.append(1)
        raise UnavailableError("no isolation works on this machine; `nbest doctor` says more")

    verifier = CodeVerifier(refuse)
    assert await verifier.open() is None
    first = await verifier.verify(PROBLEM, draw(fence(RIGHT), "nothing"))
    assert [verdict.correct for verdict in first] == [None, None]
    assert first[0].note == "not run: no isolation works on this machine; `nbest doctor` says more"
    await verifier.verify(STDIN, draw(fence(SUM)))
    assert len(calls) == 1
    await verifier.aclose()


async def test_the_sandbox_opens_once_and_late_and_is_closed(make_fake: Callable[..., Any]) -> None:
    fake, opened = make_fake([Outcome("finished", checks=(CheckResult(True),))]), []

    def open_fake() -> Any:
        opened.append(1)
        return fake

    async with CodeVerifier(open_fake) as verifier:
        assert not opened
        await asyncio.gather(*(verifier.verify(PROBLEM, draw(fence(RIGHT))) for _ in range(8)))
        assert len(opened) == 1
        assert not fake.is_closed
    assert fake.is_closed


async def test_equal_programs_run_once(make_fake: Callable[..., Any]) -> None:
    fake = make_fake([Outcome("finished", checks=(CheckResult(True),))])
    verdicts = await verify(fake, PROBLEM, [fence(RIGHT), "Again.\n" + fence(RIGHT), fence(RIGHT + "\n# other")])
    assert [verdict.correct for verdict in verdicts] == [True, True, True]
    assert len(fake.jobs) == 2


async def test_a_package_that_the_benchmark_offers_is_not_the_programs_fault(make_fake: Callable[..., Any]) -> None:
    message = "ModuleNotFoundError: No module named 'numpy.linalg'"
    fake = make_fake([Outcome("raised", message)])
    (verdict,) = await verify(fake, STDIN, [fence("import numpy.linalg\n" + SUM)])
    assert verdict.correct is None
    assert "imports numpy, which the benchmark offers" in verdict.note
    fake = make_fake([Outcome("raised", message)], packages={"python": "3", "numpy": "2"})
    (verdict,) = await verify(fake, STDIN, [fence("import numpy.linalg\n" + SUM)])
    assert verdict.correct is False


async def test_both_modes_list_what_they_grade_differently(sandbox: Sandbox) -> None:
    texts = [fence(SUM), fence("print(int(sqrt(9)))"), fence("import sys\nfor line in sys.stdin:\n    print(3)"), SUM]
    verifier = CodeVerifier(lambda: sandbox, CodeSettings("both"))
    verdicts = await verifier.verify(STDIN, draw(*texts))
    assert [verdict.correct for verdict in verdicts] == [True, False, True, True]
    assert [(item.trajectory_id, item.true, item.upstream) for item in verifier.differences] == [
        ("p#1", False, True),
        ("p#2", True, False),
        # Upstream takes a program only from between two fences.
        ("p#3", True, False),
    ]
    assert verdicts[0].note == ""
    assert f"{DIFFERS} right" in verdicts[1].note
    assert f"{DIFFERS} wrong" in verdicts[2].note
    assert "not iterable" in verdicts[2].note
    upstream = await verify(sandbox, STDIN, texts, mode="upstream")
    assert [verdict.correct for verdict in upstream] == [True, True, False, False]


async def test_modes_do_not_matter_for_other_tests(sandbox: Sandbox) -> None:
    verifier = CodeVerifier(lambda: sandbox, CodeSettings("both"))
    (verdict,) = await verifier.verify(PROBLEM, draw(RIGHT))
    assert (verdict.correct, verifier.differences) == (True, [])


async def test_known_faults_of_a_task_stand_in_the_note(make_fake: Callable[..., Any]) -> None:
    fake = make_fake([Outcome("finished", checks=(CheckResult(False, "AssertionError"),))])
    problem = Problem("HumanEval/47", "?", kind="code", tests=(CHECK,), meta={"entry_point": "square"})
    (verdict,) = await verify(fake, problem, [fence(RIGHT)])
    assert verdict.note.startswith("the test: failed; known fault of this task: an example in the prompt")


async def test_programs_are_graded_a_few_at_a_time_and_in_order(make_fake: Callable[..., Any]) -> None:
    class Slow(type(make_fake())):  # type: ignore[misc]
        running = most = 0

        async def run(self, job: Any, limits: Any = None) -> Outcome:
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(0.002)
            self.running -= 1
            return self._answer(job, limits, False)

    fake = Slow([Outcome("finished", checks=(CheckResult(True),))])
    verifier = CodeVerifier(lambda: fake, programs=3)
    finished: list[int] = []

    async def verify_one(number: int) -> None:
        await verifier.verify(PROBLEM, draw(*(fence(RIGHT + f"# {number} {n}") for n in range(5))))
        finished.append(number)

    await asyncio.gather(*(verify_one(number) for number in range(6)))
    assert len(fake.jobs) == 30
    assert fake.most == 3
    assert max(abs(place - number) for place, number in enumerate(finished)) <= 3


def test_one_verifier_serves_several_loops(make_fake: Callable[..., Any]) -> None:
    fake = make_fake([Outcome("finished", checks=(CheckResult(True),))])
    verifier = CodeVerifier(lambda: fake, programs=1)
    for _ in range(2):
        work = verifier.verify(PROBLEM, draw(*(fence(RIGHT + f"# {n}") for n in range(3))))
        assert [verdict.correct for verdict in asyncio.run(work)] == [True, True, True]


async def test_notes_hold_only_what_a_file_can(make_fake: Callable[..., Any]) -> None:
    fake = make_fake([Outcome("raised", "ValueError: \ud800")])
    (verdict,) = await verify(fake, STDIN, [fence("raise ValueError('\\ud800')")])
    assert (verdict.correct, verdict.note.encode().count(b"\\ud800")) == (False, 1)
    fake = make_fake([SandboxError("\udcff")])
    (verdict,) = await verify(fake, STDIN, [fence(SUM)])
    assert (verdict.correct, verdict.note) == (None, "the sandbox failed: \\udcff")
    outcomes = [Outcome("finished", stdout="3\n"), Outcome("raised", "E: \ud800")]
    verifier = CodeVerifier(lambda: make_fake(outcomes), CodeSettings("both"))
    await verifier.verify(STDIN, draw(fence(SUM)))
    (difference,) = verifier.differences
    assert "\\ud800" in json.dumps(difference.to_json(), ensure_ascii=False).encode().decode()


@pytest.mark.parametrize(
    ("message", "is_missing"),
    [
        ("No module named 'os.foo'; 'os' is not a package", False),
        ("No module named 'json.foo'", False),
        ("No module named 'numpy.foo'", False),
        ("No module named 'mine.foo'; 'mine' is not a package", False),
        ("No module named 'absent'", True),
        ("No module named 'absent.foo'", True),
        ("No module named 'distutils'", True),
    ],
)
async def test_a_module_that_is_missing_in_a_package_is_no_missing_package(
    make_fake: Callable[..., Any], message: str, is_missing: bool
) -> None:
    fake = make_fake([Outcome("raised", f"ModuleNotFoundError: {message}")], packages={"python": "3", "numpy": "2"})
    (verdict,) = await verify(fake, STDIN, [fence(SUM)])
    assert verdict.correct is False
    assert ("which is not in the package set" in verdict.note) is is_missing
    assert is_missing or message in verdict.note
