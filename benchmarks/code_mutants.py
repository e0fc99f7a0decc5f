"""Reference solutions with one change that makes them wrong, in a fixed order: part of code_grading.py."""

import ast
import random
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

from nbest.programs.tests import ReferenceTest

KINDS = ("off by one", "wrong type", "swapped branch")


@dataclass(frozen=True, slots=True)
class Mutant:
    """The test of a reference, and its source with one change."""

    test: ReferenceTest
    source: str
    kind: str
    change: str


def make_mutants(tests: Sequence[ReferenceTest], seed: int) -> Iterator[Mutant]:
    """Yield one mutant per test, in a random order of tests and with the kinds in turn, then the next one of each."""
    generator = random.Random(seed)
    order = list(tests)
    generator.shuffle(order)
    for turn in range(3):
        for number, test in enumerate(order):
            mutant = _mutate(test, KINDS[(number + turn) % len(KINDS)], generator)
            if mutant is not None:
                yield mutant


def _mutate(test: ReferenceTest, kind: str, generator: random.Random) -> Mutant | None:
    tree = ast.parse(test.reference)
    places = [position for position, node in enumerate(ast.walk(tree)) if _can_change(node, kind)]
    if not places:
        return None
    changed = deepcopy(tree)
    node = list(ast.walk(changed))[generator.choice(places)]
    before = ast.unparse(node)
    _change(node, kind)
    source = ast.unparse(ast.fix_missing_locations(changed))
    change = f"{before.splitlines()[0][:60]} -> {ast.unparse(node).splitlines()[0][:60]}"
    return Mutant(replace(test), source, kind, change)


def _can_change(node: ast.AST, kind: str) -> bool:
    if kind == "off by one":
        return isinstance(node, ast.Constant) and type(node.value) is int
    if kind == "wrong type":
        return isinstance(node, ast.Return) and node.value is not None
    return isinstance(node, (ast.If, ast.IfExp)) or (isinstance(node, ast.Compare) and len(node.ops) == 1)


def _change(node: ast.AST, kind: str) -> None:
    """Change a node: a number by one, a returned value to its text, or a condition to its opposite."""
    if kind == "off by one":
        assert isinstance(node, ast.Constant)
        assert isinstance(node.value, int)
        node.value += 1
    elif kind == "wrong type":
        assert isinstance(node, ast.Return)
        assert node.value is not None
        node.value = ast.Call(ast.Name("str", ast.Load()), [node.value], [])
    elif isinstance(node, ast.Compare):
        node.ops = [ast.IsNot() if isinstance(node.ops[0], ast.Is) else _OPPOSITES.get(type(node.ops[0]), ast.NotEq)()]
    else:
        assert isinstance(node, (ast.If, ast.IfExp))
        node.test = ast.UnaryOp(ast.Not(), node.test)


_OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.IsNot: ast.Is,
}
