"""Whether a text is Python that compiles. Programs are only parsed here, never run.

This module does not know where a text comes from.
"""

import ast
import warnings


def parse_source(source: str) -> ast.Module | None:
    """Return the syntax tree of a source; None if it does not compile."""
    tree_or_fault = _read_tree(source)
    return None if isinstance(tree_or_fault, str) else tree_or_fault


def parse_statements(source: str) -> ast.Module | None:
    """Return the syntax tree of statements that run inside others, so that they need not compile; None without one."""
    try:
        with warnings.catch_warnings():
            # Statements may hold escapes such as "\d", and `is` with a literal, which Python warns of.
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def ends_inside_string(source: str) -> bool:
    """Return whether a source ends inside a string of three quotes."""
    if '"""' not in source and "'''" not in source:
        return False
    tree_or_fault = _read_tree(source)
    return isinstance(tree_or_fault, str) and "unterminated triple-quoted" in tree_or_fault


def read_literal(text: str) -> tuple[bool, object]:
    """Return whether a text is a Python literal, and its value."""
    try:
        return True, ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return False, None


def _read_tree(source: str) -> ast.Module | str:
    """Return the syntax tree of a source, or what keeps it from compiling."""
    try:
        with warnings.catch_warnings():
            # Programs may hold escapes such as "\d", which Python warns of.
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            compile(source, "<program>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return error.msg or "invalid syntax"
    except (ValueError, MemoryError, RecursionError) as error:
        return type(error).__name__
    return tree
