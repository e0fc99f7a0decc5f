import pytest

from nbest.verifying.code.running import Runner
from nbest.verifying.code.stdin import grade_stdin

SUM = "print(sum(map(int, input().split())))"
LOOP = "while True: pass"


async def test_all_tests_have_to_pass(runner: Runner) -> None:
    assert (await grade_stdin(runner, SUM, [("1 2\n", "3\n"), ("4 5\n", "9")], False)).correct is True
    grade = await grade_stdin(runner, SUM, [("1 2\n", "3\n"), ("4 5\n", "8"), ("1 1\n", "3")], False)
    assert grade.correct is False
    assert grade.note == "test 2 of 3: got '9', expected '8'; input '4 5\\n'"


@pytest.mark.parametrize(
    ("source", "note"),
    [
        ("print(1/0)", "raised ZeroDivisionError: division by zero"),
        ("print(1", "raised SyntaxError"),
        ("import sys; print(3); sys.exit(1)", "exit status 1"),
        ("import os; os._exit(0)", "got ''"),
        ("print('x' * (64 << 20))", "printed or returned more than is allowed"),
        ("x = bytearray(64 << 30)", "needed more than the 4 GiB of memory"),
        ("import nothing_of_this_name", "imports nothing_of_this_name, which is not in the package set"),
    ],
)
async def test_a_failure_says_how_the_program_ended(runner: Runner, source: str, note: str) -> None:
    grade = await grade_stdin(runner, source, [("1 2\n", "3\n")], False)
    assert grade.correct is False
    assert note in grade.note


async def test_a_program_that_does_not_end_is_stopped(runner: Runner) -> None:
    for is_upstream in (False, True):
        grade = await grade_stdin(runner, LOOP, [("1 2\n", "3\n")], is_upstream)
        assert (grade.correct, "timed out after 3 s" in grade.note) == (False, True)


SAME = {
    SUM: True,
    "import sys\nprint(sum(map(int, sys.stdin.readline().split())))": True,
    "import sys\na, b = sys.stdin.read().split()\nprint(int(a) + int(b))": True,
    "import sys\na, b = sys.stdin.buffer.read().split()\nprint(int(a) + int(b))": True,
    "def main():\n    print(sum(map(int, input().split())))\nif __name__ == '__main__':\n    main()": True,
    "print(2)": False,
    "print(input(), input(), input())": False,
    "import sys\nprint(3)\nsys.exit()": True,
    "print(3)\nexit()": True,
}
DIFFERENT = {
    # (program, true, upstream)
    "print(int(sqrt(9)))": (False, True),
    "import sys\nfor line in sys.stdin:\n    print(sum(map(int, line.split())))": (True, False),
    "import sys\nprint(3)\nsys.exit(1)": (False, True),
    "import sys\nsys.stdout.buffer.write(b'3')": (True, False),
    "total = 0\ndef add():\n    global total\n    total = total + 3\nadd()\nprint(total)": (True, False),
    "class Solution: pass\nprint(3)": (True, False),
    "from sys import stdout\nstdout.write('3')": (True, False),
    "import resource\nprint(3)": (True, False),
    "print(3)\nquit()": (True, False),
    "def f(n): return 0 if n == 0 else 1 + f(n - 1)\nprint(f(2000) - 1997)": (False, True),
}


@pytest.mark.parametrize(("source", "is_right"), SAME.items())
async def test_both_modes_agree_on_plain_programs(runner: Runner, source: str, is_right: bool) -> None:
    for is_upstream in (False, True):
        grade = await grade_stdin(runner, source, [("1 2\n", "3\n")], is_upstream)
        assert grade.correct is is_right, grade.note


@pytest.mark.parametrize(("source", "grades"), DIFFERENT.items())
async def test_upstreams_runner_differs_where_its_imitation_does(
    runner: Runner, source: str, grades: tuple[bool, bool]
) -> None:
    results = [await grade_stdin(runner, source, [("1 2\n", "3\n")], is_upstream) for is_upstream in (False, True)]
    assert tuple(result.correct for result in results) == grades, [result.note for result in results]


async def test_upstream_repeats_the_first_line_of_the_buffer(runner: Runner) -> None:
    source = "import sys\nread = sys.stdin.buffer.readline\nprint(int(read()) + int(read()))"
    assert (await grade_stdin(runner, source, [("1\n2\n", "3\n")], False)).correct is True
    assert (await grade_stdin(runner, source, [("1\n2\n", "2\n")], True)).correct is True


async def test_a_program_cannot_forge_a_pass(runner: Runner) -> None:
    forgeries = [
        "import builtins\nbuiltins.print = lambda *a, **k: None\nraise SystemExit(0)",
        "class A(str):\n    def __eq__(self, o): return True\nprint(A('x'))",
        "import os, sys\nos.write(1, b'True\\n')\nos._exit(0)",
        "import sys\nsys.stdout.write('passed')",
    ]
    for source in forgeries:
        for is_upstream in (False, True):
            grade = await grade_stdin(runner, source, [("1 2\n", "3\n")], is_upstream)
            assert grade.correct is False, source
