"""The function that the tests of a problem call, as starter code, a prompt or assertions name it.

A function of a class is written `Class.method`. This module does not know problems or files.
"""

import ast
import builtins
import re
from collections import Counter
from collections.abc import Iterable

from nbest.programs.syntax import parse_source

_CLASS = re.compile(r"^class[ \t]+([A-Za-z_]\w*)", re.MULTILINE)
_FUNCTION = re.compile(r"^([ \t]*)(?:async[ \t]+)?def[ \t]+([A-Za-z_]\w*)", re.MULTILINE)


def qualify(name: str, starter: str) -> str:
    """Return the entry point of a function name: `Class.name` if the starter code has it in a class.

    Without a name it is the first function of the starter code that is no special method; "" without starter code.
    """
    functions = [(indentation, each) for indentation, each in _FUNCTION.findall(starter) if not each.startswith("__")]
    if not name:
        name = functions[0][1] if functions else ""
    owner = _CLASS.search(starter)
    if not name or "." in name or owner is None:
        return name
    is_method = all(indentation for indentation, each in functions if each == name)
    return f"{owner[1]}.{name}" if is_method else name


def continues_in(question: str, entry_point: str) -> bool:
    """Return whether a question is code that a function body completes, as HumanEval's prompts are.

    That is so if a line at its left edge defines the function, and if a body behind its end compiles.
    """
    name = entry_point.partition(".")[0]
    if not name or not re.search(rf"^(?:async[ \t]+def|def|class)[ \t]+{re.escape(name)}\b", question, re.MULTILINE):
        return False
    body = question if question.endswith("\n") else question + "\n"
    # Behind code of the top level, this return would not compile.
    return parse_source(f"{body}    return None\n") is not None


def find_called_function(assertions: Iterable[str], reference: str = "") -> str:
    """Return the function that the most assertions call; "" if they call none.

    With a reference solution only functions that it defines count, else all that are not built into Python. Of equal
    ones the first that is called.
    """
    tree = parse_source(reference) if reference else None
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    defined = {each.name for each in tree.body if isinstance(each, functions)} if tree is not None else set[str]()
    counts: Counter[str] = Counter()
    for assertion in assertions:
        test = parse_source(assertion)
        calls = [node for node in ast.walk(test) if isinstance(node, ast.Call)] if test is not None else []
        names = dict.fromkeys(call.func.id for call in calls if isinstance(call.func, ast.Name))
        counts.update(name for name in names if (name in defined if defined else not hasattr(builtins, name)))
    return counts.most_common(1)[0][0] if counts else ""
