"""Find the examples in the statement of a problem that are tests: calls of its function with the value they give.

Read are sessions of Python (`>>> f(1)` with the value on the next line), assertions on a line of their own, and a call
and its value on one line (`f(1) -> 2`, `f(1) => 2`, `f(1) == 2`). The call has to name the function of the problem, and
the value has to be a Python literal; whatever else a statement shows is no test.

This module does not run anything.
"""

import ast
import re
from collections.abc import Iterator

from nbest.programs.syntax import parse_source, read_literal

_ARROW = re.compile(r"[ \t]*(?:➞|==?>|-+>|==|→|⇒)[ \t]*")
_LONGEST_LINE = 500


def find_examples(statement: str, entry_point: str) -> list[str]:
    """Return an assertion for each example that calls the function, in order and without repetitions.

    There is none for a method of a class, which a statement shows in another notation.
    """
    if not entry_point.isidentifier():
        return []
    sessions = list(_read_sessions(statement))
    return list(dict.fromkeys([*_read_assertions(statement, entry_point), *_read_calls(sessions, entry_point)]))


def _read_sessions(statement: str) -> Iterator[tuple[str, str]]:
    """Yield the source and the expected output of each call of a session, and of each line with an arrow."""
    source: list[str] = []
    output: list[str] = []
    for line in [*statement.splitlines(), ""]:
        text = line.strip()
        is_end = not text or text.startswith((">>>", '"""', "'''"))
        if source and is_end:
            yield "\n".join(source), "\n".join(output)
            source, output = [], []
        if text.startswith(">>>"):
            source = [text.removeprefix(">>>").strip()]
        elif source and not is_end:
            is_continued = text.startswith("...") and not output
            (source if is_continued else output).append(text.removeprefix("...").strip() if is_continued else text)
        elif len(text) <= _LONGEST_LINE and not text.startswith("assert "):
            for match in _ARROW.finditer(text):
                yield text[: match.start()], text[match.end() :]


def _read_calls(pairs: list[tuple[str, str]], entry_point: str) -> Iterator[str]:
    for source, value in pairs:
        if _is_call(source, entry_point) and read_literal(value)[0]:
            yield f"assert {source} == {value}"


def _is_call(source: str, entry_point: str) -> bool:
    """Return whether a source is one call of the function with literals."""
    tree = parse_source(source)
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        return False
    call = tree.body[0].value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != entry_point:
        return False
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    try:
        return all(read_literal(ast.unparse(argument))[0] for argument in arguments)
    except ValueError:  # an integer of more digits than Python writes
        return False


def _read_assertions(statement: str, entry_point: str) -> Iterator[str]:
    for line in statement.splitlines():
        text = line.strip()
        if text.startswith("assert ") and len(text) <= _LONGEST_LINE:
            tree = parse_source(text)
            names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} if tree else set[str]()
            if entry_point in names:
                yield text
