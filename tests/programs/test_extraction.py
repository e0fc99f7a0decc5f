"""The program of a completion: which fence, which of several programs, and texts without a fence."""

import gzip
import json
import random
import warnings
from pathlib import Path

import pytest

from nbest.programs.extraction import Program, defines, extract_program
from nbest.records import CodeTask

DATA = Path(__file__).parents[3] / "shared" / "data"
PREFIX = 'from typing import List\n\n\ndef double(x: int) -> int:\n    """Return 2 * x."""\n'
BODY = "    return 2 * x\n"
DOUBLE = CodeTask("double", PREFIX)
FUNCTION = CodeTask("f")
METHOD = CodeTask("Solution.f")
THOUGHT = "<think>\n```python\nno()\n```\n</think>\n"


def found(text: str, task: CodeTask | None = None) -> tuple[str, str] | None:
    """The source and the rule."""
    program = extract_program(text, task)
    return None if program is None else (program.source, program.rule)


def fenced(*codes: str, language: str = "python") -> str:
    return "\n\nThen:\n\n".join(f"```{language}\n{code}\n```" for code in codes)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\nx()\n```", "x()"),
        ("Well:\n```\nx()\n```\nDone.", "x()"),
        ("~~~py\nx()\n~~~", "x()"),
        ("```python3\nx()\n```", "x()"),
        ("```Python\nx()\n```", "x()"),
        ("``` python \nx()\n``` ", "x()"),
        ("```{.python .numberLines}\nx()\n```", "x()"),
        ("```python:main.py\nx()\n```", "x()"),
        ("````python\nx()\n```\ny()\n````", "x()\n```\ny()"),
        (THOUGHT + fenced("first()", "last()\n  more()") + "\nDone.", "last()\n  more()"),
        ("```python\nfirst()\n```\n```python\n```", "first()"),
        ("```\nprint('```')\n```", "print('```')"),
        ("```python\r\nx()\r\n\ty()\r\n```\r\n", "x()\r\n\ty()"),
        ("\ufeff```python\nx()\n```", "x()"),
        ("```python\nprint(“x”)\n```", "print(“x”)"),
        (
            '```python\nmain()\n\nif __name__ == "__main__":\n    main()\n```',
            'main()\n\nif __name__ == "__main__":\n    main()',
        ),
        ("1. So:\n   ```python\n   if x:\n       y()\n   ```", "if x:\n    y()"),
        ("```python\nx(\n```", "x("),
        ("```python\nx()```\nThat is all.", "x()"),
        ("```python\nx()\n```python\ny()\n```", "y()"),
        ("```cpp\nint x;\n```", "int x;"),
        ("[BEGIN]\nx()\n[DONE]\nAnd so on.", "x()"),
        ("So:\n[PYTHON]\nx()\n[/PYTHON]\n[TESTS]", "x()"),
        ("[BEGIN]\n```python\nx()\n```\n[DONE]", "x()"),
    ],
)
def test_the_program_in_a_fence(text: str, code: str):
    assert extract_program(text) == Program(code, "fence", code)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n\n",
        "No block here.",
        "Yes",
        "[1, 2]",
        "<think>\n```python\ncut()\n```",
        "<think>\nHm.\n</think>\n",
        "```python\n```",
        "```python\n\n\n```",
        "The answer is `x()`.",
    ],
)
def test_a_completion_without_a_program(text: str):
    assert extract_program(text) is None
    assert extract_program(text, FUNCTION) is None


@pytest.mark.parametrize("language", ["text", "bash", "json", "output", "pycon", "console"])
def test_a_fence_of_another_language_is_not_the_program_beside_one_of_python(language: str):
    python, other = fenced("x()"), fenced("pip install x", language=language)
    assert found(f"{python}\n{other}") == found(f"{other}\n{python}") == ("x()", "fence")
    assert found(f"{fenced('x()', language='')}\n{other}") == ("x()", "fence")
    assert found(f"{other}\n```python\nx()") == ("x()", "unclosed")


@pytest.mark.parametrize("output", ["3 4", "5", "YES", "[1, 2]", "Case #1: 3", ">>> x()\n3"])
def test_an_output_without_a_language_is_not_the_program_beside_one(output: str):
    assert found(f"{fenced('x()')}\nIt prints\n{fenced(output, language='')}") == ("x()", "fence")
    assert found(f"{fenced('x()', language='')}\nIt prints\n{fenced(output, language='')}") == ("x()", "fence")


def test_of_two_programs_the_last_complete_one_wins():
    assert found(fenced("x()", "y()")) == ("y()", "fence")
    assert found(fenced("x()", "y(")) == ("y(", "fence")
    assert found(f"{fenced('x()')}\n```python\ny()") == ("x()", "fence")
    assert found(f"{fenced('x()', language='')}\n```python\ny()") == ("x()", "fence")


