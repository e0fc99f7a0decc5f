"""The tests of code problems: five forms, and their reading from what a source wrote.

A test is a text of `Problem.tests`, `CodeTask.public_tests` or `CodeTask.generated_tests`. nbest writes JSON objects:

    {"stdin": "1 2\\n", "stdout": "3\\n"}                          the program reads stdin and prints
    {"arguments": [1, [2]], "returns": 3}                          its function is called with values of JSON
    {"arguments": "[(1, 2)]", "returns": "{3}", "notation": "python"}   the same with Python literals
    {"statements": ["assert f(1) == 2"], "setup": "import math"}   statements that call its functions
    {"check": "def check(candidate): ...", "entry_point": "f"}     a function that is given its function (HumanEval)
    {"reference": "def f(x): ...", "inputs": [[1]], "plus_inputs": [[2]], "entry_point": "f", "atol": 0}   EvalPlus

What the sources themselves wrote is read as it is: a list of LiveCodeBench's `{"input", "output", "testtype"}`, as JSON
or packed (`test_data.py`); HumanEval's column `test`; assertions of MBPP, of EvalPlus and of a policy.

A text that is none of these is an error that names the problem, the field, what it holds and what is allowed. Only
tests that a policy wrote are dropped where they cannot be read. This module does not run tests.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from nbest.errors import DataError
from nbest.programs.syntax import parse_source
from nbest.programs.test_data import read_test_data
from nbest.programs.test_fields import (
    ALLOWED,
    TestFault,
    describe,
    read_json,
    require_object,
    require_text,
    shorten,
    take_inputs,
    take_list,
    take_literal,
    take_text,
)
from nbest.records import CodeTask

REPORTED_FAULTS = 20
_PACKED = re.compile(r"[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True, slots=True)
class StdinTest:
    """The program reads `stdin` and has to print `stdout`."""

    stdin: str
    stdout: str


@dataclass(frozen=True, slots=True)
class CallTest:
    """`function` (or `Class.method`) is called with `arguments` and has to return `returns`.

    With `is_json` the values come from JSON, which knows no tuples: a tuple of the program may equal a list.
    """

    function: str
    arguments: tuple[Any, ...]
    returns: Any
    is_json: bool = True


@dataclass(frozen=True, slots=True)
class StatementsTest:
    """Each of `statements` runs in order, after `setup`, and may not raise."""

    statements: tuple[str, ...]
    setup: str = ""


@dataclass(frozen=True, slots=True)
class CheckTest:
    """`check` defines a function `check`, which is called with the function `entry_point` and may not raise."""

    check: str
    entry_point: str


@dataclass(frozen=True, slots=True)
class ReferenceTest:
    """`entry_point` has to return what the program `reference` returns for each of `inputs` and `plus_inputs`.

    Each input is the arguments of one call, as values of JSON. `oracle` names a comparison of its own, "" is equality;
    `atol` is the absolute tolerance of floats, 0 for the grader's default. `task_id` is that of EvalPlus, such as
    `Mbpp/2`, by which inputs and comparisons of single tasks are known; "" if there is none.
    """

    reference: str
    entry_point: str
    inputs: tuple[tuple[Any, ...], ...] = ()
    plus_inputs: tuple[tuple[Any, ...], ...] = ()
    oracle: str = ""
    atol: float = 0.0
    task_id: str = ""


CodeTest: TypeAlias = StdinTest | CallTest | StatementsTest | CheckTest | ReferenceTest

_FORMS: Mapping[str, frozenset[str]] = {
    "stdin": frozenset({"stdin", "stdout"}),
    "arguments": frozenset({"arguments", "returns", "function", "notation"}),
    "statements": frozenset({"statements", "setup"}),
    "check": frozenset({"check", "entry_point"}),
    "reference": frozenset(
        {"reference", "inputs", "plus_inputs", "entry_point", "oracle", "atol", "task_id"},
    ),
    "input": frozenset({"input", "output", "testtype"}),
}
"""The keys of each form of an object, by the key that tells the form."""
_OPTIONAL = frozenset({"setup", "oracle", "task_id"})
"""Keys of texts that are left out where they are empty."""


def read_tests(texts: Sequence[str], source: str, entry_point: str = "", setup: str = "") -> tuple[CodeTest, ...]:
    """Return the tests of these texts in order; one text may hold several.

    `source` names the texts in messages, such as "problem 'x': tests". `entry_point` is the function of tests that do
    not name one, `setup` runs before statements. Raises DataError with all faults (20 in full).
    """
    tests, faults = collect_tests(texts, entry_point, setup)
    if faults:
        messages = [
            f"{source}{fault.path}: got {fault.actual}; allowed: {fault.allowed}" for fault in faults[:REPORTED_FAULTS]
        ]
        more = len(faults) - len(messages)
        raise DataError("\n".join([*messages, *([f"... and {more} more"] if more else [])]))
    return tests


def collect_tests(
    texts: Sequence[str], entry_point: str = "", setup: str = ""
) -> tuple[tuple[CodeTest, ...], list[TestFault]]:
    """Return the tests that can be read, and a fault for each text that cannot; see `read_tests`."""
    reader = _Reader(entry_point, setup)
    tests: list[CodeTest] = []
    faults: list[TestFault] = []
    for position, text in enumerate(texts):
        try:
            tests += reader.read(text)
        except TestFault as fault:
            faults.append(TestFault(fault.actual, fault.allowed, f"[{position}]{fault.path}"))
    return tuple(tests), faults


def is_packed(text: str) -> bool:
    """Return whether a text is one word of base64, as packed tests are."""
    return _PACKED.fullmatch(text.strip()) is not None


def read_public_tests(task: CodeTask, problem_id: str = "") -> tuple[CodeTest, ...]:
    """Return the tests that the statement of a problem shows. Raises DataError as `read_tests` does."""
    return read_tests(task.public_tests, f"problem {problem_id!r}: public_tests", task.entry_point)


def write_test(test: CodeTest) -> str:
    """Return a test as the JSON object that `read_tests` reads."""
    match test:
        case StdinTest():
            values: dict[str, Any] = {"stdin": test.stdin, "stdout": test.stdout}
        case CallTest(is_json=True):
            values = {"arguments": list(test.arguments), "returns": test.returns, "function": test.function}
        case CallTest():
            values = {"arguments": repr(list(test.arguments)), "returns": repr(test.returns)}
            values |= {"function": test.function, "notation": "python"}
        case StatementsTest():
            values = {"statements": list(test.statements), "setup": test.setup}
        case CheckTest():
            values = {"check": test.check, "entry_point": test.entry_point}
        case ReferenceTest():
            inputs = {"inputs": list(test.inputs), "plus_inputs": list(test.plus_inputs)}
            values = {"reference": test.reference, "entry_point": test.entry_point, **inputs}
            values |= {"oracle": test.oracle, "atol": test.atol, "task_id": test.task_id}
    return json.dumps({key: value for key, value in values.items() if key not in _OPTIONAL or value != ""})


class _Reader:
    """Reads texts of one problem. Every method raises TestFault."""

    def __init__(self, entry_point: str, setup: str):
        self._entry_point = entry_point
        self._setup = setup

    def read(self, text: str) -> list[CodeTest]:
        if not text.strip():
            raise TestFault("an empty text")
        if text.lstrip()[0] not in "[{" and not is_packed(text):
            tree = parse_source(text)
            if tree is None:
                raise TestFault(f"{shorten(text)}, which is neither JSON nor Python")
            return [self._read_python(text, tree)]
        try:
            data = read_test_data(text)
        except DataError as error:
            raise TestFault(f"{shorten(text)}: {error}") from None
        if isinstance(data, dict):
            return [self._read_object(cast("dict[str, Any]", data), "")]
        if not isinstance(data, list) or not data:
            raise TestFault(describe(data))
        items = cast("list[Any]", data)
        return [self._read_object(require_object(item, f"[{at}]"), f"[{at}]") for at, item in enumerate(items)]

    def _read_object(self, values: dict[str, Any], path: str) -> CodeTest:
        form = next((name for name in _FORMS if name in values), None)
        if form is None:
            raise TestFault(f"an object with {', '.join(values) or 'no field'}", ALLOWED, path)
        if unknown := values.keys() - _FORMS[form]:
            raise TestFault(f"a field {min(unknown)!r}", f"the fields {', '.join(sorted(_FORMS[form]))}", path)
        match form:
            case "stdin":
                return StdinTest(take_text(values, "stdin", path), take_text(values, "stdout", path))
            case "arguments":
                return self._read_call(values, path)
            case "statements":
                statements = take_list(values, "statements", path)
                texts = [require_text(item, f"{path}.statements[{at}]") for at, item in enumerate(statements)]
                return StatementsTest(tuple(texts), take_text(values, "setup", path, self._setup))
            case "check":
                check = take_text(values, "check", path)
                return CheckTest(check, self._require_entry_point(values, path))
            case "reference":
                return self._read_reference(values, path)
            case _:
                return self._read_case(values, path)

    def _require_entry_point(self, values: Mapping[str, Any], path: str, key: str = "entry_point") -> str:
        name = take_text(values, key, path, self._entry_point)
        if not name:
            allowed = (
                "the function to call: `entry_point` of the problem, `func_name` in its `metadata`, or starter code"
            )
            raise TestFault("no name of a function", allowed, f"{path}.{key}")
        return name

    def _read_call(self, values: Mapping[str, Any], path: str) -> CallTest:
        notation = take_text(values, "notation", path, "json")
        if notation not in ("json", "python"):
            raise TestFault(describe(notation), "json, python", f"{path}.notation")
        if "returns" not in values:
            raise TestFault("nothing (the field is missing)", "the value that the function returns", f"{path}.returns")
        arguments, returns = values["arguments"], values["returns"]
        if notation == "python":
            arguments = take_literal(arguments, f"{path}.arguments")
            returns = take_literal(returns, f"{path}.returns")
        if not isinstance(arguments, (list, tuple)):
            raise TestFault(describe(arguments), "a list of arguments", f"{path}.arguments")
        function = self._require_entry_point(values, path, "function")
        return CallTest(function, tuple(cast("list[Any]", arguments)), returns, notation == "json")

    def _read_reference(self, values: Mapping[str, Any], path: str) -> ReferenceTest:
        atol = values.get("atol", 0)
        if isinstance(atol, bool) or not isinstance(atol, (int, float)) or not 0 <= atol < float("inf"):
            raise TestFault(describe(atol), "a tolerance of 0 or more", f"{path}.atol")
        entry_point = self._require_entry_point(values, path)
        inputs, plus_inputs = take_inputs(values, "inputs", path), take_inputs(values, "plus_inputs", path)
        if not inputs and not plus_inputs:
            raise TestFault("no inputs", "at least one input in `inputs` or `plus_inputs`", path)
        return ReferenceTest(
            take_text(values, "reference", path),
            entry_point,
            inputs,
            plus_inputs,
            take_text(values, "oracle", path, ""),
            float(atol),
            take_text(values, "task_id", path, ""),
        )

    def _read_case(self, values: Mapping[str, Any], path: str) -> CodeTest:
        """Read one test of LiveCodeBench. The input of a functional one has one argument of JSON per line."""
        stdin, stdout = take_text(values, "input", path), take_text(values, "output", path)
        kind = values.get("testtype")
        if kind == "stdin":
            return StdinTest(stdin, stdout)
        if kind != "functional":
            raise TestFault(describe(kind), "stdin, functional", f"{path}.testtype")
        arguments = [read_json(line, f"{path}.input") for line in stdin.split("\n") if line.strip()]
        return CallTest(self._require_entry_point({}, path), tuple(arguments), read_json(stdout, f"{path}.output"))

    def _read_python(self, text: str, tree: ast.Module) -> CodeTest:
        """Read Python code: HumanEval's if it defines a function `check`, else statements behind their own setup."""
        if any(isinstance(statement, ast.FunctionDef) and statement.name == "check" for statement in tree.body):
            return CheckTest(text, self._require_entry_point({}, ""))
        count = 0
        while count < len(tree.body) and self._prepares(tree.body[count]):
            count += 1
        pieces = [ast.get_source_segment(text, statement) or "" for statement in tree.body]
        if count == len(pieces):
            raise TestFault(f"{shorten(text)}, which checks nothing", "a statement such as `assert f(1) == 2`")
        setup = "\n".join(piece for piece in (self._setup, *pieces[:count]) if piece)
        return StatementsTest(tuple(pieces[count:]), setup)

    def _prepares(self, statement: ast.stmt) -> bool:
        """Return whether a statement only prepares tests: an import, a definition, a value without a call of the
        function that is tested."""
        if isinstance(statement, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)):
            return True
        names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        is_value = isinstance(statement, (ast.Assign, ast.AnnAssign))
        is_docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        return is_docstring or (is_value and self._entry_point.partition(".")[0] not in names)
