"""The prompts that ask a model for tests and inputs of a program, and the parsers of its replies.

A function is tested by assertions, a program that reads stdin by JSON objects with `stdin` and `stdout`. Inputs that
tell two programs apart are calls of the function, or JSON objects with `stdin`. Of a reply, what stands after the
thinking is read; whatever it holds beside tests is passed over. Nothing of a reply is executed here.

This module does not know models, sandboxes or pools.
"""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

from nbest.answers.reasoning import remove_reasoning
from nbest.judging.prompts import number_candidate
from nbest.plurals import show_count
from nbest.programs.syntax import parse_statements
from nbest.records import CodeTask
from nbest.sandbox.executions import Call
from nbest.selecting.execution.running import Input, Reply
from nbest.selecting.execution.statements import find_calls, names_entry_point, write_call

_LONGEST_SHOWN = 500
_FENCE_LINE = re.compile(r"^[ \t]*(?:```|~~~).*$", re.MULTILINE)
_DECODER = json.JSONDecoder()

_TESTS = """\
Here is a programming problem. Do not solve it. Write {count} tests for a correct solution of it.

# Problem

{problem}

# Form

{form}
Cover ordinary cases, edge cases and large cases. Every test has to be right: leave a test out if you are not sure of \
its result."""
_FUNCTION_TESTS = """\
Write one assertion per line in a single Python code block. Each one calls `{entry_point}` with literal values and \
compares what it returns with a literal value:
```python
assert {entry_point}(...) == ...
```"""
_STDIN_TESTS = """\
Write one JSON object per line in a single code block, with the input of the program and what it has to print:
```json
{{"stdin": "...", "stdout": "..."}}
```"""
_INPUTS = """\
Here is a programming problem and two programs that may be right or wrong. Find inputs on which the two programs give \
different results. The inputs have to be valid for the problem. Write at most {count} inputs.

# Problem

{problem}

# Programs

{programs}

# Form

{form}"""
_FUNCTION_INPUTS = """\
Write one call per line in a single Python code block, with literal values:
```python
{entry_point}(...)
```"""
_STDIN_INPUTS = """\
Write one JSON object per line in a single code block:
```json
{{"stdin": "..."}}
```"""
_RESULTS = """\
Here is a programming problem, two programs, and what each of them gives on some inputs. At least one of the programs \
is wrong. Work out for each input what the right result is, and decide which program is more likely to be right.

# Problem

{problem}

# Programs

{programs}

# Results

{results}

End with "Judgment: 0" if the first program is better, "Judgment: 1" if the second one is, or "Judgment: tie"."""


def render_tests(problem: str, task: CodeTask, count: int) -> str:
    """Return the prompt that asks for `count` tests of a problem."""
    form = _FUNCTION_TESTS if task.entry_point else _STDIN_TESTS
    return _TESTS.format(problem=problem, count=count, form=form.format(entry_point=_name(task)))


def parse_tests(text: str, task: CodeTask) -> list[str]:
    """Return the tests of a reply, in the form of `CodeTask.generated_tests`; none where it holds none."""
    content = remove_reasoning(text)
    if task.entry_point:
        statements = _find_assertions(content)
        return [statement for statement in statements if names_entry_point(statement, task.entry_point)]
    return [
        json.dumps({"stdin": row["stdin"], "stdout": row["stdout"]})
        for row in _find_objects(content)
        if isinstance(row.get("stdin"), str) and isinstance(row.get("stdout"), str)
    ]


def render_inputs(problem: str, task: CodeTask, programs: Sequence[str], count: int) -> str:
    """Return the prompt that asks for inputs that tell two programs apart."""
    form = _FUNCTION_INPUTS if task.entry_point else _STDIN_INPUTS
    return _INPUTS.format(
        problem=problem, programs=_show_programs(programs), count=count, form=form.format(entry_point=_name(task))
    )


def parse_inputs(text: str, task: CodeTask, count: int) -> list[Input]:
    """Return the first `count` inputs of a reply, each once; none where it holds none."""
    content = remove_reasoning(text)
    inputs: list[Input] = []
    if task.entry_point:
        calls = {write_call(call): call for line in content.splitlines() for call in _read_line(line, task)}
        inputs = list(calls.values())
    else:
        texts = [row["stdin"] for row in _find_objects(content) if isinstance(row.get("stdin"), str)]
        inputs = list(dict.fromkeys(texts))
    return inputs[:count]


def render_results(
    problem: str, programs: Sequence[str], inputs: Sequence[Input], replies: Sequence[Sequence[Reply]]
) -> str:
    """Return the prompt that asks which of two programs is right, given what they did on `inputs`.

    `replies` holds one list per program. The reply is read by `nbest.judging.prompts.parse_pairwise`.
    """
    lines: list[str] = []
    for number, each in enumerate(inputs):
        shown = f"{each.function.rpartition('.')[2]}{_show_arguments(each)}" if isinstance(each, Call) else repr(each)
        lines.append(f"Input: {_shorten(shown)}")
        lines += [f"Solution {row}: {_show_reply(replied[number])}" for row, replied in enumerate(replies)]
        lines.append("")
    return _RESULTS.format(problem=problem, programs=_show_programs(programs), results="\n".join(lines).rstrip())


def _name(task: CodeTask) -> str:
    owner, _, name = task.entry_point.rpartition(".")
    return f"{owner}().{name}" if owner else name


def _show_programs(programs: Sequence[str]) -> str:
    shown = (number_candidate(number, program, "code") for number, program in enumerate(programs))
    return "".join(shown).removeprefix("\n\n")


def _show_arguments(call: Call) -> str:
    return f"({', '.join(map(_write_value, call.arguments))})"


def _write_value(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return f"a {type(value).__name__} that is too large to be written"


def _show_reply(reply: Reply) -> str:
    if reply.content is None:
        return reply.behaviour.replace("_", " ")
    return _shorten(_write_value(reply.content if reply.behaviour.startswith("printed") else reply.read_value()))


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}... ({show_count(len(text), 'character')})"


def _find_assertions(content: str) -> list[str]:
    """Return the assertions of a text: of its code as a whole where that can be parsed, else of its lines."""
    pieces = [piece for piece in _FENCE_LINE.split(content) if "assert" in piece]
    assertions: list[str] = []
    for piece in pieces:
        tree = parse_statements(piece)
        if tree is not None:
            nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
            nodes.sort(key=lambda node: (node.lineno, node.col_offset))
            assertions += [text for node in nodes if (text := _unparse(node))]
            continue
        lines = (line.strip() for line in piece.splitlines())
        assertions += [line for line in lines if line.startswith("assert ") and parse_statements(line) is not None]
    return assertions


def _unparse(node: ast.AST) -> str:
    """Return the source of a node; "" where it holds an integer of more digits than Python writes."""
    try:
        return ast.unparse(node)
    except ValueError:
        return ""


def _read_line(line: str, task: CodeTask) -> list[Call]:
    text = line.strip().removeprefix("assert ").strip().strip("`")
    return find_calls(text, task.entry_point) if "(" in text else []


def _find_objects(content: str) -> Iterator[dict[str, Any]]:
    position = content.find("{")
    while position >= 0:
        try:
            value, end = _DECODER.raw_decode(content, position)
        except (ValueError, RecursionError):
            value, end = None, position + 1
        if isinstance(value, dict):
            yield cast("dict[str, Any]", value)
        position = content.find("{", end)
