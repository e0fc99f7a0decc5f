"""Find the program of a completion: the one rule for graders, for voting and for judges.

In the text after the reasoning, the first of these that gives a program:

    fence         the last complete block of code between two fences (lines of three or more ` or ~)
    unclosed      a block that is open at the end of the text, which was cut at the token limit
    text          the whole text, where it is a Python program, or what stands before a fence that only closes it
    continuation  the whole text, where it continues `CodeTask.prefix`: the body of the function that the prefix opens
    cut           the same up to the line at which the text leaves that function, where only this part compiles

Which block of several
    A block whose language is Python, or that names none, goes before every block of another language (```bash, ```text,
    ```json), also before a later one. Of these blocks the last one is the program, with two exceptions. A block that
    does not define the entry point of the task yields to the last one that does, such as a solution that an example of
    its use follows. A block that names no language and is no program, such as an output, yields to the last one that
    is; a session with `>>>` is no program either. Empty blocks do not count.

A fence inside a string of three quotes does not end its block. Three backticks behind the last line of code close a
block that has no other end, and a line that opens a Python block ends one that was never closed. The indentation of an
opening fence is removed from the lines of its block. The marks [BEGIN] and [DONE] of MBPP's prompt, and [PYTHON] and
[/PYTHON], are fences on a line of their own. Nothing else of a program changes: line ends, tabs and quotation marks
stay as they are, and so does `if __name__ == "__main__":`. Only a byte order mark at the start is dropped, as Python
does with a file.

`livecodebench` is the rule of that benchmark's own grader, for comparisons with its verdicts: the lines between the
last two lines that hold three backticks, of the whole text.

This module does not run programs, and knows neither tests nor files.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Literal, TypeAlias

from nbest.answers.reasoning import final_part
from nbest.programs.syntax import ends_inside_string, parse_source
from nbest.records import CodeTask

ExtractionRule: TypeAlias = Literal["default", "livecodebench"]
"""Which rule finds a program: the one of nbest, or that of LiveCodeBench's grader."""

ProgramRule: TypeAlias = Literal["fence", "unclosed", "text", "continuation", "cut", "livecodebench"]
"""Where in a completion a program was found; the docstring of this module describes them."""

NO_PROGRAM = "no program in the completion"
"""The note about a completion without a program."""

_BYTE_ORDER_MARK = "\ufeff"
_MARK = re.compile(r"^(?:\[(?:(BEGIN|PYTHON)|DONE|/PYTHON)\])(?=[ \t\r]*$)", re.MULTILINE)
_FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})(.*)")
_LANGUAGE = re.compile(r"[\s{.]*([^\s{}.,:;=]*)")
_PYTHON = re.compile(r"(?:python|py)(?:\d[\d.]*)?", re.IGNORECASE)
_DEFINITION = r"^[ \t]*(?:async[ \t]+def|def|class)[ \t]+{name}\b"
_LEAVES_FUNCTION = re.compile(r"^(?=(?:class|def|if|print)\b|#|```)", re.MULTILINE)
"""The strings at which samples of HumanEval stop (arXiv 2107.03374), and a fence."""
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_CUTS_TRIED = 20
_CLOSERS_TRIED = 100


@dataclass(frozen=True, slots=True)
class Program:
    """A program of a completion.

    `source` is what runs. `excerpt` is the part of the completion that it comes from, for readers: it lacks the prefix
    of the task that `source` may begin with.
    """

    source: str
    rule: ProgramRule
    excerpt: str


@dataclass(frozen=True, slots=True)
class _Block:
    """The code between two fences. `language` is "python", "" if the fence names none, or "other"."""

    code: str
    language: Literal["python", "", "other"]
    is_closed: bool


def extract_program(text: str, task: CodeTask | None = None, rule: ExtractionRule = "default") -> Program | None:
    """Return the program of a completion; None if it has none.

    `task` gives the entry point and the prefix that a completion may continue; without it a completion is a program
    that reads stdin. A program that defines the entry point itself runs behind what stands before that function in the
    prefix: its imports and helper functions, which the task allows it to use. Never raises for a text.
    """
    if rule == "livecodebench":
        return _extract_between_backticks(text)
    area, is_cut_off = final_part(text)
    if is_cut_off:
        return None
    task = task or CodeTask()
    area = _MARK.sub(lambda mark: "```python" if mark[1] else "```", area.removeprefix(_BYTE_ORDER_MARK))
    block = _choose([block for block in _find_blocks(area) if block.code.strip()], task)
    is_solution = block is not None and block.language == "python" and _solves(block, task)
    lead = _read_lead(area)
    if lead != area and not is_solution and _is_program(lead, task):
        return _read_whole(lead, task)
    if block is None:
        return _read_whole(area, task)
    return Program(_complete(block.code, task), "fence" if block.is_closed else "unclosed", block.code)


