from collections.abc import Callable
from typing import Any

import pytest

from nbest.sandbox.executions import CheckResult, Outcome, Sandbox
from nbest.verifying.code.assertions import grade_test_code, read_check, read_statements
from nbest.verifying.code.running import Runner
from nbest.verifying.code.settings import CodeSettings

CHECK = "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(3) == 9, 'three'\n"


def test_names_of_the_program_are_found() -> None:
    code = read_check("def check(candidate):\n    assert math.isclose(poly(1), candidate(2))", "f", "import math\n")
    assert code.functions == ("f", "poly")
    assert code.setup.startswith("import math\n")
    code = read_statements(["assert math.isclose(area(2), 3.0)", "assert Pair(1, 2) == a"], "a = 5")
    assert code.functions == ("area", "Pair")
    assert code.setup == "import math\na = 5"
    assert read_statements(["assert sum(1, 2) == 3"], "", "sum").functions == ("sum",)
    assert read_statements(["assert set(f(1)) == {1}"]).functions == ("f",)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("def check(candidate:", "does not compile"),
        ("def test(candidate): pass", "does not define the function check"),
    ],
)
def test_test_code_that_cannot_be_run_is_an_error(check: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_check(check, "f")


async def test_checks_pass_and_fail(runner: Runner) -> None:
    code = read_check(CHECK, "square")
    assert (await grade_test_code(runner, "def square(n): return n * n", code)).correct is True
    grade = await grade_test_code(runner, "def square(n): return 2 * n", code)
    assert (grade.correct, grade.note) == (False, "the test: failed (three)")
    grade = await grade_test_code(runner, "def square(n): return n[0]", code)
    assert (grade.correct, "raised TypeError: 'int' object is not subscriptable" in grade.note) == (False, True)
    grade = await grade_test_code(runner, "def cube(n): return n", code)
    assert (grade.correct, "'square' is not defined" in grade.note) == (False, True)
    grade = await grade_test_code(runner, "def square(n):\n    while True: pass", code)
    assert (grade.correct, "timed out after 3 s" in grade.note) == (False, True)


async def test_helpers_of_the_program_can_be_called(runner: Runner) -> None:
    check = "def check(candidate):\n    for n in range(3):\n        assert decode(candidate(n)) == n"
    source = "def decode(n): return n - 1\ndef encode(n): return n + 1"
    assert (await grade_test_code(runner, source, read_check(check, "encode"))).correct is True


async def test_statements_name_the_one_that_failed(runner: Runner) -> None:
    code = read_statements(["assert f(1) == 1", "assert f(2) == 4"])
    grade = await grade_test_code(runner, "def f(n): return n", code)
    assert (grade.correct, grade.note) == (False, "test 2 of 2, assert f(2) == 4: failed")


async def test_objects_and_types_stay_in_the_process_of_the_program(runner: Runner) -> None:
    setup = "root = Node(1)\nroot.left = Node(2)"
    code = read_statements(["assert depth(root) == 2", "assert depth(root) == 2"], setup)
    source = """
class Node:
    def __init__(self, value): self.value, self.left = value, None
def depth(node): return 0 if node is None else 1 + depth(node.left)
"""
    assert (await grade_test_code(runner, source, code)).correct is True
    code = read_statements(["assert drop((1, 2.5, 'a'), int) == [2.5, 'a']"])
    source = "def drop(items, kind): return [item for item in items if not isinstance(item, kind)]"
    assert (await grade_test_code(runner, source, code)).correct is True
    code = read_statements(["assert depth(root) == 2"], setup)
    grade = await grade_test_code(runner, "def depth(node): return 2", code)
    assert (grade.correct, "Node" in grade.note) == (False, True)


@pytest.mark.parametrize(
    ("setup", "statement"),
    [
        ("import math\nroot = Node(4)", "assert math.sqrt(read(root)) == 2.0"),
        ("root = Node(math.isqrt(17))", "assert math.isclose(read(root), 4.0)"),
        ("def build(n):\n    value = Node(n)\n    return value\nroot = build(3)", "assert read(root) + 1 == 4"),
        ("def build(n): return Node(n)", "assert read(build(5)) == 5"),
        ("for n in range(3): root = Node(n)", "assert (read(root), n) == (2, 2)"),
        ("Node(1)", "assert read(Node(7)) == 7"),
        ("items = [Node(1), Node(2)]", "assert [read(item) for item in items] == [1, 2]"),
    ],
)
async def test_setups_with_classes_of_the_program(runner: Runner, setup: str, statement: str) -> None:
    source = "class Node:\n    def __init__(self, value): self.value = value\ndef read(node): return node.value"
    grade = await grade_test_code(runner, source, read_statements([statement], setup))
    assert grade.correct is True, grade.note
    wrong = source.replace("return node.value", "return node.value + 10")
    grade = await grade_test_code(runner, wrong, read_statements([statement], setup))
    assert grade.correct is False
    assert grade.note.startswith("the test, ")


async def test_a_fault_of_the_test_code_is_not_the_programs(runner: Runner) -> None:
    code = read_statements(["assert f(1) == LIMIT"], "LIMIT = 1 / 0")
    grade = await grade_test_code(runner, "def f(n): return n", code)
    assert grade.correct is None
    assert "the test code could not be run: it raised ZeroDivisionError" in grade.note


@pytest.mark.parametrize(
    "source",
    [
        "class Same:\n    def __eq__(self, other): return True\ndef square(n): return Same()",
        "import builtins\nbuiltins.AssertionError = ValueError\ndef square(n): return 0",
        "def check(f): pass\ndef square(n): return 0",
        "import os\nprint('passed')\nos._exit(0)\ndef square(n): return 0",
        "import sys\nsys.exit(0)",
        "def square(n): raise SystemExit(0)",
        "import sys, os\ndef square(n):\n    os.write(3, b'{}')\n    return 0",
    ],
)
async def test_a_program_cannot_forge_a_pass(runner: Runner, source: str) -> None:
    assert (await grade_test_code(runner, source, read_check(CHECK, "square"))).correct is False


@pytest.mark.parametrize(
    ("statement", "setup", "source", "correct"),
    [
        ("assert f(1) == 1", "import time\ntime.sleep(60)", "def f(n): return n", None),
        ("while True: pass", "", "def f(n): return n", None),
        ("assert f(1) == 1", "", "def f(n):\n    while True: pass", False),
        ("assert f(1) == 1", "", "while True: pass", False),
        ("for _ in range(f(1)): pass", "", "def f(n): return 10 ** 15", False),
    ],
)
async def test_test_code_that_runs_out_of_time_by_itself_is_not_the_programs_fault(
    sandbox: Sandbox, statement: str, setup: str, source: str, correct: bool | None
) -> None:
    runner = Runner(sandbox, CodeSettings(check_seconds=0.8))
    grade = await grade_test_code(runner, source, read_statements([statement], setup, "f"))
    assert grade.correct is correct, grade.note
    assert ("the checks themselves ran out of time" if correct is None else "timed out") in grade.note


async def test_a_program_that_used_up_the_time_of_the_checks_is_wrong(make_fake: Callable[..., Any]) -> None:
    slow = Outcome("timed_out", origin="checks", cpu_seconds=9.0)
    fake = make_fake([slow, Outcome("finished", checks=(CheckResult(False, "NameError"),))])
    code = read_statements(["assert f(1) == 1"])
    grade = await grade_test_code(Runner(fake, CodeSettings()), "sleep", code)
    assert (grade.correct, len(fake.jobs)) == (False, 2)
    assert fake.jobs[1][0].source == ""
    grade = await grade_test_code(Runner(make_fake([slow]), CodeSettings()), "sleep", code)
    assert grade.correct is None
