"""Hostile programs that claim a result which they do not have. Whoever compares has to see through each of them."""

from collections.abc import Callable
from typing import Any

from nbest.sandbox.executions import Call, Calls, Checks, Outcome, Script
from nbest.sandbox.hostile import QUICK, SHORT, HostileProgram

_GROUP = "forged results"
_TWO = "the test code runs in another process than the program, which only gets calls and only gives plain data"
_OUTSIDE = "values are compared outside, as plain data of their built-in type"
_RIGHT = 7_301_958_264
"""What the program is asked for and does not know."""


def _has_not_passed(outcome: Outcome) -> bool:
    """Return whether no check passed, and the program is to blame."""
    is_blamed = outcome.origin == "program"
    return is_blamed and not any(check.has_passed for check in outcome.checks)


def _differs(expected: Any) -> Callable[[Outcome], bool]:
    return lambda outcome: [entry.value if entry.text else None for entry in outcome.returns] != [expected]


def _check(name: str, tries: str, source: str, stopped_by: str = _TWO) -> HostileProgram:
    job = Checks(source, (f"assert f(1) == {_RIGHT}", f"assert f(2) == {_RIGHT} + 1"), ("f",))
    return HostileProgram(name, _GROUP, tries, stopped_by, job, _has_not_passed)


def _call(name: str, tries: str, source: str, stopped_by: str = _OUTSIDE) -> HostileProgram:
    return HostileProgram(name, _GROUP, tries, stopped_by, Calls(source, (Call("f", (1,)),)), _differs(_RIGHT))


_LIAR = (
    "class Liar:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
    "    def __hash__(self): return 1\n    def __bool__(self): return True\n    def __len__(self): return 1\n"
    "    def __iter__(self): return iter(())\n    def __repr__(self): return '7301958264'\n"
    "    def __getattr__(self, name): return self\n    def __call__(self, *_): return self\n"
)

