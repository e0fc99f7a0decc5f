# pyright: standard
"""Read assertions about a function: which calls they make, and what they say of the value of one call.

Most assertions that people and models write have the form `assert f(1, 2) == 3`: a call of the function with plain
values, compared with a plain value. The value of such a call says whether the assertion holds, so that one run of a
program serves all of them. Every other assertion is run as a statement, in a process that is not the program's.

Nothing here is executed: statements are parsed, and values are read as literals.
"""

import ast
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nbest.programs.syntax import parse_statements
from nbest.sandbox.executions import Call
from nbest.sandbox.values import encode_value

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: lambda left, right: bool(left == right),
    ast.NotEq: lambda left, right: bool(left != right),
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    ast.Lt: lambda left, right: bool(left < right),
    ast.LtE: lambda left, right: bool(left <= right),
    ast.Gt: lambda left, right: bool(left > right),
    ast.GtE: lambda left, right: bool(left >= right),
    ast.Is: lambda left, right: left is right,
    ast.IsNot: lambda left, right: left is not right,
}


@dataclass(frozen=True, slots=True)
class Assertion:
    """What an assertion says of the value of one call: `holds(value)` is whether it passes with that value."""

    call: Call
    holds: Callable[[Any], bool]


def read_assertion(statement: str, entry_point: str) -> Assertion | None:
    """Return what a statement says of one call of the entry point; None for a statement of any other form."""
    tree = parse_statements(statement)
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.Assert):
        return None
    test = tree.body[0].test
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        call = _read_call(test.operand, entry_point)
        return None if call is None else Assertion(call, _guard(lambda value: not value))
    if not isinstance(test, ast.Compare):
        call = _read_call(test, entry_point)
        return None if call is None else Assertion(call, _guard(bool))
    return _read_comparison(test, entry_point)


def find_calls(statement: str, entry_point: str) -> list[Call]:
    """Return the calls of the entry point with plain values in a statement, each once and in the order of the text."""
    tree = parse_statements(statement)
    nodes = [] if tree is None else [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    nodes.sort(key=lambda node: (node.lineno, node.col_offset))
    calls = [_read_call(node, entry_point) for node in nodes]
    return list({write_call(call): call for call in calls if call is not None}.values())


def names_entry_point(statement: str, entry_point: str) -> bool:
    """Return whether a statement that can be parsed calls the entry point at all."""
    tree = parse_statements(statement)
    return tree is not None and any(
        isinstance(node, ast.Call) and _is_entry_point(node.func, entry_point) for node in ast.walk(tree)
    )


def find_names(statements: Sequence[str]) -> frozenset[str]:
    """Return every name in the statements that can be parsed."""
    trees = [tree for tree in map(parse_statements, statements) if tree is not None]
    return frozenset(node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name))


def find_functions(source: str, entry_point: str, names: Collection[str]) -> tuple[str, ...]:
    """Return the functions and classes of a program that statements with these names call: the entry point first.

    A test may call further functions that the task gives to a program, such as the inverse of the one to write.
    """
    tree = parse_statements(source)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    own = [] if tree is None else [statement.name for statement in tree.body if isinstance(statement, kinds)]
    functions = [entry_point.partition(".")[0], *(name for name in own if name in names)]
    return tuple(dict.fromkeys(name for name in functions if name))


def write_call(call: Call) -> str:
    """Return a text that is the same for equal calls alone; 1 and True are different arguments."""
    return f"{call.function}{encode_value(list(call.arguments))}"


def _read_comparison(test: ast.Compare, entry_point: str) -> Assertion | None:
    if len(test.ops) != 1:
        return None
    compare = _COMPARISONS[type(test.ops[0])]
    left, right = test.left, test.comparators[0]
    is_left = _read_call(left, entry_point) is not None
    call = _read_call(left if is_left else right, entry_point)
    literal = _read_literal(right if is_left else left)
    if call is None or literal is None:
        return None
    (expected,) = literal
    if isinstance(test.ops[0], (ast.Is, ast.IsNot)) and not (expected is None or isinstance(expected, bool)):
        # Whether equal objects are the same one is not a matter of values.
        return None
    if is_left:
        return Assertion(call, _guard(lambda value: compare(value, expected)))
    return Assertion(call, _guard(lambda value: compare(expected, value)))


def _guard(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a function that is False where `holds` raises, as an assertion that raises does not pass."""

    def check(value: Any) -> bool:
        with suppress(TypeError, ValueError, ArithmeticError, RecursionError):
            return holds(value)
        return False

    return check


def _read_call(node: ast.expr, entry_point: str) -> Call | None:
    """Return a call of the entry point whose arguments are plain values by position; None for any other expression."""
    if not isinstance(node, ast.Call) or node.keywords or not _is_entry_point(node.func, entry_point):
        return None
    literals = [_read_literal(argument) for argument in node.args]
    arguments = tuple(literal[0] for literal in literals if literal is not None)
    if len(arguments) != len(literals):
        return None
    call = Call(entry_point, arguments)
    try:
        write_call(call)
    except ValueError:
        return None
    return call


def _is_entry_point(node: ast.expr, entry_point: str) -> bool:
    """Return whether an expression names the function: `f`, or for `Class.method` also `Class().method`."""
    owner, _, name = entry_point.rpartition(".")
    if not owner:
        return isinstance(node, ast.Name) and node.id == name
    if not isinstance(node, ast.Attribute) or node.attr != name:
        return False
    instance = node.value
    return (
        isinstance(instance, ast.Call)
        and isinstance(instance.func, ast.Name)
        and instance.func.id == owner
        and not (instance.args or instance.keywords)
    )


def _read_literal(node: ast.expr) -> tuple[Any] | None:
    """Return the value of a literal in a tuple; None if the expression is none."""
    try:
        return (ast.literal_eval(node),)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