def defines(source: str, entry_point: str) -> bool:
    """Return whether a program defines a function, or for `Class.method` a class that has or may inherit the method.

    A source that does not compile defines what its lines `def` and `class` name. Every program defines "".
    """
    if not entry_point:
        return True
    owner, _, method = entry_point.rpartition(".")
    tree = parse_source(source)
    if tree is None:
        names = [name for name in (owner, method) if name]
        return all(re.search(_DEFINITION.format(name=re.escape(name)), source, re.MULTILINE) for name in names)
    return _binds(tree.body, owner, method) if owner else _binds(tree.body, method)


def _binds(statements: Sequence[ast.stmt], name: str, method: str = "") -> bool:
    """Return whether statements bind a name, also inside `if`, `try` and `with`; for a class, one with this method."""
    for statement in statements:
        if isinstance(statement, ast.ClassDef):
            if statement.name == name and (not method or statement.bases or _binds(statement.body, method)):
                return True
        elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if statement.name == name:
                return True
        elif name in _list_names(statement) or _binds(_list_inner(statement), name, method):
            return True
    return False


def _list_names(statement: ast.stmt) -> list[str]:
    """Return the names that an assignment or an import binds."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name for alias in statement.names]
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets = [statement.target]
    return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]


def _list_inner(statement: ast.stmt) -> list[ast.stmt]:
    """Return the statements inside a compound statement that is neither a function nor a class."""
    if isinstance(statement, (ast.If, ast.For, ast.While)):
        return [*statement.body, *statement.orelse]
    if isinstance(statement, ast.With):
        return statement.body
    if isinstance(statement, ast.Try):
        handled = [inner for handler in statement.handlers for inner in handler.body]
        return [*statement.body, *handled, *statement.orelse, *statement.finalbody]
    return []


def _choose(blocks: Sequence[_Block], task: CodeTask) -> _Block | None:
    """Return the block that is the program, by the rules at the top of this module; None without a block."""
    candidates = [block for block in blocks if block.language != "other"]
    if task.entry_point:
        solutions = [block for block in candidates if _solves(block, task)]
        solutions.sort(key=lambda block: block.is_closed)
        if solutions:
            return solutions[-1]
    programs = [block for block in candidates if _may_be_program(block, task)]
    for group in (programs, candidates, blocks):
        if group:
            return ([block for block in group if block.is_closed] or group)[-1]
    return None


def _solves(block: _Block, task: CodeTask) -> bool:
    return defines(_complete(block.code, task), task.entry_point)


def _may_be_program(block: _Block, task: CodeTask) -> bool:
    """Return whether a block is meant as a program: no session, and no output in a block without a language.

    A block that was cut off may be one whatever it holds.
    """
    if block.code.lstrip().startswith(">>>"):
        return False
    return block.language == "python" or not block.is_closed or _is_program(block.code, task)


def _is_program(code: str, task: CodeTask) -> bool:
    """Return whether code compiles and does more than state names and values, as an output or a single word does."""
    tree = parse_source(code)
    if tree is None:
        return _is_continuation(code, task) and parse_source(task.prefix + code) is not None
    return not all(isinstance(statement, ast.Expr) and not _calls(statement) for statement in tree.body)


def _calls(expression: ast.Expr) -> bool:
    return any(isinstance(node, (ast.Call, ast.Await, ast.Yield, ast.YieldFrom)) for node in ast.walk(expression))


def _read_whole(area: str, task: CodeTask) -> Program | None:
    """Return the program that a text without a block is, or the body that it adds to the prefix."""
    if _is_continuation(area, task):
        part = _cut_continuation(area, task)
        return Program(task.prefix + part, "continuation" if part == area else "cut", part)
    return Program(_complete(area, task), "text", area) if _is_program(area, task) else None


def _cut_continuation(area: str, task: CodeTask) -> str:
    """Return a text that continues the prefix up to the first line that leaves the function and makes it compile.

    That is all of it where it compiles, or where no such cut helps.
    """
    if parse_source(task.prefix + area) is None:
        for match in islice(_LEAVES_FUNCTION.finditer(area), _CUTS_TRIED):
            part = area[: match.start()]
            if part.strip() and parse_source(task.prefix + part) is not None:
                return part
    return area


def _is_continuation(code: str, task: CodeTask) -> bool:
    """Return whether code continues the function that the prefix opens: its first line is indented."""
    first = next((line for line in code.splitlines() if line.strip()), "")
    return bool(task.prefix) and first[:1] in (" ", "\t")


def _complete(code: str, task: CodeTask) -> str:
    """Return the source that runs: code behind the whole prefix if it continues it, else behind its first part."""
    if _is_continuation(code, task):
        return task.prefix + code
    context = _read_context(task)
    if not context.strip() or code.lstrip().startswith(context.strip()):
        return code
    source = f"{context.rstrip()}\n\n\n{code}"
    # A `from __future__ import` has to come first: such a program stands alone.
    return code if parse_source(source) is None and parse_source(code) is not None else source


def _read_context(task: CodeTask) -> str:
    """Return what stands in the prefix before the function or class of the entry point."""
    name = task.entry_point.partition(".")[0]
    match = re.search(_DEFINITION.format(name=re.escape(name)), task.prefix, re.MULTILINE) if name else None
    return task.prefix[: match.start()] if match else ""


def _read_lead(area: str) -> str:
    """Return the text before the first line with a fence."""
    lines = _LINE.findall(area)
    return "".join(takewhile(lambda line: _FENCE.match(line) is None, lines))


def _find_blocks(area: str) -> list[_Block]:
    """Return the blocks of a text in order."""
    lines = _LINE.findall(area)
    blocks: list[_Block] = []
    number = 0
    while number < len(lines):
        fence = _match_opener(lines[number])
        number += 1
        if fence is None:
            continue
        end, is_closed = _find_end(lines, number, fence)
        content = [_dedent(line, fence[1]) for line in lines[number:end]]
        glued = None if is_closed else next((at for at, line in enumerate(content) if _ends_with_fence(line)), None)
        if glued is not None:
            content = [*content[:glued], content[glued].rstrip()[:-3]]
        code = "".join(content).removesuffix("\n").removesuffix("\r")
        blocks.append(_Block(code, _read_language(fence[3]), is_closed or glued is not None))
        # A line that opens another block ends this one, and is read again.
        number = end + 1 if is_closed else end
    return blocks


def _match_opener(line: str) -> re.Match[str] | None:
    """Return the match of a line that opens a block: the rest of a line with backticks holds none of them."""
    fence = _FENCE.match(line)
    return None if fence is None or (fence[2][0] == "`" and "`" in fence[3]) else fence


def _find_end(lines: Sequence[str], start: int, fence: re.Match[str]) -> tuple[int, bool]:
    """Return the number of the line that ends the block, and whether it closes it.

    Of the lines that may close the block the first one outside a string of three quotes does. Where all of them stand
    inside one the first of them does, because then the string itself is not closed.
    """
    closers_inside: list[int] = []
    for number in range(start, len(lines)):
        match = _FENCE.match(lines[number])
        if match is None:
            continue
        is_closer = match[2].startswith(fence[2]) and not match[3].strip()
        is_opener = _match_opener(lines[number]) is not None and _read_language(match[3]) == "python"
        if not (is_closer or is_opener):
            continue
        if len(closers_inside) > _CLOSERS_TRIED:
            break
        if not ends_inside_string("".join(_dedent(line, fence[1]) for line in lines[start:number])):
            return number, is_closer
        closers_inside += [number] if is_closer else []
    return (closers_inside[0], True) if closers_inside else (len(lines), False)


def _ends_with_fence(line: str) -> bool:
    return line.rstrip().endswith("```") and "`" not in line.rstrip()[:-3]


def _read_language(info: str) -> Literal["python", "", "other"]:
    match = _LANGUAGE.match(info)
    name = match[1] if match else ""
    return "" if not name else "python" if _PYTHON.fullmatch(name) else "other"


def _dedent(line: str, indentation: str) -> str:
    if not indentation or line.startswith(indentation):
        return line.removeprefix(indentation)
    return line.lstrip(" \t")


def _extract_between_backticks(text: str) -> Program | None:
    lines = text.split("\n")
    marks = [number for number, line in enumerate(lines) if "```" in line]
    source = "\n".join(lines[marks[-2] + 1 : marks[-1]]) if len(marks) >= 2 else ""
    return Program(source, "livecodebench", source) if source else None