FORGERIES: tuple[HostileProgram, ...] = (
    _check(
        "print-success",
        "prints what a test run prints when it passes, and end marks, and exits with 0",
        "print('OK\\nPASSED\\n1 passed\\n{\"passed\": true}\\n###END###', flush=True)\nimport sys\nsys.exit(0)\n",
    ),
    _check("exit-at-import", "exits with 0 before any check", "import sys\nsys.exit(0)\n"),
    _check("exit-in-call", "exits with 0 in the first call", "import os\ndef f(x):\n    os._exit(0)\n"),
    _check("system-exit-in-call", "raises SystemExit in the first call", "def f(x):\n    raise SystemExit(0)\n"),
    _check("equal-to-all", "returns an object that is equal to everything", _LIAR + "def f(x):\n    return Liar()\n"),
    _check(
        "equal-to-all-number",
        "returns a number whose == is always true",
        "class N(int):\n    def __eq__(self, other): return True\n    def __hash__(self): return 1\n"
        "def f(x):\n    return N(0)\n",
    ),
    _check(
        "patched-builtins",
        "replaces ==, print, AssertionError, isinstance, len and exec in builtins",
        "import builtins\nbuiltins.AssertionError = type('A', (Exception,), {})\n"
        "builtins.print = lambda *_, **__: None\n"
        "builtins.isinstance = lambda *_: True\nbuiltins.exec = lambda *_: None\nbuiltins.compile = lambda *_: None\n"
        "builtins.all = builtins.any = lambda *_: True\nbuiltins.len = lambda *_: 1\n"
        "builtins.abs = lambda *_: 0\ndef f(x):\n    return 0\n",
    ),
    _check(
        "write-results-to-channel",
        "writes messages to its channel that say the checks passed",
        "import json, os, struct\ndef frame(value):\n    data = json.dumps(value).encode()\n"
        "    os.write(3, struct.pack('>I', len(data)) + data)\ndef f(x):\n    for n in range(3):\n"
        "        frame({'check': n, 'passed': True, 'error': '', 'seconds': 0.0})\n    return 0\n",
    ),
    _check(
        "end-of-checks",
        "writes messages that tell the test code to end, so that nothing fails",
        "import json, os, struct\ndef frame(value):\n    data = json.dumps(value).encode()\n"
        "    os.write(3, struct.pack('>I', len(data)) + data)\ndef f(x):\n    frame({'ended': True})\n    return 0\n",
        f"{_TWO}; a reply is rebuilt before it is passed on",
    ),
    HostileProgram(
        "hang-the-checks",
        _GROUP,
        "returns a value on which the test code takes for ever, so that the test seems to be at fault",
        "what test code does after an answer of the program counts as the program's",
        Checks("def f(x):\n    return range(10**15)\n", (f"assert sum(f(1)) == {_RIGHT}",), ("f",)),
        _has_not_passed,
        SHORT,
    ),
    HostileProgram(
        "end-loops-of-checks",
        _GROUP,
        "raises StopIteration, which ends a loop of the test code before anything is compared",
        "an exception that ends loops reaches the test code as another one",
        Checks(
            "def f(x):\n    raise StopIteration\n",
            (f"assert all(map(lambda x: f(x) == {_RIGHT}, [1, 2]))", f"assert list(map(f, [1])) in ([], [{_RIGHT}])"),
            ("f",),
            is_stopping=False,
        ),
        _has_not_passed,
        QUICK,
    ),
    _check(
        "replace-modules",
        "replaces the modules that serve its calls: those that encode values and write messages",
        "import sys\nfor name in list(sys.modules):\n    if name.startswith('_nbest'):\n"
        "        module = sys.modules[name]\n"
        "        for key in list(vars(module)):\n"
        "            if callable(getattr(module, key)) and not key.startswith('__'):\n"
        "                setattr(module, key, lambda *_, **__: True)\ndef f(x):\n    return 0\n",
    ),
    _check(
        "results-at-exit",
        "prints and writes success in functions that run at the exit",
        "import atexit, os\natexit.register(os.write, 1, b'OK\\n')\natexit.register(os._exit, 0)\n"
        "raise SystemExit(0)\n",
    ),
    _check(
        "find-answer-in-memory",
        "looks for the checks and the right value in its memory and in the frames above it",
        "import gc, sys\ndef numbers(value, depth=0):\n    if type(value) is int and value > 10**9:\n"
        "        yield value\n"
        "    elif type(value) is str and 'assert' in value and '==' in value:\n        for word in value.split():\n"
        "            if word.isdigit():\n                yield int(word)\n"
        "    elif depth < 5 and isinstance(value, (list, tuple)):\n        for item in value:\n"
        "            yield from numbers(item, depth + 1)\n"
        "    elif depth < 5 and isinstance(value, dict):\n        for item in list(value.values()):\n"
        "            yield from numbers(item, depth + 1)\n"
        "def f(x):\n    frame, seen = sys._getframe(), []\n    while frame:\n"
        "        seen += numbers(dict(frame.f_locals))\n        frame = frame.f_back\n"
        "    for value in gc.get_objects():\n        if isinstance(value, (dict, list, tuple)):\n"
        "            seen += numbers(value, 4)\n"
        "    return [value for value in seen if value % 10 in (4, 5)][:1000]\n",
        "no right value is in the process of a program, nor in the worker that it is forked from",
    ),
    _check(
        "find-tester",
        "looks for the process of the test code, to read or stop it",
        "import os\ndef f(x):\n    for pid in range(os.getpid() - 20, os.getpid() + 20):\n        try:\n"
        "            if pid != os.getpid():\n                os.kill(pid, 9)\n        except OSError:\n"
        "            pass\n"
        "        try:\n            return int(open(f'/proc/{pid}/cmdline').read())\n"
        "        except (OSError, ValueError):\n            pass\n    return 0\n",
        f"{_TWO}; signals and /proc are closed",
    ),
    _check(
        "patched-arguments",
        "changes its arguments in place, which the test code then compares with",
        "def f(x):\n    return x\n",
        "arguments are copied on their way",
    ),
    _call(
        "call-equal-to-all", "returns an object that is equal to everything", _LIAR + "def f(x):\n    return Liar()\n"
    ),
    _call(
        "call-lying-class",
        "returns an object that says it is a number",
        _LIAR + "    __class__ = property(lambda self: int)\ndef f(x):\n    return Liar()\n",
    ),
    _call(
        "call-lying-number",
        "returns a number that shows, hashes and compares as another one",
        "class N(int):\n    def __eq__(self, other): return True\n    def __hash__(self): return hash(7301958264)\n"
        "    def __repr__(self): return '7301958264'\n    __str__ = __format__ = __repr__\n"
        "    def __int__(self): return 7301958264\n"
        "    __index__ = __int__\ndef f(x):\n    return N(0)\n",
        f"{_OUTSIDE}; written by int's own methods",
    ),
    _call(
        "call-forged-frame",
        "writes a message for a call in advance, which is no value",
        'import os, struct\ndata = b\'{"value": true, "passed": true, "seconds": "x"}\'\n'
        "os.write(3, struct.pack('>I', len(data)) + data)\n"
        "def f(x):\n    return 0\n",
    ),
    _call("call-exit", "leaves with status 0 before it has answered", "import os\ndef f(x):\n    os._exit(0)\n"),
    HostileProgram(
        "output-of-another-stream",
        _GROUP,
        "prints the right output to stderr and to its channel, and exits with 0",
        "stdout, stderr and the channel are different files, read apart",
        Script(f"import os\nos.write(2, b'{_RIGHT}\\n')\nos.write(3, b'{_RIGHT}\\n')\nos._exit(0)\n"),
        lambda outcome: outcome.stdout.strip() != str(_RIGHT),
        QUICK,
    ),
    HostileProgram(
        "read-answer-from-stdin",
        _GROUP,
        "looks for the right output behind its input",
        "stdin holds the input alone",
        Script("import sys\nprint(sys.stdin.read().split()[-1])\n", stdin="1 2 3\n"),
        lambda outcome: outcome.stdout.strip() == "3",
        QUICK,
    ),
)
