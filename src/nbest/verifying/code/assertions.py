"""Grade programs by test code: HumanEval's `check` functions and the assertions of MBPP.

The test code runs in a process of its own and calls the program's functions by message, so that a program can neither
change the test code nor return an object that equals everything. Which names of the test code are the program's is
read from the test code, which is trusted as a benchmark is; the program's code is not read. A built-in name is the
program's only if it is the entry point.

What cannot cross between the two processes is made in the program's own: the objects that a setup builds with the
program's classes, and built-in types that are passed as arguments. The test code holds only references to them.
"""

import ast
import builtins
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from nbest.sandbox.executions import Checks
from nbest.verifying.code.functional import show_message
from nbest.verifying.code.grades import INPUT_CHARACTERS, Grade, name_test, shorten
from nbest.verifying.code.packages import grade_missing_package
from nbest.verifying.code.running import Run, Runner

_BORROW = "_borrow_"
"""How the names of functions begin that return an object of the program's process."""
_TYPE = "_type_"


@dataclass(frozen=True, slots=True)
class TestCode:
    """Statements that run one after another behind `setup`; `functions` are names of the program that they call.

    `addition` is code that runs behind the program, in its process. The first `offset` statements fetch what the others
    need from there, and are no tests.
    """

    __test__ = False  # for pytest, which collects classes by their name

    statements: tuple[str, ...]
    setup: str
    functions: tuple[str, ...]
    addition: str = ""
    offset: int = 0


def read_check(check: str, entry_point: str, prefix: str = "") -> TestCode:
    """Return the test code of HumanEval: the source of `check`, which is called with the function `entry_point`.

    Other names that it uses are functions of the program (such as `poly`, which the prompt defines) or modules that the
    prompt in `prefix` imports. Raises ValueError for test code that cannot be run.
    """
    tree = _parse(check)
    names = [name for name in find_free_names(tree) if name != entry_point]
    imports = _find_imports(prefix, names)
    functions = [name for name in names if name not in imports]
    setup = "".join(f"{line}\n" for line in dict.fromkeys(imports.values())) + check
    if not any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body):
        raise ValueError("the test code does not define the function check")
    return TestCode((f"check({entry_point})",), setup, (entry_point, *functions))