@pytest.mark.parametrize(
    ("task", "solution", "example"),
    [
        (FUNCTION, "def f(x):\n    return x", "print(f(3))"),
        (FUNCTION, "f = lambda x: x", "def g():\n    return f(1)"),
        (FUNCTION, "from functools import reduce as f", "assert f"),
        (FUNCTION, "try:\n    import f\nexcept ImportError:\n    def f(): ...", "f()"),
        (FUNCTION, "async def f():\n    return 1", "await_it(f)"),
        (METHOD, "class Solution:\n    def f(self):\n        return 1", "print(Solution().f())"),
        (METHOD, "class Base:\n    def f(self): ...\n\nclass Solution(Base):\n    pass", "class Solution:\n    pass"),
        (METHOD, "class Solution:\n    def f(self):\n        return (", "Solution().f()"),
    ],
)
def test_an_example_of_its_use_behind_the_solution_is_not_the_program(task: CodeTask, solution: str, example: str):
    assert found(fenced(solution, example), task) == (solution, "fence")
    assert found(fenced(example, solution), task) == (solution, "fence")
    # Where no block defines the function, the last one stays, and its test says what is missing.
    assert found(fenced("g = 1", example), task) == (example, "fence")


def test_of_two_solutions_the_last_one_wins():
    first, second = "def f():\n    return 1", "def f():\n    return 2"
    assert found(fenced(first, "print(f())", second, "f()"), FUNCTION) == (second, "fence")


def test_a_block_that_the_token_limit_cut():
    assert found("So:\n```python\nx()\n  y(") == ("x()\n  y(", "unclosed")
    assert found("So:\n```python\nx()\n") == ("x()", "unclosed")
    # A complete block that lacks the function yields to a cut one that has it.
    assert found(fenced("f(1)") + "\n```python\ndef f(x):\n    return x", FUNCTION) == (
        "def f(x):\n    return x",
        "unclosed",
    )


@pytest.mark.parametrize("quotes", ['"""', "'''"])
def test_a_fence_inside_a_string_does_not_end_the_block(quotes: str):
    code = f"def f():\n    {quotes}Use\n    ```python\n    f()\n    ```\n    {quotes}\n    return 1"
    assert found(f"```python\n{code}\n```\nDone.\n```\n1\n```", FUNCTION) == (code, "fence")
    # A string that is never closed has no fence behind it: the first one counts.
    assert found(f"```python\nx = {quotes}a\n```\nDone.") == (f"x = {quotes}a", "fence")


def test_text_without_a_fence_that_is_a_program():
    program = "import sys\nprint(sys.stdin.read())\n"
    assert found(program) == (program, "text")
    assert found(THOUGHT + program) == ("\n" + program, "text")
    assert found("\ufeff" + program) == (program, "text")
    assert found(f"{program}```\nIt reads all.\n") == (program, "text")
    assert found(f"{program}[DONE]\n\nYou are an expert") == (program, "text")
    assert found(f"{program}```\nIt prints\n```\n3\n```") == (program, "text")
    assert found("def g():\n    return 1\n", FUNCTION) == ("def g():\n    return 1\n", "text")


def test_a_function_body_continues_the_prefix():
    program = extract_program(BODY, DOUBLE)
    assert program == Program(PREFIX + BODY, "continuation", BODY)
    assert found(f"```python\n{BODY}```", DOUBLE) == (PREFIX + BODY.rstrip("\n"), "fence")
    assert found("    return 2 *\n", DOUBLE) == (PREFIX + "    return 2 *\n", "continuation")
    assert found("\n\n" + BODY, DOUBLE) == (PREFIX + "\n\n" + BODY, "continuation")
    assert found("\treturn 2 * x", CodeTask("double", "def double(x):\n")) == (
        "def double(x):\n\treturn 2 * x",
        "continuation",
    )
    assert found(BODY) is None


@pytest.mark.parametrize("rest", ["def g(x):\n    return (", "print(double(", "if __name__", "class A:"])
def test_a_continuation_ends_where_it_leaves_the_function_if_it_only_then_compiles(rest: str):
    assert found(f"{BODY}\n{rest}", DOUBLE) == (f"{PREFIX}{BODY}\n", "cut")
    # What compiles stays whole, and so does what no cut helps.
    for whole in (f"{BODY}\ndef g():\n    pass\n", f"{BODY}\n# So", f"    return (\n\n{rest}"):
        assert found(whole, DOUBLE) == (PREFIX + whole, "continuation")


def test_a_fence_behind_a_body_only_closes_it():
    # A prompt may have opened the block, so that the completion starts inside it.
    assert found(f"{BODY}```\nDone.", DOUBLE) == (PREFIX + BODY, "continuation")
    assert found(f"{BODY}```\nIt doubles:\n```python\nprint(double(2))\n```", DOUBLE) == (PREFIX + BODY, "continuation")
    better = "def double(x):\n    return x + x"
    program = extract_program(f"{BODY}```\nOr better:\n{fenced(better)}", DOUBLE)
    assert program is not None
    assert program.excerpt == better


