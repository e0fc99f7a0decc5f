"""How LiveCodeBench's own runner runs a program: its imports, its function around the program, its imitation of stdin.

A program that is graded as upstream does is not the program as it would run elsewhere. What differs:

- The names of many standard modules, and the modules, are there without an import; the recursion limit is 50,000.
- A program that reads stdin is the body of a function: `global` does not reach its variables, `if __name__ ==
  "__main__":` runs only as its last statement, and imports of its top level run before everything else. A program
  without a statement, or with a class `Solution`, fails.
- `sys.stdin` can be read but not iterated, `read` and `readlines` always return all of the input (the latter without
  line ends), and `sys.stdin.buffer.readline` returns the first line each time. `from sys import stdin` gets another
  object, whose `readline` has no line ends and whose `buffer` is empty. `open` returns the input whatever it opens.
- Only what is printed through `sys.stdout` counts, which has no `buffer`; `from sys import stdout` gets another one.
- `sys.exit` ends a program well whatever its status. `quit` and much of `os` are None, and `resource` is missing.
- All calls of a `Solution` are made on one instance.

The text that runs in the sandbox is made here; nothing of a program is run or parsed here. The rules are those of
https://github.com/LiveCodeBench/LiveCodeBench (lcb_runner/evaluation/testing_util.py, read at commit 28fef95).
"""

import re
import secrets

_STAR_MODULES = (
    "string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys json "
    "builtins typing"
).split()
_WITHOUT_NAME = frozenset({"builtins", "typing"})

PRELUDE = "".join(
    [
        *(f"from {name} import *\n" for name in _STAR_MODULES),
        *(f"import {name}\n" for name in _STAR_MODULES if name not in _WITHOUT_NAME),
        "sys.setrecursionlimit(50000)\n",
    ]
)
"""What upstream puts before every program."""

METHOD = "_upstream_method"
"""The name under which `wrap_function` offers the function of a program."""

_FUTURE = re.compile(r"^from[ \t]+__future__[ \t]+import[ \t][^\n]*\n?", re.MULTILINE)

_HARNESS = '''
import ast, builtins, io, os, sys, types

_DISABLED = """kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename renames truncate
replace unlink fchmod fchown chmod chown chroot lchflags lchmod lchown getcwd chdir""".split()


class _Bytes:
    def __init__(self, text):
        self._data = text.encode()

    def read(self, *_):
        return self._data

    def readline(self, *_):
        return self._data.partition(b"\\n")[0] + b"\\n"


class _Input:
    def __init__(self, text):
        self._text, self._lines, self.buffer = text, io.StringIO(text), _Bytes(text)

    def read(self, *_):
        return self._text

    def readline(self, *size):
        return self._lines.readline(*size)

    def readlines(self, *_):
        return self._text.split("\\n")

    def __getattr__(self, name):
        return getattr(self._lines, name)


def _drop_main(source):
    try:
        *body, last = ast.parse(source).body
        if isinstance(last, ast.If) and ast.unparse(last.test) == "__name__ == '__main__'":
            return ast.unparse(ast.Module(body, [])) + "\\n" + ast.unparse(ast.Module(last.body, []))
    except Exception:
        pass
    return source


def _put_into_function(source, prelude):
    try:
        imports, others = [], []
        for statement in ast.parse(source).body:
            (imports if isinstance(statement, (ast.Import, ast.ImportFrom)) else others).append(statement)
        function = ast.FunctionDef(
            name="wrapped_function",
            args=ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[]),
            body=others,
            decorator_list=[],
        )
        function = ast.unparse(ast.fix_missing_locations(function))
        return prelude + "\\n" + ast.unparse(ast.Module(imports, [])) + "\\n" + function
    except Exception:
        return source


def _run(source, text, prelude, mark):
    output, sys.stdout = sys.stdout, io.StringIO()
    for name in _DISABLED:
        setattr(os, name, None)
    builtins.quit = None
    for name in ("ipdb", "joblib", "resource", "psutil", "tkinter"):
        sys.modules[name] = None
    source = _put_into_function(_drop_main(source), prelude)
    module = types.ModuleType("tmp_sol", "")
    exec(source, module.__dict__)
    function = (module.Solution() if "class Solution" in source else module).wrapped_function
    lines = iter(text.split("\\n"))
    sys.stdin.read = lambda *_: text
    sys.stdin.readlines = lambda *_: text.split("\\n")
    sys.stdin.readline = lambda *_: next(lines)
    sys.stdin = _Input(text)
    builtins.open = lambda *_, **__: io.StringIO(text)
    printed = io.StringIO()
    printed.close = lambda: None
    sys.stdout = printed
    try:
        function()
    except SystemExit:
        pass
    value = printed.getvalue()
    sys.stdout = io.StringIO()
    output.write(mark + value + mark)
    output.flush()
'''


def wrap_script(source: str, text: str) -> tuple[str, str]:
    """Return the script that runs a program on the input `text` as upstream does, and the mark around its output."""
    mark = f"<{secrets.token_hex(16)}>"
    return f"{_HARNESS}\n\n_run({source!r}, {text!r}, {PRELUDE!r}, {mark!r})\n", mark


def read_output(stdout: str, mark: str) -> str:
    """Return what the program of `wrap_script` printed, as far as upstream sees it."""
    parts = stdout.split(mark)
    return parts[1] if len(parts) > 2 else ""


def wrap_function(source: str, name: str) -> str:
    """Return the source that offers the function or method `name` of a program as `METHOD`, as upstream finds it."""
    owner = "Solution()." if "class Solution" in source else ""
    return f"{PRELUDE}\n\n{source}\n\n{METHOD} = {owner}{name}\n"


def wrap_method(source: str, entry_point: str) -> tuple[str, str]:
    """Return the source with the imports of upstream before it, and the name to call for `Class.method`.

    Imports of `__future__` stay at the top. The name is that of the method alone where the program has no such class.
    """
    owner, _, method = entry_point.rpartition(".")
    position = _find_end_of_future_imports(source)
    name = entry_point if f"class {owner}" in source else method
    return f"{source[:position]}{PRELUDE}\n\n{source[position:]}", name


def _find_end_of_future_imports(source: str) -> int:
    """Return the position behind the last line that imports from `__future__`, 0 if none does."""
    end = 0
    for match in _FUTURE.finditer(source):
        end = match.end()
    return end