def read_statements(statements: Sequence[str], setup: str = "", entry_point: str = "") -> TestCode:
    """Return the test code of MBPP: assertions behind a setup.

    A name that neither defines is a module where it is one of the standard library and an attribute of it is used
    (`math.isclose`), and else a function or class of the program. Raises ValueError for code that cannot be run.
    """
    tree = _parse("\n".join([setup, *statements]))
    names = find_free_names(tree, entry_point)
    owners = {
        node.value.id for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    modules = [name for name in names if name in owners and name in sys.stdlib_module_names and name != entry_point]
    functions = [name for name in names if name not in modules]
    imports = "".join(f"import {name}\n" for name in modules)
    return _borrow(list(statements), imports, setup, functions)


def _borrow(statements: list[str], imports: str, setup: str, functions: list[str]) -> TestCode:
    """Return the test code, with what cannot cross made in the program's process."""
    variables: list[str] = []
    addition = ""
    if set(functions) & set(find_free_names(_parse(setup), *functions)):
        addition = f"{imports}{setup}\n"
        body = _parse(setup).body
        definitions = [item for item in body if isinstance(item, (ast.FunctionDef, ast.ClassDef))]
        import_lines = [item for item in body if isinstance(item, (ast.Import, ast.ImportFrom))]
        others = [item for item in body if item not in definitions and item not in import_lines]
        names = {node.id for text in statements for node in ast.walk(_parse(text)) if isinstance(node, ast.Name)}
        variables = [name for name in dict.fromkeys(_list_bound(ast.Module(others, []))) if name in names]
        functions = [*functions, *(item.name for item in definitions)]
        setup = "".join(f"{ast.unparse(item)}\n" for item in import_lines)
    transformer = _TypeArguments(functions)
    statements = [transformer.rewrite(text) for text in statements]
    getters = {name: f"globals().get({name!r})" for name in variables}
    getters |= {f"{_TYPE}{name}": name for name in transformer.types}
    addition += "".join(f"def {_BORROW}{name}(): return {value}\n" for name, value in getters.items())
    fetch = ["\n".join(f"{name} = {_BORROW}{name}()" for name in getters)] if getters else []
    all_functions = (*functions, *(f"{_BORROW}{name}" for name in getters))
    return TestCode((*fetch, *statements), imports + setup, all_functions, addition, len(fetch))


class _TypeArguments(ast.NodeTransformer):
    """Replaces built-in types that are passed to functions of the program; `types` are those that were."""

    def __init__(self, functions: Collection[str]):
        self.types: dict[str, None] = {}
        self._functions = functions

    def rewrite(self, statement: str) -> str:
        """Return a statement with its types replaced; one without any as it is written."""
        tree = _parse(statement)
        if not any(self._list_types(node) for node in ast.walk(tree) if isinstance(node, ast.Call)):
            return statement
        return ast.unparse(ast.fix_missing_locations(self.visit(tree)))

    def visit_Call(self, node: ast.Call) -> ast.Call:
        types = self._list_types(node)
        self.types.update(dict.fromkeys(types))
        node.args = [
            ast.Name(f"{_TYPE}{item.id}", ast.Load()) if isinstance(item, ast.Name) and item.id in types else item
            for item in node.args
        ]
        self.generic_visit(node)
        return node

    def _list_types(self, node: ast.Call) -> list[str]:
        if not isinstance(node.func, ast.Name) or node.func.id not in self._functions:
            return []
        names = [item.id for item in node.args if isinstance(item, ast.Name)]
        return [name for name in names if isinstance(getattr(builtins, name, None), type)]


def _parse(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"the test code does not compile: {type(error).__name__}: {error}") from error


def find_free_names(tree: ast.Module, *own: str) -> list[str]:
    """Return the names that code reads and neither binds nor finds among the built-in ones, in order.

    Names in `own` count also where they are built-in ones.
    """
    bound = (set(dir(builtins)) | {"__name__"}) - set(own) | set(_list_bound(tree))
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    return [name for name in dict.fromkeys(names) if name not in bound]


def _list_bound(tree: ast.Module) -> list[str]:
    """Return the names that code binds, in any scope."""
    bound: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.append(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.append(node.name)
        elif isinstance(node, ast.arg):
            bound.append(node.arg)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bound += [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.append(node.name)
    return bound


def _find_imports(prefix: str, names: Sequence[str]) -> dict[str, str]:
    """Return the import statement of `prefix` that binds each of these names; names without one are left out."""
    try:
        statements = ast.parse(prefix).body
    except (SyntaxError, RecursionError, MemoryError, ValueError):
        return {}
    imports: dict[str, str] = {}
    for statement in statements:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            for alias in statement.names:
                imports[alias.asname or alias.name.partition(".")[0]] = ast.unparse(statement)
    return {name: imports[name] for name in names if name in imports}


async def grade_test_code(runner: Runner, source: str, code: TestCode) -> Grade:
    """Grade a program by test code. None where the test code itself failed."""
    source = f"{source}\n\n{code.addition}" if code.addition else source
    job = Checks(source, code.statements, code.functions, code.setup)
    run = await runner.run(job, runner.settings.check_seconds)
    if await _has_slow_test_code(runner, run, code):
        return Grade(None, "the test code could not be run: the checks themselves ran out of time")
    for number in range(len(code.statements)):
        grade = _read_result(runner, run, number, code)
        if grade is not None:
            return grade
    return Grade(True)


async def _has_slow_test_code(runner: Runner, run: Run, code: TestCode) -> bool:
    """Return whether the test code alone takes too long, without a call of the program.

    Where it ended before the program had answered, the program may still have used up the time while it was loaded. So
    the statement under way is run beside an empty program: what is slow there is the test code.
    """
    outcome = run.outcome
    if outcome.status != "timed_out" or outcome.origin != "checks" or run.slow is not None:
        return False
    number = len(outcome.checks)
    job = Checks("", code.statements[number : number + 1], code.functions, code.setup)
    alone = (await runner.run(job, runner.settings.check_seconds)).outcome
    return alone.status == "timed_out" and alone.origin == "checks"


def _read_result(runner: Runner, run: Run, number: int, code: TestCode) -> Grade | None:
    """Return the grade that one statement decides; None if it passed."""
    where = _name_statement(code, number)
    checks = run.outcome.checks
    if number >= len(checks) and run.outcome.origin == "checks" and run.outcome.status != "timed_out":
        return Grade(None, f"the test code could not be run: it {runner.describe_ending(run, number)}")
    if run.slow is not None and number >= run.slow:
        return Grade(False, f"{where}: timed out after {run.seconds[run.slow]:g} s")
    if number < len(checks) and checks[number].has_passed:
        return None
    message = checks[number].error if number < len(checks) else run.outcome.message
    missing = grade_missing_package(message, runner.sandbox.describe())
    if missing is not None:
        return missing
    if number >= len(checks):
        return Grade(False, f"{where}: {runner.describe_ending(run, number)}")
    if message.startswith("AssertionError"):
        detail = message.removeprefix("AssertionError").lstrip(": ")
        return Grade(False, f"{where}: failed" + (f" ({shorten(detail)})" if detail else ""))
    return Grade(False, f"{where}: raised {show_message(message)}")


def _name_statement(code: TestCode, number: int) -> str:
    """Return how a note names a statement: its number, and its text where that says something."""
    if number < code.offset:
        return "the setup of the tests"
    statement = code.statements[number].strip()
    name = name_test(number - code.offset, len(code.statements) - code.offset)
    return name if statement.startswith("check(") else f"{name}, {shorten(statement, INPUT_CHARACTERS)}"