def test_a_whole_function_runs_behind_what_the_prefix_offers():
    prefix = "from typing import List\n\ndef helper(x):\n    return x\n\n\ndef f(xs: List[int]):\n    '''Help.'''\n"
    code = "def f(xs: List[int]):\n    return helper(xs)"
    task = CodeTask("f", prefix)
    program = extract_program(fenced(code), task)
    assert program is not None
    assert program.excerpt == code
    names: dict[str, object] = {}
    exec(program.source, names)
    assert names["f"]([1]) == [1]  # type: ignore[operator]
    assert found(fenced(prefix + "    return helper(xs)"), task) == (prefix + "    return helper(xs)", "fence")
    # An import from __future__ has to stand first.
    future = "from __future__ import annotations\ndef f(xs): ..."
    assert found(fenced(future), task) == (future, "fence")


def test_the_rule_of_livecodebench():
    def source(text: str) -> str | None:
        program = extract_program(text, FUNCTION, "livecodebench")
        return None if program is None else program.source

    assert source(fenced("x()", "def f():\n  pass", "y()")) == "y()"
    assert source("so ```x``` is\nz()\n```") == "z()"
    assert source("```python\ndef f():\n    return 1\n```\n```") is None
    assert source("```python\nx()") is None
    assert source("def f(): ...") is None
    # The thinking is not left out there.
    assert source("<think>\n```\na()\n```\nnever closed") == "a()"


@pytest.mark.parametrize(
    ("source", "name", "is_defined"),
    [
        ("", "", True),
        ("x = 1", "", True),
        ("def f(): ...", "f", True),
        ("def g():\n    def f(): ...", "f", False),
        ("if 1:\n    def f(): ...\nelse:\n    pass", "f", True),
        ("with x:\n    f = 1", "f", True),
        ("f: int = 1", "f", True),
        ("f: int", "f", False),
        ("a, (f, b) = x", "f", True),
        ("import f.g", "f", False),
        ("class Solution:\n    def g(self): ...", "Solution.f", False),
        ("class Solution:\n    f = lambda self: 1", "Solution.f", True),
        ("def f(): ...", "Solution.f", False),
        ("def f(:", "f", True),
        ("def ff(:", "f", False),
    ],
)
def test_what_a_program_defines(source: str, name: str, is_defined: bool):
    assert defines(source, name) == is_defined


@pytest.mark.parametrize(
    "code",
    [
        "(" * 5_000,
        "~" * 50_000 + "1",
        "1+" * 50_000 + "1",
        "a." * 50_000 + "a",
        "x = '\\d'",
        "x = 1\x00",
        "x = '\ud800'",
        "```\n" * 3_000,
        '"""\n```\n' * 1_000,
        "```python\n" * 1_000,
        "if x:\n" + "".join(" " * depth + "if x:\n" for depth in range(1, 200)),
    ],
)
def test_no_text_raises_or_takes_long(code: str):
    for task in (None, FUNCTION, METHOD, DOUBLE):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            extract_program(code, task)
            extract_program(f"```python\n{code}\n```\n{fenced('f(1)')}", task)


def test_random_pieces_never_raise():
    rng = random.Random(0)
    pieces = [
        "```",
        "```python\n",
        "~~~\n",
        "\n",
        "    ",
        "def f():\n",
        "return 1",
        '"""',
        "<think>",
        "</think>",
        "x",
        " ",
    ]
    for _ in range(2_000):
        text = "".join(rng.choices(pieces, k=12))
        for task in (None, FUNCTION, DOUBLE):
            program = extract_program(text, task)
            assert program is None or program.source.strip()


def test_the_bodies_of_the_stored_pools_continue_their_prompts():
    path = DATA / "pools" / "humaneval_codegen16b.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    with gzip.open(path, "rt") as lines:
        for number, line in enumerate(lines):
            if number % 8:
                continue
            problem = json.loads(line)
            task = CodeTask(problem["entry_point"], problem["question"])
            for sample in problem["samples"]:
                program = extract_program(sample["text"], task)
                if sample["correct"]:
                    assert program is not None
                    assert program.source == problem["question"] + sample["text"]


def test_the_programs_that_livecodebench_graded():
    path = DATA / "benchmarks" / "lcb_v6_problems_and_qwen7b.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    with gzip.open(path, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    differences: list[str] = []
    for row in rows:
        upstream = extract_program(row["output"], None, "livecodebench")
        assert (upstream.source if upstream else "") == row["program"]
        program = extract_program(row["output"])
        if (program.source if program else "").strip() != row["program"].strip():
            # Upstream finds nothing where the model closed its block twice, or never.
            assert row["program"] == ""
            differences.append(row["question_id"])
    assert len(rows) == 1055
    assert len(differences) == 14
